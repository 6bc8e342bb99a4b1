"""Deadline of a command with a reserve for the ensemble; durations parsed and formatted."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from automl.errors import UsageError

SECONDS_PER_UNIT = {"d": 86400, "h": 3600, "m": 60, "s": 1}
MIN_RESERVE_S = 60.0
MAX_RESERVE_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When a command has to be done, the submission included.

    Attributes:
        at_s: on the clock; infinite for no deadline.
        reserve_s: of the end, kept for the ensemble and the submission.
    """

    at_s: float = math.inf
    reserve_s: float = 0.0
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def from_timeout(cls, timeout_s: float, *, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Return the deadline timeout_s from now, a tenth of them reserved (1 to 30 minutes, at most half)."""
        reserve_s = min(max(timeout_s / 10, MIN_RESERVE_S), MAX_RESERVE_S, timeout_s / 2)
        return cls(at_s=clock() + timeout_s, reserve_s=reserve_s, clock=clock)

    @classmethod
    def from_budget(cls, budget_s: float, *, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Return the deadline budget_s from now, with nothing reserved."""
        return cls(at_s=clock() + budget_s, clock=clock)

    def get_training_seconds_left(self) -> float:
        """Return seconds until running trials have to stop; not positive after that."""
        return self.at_s - self.reserve_s - self.clock()


def parse_duration(text: str) -> float:
    """Return the seconds of "8h", "1h30m", "90m", "45s" or a plain number of seconds.

    Raises:
        UsageError: it is no duration, or not positive.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
    if "".join(number + unit for number, unit in parts) == text and parts:
        seconds = sum(float(number) * SECONDS_PER_UNIT[unit] for number, unit in parts)
    elif re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    else:
        seconds = 0.0
    if seconds <= 0:
        raise UsageError(f"'{text}' is not a duration", hint="write for example 8h, 1h30m, 90m or 45s")
    return seconds


def format_duration(seconds: float) -> str:
    """Format seconds as 12 s, 3 min 20 s, or 5 h 02 min."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
