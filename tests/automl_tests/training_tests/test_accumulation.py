"""Micro-batches: their sizes, their gradients, and what happens when memory runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl.tasks import Task
from automl.training.checkpoints import TrainingState
from automl.training.loss.losses import build_loss
from automl.training.optim.accumulation import InfeasibleConfig, accumulate_gradients, split_micro_batches
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    batch_of,
    config_of,
    plain_state,
)

IMAGES = np.random.default_rng(0).integers(0, 256, size=(21, 12, 12, 3)).astype(np.uint8)


TARGETS = torch.arange(21) % 3


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


@pytest.mark.parametrize("capacity", [11, 6, 3])
def test_out_of_memory_halves_the_micro_batch_and_the_gradient_stays_the_same(capacity: int) -> None:
    whole, cut = plain_state(), plain_state(capacity=capacity)
    assert accumulate(cut) == pytest.approx(accumulate(whole), rel=1e-6)
    assert torch.allclose(gradients(cut), gradients(whole), rtol=1e-4, atol=1e-7)
    assert cut.micro_batch == {11: 10, 6: 5, 3: 2}[capacity]
    assert isinstance(cut.model, PlainNet)
    parts = [shape[0] for shape in cut.model.batch_shapes if shape[0] <= capacity]
    assert sum(parts[-len(split_micro_batches(21, cut.micro_batch)) :]) == 21


def test_two_images_that_do_not_fit_are_a_dead_end() -> None:
    state = plain_state(capacity=1)
    with pytest.raises(InfeasibleConfig, match="2 images of 12 pixels do not fit into memory") as caught:
        accumulate(state)
    assert caught.value.constraint == "memory"
    assert state.micro_batch == 2
