"""A supervisor for the tests: hands out a list of jobs, writes every event down, decides by a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from runners.base import Event, Failed, Finished, Job, Started, Stopped, Verdict

FINAL = (Finished, Stopped, Failed)
E = TypeVar("E")


class Recorder:
    """Attributes: events: all events, in their order; n_running_max: the most jobs that ran at one time."""

    def __init__(self, jobs: Iterable[Job], decide: Callable[[Event], Verdict | None] = lambda event: None) -> None:
        self.waiting = list(jobs)
        self.events: list[Event] = []
        self.n_running_max = 0
        self._decide = decide
        self._n_running = 0

    def next_job(self) -> Job | None:
        if not self.waiting:
            return None
        self._n_running += 1
        self.n_running_max = max(self.n_running_max, self._n_running)
        return self.waiting.pop(0)

    def handle(self, event: Event) -> Verdict:
        self.events.append(event)
        self._n_running -= isinstance(event, FINAL)
        return self._decide(event) or Verdict.CONTINUE

    def told(self, kind: type[E], job_id: str | None = None) -> list[E]:
        return [e for e in self.events if isinstance(e, kind) and job_id in (None, e.job_id)]  # type: ignore[attr-defined]

    def ends(self) -> dict[str, Event]:
        return {event.job_id: event for event in self.events if isinstance(event, FINAL)}

    def kinds(self, job_id: str) -> list[str]:
        return [type(event).__name__ for event in self.events if event.job_id == job_id]

    def order(self) -> list[str]:
        """Who was told, event by event, for the starts and ends."""
        return [f"{type(e).__name__} {e.job_id}" for e in self.events if isinstance(e, (Started, *FINAL))]
