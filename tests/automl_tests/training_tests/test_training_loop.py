"""The training loop from close by: micro-batches, memory, divergence, what the network sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl.artifacts import StudyFiles
from automl.config import OptimConfig
from automl.tasks import Task
from automl.training.checkpoints import TrainingState
from automl.training.loss.losses import build_loss
from automl.training.optim.accumulation import InfeasibleConfig, accumulate_gradients, split_micro_batches
from automl.training.resizing import count_batches
from automl.training.seeding import derive_seed
from automl.training.training_loop import train_fold
from tests.automl_tests.training_tests.worlds import PlainNet, batch_of, config_of, state_of, task_of, trained

IMAGES = np.random.default_rng(0).integers(0, 256, size=(21, 12, 12, 3)).astype(np.uint8)
KNOWN = 3_940_610_156  # a change of it would make every resumed trial differ from the one that was begun
TARGETS = torch.arange(21) % 3


def plain_state(*, capacity: int = 10**6, batch_size: int = 20, optim: OptimConfig | None = None) -> TrainingState:
    torch.manual_seed(0)
    return state_of(PlainNet(capacity=capacity), config_of(batch_size=batch_size, optim=optim))


def accumulate(state: TrainingState, n_images: int = 21) -> float:
    loss_of = build_loss(config_of().loss, task=Task.MULTICLASS, n_classes=3)
    batch = batch_of(state, IMAGES[:n_images], TARGETS[:n_images])
    return accumulate_gradients(state, batch, compute_loss=loss_of, device="cpu")


def gradients(state: TrainingState) -> torch.Tensor:
    found = [parameter.grad for parameter in state.model.parameters()]
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


@given(st.integers(2, 200), st.integers(2, 64))
def test_micro_batches_are_nearly_equal_and_none_is_a_single_image(n_images: int, micro_batch: int) -> None:
    sizes = split_micro_batches(n_images, micro_batch)
    assert sum(sizes) == n_images
    assert min(sizes) >= 2
    assert max(sizes) <= micro_batch + 1
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(2, 300), st.integers(2, 64))
def test_the_number_of_batches_is_what_the_data_side_makes(n_images: int, batch_size: int) -> None:
    rows = list(range(n_images))
    parts = [rows[start : start + batch_size] for start in range(0, n_images, batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts.pop()
    assert count_batches(n_images, batch_size) == len(parts)


@pytest.mark.parametrize("capacity", [11, 6, 3])
def test_out_of_memory_halves_the_micro_batch_and_the_gradient_stays_the_same(capacity: int) -> None:
    whole, cut = plain_state(), plain_state(capacity=capacity)
    assert accumulate(cut) == pytest.approx(accumulate(whole), rel=1e-6)
    assert torch.allclose(gradients(cut), gradients(whole), rtol=1e-4, atol=1e-7)
    assert cut.micro_batch == {11: 10, 6: 5, 3: 2}[capacity]
    assert isinstance(cut.model, PlainNet)
    parts = [shape[0] for shape in cut.model.seen if shape[0] <= capacity]
    assert sum(parts[-len(split_micro_batches(21, cut.micro_batch)) :]) == 21


def test_a_trained_model_is_the_same_with_less_memory(shapes: StudyFiles) -> None:
    config = config_of(batch_size=16, epochs=2)
    models = []
    for capacity in (100, 5):
        torch.manual_seed(0)
        models.append(trained(shapes, config, PlainNet(capacity=capacity)).model)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_two_images_that_do_not_fit_are_a_dead_end() -> None:
    state = plain_state(capacity=1)
    with pytest.raises(InfeasibleConfig, match="2 images of 12 pixels do not fit into memory") as caught:
        accumulate(state)
    assert caught.value.constraint == "memory"
    assert state.micro_batch == 2


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


def test_seeds_depend_on_every_part_and_on_their_order() -> None:
    seeds = [derive_seed(*parts) for parts in [(0, 1, 2), (1, 0, 2), (0, 12), (0, 1), (0, 1, "2"), (0, 1, 2, 0)]]
    assert len(set(seeds)) == len(seeds)
    assert derive_seed(0, 1, 2) == KNOWN
