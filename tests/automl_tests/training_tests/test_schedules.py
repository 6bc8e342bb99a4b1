"""Learning-rate schedules: their equations, their boundaries, and the rates that training takes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, MultiStepLR, OneCycleLR

from automl.artifacts import StudyFiles
from automl.config import SCHEDULES, OptimConfig
from automl.training.optim.optimizers import get_lr
from tests.automl_tests.training_tests.trial_builders import (
    Watched,
    config_of,
    trained,
)


def rates_of(optim: OptimConfig, n_steps: int) -> list[float]:
    return [get_lr(step, n_steps, optim) for step in range(n_steps)]


def rates_of_torch(scheduler: type[Any], n_steps: int, **settings: Any) -> list[float]:
    """What a scheduler of torch makes of a rate of 0.1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule, rates = scheduler(optimizer, **settings), []
    for _ in range(n_steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step() if len(rates) < n_steps else None
    return rates


def test_warmup_rises_in_equal_steps_to_the_peak_and_the_cosine_falls_to_nearly_zero() -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.1, schedule="cosine")
    rates = [get_lr(step, 100, optim) for step in range(100)]
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert rates[10] == 0.1
    assert rates[55] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-3 * 0.1
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_a_constant_schedule_stays_at_the_peak_after_the_warmup() -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.2, schedule="constant")
    rates = [get_lr(step, 10, optim) for step in range(10)]
    assert rates == pytest.approx([0.05, *[0.1] * 9])


@given(st.integers(1, 300), st.floats(0, 0.99))
def test_the_cosine_is_the_equation_of_sgdr_bit_for_bit(n_steps: int, warmup: float) -> None:
    optim = OptimConfig(lr=0.3, warmup_fraction=warmup, schedule="cosine")
    n_warmup = round(warmup * n_steps)
    for step in range(n_warmup, n_steps):
        progress = (step - n_warmup) / (n_steps - n_warmup)
        assert get_lr(step, n_steps, optim) == 0.3 * 0.5 * (1.0 + math.cos(math.pi * progress))


@pytest.mark.parametrize("cycles", [2, 3, 5])
def test_equal_cycles_restart_as_torchs_do(cycles: int) -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.0, schedule="cosine_restarts", cycles=cycles)
    expected = rates_of_torch(CosineAnnealingWarmRestarts, 60, T_0=60 // cycles)
    assert rates_of(optim, 60) == pytest.approx(expected, rel=1e-9)


def test_cycles_that_do_not_divide_the_steps_all_begin_at_the_peak_within_a_step() -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.1, schedule="cosine_restarts", cycles=4)
    rates = rates_of(optim, 103)[10:]
    rises = [step for step in range(1, len(rates)) if rates[step] > rates[step - 1]]
    assert rises == [math.ceil(93 * cycle / 4) for cycle in (1, 2, 3)]
    assert all(rates[step] > 0.099 for step in (0, *rises))


@pytest.mark.parametrize("n_steps", [2, 3, 4, 10, 101])
@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_one_cycle_is_torchs_whatever_the_warmup(n_steps: int, warmup: float) -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=warmup, schedule="one_cycle")
    expected = rates_of_torch(OneCycleLR, n_steps, max_lr=0.1, total_steps=n_steps)
    assert rates_of(optim, n_steps) == pytest.approx(expected, rel=1e-6)


def test_steps_fall_at_one_half_and_at_three_quarters_as_torchs_do() -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.0, schedule="step")
    assert rates_of(optim, 20) == pytest.approx(rates_of_torch(MultiStepLR, 20, milestones=[10, 15]))


def test_a_plateau_divides_the_rate_by_ten_after_the_warmup() -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.2, schedule="plateau")
    assert [get_lr(5, 10, optim, plateaus=n) for n in range(3)] == pytest.approx([0.1, 0.01, 0.001])
    assert get_lr(0, 10, optim, plateaus=2) == 0.05


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "plateau"])
def test_plateaus_change_no_other_schedule(schedule: str) -> None:
    optim = OptimConfig(lr=0.1, schedule=schedule)
    assert [get_lr(step, 20, optim, plateaus=3) for step in range(20)] == rates_of(optim, 20)


