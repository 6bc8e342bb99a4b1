"""Each trick of the recipe, switched on alone, changes what is trained, as seen from the training loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from automl.artifacts import StudyFiles
from automl.config import (
    POOLINGS,
    AugmentConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResizeConfig,
    TransferConfig,
    TrialConfig,
)
from automl.training.checkpoints import EpochRecord, TrainingState
from automl.training.training_loop import train_fold
from tests.automl_tests.training_tests.test_dimensions import Watched, assert_differ, watched, weights_after
from tests.automl_tests.training_tests.worlds import PlainNet, config_of, seeded_model, state_of, task_of, trained

WHOLE = {"batch_size": 48, "augment": "none"}  # one step an epoch, of images as they are


def batches_with(shapes: StudyFiles, **changes: Any) -> list[Tensor]:
    return watched(shapes, config_of(**changes)).batches


def run(shapes: StudyFiles, config: TrialConfig, **changes: Any) -> tuple[TrainingState, Any, list[dict[str, Tensor]]]:
    """The state, the validation probabilities, and the weights after each epoch."""
    state, snapshots = state_of(seeded_model(config), config), []

    def keep() -> None:
        snapshots.append({name: tensor.clone() for name, tensor in state.model.state_dict().items()})

    task = task_of(shapes, config, **changes)
    probs = train_fold(task, state, on_epoch=keep, on_batch=lambda now: None)
    return state, probs, snapshots


# ---- The network ----------------------------------------------------------------------------------------------------


def losses_of_networks(shapes: StudyFiles, *models: ModelConfig) -> list[float]:
    """The loss of the first epoch of each network."""
    configs = [replace(config_of(epochs=1), model=model) for model in models]
    return [trained(shapes, config).history[0].train_loss for config in configs]


def test_the_pooling_changes_what_is_trained(shapes: StudyFiles) -> None:
    plain = ModelConfig(backbone="test_resnet", pretrained=False)
    own, mean = losses_of_networks(shapes, plain, replace(plain, pooling="avg"))
    assert own == pytest.approx(mean, rel=1e-3)  # which is what a ResNet does
    # Without the last stage the map has more than one cell. Attention begins as the mean.
    others = [pooling for pooling in POOLINGS if pooling not in ("own", "attention")]
    losses = losses_of_networks(shapes, *(replace(plain, pooling=pooling, cut=1) for pooling in others))
    assert len({round(loss, 4) for loss in losses}) == len(others)


def test_hidden_layers_change_what_is_trained(shapes: StudyFiles) -> None:
    linear, hidden = (ModelConfig(backbone="test_resnet", pretrained=False, hidden=h) for h in ((), (32,)))
    one, other = losses_of_networks(shapes, linear, hidden)
    assert one != pytest.approx(other, rel=1e-3)


# ---- Transfer -------------------------------------------------------------------------------------------------------


def test_only_the_last_blocks_train_where_that_is_asked(shapes: StudyFiles) -> None:
    begun = seeded_model(config_of()).state_dict()
    ended = weights_after(shapes, config_of(transfer=TransferConfig(trainable_blocks=1), epochs=1))
    moved = {name for name in begun if not torch.equal(begun[name], ended[name])}
    assert {name.split(".")[0] for name in moved} == {"body", "head"}
    assert any(name.startswith("body.layer4") for name in moved)
    assert not any(name.startswith(("body.conv1", "body.layer1", "body.layer2")) for name in moved)


def test_layers_far_from_the_head_learn_more_slowly(shapes: StudyFiles) -> None:
    config = config_of(transfer=TransferConfig(layer_decay=0.5), epochs=1)
    rates = {group["lr"] for group in trained(shapes, config).optimizer.param_groups}
    assert len(rates) > 3
    assert max(rates) / min(rates) == pytest.approx(2.0 ** (len(rates) - 1))


def test_head_epochs_from_cached_features_are_those_of_the_frozen_backbone_run_each_time(
    shapes: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(transfer=TransferConfig(freeze_epochs=2), epochs=2 + 1)
    cached = run(shapes, config)
    monkeypatch.setattr("automl.training.training_loop.cache_features", lambda *args, **rest: None)
    uncached = run(shapes, config)
    for one, other in zip(cached[2][:2], uncached[2][:2], strict=True):
        assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-5) for name in one)
    assert [record.score for record in cached[0].history[:2]] == [record.score for record in uncached[0].history[:2]]


def test_a_frozen_backbone_sees_each_image_once(shapes: StudyFiles) -> None:
    config = config_of(transfer=TransferConfig(trainable_blocks=0), epochs=4)
    model = seeded_model(config)
    seen: list[int] = []
    model.body.register_forward_hook(lambda module, arguments, output: seen.append(len(arguments[0])))
    trained(shapes, config, model)
    assert sum(seen) == 60


# ---- Progressive resizing -------------------------------------------------------------------------------------------


def test_smaller_images_come_in_batches_that_take_the_same_memory(shapes: StudyFiles) -> None:
    resize = ResizeConfig(image_sizes=(16, 32), scale_batch=True)
    batches = watched(shapes, replace(config_of(batch_size=8, epochs=2), resize=resize)).batches
    assert [tuple(batch.shape[::2]) for batch in batches] == [(32, 16), (16, 16), *[(8, 32)] * 6]


def test_smaller_images_are_varied_less(shapes: StudyFiles) -> None:
    """In the first of two equal stages a medium augmentation is half as strong."""
    config = config_of(sizes="32-32", epochs=2, batch_size=48, augment="medium")
    scaled = replace(config, resize=ResizeConfig(image_sizes=(32, 32), scale_augment=True))
    first, last = (watched(shapes, each).batches for each in (config, scaled))
    assert not torch.equal(first[0], last[0])
    assert torch.equal(first[1], last[1])


# ---- Losses and classes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "changed"),
    [
        (LossConfig(), LossConfig(name="bce")),
        (LossConfig(name="bce"), LossConfig(name="focal_bce", focal_gamma=2.0)),
        (LossConfig(name="focal_bce", focal_gamma=2.0), LossConfig(name="focal_bce", focal_gamma=2.0, focal_alpha=0.9)),
    ],
)
def test_the_loss_is_the_one_that_is_named(plain: LossConfig, changed: LossConfig, shapes: StudyFiles) -> None:
    one, other = (trained(shapes, config_of(loss=each, epochs=1), Watched()).history[0] for each in (plain, changed))
    assert one.train_loss != other.train_loss


@pytest.mark.parametrize("loss", ["ordinal", "smooth_l1"])
def test_a_loss_of_ranks_learns_and_predicts_probabilities(loss: str, shapes: StudyFiles) -> None:
    config = config_of(loss=LossConfig(name=loss), epochs=8, optim=OptimConfig(lr=1e-2))
    state, probs, _ = run(shapes, config)
    assert probs.shape == (12, 3)
    assert np.allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert max(record.score for record in state.history) > 0.7


def imbalanced() -> np.ndarray[Any, Any]:
    """Rows of which 24 are of class 0, 8 of class 1 and 4 of class 2."""
    return np.concatenate([np.arange(0, 48, 3), np.arange(0, 24, 3), np.arange(1, 24, 3), np.arange(2, 14, 3)])


@pytest.mark.parametrize("weights", ["balanced", "effective"])
def test_class_weights_make_rare_classes_count_more(weights: str, shapes: StudyFiles) -> None:
    rows = np.unique(imbalanced())
    losses = []
    for class_weights in ("none", weights):
        config = config_of(loss=LossConfig(class_weights=class_weights), epochs=1, **WHOLE)
        state = state_of(Watched(), config)
        train_fold(task_of(shapes, config, train_rows=rows), state, on_epoch=lambda: None, on_batch=lambda now: None)
        losses.append(state.history[0].train_loss)
    assert losses[0] != losses[1]


def test_balanced_sampling_shows_rare_classes_more_often(shapes: StudyFiles) -> None:
    rows = np.unique(imbalanced())
    shown = {}
    for sampling in ("natural", "sqrt", "balanced"):
        config = config_of(class_sampling=sampling, epochs=1, **WHOLE)
        task = task_of(shapes, config, train_rows=rows)
        pixels = targets_as_pixels(task.competition.targets)
        marked = replace(task, pixels=lambda size, pixels=pixels: pixels)
        model = Watched()
        train_fold(marked, state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
        classes = ((model.batches[0][:, 0, 0, 0] * 0.25 + 0.5) * 255 / 100).round().int()
        shown[sampling] = torch.bincount(classes, minlength=3).tolist()
    assert shown["natural"] == [16, 8, 4]
    assert max(shown["balanced"]) - min(shown["balanced"]) <= 1
    assert shown["natural"][2] < shown["sqrt"][2] < shown["balanced"][2]


def targets_as_pixels(targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(n, 32, 32, 3) images whose brightness is 100 times their class."""
    return np.broadcast_to((targets * 100).astype(np.uint8)[:, None, None, None], (len(targets), 32, 32, 3))


