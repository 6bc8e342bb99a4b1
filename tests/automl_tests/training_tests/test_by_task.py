"""Which losses a task can be trained with, and those of labels and values against torch's, torchvision's and timm's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import timm.loss
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from automl.config import FOCAL_LOSSES, LOSSES, RANK_LOSSES, LossConfig
from automl.errors import UsageError
from automl.tasks import Task
from automl.training.loss.by_task import OBJECTIVES, get_objective, list_linear_losses, require_losses_fit
from automl.training.loss.losses import MIN_DISTANCE, SCALED_TARGET_BETA, Loss, build_loss
from automl.training.network.outputs import build_output_layer

LABELS, VALUES = Task.MULTILABEL, Task.REGRESSION
N_OUTPUTS = 3
EVERY_LOSS = [(task, name) for task in (LABELS, VALUES) for name in OBJECTIVES[task]]
SMOOTHED = [(task, name) for task, name in EVERY_LOSS if name not in RANK_LOSSES]
LABEL_COUNTS = np.array([60, 30, 10])
TENTH_COUNTS = np.array([50, 20, 10, 10, 5, 0, 2, 1, 1, 1])

UNFIT = {
    (Task.MULTILABEL, "ordinal"),
    (Task.MULTILABEL, "smooth_l1"),
    (Task.REGRESSION, "ordinal"),
    (Task.MULTIOUTPUT, "ordinal"),
    (Task.MULTIOUTPUT, "smooth_l1"),
}


def config_named(name: str) -> LossConfig:
    return LossConfig(name=name, focal_gamma=2.0 if name in FOCAL_LOSSES else None)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_either_trains_a_task_or_is_refused_by_name_before_anything_is_built(task: Task, name: str) -> None:
    if (task, name) not in UNFIT:
        head_sizes = (2,) if task is Task.MULTIOUTPUT else ()
        require_losses_fit([name], task)
        assert build_output_layer(config_named(name), task, 2, head_sizes=head_sizes).n_classes == 2
        build_loss(config_named(name), task=task, n_classes=2, head_sizes=head_sizes)
        return
    for refuse in (
        lambda: require_losses_fit([name], task),
        lambda: build_output_layer(config_named(name), task, 2),
        lambda: build_loss(config_named(name), task=task, n_classes=2),
    ):
        with pytest.raises(UsageError) as caught:
            refuse()
        assert str(caught.value) == f"loss = '{name}' cannot be trained where the task is {task.value}"


def test_every_task_knows_only_names_of_the_vocabulary() -> None:
    assert set(OBJECTIVES) == set(Task)
    assert all(set(names) <= set(LOSSES) for names in OBJECTIVES.values())


def test_a_space_with_an_unfit_loss_is_refused_with_the_losses_to_keep() -> None:
    with pytest.raises(UsageError) as caught:
        require_losses_fit(["smooth_l1", "ordinal", "cross_entropy", "focal"], Task.REGRESSION)
    assert caught.value.hint.startswith("leave it out with --choices loss=smooth_l1,cross_entropy,focal,")
    with pytest.raises(UsageError) as caught:
        require_losses_fit(["ordinal"], Task.MULTILABEL)
    assert "--choices loss=cross_entropy,focal,bce,focal_bce" in caught.value.hint


def test_labels_and_values_have_no_softmax() -> None:
    assert get_objective("cross_entropy", Task.MULTILABEL) == get_objective("bce", Task.MULTILABEL) == "binary"
    assert get_objective("focal", Task.REGRESSION) == "quality_focal"
    assert get_objective("cross_entropy", Task.MULTICLASS) == "cross_entropy"


def test_a_search_can_ask_without_torch() -> None:
    code = "import sys, automl.training.loss.by_task; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def built(
    task: Task,
    name: str,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    smoothing: float = 0.0,
    weights: str = "none",
) -> Loss:
    config = LossConfig(
        name=name,
        focal_gamma=gamma if name in FOCAL_LOSSES else None,
        focal_alpha=alpha,
        label_smoothing=smoothing,
        class_weights=weights,
    )
    counts = LABEL_COUNTS if task is LABELS else TENTH_COUNTS
    return build_loss(config, task=task, n_classes=N_OUTPUTS, class_counts=counts)


def drawn(seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(8, N_OUTPUTS, generator=torch.Generator().manual_seed(seed)) * scale


def targets_of(task: Task) -> Tensor:
    """(8, 3) zeros and ones, several or none of each row; or scaled."""
    return (drawn(3) > 0.3).float() if task is LABELS else drawn(4, 1.5).sigmoid()


def gradient(loss_of: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    moved = outputs.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss_of(moved), moved)
    return found


def assert_same_loss(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]) -> None:
    """In value and gradient."""
    outputs = drawn(0, 3.0)
    torch.testing.assert_close(ours(outputs), theirs(outputs), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient(ours, outputs), gradient(theirs, outputs), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
@pytest.mark.parametrize("task", [LABELS, VALUES])
def test_cross_entropy_is_torchs_binary_one_summed_over_the_outputs(task: Task, name: str) -> None:
    targets = targets_of(task)
    assert_same_loss(
        lambda outputs: built(task, name)(outputs, targets),
        lambda outputs: N_OUTPUTS * F.binary_cross_entropy_with_logits(outputs, targets),
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("name", "alpha"), [("focal", None), ("focal_bce", None), ("focal_bce", 0.3)])
def test_the_focal_losses_of_labels_are_torchvisions(name: str, alpha: float | None, gamma: float) -> None:
    targets = targets_of(LABELS)
    theirs = {"alpha": -1 if alpha is None else alpha, "gamma": gamma}
    assert_same_loss(
        lambda outputs: built(LABELS, name, gamma=gamma, alpha=alpha)(outputs, targets),
        lambda outputs: sigmoid_focal_loss(outputs, targets, **theirs).sum(dim=1).mean(),
    )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", FOCAL_LOSSES)
def test_the_focal_losses_of_values_are_equation_2_of_generalized_focal_loss(name: str, gamma: float) -> None:
    targets = targets_of(VALUES)

    def written_by_hand(outputs: Tensor) -> Tensor:
        p = 1 / (1 + torch.exp(-outputs))
        entropy = -((1 - targets) * torch.log(1 - p) + targets * torch.log(p))
        return (torch.abs(targets - p) ** gamma * entropy).sum(dim=1).mean()

    assert (targets - drawn(0, 3.0).sigmoid()).abs().min() > MIN_DISTANCE
    assert_same_loss(lambda outputs: built(VALUES, name, gamma=gamma)(outputs, targets), written_by_hand)


def test_the_quality_focal_loss_at_the_ends_of_the_scale_is_torchvisions() -> None:
    targets = targets_of(LABELS)
    assert_same_loss(
        lambda outputs: built(VALUES, "focal_bce", alpha=0.3)(outputs, targets),
        lambda outputs: sigmoid_focal_loss(outputs, targets, alpha=0.3, gamma=2.0).sum(dim=1).mean(),
    )


def test_smooth_l1_of_values_is_torchs_of_the_scaled_targets() -> None:
    targets = targets_of(VALUES)
    assert_same_loss(
        lambda outputs: built(VALUES, "smooth_l1")(outputs, targets),
        lambda outputs: N_OUTPUTS * F.smooth_l1_loss(outputs.sigmoid(), targets, beta=SCALED_TARGET_BETA),
    )


@pytest.mark.parametrize("task", [LABELS, VALUES])
def test_smoothing_is_timms_towards_one_half(task: Task) -> None:
    targets = targets_of(task)
    timms = timm.loss.BinaryCrossEntropy(smoothing=0.2, sum_classes=True, smooth_dense=True)
    assert_same_loss(
        lambda outputs: built(task, "bce", smoothing=0.2)(outputs, targets),
        lambda outputs: timms(outputs, targets),
    )


@pytest.mark.parametrize(("task", "name"), EVERY_LOSS)
@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_a_loss_is_least_where_its_output_layer_tells_the_truth(
    task: Task, name: str, gamma: float, weights: str
) -> None:
    alpha = 0.3 if name == "focal_bce" and task is VALUES else None  # of labels it moves the optimum, of values not
    loss_of, targets = built(task, name, gamma=gamma, alpha=alpha, weights=weights), targets_of(task)
    outputs = drawn(5, 0.1).requires_grad_()
    optimizer = torch.optim.Adam([outputs], lr=0.05)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimizer.zero_grad()
        loss_of(outputs, targets).backward()
        optimizer.step()
    probs = build_output_layer(LossConfig(), task, N_OUTPUTS).to_probs(outputs.detach())
    assert (probs - targets).abs().max() < (0.3 if task is LABELS else 0.1)


@pytest.mark.parametrize(("task", "name"), EVERY_LOSS)
@pytest.mark.parametrize("weights", ["none", "balanced", "effective"])
def test_weighted_means_of_parts_add_up_to_the_mean_of_the_batch(task: Task, name: str, weights: str) -> None:
    outputs, targets, loss_of = drawn(0, 3.0), targets_of(task), built(task, name, weights=weights)
    parts = loss_of(outputs[:3], targets[:3]) * (3 / 8) + loss_of(outputs[3:], targets[3:]) * (5 / 8)
    assert torch.allclose(parts, loss_of(outputs, targets))


@pytest.mark.parametrize(("task", "name"), SMOOTHED)
def test_label_smoothing_changes_the_target_alone(task: Task, name: str) -> None:
    outputs, targets = drawn(0, 3.0), targets_of(task)
    found = built(task, name, smoothing=0.2)(outputs, targets)
    assert torch.allclose(found, built(task, name)(outputs, 0.8 * targets + 0.1))
    assert not torch.allclose(found, built(task, name)(outputs, targets), rtol=0.01)


@pytest.mark.parametrize(("task", "name"), EVERY_LOSS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("largest", [0.0, 100.0, 1e4])
def test_extreme_outputs_and_exact_ones_have_finite_losses_and_gradients(
    task: Task, name: str, gamma: float, largest: float
) -> None:
    signs = torch.tensor([[1.0, -1, 0], [-1, -1, -1], [1, 1, 1], [0, 1, -1]])
    targets = torch.tensor([[0.0, 1, 0.5], [0, 0, 0], [0, 1, 0], [1, 1, 1]])  # 0.5 is the sigmoid of 0
    outputs = (signs * largest).requires_grad_()
    loss = built(task, name, gamma=gamma)(outputs, targets)
    loss.backward()
    assert outputs.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad.abs().max() < 10


@pytest.mark.parametrize("distance", [0.0, 1e-7, 1e-6, 1e-4, 1e-2])
def test_a_value_that_is_nearly_right_does_not_drown_the_others(distance: float) -> None:
    outputs, targets = torch.full((1, N_OUTPUTS), distance), torch.full((1, N_OUTPUTS), 0.5)
    found = gradient(lambda moved: built(VALUES, "focal", gamma=0.5)(moved, targets), outputs)
    assert found.abs().max() < 3  # that of a power below 1 is over a hundred here


@pytest.mark.parametrize(("task", "name"), EVERY_LOSS)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_are_computed_in_float32(task: Task, name: str, half: torch.dtype) -> None:
    outputs, targets, loss_of = drawn(0, 3.0).to(half), targets_of(task), built(task, name)
    assert loss_of(outputs, targets).dtype is torch.float32
    assert torch.equal(loss_of(outputs, targets), loss_of(outputs.float(), targets))


@pytest.mark.parametrize(("label", "expected"), [
    ([1, 0, 0], 100 / 180), ([0, 0, 1], 100 / 30), ([1, 0, 1], (100 / 180 + 100 / 30) / 2), ([0, 0, 0], 1.0),
])  # fmt: skip
def test_an_image_weighs_the_mean_of_its_labels(label: list[int], expected: float) -> None:
    outputs, target = drawn(0)[:1], torch.tensor([label]).float()
    ratio = built(LABELS, "bce", weights="balanced")(outputs, target) / built(LABELS, "bce")(outputs, target)
    assert ratio.item() == pytest.approx(expected)


@pytest.mark.parametrize(("scaled", "expected"), [
    ([0.0, 0.0, 0.0], 100 / 450), ([0.9, 1.0, 1.0], 100 / 9), ([0.05, 0.15, 0.25], 100 / 180), ([0.55] * 3, 1.0),
])  # fmt: skip
def test_an_image_weighs_by_the_tenth_of_the_scale_that_its_values_lie_in(scaled: list[float], expected: float) -> None:
    outputs, target = drawn(0)[:1], torch.tensor([scaled])
    ratio = built(VALUES, "bce", weights="balanced")(outputs, target) / built(VALUES, "bce")(outputs, target)
    assert ratio.item() == pytest.approx(expected)


@pytest.mark.parametrize("task", [LABELS, VALUES])
def test_no_image_at_all_makes_no_loss_infinite(task: Task) -> None:
    config = LossConfig(class_weights="effective")
    nothing = np.zeros(N_OUTPUTS if task is LABELS else 10, dtype=np.int64)
    loss_of = build_loss(config, task=task, n_classes=N_OUTPUTS, class_counts=nothing)
    assert torch.isfinite(loss_of(drawn(0), targets_of(task)))


@pytest.mark.parametrize("task", list(Task))
def test_linear_heads_are_solved_for_losses_that_the_task_has(task: Task) -> None:
    losses = list_linear_losses(task)
    require_losses_fit(losses.values(), task)
    assert set(losses) == ({"linear", "ridge"} if task is Task.ORDINAL else {"linear"})
