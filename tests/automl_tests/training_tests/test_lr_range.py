"""The range test: its arithmetic on curves whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.training.lr_range import build_lr_grid, find_falling_range, has_diverged, smooth_losses, suggest_lr

LRS = np.geomspace(1e-7, 10.0, 100)
LOGS = np.log10(LRS)


def falls_about(middle: float, *, depth: float = 0.4) -> NDArray[np.float64]:
    """A loss that falls as a logistic curve of the logarithm, and explodes two decades after its middle."""
    fall = depth / (1.0 + np.exp(-3.0 * (LOGS - middle)))
    return 0.7 - fall + np.exp(np.minimum(4.0 * (LOGS - middle - 2.0), 5.0)) * (middle < LOGS)


def noise(seed: int, size: float) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(scale=size, size=len(LRS))


def sweep(losses: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """The rates and losses up to where the test would have ended."""
    n = next((n for n in range(1, len(losses)) if has_diverged(list(losses[:n]))), len(losses))
    return list(LRS[:n]), list(losses[:n])


def test_the_rates_grow_by_the_same_factor_from_the_lowest_to_the_highest() -> None:
    lrs = build_lr_grid(1000)
    assert len(lrs) == 100
    assert (lrs[0], lrs[-1]) == pytest.approx((1e-7, 10.0))
    assert np.diff(np.log(lrs)) == pytest.approx(math.log(1e8) / 99)


@pytest.mark.parametrize(("n_batches", "n_steps"), [(1, 50), (10, 50), (15, 75), (20, 100), (500, 100)])
def test_few_images_are_not_shown_more_than_five_times_beyond_the_least_number_of_steps(
    n_batches: int, n_steps: int
) -> None:
    assert len(build_lr_grid(n_batches)) == n_steps


def test_the_smoothed_loss_is_the_weighted_mean_of_what_came_before() -> None:
    losses, beta = [3.0, 1.0, 4.0, 1.0, 5.0], 0.8
    for step in range(len(losses)):
        weights = beta ** np.arange(step, -1, -1)
        assert smooth_losses(losses, beta)[step] == pytest.approx(np.average(losses[: step + 1], weights=weights))
    assert smooth_losses([2.5] * 20) == pytest.approx([2.5] * 20)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0] * 30, False),
        ([1.0, math.nan], True),
        ([1.0, math.inf], True),
        ([1.0] * 30 + [29.0], False),  # smoothed it is 3.9
        ([1.0] * 30 + [31.0], True),
    ],
)
def test_the_test_ends_when_the_smoothed_loss_is_four_times_its_lowest_or_not_finite(
    losses: list[float], expected: bool
) -> None:
    assert has_diverged(losses) is expected


@pytest.mark.parametrize("middle", [-5.0, -4.0, -3.0, -2.0])
def test_the_suggestion_is_where_the_loss_falls_most_steeply(middle: float) -> None:
    found = suggest_lr(*sweep(falls_about(middle)))
    assert found is not None
    assert math.log10(found) == pytest.approx(middle, abs=0.1)


@pytest.mark.parametrize("middle", [-4.5, -3.0, -2.0])
@pytest.mark.parametrize("seed", range(10))
def test_noise_moves_the_suggestion_by_less_than_a_decade(middle: float, seed: int) -> None:
    found = suggest_lr(*sweep(falls_about(middle) + noise(seed, 0.08)))
    assert found is not None
    assert math.log10(found) == pytest.approx(middle, abs=0.75)


@pytest.mark.parametrize("scale", [0.1, 1.0, 50.0])
def test_the_suggestion_does_not_depend_on_the_scale_of_the_loss(scale: float) -> None:
    lrs, losses = sweep(falls_about(-3.0) + noise(1, 0.05))
    assert suggest_lr(lrs, [scale * loss for loss in losses]) == pytest.approx(suggest_lr(lrs, losses))


def test_the_spike_and_recovery_after_the_lowest_loss_is_no_descent() -> None:
    losses = falls_about(-4.0)
    losses[75:] = 1.0
    losses[80:84] = 3.0  # falls back to 1.0 within a step
    found = suggest_lr(list(LRS), list(losses))
    assert found is not None
    assert math.log10(found) == pytest.approx(-4.0, abs=0.2)


@pytest.mark.parametrize(
    "shape",
    [
        lambda: np.full(100, 0.7),
        lambda: 0.7 + 0.1 * np.clip(LOGS + 2.0, 0.0, None),  # rises alone
        lambda: 0.7 - 0.004 / (1.0 + np.exp(-3.0 * (LOGS + 3.0))),  # falls by half a hundredth
    ],
    ids=["flat", "rising", "hardly falling"],
)
def test_a_curve_without_a_clear_fall_has_no_suggestion(shape: Callable[[], NDArray[np.float64]]) -> None:
    assert suggest_lr(*sweep(shape())) is None
    assert find_falling_range(*sweep(shape())) is None


@pytest.mark.parametrize("size", [0.02, 0.3])
def test_noise_alone_is_taken_for_a_fall_in_less_than_two_of_a_hundred_tests(size: float) -> None:
    found = [suggest_lr(*sweep(0.7 + noise(seed, size))) is not None for seed in range(200)]
    assert sum(found) <= 3


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_a_test_that_ended_at_once_has_no_suggestion(n: int) -> None:
    assert suggest_lr(list(LRS[:n]), [0.7 - 0.1 * step for step in range(n)]) is None


def test_the_range_of_the_fall_is_around_its_middle_and_ends_before_the_loss_explodes() -> None:
    falling = find_falling_range(*sweep(falls_about(-3.0)))
    assert falling is not None
    assert 1e-5 < falling[0] < 1e-3 < falling[1] < 1e-1