# ---- The course of the learning rate --------------------------------------------------------------------------------


def rates(shapes: StudyFiles, optim: OptimConfig, epochs: int = 4) -> list[float]:
    """The learning rate of each epoch's last step."""
    return [record.lr for record in trained(shapes, config_of(optim=optim, epochs=epochs), Watched()).history]


def test_each_schedule_leads_the_rate_in_its_own_way(shapes: StudyFiles) -> None:
    courses = {
        schedule: rates(shapes, OptimConfig(schedule=schedule, cycles=2 if schedule == "cosine_restarts" else 1))
        for schedule in ("cosine", "cosine_restarts", "one_cycle", "step", "constant")
    }
    assert courses["constant"] == [1e-3] * 4
    assert courses["cosine_restarts"][1] < courses["cosine_restarts"][2] > courses["cosine_restarts"][3]
    assert courses["one_cycle"][-1] < courses["cosine"][-1]
    assert courses["step"] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    assert len({tuple(course) for course in courses.values()}) == 5


def test_warmup_begins_below_the_peak(shapes: StudyFiles) -> None:
    cold, warm = (rates(shapes, OptimConfig(warmup_fraction=f, schedule="constant"), epochs=2) for f in (0.0, 1 - 1e-9))
    assert cold == [1e-3, 1e-3]
    assert warm == [pytest.approx(5e-4), pytest.approx(1e-3)]


