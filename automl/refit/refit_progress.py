"""Display the progress of a running refit, as that of a search."""

from __future__ import annotations

import time
from collections.abc import Callable

from automl.deadline import format_duration
from automl.refit.refit_loop import RefitLoop
from automl.search.progress import Display, ProgressMonitor
from runners.base import Event, Failed, Job


class RefitMonitor(ProgressMonitor):
    """Displays the folds of a refit."""

    def __init__(self, loop: RefitLoop, display: Display, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(loop, display, clock)
        self._refit = loop
        self._folds = {fold.name: fold for fold in loop.waiting}
        self._summary = self._summarise()

    def _name_job(self, job: Job) -> str:
        return self._folds[job.id].name

    def _describe_ending(self, event: Event) -> str:
        fold = self._folds[event.job_id]
        if fold in self._refit.trained:
            return f"is trained with {self._refit.trained[fold]:.4f}"
        if fold in self._refit.lost:
            is_dead = isinstance(event, Failed)
            return f"{'failed' if is_dead else 'is a dead end'}: {self._refit.lost[fold].reason}"
        return f"is tried again: {event.reason}" if isinstance(event, Failed) else "is interrupted"

    def _summarise(self) -> str:
        n_trained, n_lost = len(self._refit.trained), len(self._refit.lost)
        parts = [f"{n_trained} of {len(self._folds)} folds trained"]
        if n_lost:
            parts.append(f"{n_lost} lost")
        n_left = len(self._folds) - n_trained - n_lost
        if n_trained > 0 and n_left > 0:
            parts.append(f"about {format_duration((self._clock() - self._begun_s) / n_trained * n_left)} left")
        return ", ".join(parts)
