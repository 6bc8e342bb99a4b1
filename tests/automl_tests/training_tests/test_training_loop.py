"""The training loop: divergence, image sizes, clipping, the choice of the epoch, early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from automl.artifacts import StudyFiles
from automl.config import (
    LossConfig,
    OptimConfig,
)
from automl.training.checkpoints import EpochRecord
from automl.training.optim.accumulation import InfeasibleConfig
from automl.training.training_loop import train_fold
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    Watched,
    config_of,
    plain_state,
    run,
    seeded_model,
    state_of,
    task_of,
    trained,
    weights_after,
)


def test_a_trained_model_is_the_same_with_less_memory(shapes: StudyFiles) -> None:
    config = config_of(batch_size=16, epochs=2)
    models = []
    for capacity in (100, 5):
        torch.manual_seed(0)
        models.append(trained(shapes, config, PlainNet(capacity=capacity)).model)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_a_statistic_that_is_no_number_ends_the_trial_before_a_checkpoint(shapes: StudyFiles) -> None:
    model = PlainNet()
    model.register_buffer("running_mean", torch.tensor([0.0, float("nan")]))
    state, epochs = state_of(model, config_of()), []
    with pytest.raises(InfeasibleConfig, match=r"'running_mean' is no longer finite after epoch 1, lr "):
        train_fold(task_of(shapes, config_of()), state, on_epoch=lambda: epochs.append(1), on_batch=lambda now: None)
    assert epochs == []
    assert state.history == []


class OutBlowing(PlainNet):
    """Answers with infinity in evaluation only."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(images)
        return logits if self.training else logits * float("inf")


def test_probabilities_that_are_no_numbers_end_the_trial(shapes: StudyFiles) -> None:
    with pytest.raises(InfeasibleConfig, match="validation probabilities are not finite") as caught:
        trained(shapes, config_of(), OutBlowing())
    assert caught.value.constraint == "diverged"


def test_gradients_are_clipped_to_the_norm_that_the_config_names(shapes: StudyFiles) -> None:
    moved = {}
    for clip_norm in (None, 1e-3):
        optim = OptimConfig(optimizer="sgd", lr=1.0, clip_norm=clip_norm, warmup_fraction=0.0)
        torch.manual_seed(0)
        model = PlainNet()
        before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        trained(shapes, config_of(optim=optim, epochs=1, batch_size=48), model)
        after = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
        moved[clip_norm] = (after - before).norm().item()
    assert moved[1e-3] == pytest.approx(1.9e-3, rel=1e-2)  # Nesterov's first step is 1.9 times the gradient
    assert moved[None] > 10 * moved[1e-3]


class Modes(PlainNet):
    """Notes in which mode each batch was seen."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training)
        return super().forward(images)


def test_the_network_is_in_training_mode_for_training_and_only_then(shapes: StudyFiles) -> None:
    model = Modes()
    trained(shapes, config_of(epochs=2, batch_size=16), model)
    assert model.modes == [True, True, True, False] * 2


def test_an_interruption_after_the_last_epoch_gives_the_same_probabilities(shapes: StudyFiles) -> None:
    state, task = plain_state(), task_of(shapes, config_of())
    first = train_fold(task, state, on_epoch=lambda: None, on_batch=lambda now: None)
    again = train_fold(task, state, on_epoch=lambda: None, on_batch=lambda now: None)
    assert np.array_equal(first, again)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ordinal", "smooth_l1"])
def test_a_loss_of_ranks_learns_and_predicts_probabilities(loss: str, shapes: StudyFiles) -> None:
    config = config_of(loss=LossConfig(name=loss), epochs=8, optim=OptimConfig(lr=1e-2))
    state, probs, _ = run(shapes, config)
    assert probs.shape == (12, 3)
    assert np.allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert max(record.score for record in state.history) > 0.7


class Scripted:
    """Scores that are given, in place of the metric."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scores: Sequence[float]) -> None:
        left = iter(scores)
        monkeypatch.setattr("automl.training.training_loop._compute_finite_score", lambda *args, **rest: next(left))


def sizes_and_scores(history: Sequence[EpochRecord]) -> list[tuple[int, float]]:
    return [(record.image_size, record.score) for record in history]


@pytest.mark.slow
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


def test_the_resize_schedule_is_the_size_of_the_images_in_each_epoch(shapes: StudyFiles) -> None:
    requested: list[int] = []
    config = config_of(sizes="16-24-32", epochs=4, batch_size=48)
    task = task_of(shapes, config)
    pixels = task.pixels

    def noted(image_size: int) -> Any:
        requested.append(image_size)
        return pixels(image_size)

    model = Watched()
    train_fold(replace(task, pixels=noted), state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
    assert [batch.shape[2:] for batch in model.batches] == [(16, 16), (24, 24), (32, 32), (32, 32)]
    assert list(dict.fromkeys(requested)) == [16, 24, 32]


def test_validation_sees_the_size_that_is_being_trained(shapes: StudyFiles) -> None:
    model = PlainNet()
    trained(shapes, config_of(sizes="16-32", epochs=2, batch_size=48), model)
    assert model.batch_shapes == [(48, 3, 16, 16), (12, 3, 16, 16), (48, 3, 32, 32), (12, 3, 32, 32)]


def test_weights_are_carried_from_stage_to_stage(shapes: StudyFiles) -> None:
    small = weights_after(shapes, config_of(sizes="24", epochs=1, optim=OptimConfig(lr=1e-3, schedule="constant")))
    model = seeded_model(config_of())
    tiny_steps = OptimConfig(lr=1e-12, schedule="constant")
    state = state_of(model, config_of(optim=tiny_steps))
    state.model.load_state_dict(small)
    train_fold(
        task_of(shapes, config_of(sizes="32", epochs=1, optim=tiny_steps)),
        state,
        on_epoch=lambda: None,
        on_batch=lambda now: None,
    )
    assert torch.allclose(state.model.state_dict()["body.conv1.0.weight"], small["body.conv1.0.weight"], atol=1e-6)
