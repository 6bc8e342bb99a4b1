"""Steps as torch's recipe takes them, and sharpness-aware ones against another implementation."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import pytorch_optimizer
import torch
from torch import Tensor, nn

from automl.artifacts import StudyFiles
from automl.config import OPTIMIZERS, OptimConfig, TransferConfig
from automl.training.checkpoints import TrainingState
from automl.training.optim.accumulation import Batch, accumulate_gradients
from automl.training.optim.optimizers import build_optimizer, set_lr
from automl.training.optim.step import take_step
from tests.automl_tests.training_tests.trial_builders import (
    assert_differ,
    config_of,
    weights_after,
)

SAM = OptimConfig(optimizer="sam", lr=0.1, weight_decay=0.01, clip_norm=None, sam_rho=0.2)


class MeanNet(nn.Module):
    """A filter bank, with or without a batch norm, and a head.

    Attributes:
        capacity: more images at once do not fit into memory.
    """

    def __init__(self, *, has_norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(6) if has_norm else nn.Identity()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.Tanh())
        self.head = nn.Linear(6, 4)
        self.capacity = 10**6

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.capacity:
            raise torch.OutOfMemoryError(f"no room for {len(images)} images")
        return self.head(self.body(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]


def state_with(model: nn.Module, optim: OptimConfig, *, scale: float | None = None) -> TrainingState:
    """A state whose scaler begins at the scale, or does nothing."""
    optimizer = build_optimizer(model, optim, TransferConfig())
    set_lr(optimizer, optim.lr)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    return TrainingState(model=model, optimizer=optimizer, scaler=scaler, micro_batch=8)


def gradients_of(state: TrainingState, seed: int = 0) -> Callable[[], float]:
    """What computes the gradients of a batch of eight images, in micro-batches if the state says so."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = torch.randn(8, 3, 6, 6, generator=generator), torch.arange(8) % 4

    def forward(part: slice, is_last: bool) -> Tensor:
        return state.model(images[part])  # type: ignore[no-any-return]

    batch = Batch(n_images=8, targets=targets, forward=forward, content="images")
    return lambda: accumulate_gradients(state, batch, compute_loss=nn.functional.cross_entropy, device="cpu")


def train(state: TrainingState, optim: OptimConfig, n_steps: int = 4) -> dict[str, Tensor]:
    for seed in range(n_steps):
        gradients = gradients_of(state, seed)
        gradients()
        take_step(state, optim, closure=gradients)
    return state.model.state_dict()


def never() -> float:
    raise AssertionError("the gradients were computed once more")


