"""Time: how long a command may take, and how much of that belongs to training.

Not responsible for: stopping anything (automl.search.search_loop asks how much is left).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from automl.errors import UsageError

SECONDS_OF = {"d": 86400, "h": 3600, "m": 60, "s": 1}
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
    def after(cls, timeout_s: float, *, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """So many seconds from now, a tenth of them reserved (one to thirty minutes, but at most half)."""
        reserve_s = min(max(timeout_s / 10, MIN_RESERVE_S), MAX_RESERVE_S, timeout_s / 2)
        return cls(at_s=clock() + timeout_s, reserve_s=reserve_s, clock=clock)

    def left_for_training_s(self) -> float:
        """Seconds until running trials have to stop; not positive when they should have."""
        return self.at_s - self.reserve_s - self.clock()


def parse_duration(text: str) -> float:
    """Seconds of "8h", "1h30m", "90m", "45s" or a plain number of seconds.

    Raises:
        UsageError: it is no duration, or not positive.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
    if "".join(number + unit for number, unit in parts) == text and parts:
        seconds = sum(float(number) * SECONDS_OF[unit] for number, unit in parts)
    elif re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    else:
        seconds = 0.0
    if seconds <= 0:
        raise UsageError(f"'{text}' is not a duration", hint="write for example 8h, 1h30m, 90m or 45s")
    return seconds


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, or 5 h 02 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