@given(st.integers(1, 500), st.floats(0, 0.99), st.sampled_from(SCHEDULES), st.integers(2, 9))
def test_a_rate_is_always_positive_and_never_above_the_peak(
    n_steps: int, warmup: float, schedule: str, cycles: int
) -> None:
    cycles = cycles if schedule == "cosine_restarts" else 1
    optim = OptimConfig(lr=0.3, warmup_fraction=warmup, schedule=schedule, cycles=cycles)
    assert all(0 < get_lr(step, n_steps, optim) <= 0.3 * (1 + 1e-12) for step in range(n_steps))


@given(st.integers(2, 300), st.floats(0.01, 0.9), st.sampled_from([s for s in SCHEDULES if s != "one_cycle"]))
def test_every_schedule_but_one_cycle_rises_in_equal_steps_first(n_steps: int, warmup: float, schedule: str) -> None:
    optim = OptimConfig(lr=0.3, warmup_fraction=warmup, schedule=schedule)
    n_warmup = round(warmup * n_steps)
    assert rates_of(optim, n_steps)[:n_warmup] == pytest.approx(
        [0.3 * (step + 1) / n_warmup for step in range(n_warmup)]
    )


def lr_by_epoch(shapes: StudyFiles, optim: OptimConfig, epochs: int = 4) -> list[float]:
    """The learning rate of each epoch's last step."""
    return [record.lr for record in trained(shapes, config_of(optim=optim, epochs=epochs), Watched()).history]


def test_each_schedule_leads_the_rate_in_its_own_way(shapes: StudyFiles) -> None:
    courses = {
        schedule: lr_by_epoch(shapes, OptimConfig(schedule=schedule, cycles=2 if schedule == "cosine_restarts" else 1))
        for schedule in ("cosine", "cosine_restarts", "one_cycle", "step", "constant")
    }
    assert courses["constant"] == [1e-3] * 4
    assert courses["cosine_restarts"][1] < courses["cosine_restarts"][2] > courses["cosine_restarts"][3]
    assert courses["one_cycle"][-1] < courses["cosine"][-1]
    assert courses["step"] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    assert len({tuple(course) for course in courses.values()}) == 5


def test_warmup_begins_below_the_peak(shapes: StudyFiles) -> None:
    cold, warm = (
        lr_by_epoch(shapes, OptimConfig(warmup_fraction=f, schedule="constant"), epochs=2) for f in (0.0, 1 - 1e-9)
    )
    assert cold == [1e-3, 1e-3]
    assert warm == [pytest.approx(5e-4), pytest.approx(1e-3)]


def test_a_plateau_of_the_score_lowers_the_rate(shapes: StudyFiles) -> None:
    """The score of a network that does not learn stays where it is."""
    optim = OptimConfig(schedule="plateau", lr=1e-9, warmup_fraction=0.0)
    course = lr_by_epoch(shapes, optim, epochs=8)
    assert course[0] == 1e-9
    assert course[-1] < 0.6e-9
    assert course == sorted(course, reverse=True)


def test_the_learning_rate_and_its_schedule_reach_every_group(shapes: StudyFiles) -> None:
    def last_rates(optim: OptimConfig) -> set[float]:
        state = trained(shapes, config_of(optim=optim, epochs=2), Watched())
        assert state.history[-1].lr == state.optimizer.param_groups[0]["lr"]
        return {group["lr"] for group in state.optimizer.param_groups}

    assert last_rates(OptimConfig(lr=2e-3, schedule="constant")) == {2e-3}
    (falling,) = last_rates(OptimConfig(lr=2e-3, schedule="cosine"))
    assert 0 < falling < 1e-3