def assert_equal(weights: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    for key, value in weights.items():
        assert value.equal(others[key]), key


def assert_close(weights: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    for key, value in weights.items():
        torch.testing.assert_close(value, others[key], rtol=1e-5, atol=1e-6)


def spoil(state: TrainingState) -> None:
    """Make a gradient infinite, as an overflow in float16 does."""
    gradient = state.model.get_parameter("head.bias").grad
    assert gradient is not None
    gradient[0] = float("inf")


# ---- Without sam ------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "sam"])
@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("scale", [None, 1024.0])
def test_a_step_is_that_of_torchs_recipe(name: str, clip_norm: float | None, scale: float | None) -> None:
    optim = OptimConfig(optimizer=name, lr=0.01, weight_decay=0.1, clip_norm=clip_norm)
    ours, theirs = (state_with(MeanNet(), optim, scale=scale) for _ in range(2))
    for seed in range(3):
        gradients_of(ours, seed)()
        take_step(ours, optim, closure=never)
        gradients_of(theirs, seed)()
        if clip_norm is not None:
            theirs.scaler.unscale_(theirs.optimizer)
            nn.utils.clip_grad_norm_(theirs.model.parameters(), clip_norm)
        theirs.scaler.step(theirs.optimizer)
        theirs.scaler.update()
    assert_equal(ours.model.state_dict(), theirs.model.state_dict())


# ---- With sam ---------------------------------------------------------------------


def test_sam_agrees_with_another_implementation() -> None:
    ours, theirs = state_with(MeanNet(), SAM), state_with(MeanNet(), SAM)
    matrices = [theirs.model.get_parameter(name) for name in ("body.0.weight", "head.weight")]
    biases = [theirs.model.get_parameter(name) for name in ("body.0.bias", "head.bias")]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": biases}]
    theirs.optimizer = pytorch_optimizer.SAM(groups, torch.optim.SGD, rho=0.2, lr=0.1, momentum=0.9, nesterov=True)
    for seed in range(5):
        gradients = gradients_of(theirs, seed)
        gradients()
        theirs.optimizer.step(gradients)
    assert_close(train(ours, SAM, 5), theirs.model.state_dict())


def test_sam_on_a_parabola_steps_along_the_hand_worked_gradient() -> None:
    class Point(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Module()
            self.body.at = nn.Parameter(torch.tensor([3.0, 4.0]))

    optim = OptimConfig(optimizer="sam", lr=0.1, clip_norm=None, sam_rho=0.5)
    point = Point()
    state = state_with(point, optim)
    at = point.body.get_parameter("at")

    def gradients() -> float:  # of half the squared distance from 0
        at.grad = at.detach().clone()
        return 0.0

    gradients()
    take_step(state, optim, closure=gradients)
    # The gradient (3, 4) has length 5: the point above is (3.3, 4.4), and Nesterov's first step 1.9 times as long.
    torch.testing.assert_close(at.detach(), torch.tensor([3 - 0.19 * 3.3, 4 - 0.19 * 4.4]))


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_sam_steps_alike_whether_gradients_are_scaled_or_not(clip_norm: float | None) -> None:
    optim = OptimConfig(optimizer="sam", lr=0.1, clip_norm=clip_norm, sam_rho=0.2)
    plain, scaled = state_with(MeanNet(), optim), state_with(MeanNet(), optim, scale=4096.0)
    assert_close(train(scaled, optim), train(plain, optim))


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_sam_steps_alike_in_one_pass_and_in_several(scale: float | None) -> None:
    whole, parted = state_with(MeanNet(), SAM, scale=scale), state_with(MeanNet(), SAM, scale=scale)
    parted.micro_batch = 3
    assert_close(train(parted, SAM), train(whole, SAM))


def test_sam_clips_the_gradients_it_steps_along() -> None:
    optim = OptimConfig(optimizer="sam", lr=0.1, clip_norm=0.01)
    state = state_with(MeanNet(), optim)
    before = copy.deepcopy(state.model.state_dict())
    after = train(state, optim, 1)
    length = sum(float((after[key] - value).square().sum()) for key, value in before.items()) ** 0.5
    assert length == pytest.approx(0.1 * 1.9 * 0.01, rel=1e-3)


def test_an_overflow_in_the_first_pass_of_sam_costs_the_step_and_half_the_scale() -> None:
    state = state_with(MeanNet(), SAM, scale=1024.0)
    before = copy.deepcopy(state.model.state_dict())
    gradients_of(state)()
    spoil(state)
    take_step(state, SAM, closure=never)
    assert_equal(state.model.state_dict(), before)
    assert state.optimizer.state_dict()["state"] == {}
    assert state.scaler.get_scale() == 512.0


def test_an_overflow_in_the_second_pass_of_sam_costs_the_step_and_half_the_scale() -> None:
    state = state_with(MeanNet(), SAM, scale=1024.0)
    before = copy.deepcopy(state.model.state_dict())
    gradients = gradients_of(state)

    def overflowing() -> float:
        loss = gradients()
        spoil(state)
        return loss

    gradients()
    take_step(state, SAM, closure=overflowing)
    assert_equal(state.model.state_dict(), before)
    assert state.optimizer.state_dict()["state"] == {}
    assert state.scaler.get_scale() == 512.0


def test_the_second_pass_of_sam_leaves_running_statistics_alone() -> None:
    state = state_with(MeanNet(has_norm=True), SAM)
    gradients = gradients_of(state)
    gradients()
    after_one_pass = [buffer.clone() for buffer in state.model.buffers()]
    take_step(state, SAM, closure=gradients)
    assert all(buffer.equal(once) for buffer, once in zip(state.model.buffers(), after_one_pass, strict=True))
    assert int(state.model.get_buffer("body.1.num_batches_tracked")) == 1


def test_sam_looks_around_along_trained_parameters_only() -> None:
    state = state_with(MeanNet(), SAM)
    state.model.get_submodule("body").requires_grad_(False)
    gradients = gradients_of(state)
    before = copy.deepcopy(state.model.state_dict())
    climbed = []

    def again() -> float:
        climbed.extend(key for key, value in state.model.state_dict().items() if not value.equal(before[key]))
        return gradients()

    gradients()
    take_step(state, SAM, closure=again)
    assert climbed == ["head.weight", "head.bias"]
    assert state.model.get_parameter("body.0.weight").equal(before["body.0.weight"])


def test_sam_brings_the_weights_back_before_an_exception_leaves() -> None:
    state = state_with(MeanNet(has_norm=True), SAM)
    gradients = gradients_of(state)
    gradients()
    before = copy.deepcopy(state.model.state_dict())

    def failing() -> float:
        gradients()
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        take_step(state, SAM, closure=failing)
    assert_equal(state.model.state_dict(), before)


def test_sam_goes_on_where_memory_runs_out_in_the_second_pass() -> None:
    short, ample = MeanNet(), MeanNet()
    state = state_with(short, SAM)
    gradients = gradients_of(state)

    def again() -> float:
        short.capacity = 4
        return gradients()

    gradients()
    take_step(state, SAM, closure=again)
    assert state.micro_batch == 4
    assert_close(short.state_dict(), train(state_with(ample, SAM), SAM, 1))


def test_the_radius_of_sam_changes_the_weights(shapes: StudyFiles) -> None:
    small, large = (OptimConfig(optimizer="sam", lr=1e-2, sam_rho=rho) for rho in (0.01, 0.5))
    assert_differ(
        weights_after(shapes, config_of(optim=small, epochs=1)), weights_after(shapes, config_of(optim=large, epochs=1))
    )
