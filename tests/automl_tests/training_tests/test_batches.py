"""What an epoch trains on: its rows, images, mixes and losses, as the configuration and the kind of target say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.artifacts import StudyFiles
from automl.config import (
    AugmentConfig,
    LossConfig,
    OptimConfig,
    ResizeConfig,
    TrialConfig,
)
from automl.data.competition import Competition
from automl.tasks import Task
from automl.training.batches import draw_epoch_rows, iterate_batches
from automl.training.training_loop import train_fold
from tests.automl_tests.training_tests.toy_competitions import GLOWS, PATCHES, ToyCompetition
from tests.automl_tests.training_tests.trial_builders import (
    MANY_HOT,
    TOY_COMPETITIONS,
    WHOLE,
    PlainNet,
    Watched,
    config_of,
    seeded_model,
    state_of,
    task_of,
    trained,
    watched,
)


def batches_with(shapes: StudyFiles, **changes: Any) -> list[Tensor]:
    return watched(shapes, config_of(**changes)).batches


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
    class_counts = {}
    for sampling in ("natural", "sqrt", "balanced"):
        config = config_of(class_sampling=sampling, epochs=1, **WHOLE)
        task = task_of(shapes, config, train_rows=rows)
        pixels = targets_as_pixels(task.competition.targets)
        marked = replace(task, pixels=lambda size, pixels=pixels: pixels)
        model = Watched()
        train_fold(marked, state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
        classes = ((model.batches[0][:, 0, 0, 0] * 0.25 + 0.5) * 255 / 100).round().int()
        class_counts[sampling] = torch.bincount(classes, minlength=3).tolist()
    assert class_counts["natural"] == [16, 8, 4]
    assert max(class_counts["balanced"]) - min(class_counts["balanced"]) <= 1
    assert class_counts["natural"][2] < class_counts["sqrt"][2] < class_counts["balanced"][2]


def targets_as_pixels(targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(n, 32, 32, 3) images whose brightness is 100 times their class."""
    return np.broadcast_to((targets * 100).astype(np.uint8)[:, None, None, None], (len(targets), 32, 32, 3))


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


def test_loss_and_gamma_and_smoothing_change_the_loss_that_is_trained(shapes: StudyFiles) -> None:
    losses = [
        LossConfig(),
        LossConfig(label_smoothing=0.2),
        LossConfig(name="focal", focal_gamma=1.0),
        LossConfig(name="focal", focal_gamma=3.0),
    ]
    values = [trained(shapes, config_of(loss=loss, epochs=1), Watched()).history[0].train_loss for loss in losses]
    assert len(set(values)) == 4
    zero = trained(shapes, config_of(loss=LossConfig(name="focal", focal_gamma=0.0), epochs=1), Watched()).history[0]
    assert zero.train_loss == pytest.approx(values[0], rel=1e-5)


def test_the_batch_size_is_the_number_of_images_in_a_step(shapes: StudyFiles) -> None:
    sizes = {
        batch_size: [len(batch) for batch in watched(shapes, config_of(batch_size=batch_size, epochs=1)).batches]
        for batch_size in (16, 20, 47)
    }
    assert sizes == {16: [16, 16, 16], 20: [20, 20, 8], 47: [48]}


def test_the_augmentation_changes_the_pixels_that_are_trained_on(shapes: StudyFiles) -> None:
    first = {
        policy: watched(shapes, config_of(augment=policy, epochs=1)).batches[0]
        for policy in ("none", "light", "medium")
    }
    assert not torch.equal(first["none"], first["light"])
    assert not torch.equal(first["none"], first["medium"])
    assert not torch.equal(first["light"], first["medium"])