def test_a_plateau_of_the_score_lowers_the_rate(shapes: StudyFiles) -> None:
    """The score of a network that does not learn stays where it is."""
    optim = OptimConfig(schedule="plateau", lr=1e-9, warmup_fraction=0.0)
    course = rates(shapes, optim, epochs=8)
    assert course[0] == 1e-9
    assert course[-1] < 0.6e-9
    assert course == sorted(course, reverse=True)


def test_the_radius_of_sam_changes_the_weights(shapes: StudyFiles) -> None:
    small, large = (OptimConfig(optimizer="sam", lr=1e-2, sam_rho=rho) for rho in (0.01, 0.5))
    assert_differ(
        weights_after(shapes, config_of(optim=small, epochs=1)), weights_after(shapes, config_of(optim=large, epochs=1))
    )


# ---- Augmentation and mixing ----------------------------------------------------------------------------------------


def test_the_magnitude_changes_the_pixels(shapes: StudyFiles) -> None:
    first = [
        batches_with(shapes, augment=AugmentConfig(policy="rand", magnitude=magnitude), epochs=1)[0]
        for magnitude in (1.0, 9.0)
    ]
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("mixing", [{"mixup_alpha": 1.0}, {"cutmix_alpha": 1.0}])
def test_mixed_images_are_made_of_two(mixing: dict[str, float], shapes: StudyFiles) -> None:
    plain = batches_with(shapes, **{**WHOLE, "augment": AugmentConfig(policy="none")}, epochs=1)[0]
    mixed = batches_with(
        shapes, **{**WHOLE, "augment": AugmentConfig(policy="none", mix_off_fraction=0.0, **mixing)}, epochs=1
    )[0]
    assert not torch.equal(plain, mixed)
    assert mixed.mean().item() == pytest.approx(plain.mean().item(), abs=0.2)
    if "cutmix_alpha" in mixing:  # every pixel is one of the two images' own
        assert torch.isin(mixed, plain).all()


def test_mixing_ends_before_the_last_epochs(shapes: StudyFiles) -> None:
    augment = AugmentConfig(policy="none", mixup_alpha=1.0, mix_off_fraction=0.5)
    batches = batches_with(shapes, **{**WHOLE, "augment": augment}, epochs=4)
    plain = batches_with(shapes, **WHOLE, epochs=4)
    assert [torch.equal(one, other) for one, other in zip(batches, plain, strict=True)] == [False, False, True, True]


def test_the_probability_of_mixing_leaves_batches_as_they_are(shapes: StudyFiles) -> None:
    augment = AugmentConfig(policy="none", mixup_alpha=1.0, mix_off_fraction=0.0, mix_probability=0.5)
    batches = batches_with(shapes, batch_size=4, augment=augment, epochs=2)
    plain = batches_with(shapes, batch_size=4, augment="none", epochs=2)
    n_plain = sum(torch.equal(one, other) for one, other in zip(batches, plain, strict=True))
    assert 4 < n_plain < 20


