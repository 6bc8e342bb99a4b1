"""The range test: its arithmetic on curves whose answer is known, its steps on a small competition."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.config import OptimConfig, TransferConfig, TrialConfig
from automl.training.batches import FoldTask
from automl.training.entry_points import run_lr_sweep
from automl.training.entry_points import run_lr_sweep as carried_sweep
from automl.training.lr_range import build_lr_grid, find_falling_range, has_diverged, smooth_losses, suggest_lr
from automl.training.lr_sweep import measure_losses
from tests.automl_tests.training_tests.worlds import (
    ScriptedContext,
    config_of,
    payload_of,
    seeded_model,
    state_of,
    task_of,
    write_study,
)

LRS = np.geomspace(1e-7, 10.0, 100)
LOGS = np.log10(LRS)


def falls_about(middle: float, *, depth: float = 0.4) -> NDArray[np.float64]:
    """A loss that falls as a logistic curve of the logarithm, and explodes two decades after its middle."""
    fall = depth / (1.0 + np.exp(-3.0 * (LOGS - middle)))
    return 0.7 - fall + np.exp(np.minimum(4.0 * (LOGS - middle - 2.0), 5.0)) * (middle < LOGS)


def noise(seed: int, size: float) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(scale=size, size=len(LRS))


def seen(losses: NDArray[np.float64]) -> tuple[list[float], list[float]]:
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
    found = suggest_lr(*seen(falls_about(middle)))
    assert found is not None
    assert math.log10(found) == pytest.approx(middle, abs=0.1)


@pytest.mark.parametrize("middle", [-4.5, -3.0, -2.0])
@pytest.mark.parametrize("seed", range(10))
def test_noise_moves_the_suggestion_by_less_than_a_decade(middle: float, seed: int) -> None:
    found = suggest_lr(*seen(falls_about(middle) + noise(seed, 0.08)))
    assert found is not None
    assert math.log10(found) == pytest.approx(middle, abs=0.75)


@pytest.mark.parametrize("scale", [0.1, 1.0, 50.0])
def test_the_suggestion_does_not_depend_on_the_scale_of_the_loss(scale: float) -> None:
    lrs, losses = seen(falls_about(-3.0) + noise(1, 0.05))
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
    assert suggest_lr(*seen(shape())) is None
    assert find_falling_range(*seen(shape())) is None


@pytest.mark.parametrize("size", [0.02, 0.3])
def test_noise_alone_is_taken_for_a_fall_in_less_than_two_of_a_hundred_tests(size: float) -> None:
    found = [suggest_lr(*seen(0.7 + noise(seed, size))) is not None for seed in range(200)]
    assert sum(found) <= 3


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_a_test_that_ended_at_once_has_no_suggestion(n: int) -> None:
    assert suggest_lr(list(LRS[:n]), [0.7 - 0.1 * step for step in range(n)]) is None


def test_the_range_of_the_fall_is_around_its_middle_and_ends_before_the_loss_explodes() -> None:
    falling = find_falling_range(*seen(falls_about(-3.0)))
    assert falling is not None
    assert 1e-5 < falling[0] < 1e-3 < falling[1] < 1e-1


# ---- The steps ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return write_study(tmp_path_factory.mktemp("world"))


def losses_with(
    study: StudyFiles, config: TrialConfig, lrs: list[float], *, epoch: int = 0, **changes: object
) -> list[float]:
    state = state_of(seeded_model(config), config)
    task: FoldTask = task_of(study, config, **changes)
    return measure_losses(task, state, lrs, epoch=epoch, on_step=lambda: None)


def test_a_learning_rate_that_trains_lowers_the_loss_and_the_lowest_does_not(study: StudyFiles) -> None:
    config = config_of(augment="none")
    idle, trained = losses_with(study, config, [1e-9] * 20), losses_with(study, config, [1e-2] * 20)
    assert idle[0] == trained[0]
    assert abs(np.mean(idle[-6:]) - np.mean(idle[:6])) < 0.05
    assert np.mean(trained[-6:]) < 0.7 * np.mean(idle[-6:])


def test_the_same_seeds_give_the_same_losses_and_each_pass_another_order(study: StudyFiles) -> None:
    config = config_of()
    lrs = [1e-9] * 9  # three passes of three batches
    losses = losses_with(study, config, lrs)
    assert losses == losses_with(study, config, lrs)
    assert len(set(losses)) == 9
    assert losses != losses_with(study, config, lrs, seeds=(6, 0, 0))


def test_each_step_shows_a_sign_of_life(study: StudyFiles) -> None:
    config, signs = config_of(), list[int]()
    task, state = task_of(study, config), state_of(seeded_model(config), config)
    losses = measure_losses(task, state, [1e-9] * 4, epoch=0, on_step=lambda: signs.append(1))
    assert len(signs) == len(losses) == 4


def test_validation_rows_are_never_seen(study: StudyFiles) -> None:
    config = config_of(augment="none")
    task = task_of(study, config)

    def spoilt(image_size: int) -> NDArray[np.uint8]:
        pixels = task.pixels(image_size).copy()
        pixels[task.valid_rows] = 255
        return pixels

    assert losses_with(study, config, [1e-3] * 8, pixels=spoilt) == losses_with(study, config, [1e-3] * 8)


def test_the_steps_end_where_the_loss_explodes_and_the_last_one_is_told(study: StudyFiles) -> None:
    config = config_of(optim=OptimConfig(optimizer="sgd", clip_norm=None))
    losses = losses_with(study, config, [1e4] * 60)
    assert len(losses) < 60
    assert has_diverged(losses)
    assert not has_diverged(losses[:-1])


@pytest.mark.parametrize(("epoch", "expected"), [(0, True), (1, False)])
def test_what_is_frozen_in_the_epoch_is_frozen_in_the_test(study: StudyFiles, epoch: int, expected: bool) -> None:
    config = config_of(transfer=TransferConfig(freeze_epochs=1))
    model = seeded_model(config)
    before = {name: value.clone() for name, value in model.named_parameters()}
    measure_losses(task_of(study, config), state_of(model, config), [1e-2] * 2, epoch=epoch, on_step=lambda: None)
    changed = [name for name, value in model.named_parameters() if not value.equal(before[name])]
    assert changed
    assert all("conv" not in name for name in changed) is expected


def test_the_task_answers_with_losses_of_the_first_epoch_in_which_everything_trains(study: StudyFiles) -> None:
    config = config_of(sizes="24-32", transfer=TransferConfig(freeze_epochs=2))
    context = ScriptedContext()
    payload = {**payload_of(study, config), "init_from": None, "pixel_cache": str(study.cache)}
    answer = carried_sweep(payload, context)
    assert (answer["outcome"], answer["image_size"], answer["batch_size"]) == ("completed", 32, 16)
    assert len(answer["lrs"]) == len(answer["losses"]) <= 50
    assert all(map(math.isfinite, answer["losses"]))
    assert context.beats
    assert not study.trials.exists()


def test_a_backbone_that_is_unknown_is_refused_as_in_a_trial(study: StudyFiles) -> None:
    config = config_of()
    unknown = replace(config, model=replace(config.model, backbone="resnet18x"))
    payload = {**payload_of(study, unknown), "init_from": None, "pixel_cache": str(study.cache)}
    answer = run_lr_sweep(payload, ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 2)
    assert "resnet18x" in answer["problem"]


def test_what_does_not_fit_into_memory_is_refused_with_a_way_out(
    study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl.training import lr_sweep
    from automl.training.optim.accumulation import InfeasibleConfig

    def too_large(*args: object, **kwargs: object) -> list[float]:
        raise InfeasibleConfig("memory", "2 images of 32 pixels do not fit into memory of cpu")

    monkeypatch.setattr(lr_sweep, "measure_losses", too_large)
    payload = {**payload_of(study, config_of()), "init_from": None, "pixel_cache": str(tmp_path)}
    answer = run_lr_sweep(payload, ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 2)
    assert "--fix" in answer["hint"]