@pytest.mark.parametrize("flips", [False, True])
def test_images_are_mirrored_only_where_the_competition_allows_it(flips: bool, shapes: StudyFiles) -> None:
    config = config_of(augment="light", epochs=1, batch_size=48)
    task = task_of(shapes, config)
    half_bright = np.zeros((60, 32, 32, 3), dtype=np.uint8)
    half_bright[:, :, :16] = 255
    marked = replace(task, competition=replace(task.competition, flips=flips), pixels=lambda image_size: half_bright)
    model = Watched()
    train_fold(marked, state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
    (batch,) = model.batches
    mirrored = batch[..., :4].mean(dim=(1, 2, 3)) < batch[..., -4:].mean(dim=(1, 2, 3))
    assert mirrored.any().item() is flips


def test_without_augmentation_the_images_are_those_of_the_cache_in_another_order_each_epoch(shapes: StudyFiles) -> None:
    config = config_of(augment="none", epochs=2, batch_size=48)
    first, second = watched(shapes, config).batches
    pixels = task_of(shapes, config).pixels(32)[:48]

    def digests(batch: Tensor) -> list[float]:
        return [round(image.double().sum().item(), 3) for image in batch]

    expected = [round((image / 255 - 0.5).sum() / 0.25, 3) for image in pixels.astype(float)]
    assert sorted(digests(first)) == pytest.approx(sorted(expected), abs=0.01)
    assert digests(first) != digests(second)
    assert sorted(digests(first)) == sorted(digests(second))


def test_epochs_are_the_number_of_passes(shapes: StudyFiles) -> None:
    assert len(watched(shapes, config_of(epochs=1, batch_size=48)).batches) == 1
    assert len(watched(shapes, config_of(epochs=3, batch_size=48)).batches) == 3


@pytest.mark.parametrize("change", [lambda n: {"seeds": (n, 0, 0)}, lambda n: {"seeds": (5, n, 0)}])
def test_the_seed_changes_order_and_augmentation(change: Callable[[int], dict[str, Any]], shapes: StudyFiles) -> None:
    seen = []
    for number in (1, 2):
        model, config = Watched(), config_of(epochs=1)
        task = task_of(shapes, config, **change(number))
        train_fold(task, state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
        seen.append(model.batches[0].numpy())
    assert not np.array_equal(seen[0], seen[1])


def train_losses(studies: dict[Task, StudyFiles], task: Task, *configs: TrialConfig) -> list[float]:
    return [trained(studies[task], config, toy=TOY_COMPETITIONS[task]).history[0].train_loss for config in configs]


@pytest.mark.parametrize("task", MANY_HOT)
@pytest.mark.parametrize("weights", ["balanced", "effective"])
def test_class_weights_change_what_counts(task: Task, weights: str, studies: dict[Task, StudyFiles]) -> None:
    plain, weighed = (config_of(loss=LossConfig(class_weights=kind), epochs=1, **WHOLE) for kind in ("none", weights))
    losses = train_losses(studies, task, plain, weighed)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def draw_rows_of(study: StudyFiles, toy: ToyCompetition, sampling: str) -> tuple[Competition, NDArray[np.int64]]:
    """The competition, and the rows of an epoch."""
    fold = task_of(study, config_of(class_sampling=sampling), toy)
    return fold.competition, draw_epoch_rows(fold, np.random.default_rng(0))


def test_balanced_sampling_shows_images_of_the_rarest_label_as_often_as_others(
    studies: dict[Task, StudyFiles],
) -> None:
    shares = {}
    for sampling in ("natural", "sqrt", "balanced"):
        competition, rows = draw_rows_of(studies[Task.MULTILABEL], PATCHES, sampling)
        shares[sampling] = np.bincount(competition.strata[rows], minlength=4) / len(rows)
    assert np.allclose(shares["balanced"], 0.25, atol=0.025)
    assert shares["natural"].max() > shares["sqrt"].max() > shares["balanced"].max()


def test_balanced_sampling_shows_rare_values_more_often(studies: dict[Task, StudyFiles]) -> None:
    spread = {}
    for sampling in ("natural", "sqrt", "balanced"):
        competition, rows = draw_rows_of(studies[Task.REGRESSION], GLOWS, sampling)
        tenths = (competition.soft_targets[rows].mean(axis=1) * 10).astype(int)
        counts = np.bincount(tenths)
        spread[sampling] = counts.max() / counts[counts > 0].min()
    assert spread["natural"] > spread["sqrt"] > spread["balanced"]
    assert spread["balanced"] <= 2


def test_mixed_labels_and_values_lie_between_those_of_the_two(studies: dict[Task, StudyFiles]) -> None:
    for task in MANY_HOT:
        config = config_of(augment=AugmentConfig(policy="none", mixup_alpha=0.4), batch_size=48)
        fold = task_of(studies[task], config, TOY_COMPETITIONS[task])
        state = state_of(seeded_model(config, TOY_COMPETITIONS[task]), config)
        (mixed,) = iterate_batches(fold, state, 0, fold.train_rows, seed=0, features=None)
        plain = replace(fold, config=config_of(augment="none", batch_size=48))
        (whole,) = iterate_batches(plain, state, 0, fold.train_rows, seed=0, features=None)
        assert mixed.targets.shape == whole.targets.shape == (48, len(TOY_COMPETITIONS[task].classes))
        assert torch.allclose(mixed.targets.mean(dim=0), whole.targets.mean(dim=0), atol=1e-6)
        assert not torch.allclose(mixed.targets, whole.targets, atol=0.01)