def test_the_loss_of_a_mixed_batch_is_that_of_mixed_labels(shapes: StudyFiles) -> None:
    augment = AugmentConfig(policy="none", cutmix_alpha=1.0, mix_off_fraction=0.0)
    still = OptimConfig(lr=1e-12)
    mixed = trained(shapes, config_of(**{**WHOLE, "augment": augment}, optim=still, epochs=1), BlindNet())
    assert mixed.history[0].train_loss == pytest.approx(expected_blind_loss(), rel=1e-5)


class BlindNet(PlainNet):
    """Says the same of every image, so that its loss depends on the labels alone."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 0.0 + torch.tensor([0.0, 1.0, 2.0])


def expected_blind_loss() -> float:
    """The classes are equally frequent, and permuting them before they are mixed does not change that."""
    return float(-torch.tensor([0.0, 1.0, 2.0]).log_softmax(dim=0).mean())


# ---- Averages, patience and the choice of the epoch -----------------------------------------------------------------


def test_averaged_weights_are_what_is_evaluated_and_kept(shapes: StudyFiles) -> None:
    config = config_of(optim=OptimConfig(lr=1e-2, schedule="constant"), epochs=3)
    plain, averaged = run(shapes, config), run(shapes, replace(config, ema_horizon=0.3))
    for one, other in zip(plain[2][:-1], averaged[2][:-1], strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())  # training itself is the same
    assert_differ(plain[0].model.state_dict(), averaged[0].model.state_dict())
    assert not np.array_equal(plain[1], averaged[1])
    steps = [torch.nn.utils.parameters_to_vector(state.model.parameters()) for state in (plain[0], averaged[0])]
    begun = torch.nn.utils.parameters_to_vector(seeded_model(config).parameters())
    assert (steps[1] - begun).norm() < (steps[0] - begun).norm()  # it lags behind


class Scripted:
    """Scores that are given, in place of the metric."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scores: Sequence[float]) -> None:
        left = iter(scores)
        monkeypatch.setattr("automl.training.training_loop._compute_finite_score", lambda *args, **rest: next(left))


def sizes_and_scores(history: Sequence[EpochRecord]) -> list[tuple[int, float]]:
    return [(record.image_size, record.score) for record in history]


def test_the_best_epoch_predicts_where_it_is_chosen(shapes: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    for choice, expected in (("last", 3), ("best", 1)):
        Scripted(monkeypatch, [0.5, 0.9, 0.7, 0.8])
        state, probs, snapshots = run(shapes, config_of(epochs=4, epoch_choice=choice))
        assert all(torch.equal(tensor, snapshots[expected][name]) for name, tensor in state.model.state_dict().items())
        again = train_fold(
            task_of(shapes, config_of(epochs=4)), state, on_epoch=lambda: None, on_batch=lambda now: None
        )
        assert np.array_equal(probs, again)


def test_only_epochs_at_the_last_image_size_can_be_the_best(
    shapes: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted(monkeypatch, [0.5, 0.9, 0.7, 0.6])
    state, _, snapshots = run(shapes, config_of(sizes="16-32", epochs=4, epoch_choice="best"))
    assert all(torch.equal(tensor, snapshots[2][name]) for name, tensor in state.model.state_dict().items())


def test_training_ends_when_patience_does_and_not_before_the_last_size(
    shapes: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted(monkeypatch, [0.9, 0.8, 0.7, 0.5, 0.6, 0.6, 0.6, 0.6])
    state, _, _ = run(shapes, config_of(sizes="16-32", epochs=8, patience=2))
    assert sizes_and_scores(state.history) == [(16, s) for s in (0.9, 0.8, 0.7, 0.5)] + [(32, 0.6)] * 3


@pytest.mark.slow  # it calls a compiler
def test_a_compiled_network_trains_as_the_plain_one(shapes: StudyFiles) -> None:
    config = config_of(epochs=1)
    plain, compiled = seeded_model(config), seeded_model(config)
    compiled.compile()
    assert compiled._compiled_call_impl is not None
    one, other = trained(shapes, config, plain), trained(shapes, config, compiled)
    assert other.history[0].train_loss == pytest.approx(one.history[0].train_loss, rel=1e-3)
