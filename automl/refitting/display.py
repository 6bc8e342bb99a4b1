"""What a person sees of a running refit, on the screens of a search.

Not responsible for: deciding anything (automl.refitting.loop), nor the screens (automl.display).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from automl.deadline import duration
from automl.display import Screen, ShownTrial, describe_config
from automl.refitting.loop import RefitLoop, WantedFold
from runners.base import Event, Failed, Finished, Job, Progressed, Reported, Started, Stopped, Verdict


class WatchedRefit:
    """A supervisor that shows what passes between a runner and the loop of a refit."""

    def __init__(self, loop: RefitLoop, screen: Screen, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._screen = screen
        self._clock = clock
        self._begun_s = clock()
        self._folds = {fold.name: fold for fold in loop.waiting}
        self._shown: dict[str, ShownTrial] = {}

    def next_job(self) -> Job | None:
        job = self._loop.next_job()
        if job is not None:
            self._shown[job.id] = _shown(self._folds[job.id], started_s=self._clock())
        return job

    def handle(self, event: Event) -> Verdict:
        verdict = self._loop.handle(event)
        shown = self._shown[event.job_id]
        match event:
            case Started():
                shown.device = event.device
                self._screen.line(f"{shown.name} starts on {event.device}: {shown.description}")
            case Progressed() | Reported():
                shown.note(event)
            case Finished() | Stopped() | Failed():
                del self._shown[event.job_id]
                seconds = duration(self._clock() - shown.started_s)
                self._screen.line(f"{shown.name} {self._ending(event)} after {seconds}; {self._summarised()}")
        self._screen.redraw(list(self._shown.values()), self._summarised())
        return verdict

    def _ending(self, event: Event) -> str:
        """What became of a fold, in words."""
        fold = self._folds[event.job_id]
        if fold in self._loop.trained:
            return f"is trained with {self._loop.trained[fold]:.4f}"
        if fold in self._loop.lost:
            is_dead = isinstance(event, Failed)
            return f"{'failed' if is_dead else 'is a dead end'}: {self._loop.lost[fold].reason}"
        return f"is tried again: {event.reason}" if isinstance(event, Failed) else "is interrupted"

    def _summarised(self) -> str:
        n_trained, n_lost = len(self._loop.trained), len(self._loop.lost)
        parts = [f"{n_trained} of {len(self._folds)} folds trained"]
        if n_lost:
            parts.append(f"{n_lost} lost")
        n_left = len(self._folds) - n_trained - n_lost
        if n_trained > 0 and n_left > 0:
            parts.append(f"about {duration((self._clock() - self._begun_s) / n_trained * n_left)} left")
        return ", ".join(parts)


def _shown(fold: WantedFold, *, started_s: float) -> ShownTrial:
    config = fold.payload["config"]
    return ShownTrial(
        number=fold.number,
        called=fold.name,
        description=describe_config(config),
        n_epochs=config["epochs"],
        started_s=started_s,
    )
