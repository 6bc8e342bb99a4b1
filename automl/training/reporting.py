"""Report a trial's epochs to its runner, and send signs of life."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from automl.training.checkpoints import EpochRecord

BEAT_INTERVAL_S = 1.0


class RunnerContext(Protocol):
    """A runner as a trial sees it; the shape of runners.base.Context, which is not imported here."""

    @property
    def device(self) -> str:
        """Where to compute: "cpu", "cuda:0" or, on several devices at once, "cuda:0+cuda:1"."""

    @property
    def n_threads(self) -> int:
        """How many of the processor's cores this trial may use."""

    def report(self, step: int, value: float, detail: Mapping[str, Any] | None = None) -> None:
        """Report the score of an epoch; may raise JobStopped."""

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        """Show a sign of life; may raise JobStopped."""


class Reporter:
    """Turns epochs into reports and batches into about one beat a second."""

    def __init__(self, context: RunnerContext, clock: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._clock = clock
        self._last_beat = -math.inf

    def report(self, record: EpochRecord) -> None:
        """Report an epoch's score."""
        detail = asdict(record)
        step, value = detail.pop("epoch"), detail.pop("score")
        self._context.report(step, value, detail)

    def replay(self, history: Sequence[EpochRecord]) -> None:
        """Report again what an earlier run may have reported to a driver that is gone."""
        for record in history:
            self.report(record)

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        """Pass a sign of life on, unless the last one was less than a second ago."""
        now = self._clock()
        if now - self._last_beat >= BEAT_INTERVAL_S:
            self._last_beat = now
            self._context.beat(detail)
