"""Losses against torch's own and against values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from automl.config import LossConfig
from automl.training.losses import build_loss, focal_loss


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """(8, 5) logits and (8,) class indices."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 5, generator=generator) * 3, torch.randint(0, 5, (8,), generator=generator)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_focal_loss_with_gamma_zero_is_cross_entropy(batch: tuple[Tensor, Tensor], label_smoothing: float) -> None:
    logits, targets = batch
    expected = F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    assert torch.allclose(focal_loss(logits, targets, gamma=0.0, label_smoothing=label_smoothing), expected)


def test_focal_loss_is_the_formula_of_the_paper() -> None:
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    expected = -((0.1**2) * math.log(0.9) + (0.4**2) * math.log(0.6)) / 2
    assert focal_loss(logits, torch.tensor([0, 1]), gamma=2.0).item() == pytest.approx(expected, rel=1e-6)


def test_a_larger_gamma_counts_easy_images_less(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    losses = [build_loss(LossConfig(name="focal", focal_gamma=gamma))(logits, targets) for gamma in (0.5, 2.0, 5.0)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_certain_prediction_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), gamma=gamma, label_smoothing=0.1).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_label_smoothing_changes_the_loss(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    assert build_loss(LossConfig())(logits, targets) == F.cross_entropy(logits, targets)
    smoothed = build_loss(LossConfig(label_smoothing=0.2))(logits, targets)
    assert smoothed == F.cross_entropy(logits, targets, label_smoothing=0.2)


def test_half_precision_logits_give_a_float32_loss(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    for loss in (LossConfig(), LossConfig(name="focal", focal_gamma=2.0)):
        assert build_loss(loss)(logits.bfloat16(), targets).dtype is torch.float32
