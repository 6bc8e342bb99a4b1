"""Durations as people write them, and how much of a deadline belongs to training."""

from __future__ import annotations

import math

import pytest

from automl.errors import UsageError
from automl.study.deadline import Deadline, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h", 28800), ("1h30m", 5400), ("90m", 5400), ("45s", 45), ("45", 45), ("1.5h", 5400), ("2d", 172800)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8 hours", "h", "-5", "0", "0s", "1h30", "nan", "inf"])
def test_what_is_no_positive_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("timeout_s", "reserve_s"), [(8 * 3600, 1800), (2 * 3600, 720), (600, 60), (60, 30)])
def test_a_part_of_the_time_is_kept_for_the_ensemble(timeout_s: float, reserve_s: float) -> None:
    now = 100.0
    deadline = Deadline.from_timeout(timeout_s, clock=lambda: now)
    assert deadline.get_training_seconds_left() == timeout_s - reserve_s
    now = 100.0 + timeout_s
    assert deadline.get_training_seconds_left() == -reserve_s


def test_without_a_deadline_there_is_always_time() -> None:
    assert Deadline().get_training_seconds_left() == math.inf


def test_durations_are_shown_as_people_read_them() -> None:
    assert [format_duration(s) for s in (0.4, 59.4, 61, 3599, 3600, 18120)] == [
        "0 s", "59 s", "1 min 01 s", "59 min 59 s", "1 h 00 min", "5 h 02 min",
    ]  # fmt: skip
