"""Losses against torch's, torchvision's and timm's own, and against values worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import timm.loss
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from automl.config import FOCAL_LOSSES, LOSSES, RANK_LOSSES, LossConfig
from automl.tasks import Task
from automl.training.loss.losses import Loss, build_loss
from automl.training.loss.mixup import to_soft_targets
from automl.training.network.outputs import build_output_layer

N_CLASSES = 5
COUNTS = np.array([50, 30, 10, 9, 1])


def config_named(name: str, *, gamma: float = 2.0, smoothing: float = 0.0, weights: str = "none") -> LossConfig:
    focal_gamma = gamma if name in FOCAL_LOSSES else None
    return LossConfig(name=name, focal_gamma=focal_gamma, label_smoothing=smoothing, class_weights=weights)


def built(name: str, *, gamma: float = 2.0, smoothing: float = 0.0, weights: str = "none") -> Loss:
    config = config_named(name, gamma=gamma, smoothing=smoothing, weights=weights)
    return build_loss(config, task=Task.MULTICLASS, n_classes=N_CLASSES, class_counts=COUNTS)


def outputs_for(name: str, *, n: int = 8, scale: float = 3.0) -> Tensor:
    n_outputs = build_output_layer(config_named(name), Task.MULTICLASS, N_CLASSES).n_outputs
    return torch.randn(n, n_outputs, generator=torch.Generator().manual_seed(0)) * scale


@pytest.fixture
def logits() -> Tensor:
    """(8, 5)"""
    return outputs_for("cross_entropy")


@pytest.fixture
def targets() -> Tensor:
    """(8,) class indices."""
    return torch.randint(0, N_CLASSES, (8,), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def soft_targets() -> Tensor:
    """(8, 5) that sum to 1."""
    return torch.rand(8, N_CLASSES, generator=torch.Generator().manual_seed(2)).softmax(dim=1)


@pytest.fixture
def present() -> Tensor:
    """(8, 5) zeros and ones, several or none of each row."""
    return (torch.rand(8, N_CLASSES, generator=torch.Generator().manual_seed(3)) < 0.4).float()


# ---- Cross-entropy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs_own_bit_for_bit(logits: Tensor, targets: Tensor, smoothing: float) -> None:
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    assert torch.equal(built("cross_entropy", smoothing=smoothing)(logits, targets), expected)


def test_cross_entropy_of_soft_targets_is_timms(logits: Tensor, soft_targets: Tensor) -> None:
    assert torch.allclose(
        built("cross_entropy")(logits, soft_targets), timm.loss.SoftTargetCrossEntropy()(logits, soft_targets)
    )


# ---- Focal loss -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_loss_with_gamma_zero_is_cross_entropy(logits: Tensor, soft_targets: Tensor, smoothing: float) -> None:
    for labels in (torch.arange(8) % N_CLASSES, soft_targets):
        expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        assert torch.allclose(built("focal", gamma=0.0, smoothing=smoothing)(logits, labels), expected)


def test_focal_loss_is_the_formula_of_the_paper() -> None:
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    expected = -((0.1**2) * math.log(0.9) + (0.4**2) * math.log(0.6)) / 2
    found = build_loss(config_named("focal"), task=Task.MULTICLASS, n_classes=2)(logits, torch.tensor([0, 1]))
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", FOCAL_LOSSES)
def test_a_larger_gamma_counts_easy_images_less(name: str, logits: Tensor, targets: Tensor) -> None:
    losses = [built(name, gamma=gamma)(logits, targets) for gamma in (0.0, 0.5, 2.0, 5.0)]
    assert losses[0] > losses[1] > losses[2] > losses[3]


# ---- Binary losses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bce_is_timms_sum_over_classes(logits: Tensor, targets: Tensor, smoothing: float) -> None:
    expected = timm.loss.BinaryCrossEntropy(smoothing=smoothing, sum_classes=True)(logits, targets)
    assert torch.allclose(built("bce", smoothing=smoothing)(logits, targets), expected)


def test_bce_of_several_classes_is_torchs(logits: Tensor, present: Tensor) -> None:
    assert torch.allclose(
        built("bce")(logits, present), N_CLASSES * F.binary_cross_entropy_with_logits(logits, present)
    )


def test_bce_and_cross_entropy_have_gradients_of_one_scale(logits: Tensor, targets: Tensor) -> None:
    """Each output's is its probability less its share, however many classes there are."""
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(built("bce")(logits, targets), logits)
    assert torch.allclose(gradient * 8, logits.sigmoid() - F.one_hot(targets, N_CLASSES), atol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_bce_is_torchvisions(logits: Tensor, present: Tensor, gamma: float, alpha: float | None) -> None:
    config = LossConfig(name="focal_bce", focal_gamma=gamma, focal_alpha=alpha)
    expected = sigmoid_focal_loss(logits, present, alpha=-1 if alpha is None else alpha, gamma=gamma).sum(1).mean()
    assert torch.allclose(
        build_loss(config, task=Task.MULTICLASS, n_classes=N_CLASSES)(logits, present), expected, rtol=1e-4
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_bce_with_gamma_zero_is_bce(logits: Tensor, soft_targets: Tensor, smoothing: float) -> None:
    found = built("focal_bce", gamma=0.0, smoothing=smoothing)(logits, soft_targets)
    assert torch.allclose(found, built("bce", smoothing=smoothing)(logits, soft_targets))


# ---- Losses of ranks ------------------------------------------------------------------------------------------------


def test_the_ordinal_loss_asks_of_each_threshold_whether_the_class_is_above(targets: Tensor) -> None:
    logits = outputs_for("ordinal")
    above = torch.tensor([[float(target > k) for k in range(N_CLASSES - 1)] for target in targets])
    expected = (N_CLASSES - 1) * F.binary_cross_entropy_with_logits(logits, above)
    assert torch.allclose(built("ordinal")(logits, targets), expected)


def test_the_ordinal_target_of_soft_targets_is_what_lies_above_the_threshold() -> None:
    logits = torch.tensor([[0.3, -0.7]])
    expected = F.binary_cross_entropy_with_logits(logits, torch.tensor([[0.8, 0.3]]), reduction="sum")
    found = build_loss(config_named("ordinal"), task=Task.MULTICLASS, n_classes=3)(
        logits, torch.tensor([[0.2, 0.5, 0.3]])
    )
    assert torch.allclose(found, expected)


def test_smooth_l1_is_the_distance_to_the_expected_class() -> None:
    values, soft_targets = torch.tensor([[1.5], [4.0]]), torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
    found = build_loss(config_named("smooth_l1"), task=Task.MULTICLASS, n_classes=3)(values, soft_targets)
    assert found.item() == pytest.approx((0.5 * 0.5**2 + (3.5 - 0.5)) / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_least_where_its_output_layer_tells_the_truth(name: str) -> None:
    """The outputs for one image of each class are moved by the gradient."""
    outputs = outputs_for(name, n=N_CLASSES, scale=0.1).requires_grad_()
    optimizer = torch.optim.Adam([outputs], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        built(name)(outputs, torch.arange(N_CLASSES)).backward()
        optimizer.step()
    probs = build_output_layer(config_named(name), Task.MULTICLASS, N_CLASSES).to_probs(outputs.detach())
    assert torch.diagonal(probs).min() > 0.7


# ---- All of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_class_indices_are_one_hot_soft_targets(name: str, weights: str, targets: Tensor) -> None:
    outputs, loss_of = outputs_for(name), built(name, weights=weights)
    assert torch.allclose(loss_of(outputs, targets), loss_of(outputs, to_soft_targets(targets, N_CLASSES)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", ["none", "balanced", "effective"])
def test_weighted_means_of_parts_add_up_to_the_mean_of_the_batch(name: str, weights: str, targets: Tensor) -> None:
    outputs, loss_of = outputs_for(name), built(name, weights=weights)
    parts = loss_of(outputs[:3], targets[:3]) * (3 / 8) + loss_of(outputs[3:], targets[3:]) * (5 / 8)
    assert torch.allclose(parts, loss_of(outputs, targets))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "smooth_l1"])
def test_the_loss_of_mixed_labels_is_the_mixture_of_their_losses(name: str, targets: Tensor) -> None:
    """Mixup may then be read either way; smooth L1 has the distance to the expected class instead."""
    outputs, loss_of = outputs_for(name), built(name)
    one, other = to_soft_targets(targets, N_CLASSES), to_soft_targets(targets.flip(0), N_CLASSES)
    expected = 0.3 * loss_of(outputs, one) + 0.7 * loss_of(outputs, other)
    assert torch.allclose(loss_of(outputs, 0.3 * one + 0.7 * other), expected, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in RANK_LOSSES])
def test_label_smoothing_gives_a_part_of_the_label_to_all_classes(name: str, targets: Tensor) -> None:
    outputs = outputs_for(name)
    smoothed = 0.8 * to_soft_targets(targets, N_CLASSES) + 0.2 / N_CLASSES
    expected = built(name)(outputs, smoothed)
    assert torch.allclose(built(name, smoothing=0.2)(outputs, targets), expected)
    assert not torch.allclose(built(name)(outputs, targets), expected, rtol=0.01)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients_are_those_of_finite_differences(name: str, gamma: float, soft_targets: Tensor) -> None:
    outputs, step = outputs_for(name, scale=1.0).requires_grad_(), 1e-2
    loss_of = built(name, gamma=gamma, weights="balanced")
    (gradient,) = torch.autograd.grad(loss_of(outputs, soft_targets), outputs)
    for place in np.ndindex(*outputs.shape):
        shift = torch.zeros_like(outputs)
        shift[place] = step
        slope = (loss_of(outputs + shift, soft_targets) - loss_of(outputs - shift, soft_targets)) / (2 * step)
        assert gradient[place].item() == pytest.approx(slope.item(), abs=2e-4)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("largest", [100.0, 1e4])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_extreme_outputs_have_finite_losses_and_gradients(
    name: str, gamma: float, largest: float, smoothing: float, soft_targets: Tensor
) -> None:
    signs = torch.tensor([[1.0, -1, -1, -1, -1], [-1, -1, -1, -1, -1], [1, 1, 1, 1, 1], [0, 1, 0, -1, 0]])
    loss_of = built(name, gamma=gamma, smoothing=0.0 if name in RANK_LOSSES else smoothing)
    for labels in (torch.tensor([0, 1, 2, 3]), soft_targets[:4]):
        outputs = (signs[:, : outputs_for(name).shape[1]] * largest).requires_grad_()
        loss = loss_of(outputs, labels)
        loss.backward()
        assert outputs.grad is not None
        assert torch.isfinite(loss)
        assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_are_computed_in_float32(name: str, half: torch.dtype, targets: Tensor) -> None:
    outputs, loss_of = outputs_for(name).to(half), built(name)
    assert loss_of(outputs, targets).dtype is torch.float32
    assert torch.equal(loss_of(outputs, targets), loss_of(outputs.float(), targets))


# ---- Class weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_an_images_loss_is_weighted_by_its_class(name: str, targets: Tensor) -> None:
    everyone = np.repeat(np.arange(N_CLASSES), COUNTS)
    weights = compute_class_weight("balanced", classes=np.arange(N_CLASSES), y=everyone)
    outputs = outputs_for(name)
    losses = [built(name)(outputs[[i]], targets[[i]]).item() for i in range(8)]
    found = built(name, weights="balanced")(outputs, targets)
    assert found.item() == pytest.approx(np.mean(weights[targets] * losses), rel=1e-5)


def test_smoothing_does_not_change_whose_weight_an_image_has(logits: Tensor, targets: Tensor) -> None:
    weighted = built("cross_entropy", smoothing=0.1, weights="balanced")(logits[:1], targets[:1])
    plain = built("cross_entropy", smoothing=0.1)(logits[:1], targets[:1])
    assert (weighted / plain).item() == pytest.approx(100 / (5 * COUNTS[targets[0]]))


def test_a_mixed_image_has_the_mean_weight_of_its_classes(logits: Tensor) -> None:
    mixed = torch.tensor([[0.75, 0.25, 0.0, 0.0, 0.0]])
    ratio = built("bce", weights="balanced")(logits[:1], mixed) / built("bce")(logits[:1], mixed)
    assert ratio.item() == pytest.approx(0.75 * 100 / 250 + 0.25 * 100 / 150)


def test_an_image_of_several_classes_has_their_mean_weight_and_one_of_none_has_one(logits: Tensor) -> None:
    for label, expected in (([1.0, 0, 0, 0, 1], (0.4 + 20) / 2), ([0.0, 0, 0, 0, 0], 1.0)):
        several = torch.tensor([label])
        ratio = built("bce", weights="balanced")(logits[:1], several) / built("bce")(logits[:1], several)
        assert ratio.item() == pytest.approx(expected)


def test_balanced_and_effective_weights_differ(logits: Tensor, targets: Tensor) -> None:
    found = {built("cross_entropy", weights=kind)(logits, targets).item() for kind in ("none", "balanced", "effective")}
    assert len(found) == 3


def test_a_class_without_images_makes_no_loss_infinite(logits: Tensor, soft_targets: Tensor) -> None:
    for kind in ("balanced", "effective"):
        config = replace(config_named("cross_entropy"), class_weights=kind)
        loss_of = build_loss(config, task=Task.MULTICLASS, n_classes=N_CLASSES, class_counts=np.array([5, 0, 3, 0, 1]))
        assert torch.isfinite(loss_of(logits, soft_targets))


def test_weights_without_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="counts"):
        build_loss(config_named("bce", weights="balanced"), task=Task.MULTICLASS, n_classes=N_CLASSES)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "bce", "focal_bce"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_several_heads_is_the_mean_of_the_losses_of_each(name: str, smoothing: float) -> None:
    config = config_named(name, smoothing=smoothing)
    targets = [torch.tensor([2, 0, 1, 1]), torch.tensor([0, 1, 1, 0])]
    outputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    both = build_loss(config, task=Task.MULTIOUTPUT, n_classes=5, head_sizes=(3, 2))
    soft_targets = torch.cat([to_soft_targets(own, size) for own, size in zip(targets, (3, 2), strict=True)], dim=1)
    alone = [
        build_loss(config, task=Task.MULTICLASS, n_classes=size)(own, truth)
        for size, own, truth in zip((3, 2), outputs.split((3, 2), dim=1), targets, strict=True)
    ]
    assert both(outputs, soft_targets).item() == pytest.approx((alone[0] + alone[1]).item() / 2, rel=1e-6)


def test_an_image_of_several_heads_weighs_as_its_classes_do_on_average() -> None:
    config = config_named("cross_entropy", weights="balanced")
    counts = np.array([6, 3, 1, 5, 5])
    both = build_loss(config, task=Task.MULTIOUTPUT, n_classes=5, head_sizes=(3, 2), class_counts=counts)
    plain = build_loss(config_named("cross_entropy"), task=Task.MULTIOUTPUT, n_classes=5, head_sizes=(3, 2))
    outputs, target = torch.randn(1, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([[0, 0, 1.0, 1.0, 0]])
    weights = 1 / counts / np.average(1 / counts, weights=counts)
    assert (both(outputs, target) / plain(outputs, target)).item() == pytest.approx((weights[2] + weights[3]) / 2)
