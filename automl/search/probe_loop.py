"""Schedule the probes of a search on a runner, before its trials.

`ProbeLoop` decides as a state machine, like the search's: it hands out jobs of several probes, records each as it is
reported, and goes on without those that fail. `ProbesFirst` lets a search begin when it has ended.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from automl.errors import AutomlError
from automl.probing.probe_job import COMPLETED, SKIPPED, ProbeJob, ProbeReport
from automl.probing.probe_study import ProbeStudy
from automl.training.trial_job import Refused, TrialResult
from runners.base import (
    Event,
    Failed,
    Finished,
    Job,
    Progressed,
    Reported,
    Started,
    Stopped,
    Supervisor,
    Task,
    Verdict,
)

MAX_DEATHS = 2  # of the process on one and the same probe
JOB_PREFIX = "probes-"


class ProbeLoop:
    """The supervisor of the probes.

    Attributes:
        error: why nothing more can be probed, and nothing be trained either, or None.
    """

    def __init__(
        self,
        study: ProbeStudy,
        jobs: Sequence[ProbeJob],
        task: Task,
        *,
        on_report: Callable[[ProbeReport], None],
        budget_left_s: Callable[[], float] = lambda: math.inf,
        time_left_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Args:
        jobs: one for each device at the same time.
        on_report: called when a probe has been recorded.
        budget_left_s: what a job that begins now may take, also one that is tried again.
        time_left_s: until running probes have to stop.
        """
        self.error: AutomlError | None = None
        self._study = study
        self._task = task
        self._waiting = collections.deque(jobs)
        self._running: dict[str, ProbeJob] = {}
        self._n_jobs = 0
        self._last_seen: dict[str, int] = {}  # by job, the probe that it works on
        self._deaths: collections.Counter[int] = collections.Counter()
        self._on_report = on_report
        self._budget_left_s, self._time_left_s = budget_left_s, time_left_s

    def next_job(self) -> Job | None:
        """Return the next job, unless the time is up."""
        if self.error is not None or not self._waiting or self._time_left_s() <= 0:
            return None
        job = self._waiting.popleft()
        job_id = f"{JOB_PREFIX}{self._n_jobs}"
        self._n_jobs += 1
        self._running[job_id] = job
        payload = replace(job, budget_s=max(0.0, self._budget_left_s())).to_json()
        return Job(id=job_id, task=self._task, payload=payload, is_urgent=True)

    @property
    def is_running(self) -> bool:
        """Whether any job has not ended."""
        return bool(self._running)

    def add(self, job: ProbeJob) -> None:
        """Append a job to those that wait."""
        self._waiting.append(job)

    def handle(self, event: Event) -> Verdict:
        """Record the event, and return whether its job goes on."""
        match event:
            case Reported():
                report = ProbeReport.from_json(event.detail)
                self._record(report)
                self._running[event.job_id] = self._running[event.job_id].leave_out(report.number)
            case Finished():
                del self._running[event.job_id]
                self._check_result(event.result)
            case Stopped():
                del self._running[event.job_id]
            case Failed():
                self._on_failure(self._running.pop(event.job_id), event)
            case Progressed():
                if "probe" in event.detail:
                    self._last_seen[event.job_id] = int(event.detail["probe"])
            case Started():
                pass
        return Verdict.STOP if self.error is not None or self._time_left_s() <= 0 else Verdict.CONTINUE

    def _record(self, report: ProbeReport) -> None:
        self._study.record(report)
        self._on_report(report)

    def _check_result(self, result: object) -> None:
        """Take over the refusal of a folder or an environment in which nothing can be trained."""
        if isinstance(result, dict) and result.get("outcome") == Refused.outcome:
            refusal = TrialResult.from_json(result)
            assert isinstance(refusal, Refused)
            self.error = self.error or refusal.to_error()

    def _on_failure(self, job: ProbeJob, event: Failed) -> None:
        """Try the rest of the job again; a probe at which its process dies twice is left out."""
        if not job.numbers:
            return
        number = self._last_seen.get(event.job_id, job.numbers[0])
        if number not in job.numbers:  # it died between two probes
            number = job.numbers[0]
        self._deaths[number] += 1
        if self._deaths[number] < MAX_DEATHS:
            self._waiting.append(job)
            return
        candidate = job.candidates[job.numbers.index(number)]
        self._record(ProbeReport(number=number, candidate=candidate, outcome=SKIPPED, reason=event.reason))
        if len(job.numbers) > 1:
            self._waiting.append(job.leave_out(number))


class ProbesFirst:
    """A supervisor of probes, and after them of what is built when they have ended.

    Args:
        after_probes: called when no probe is left; returns a further job of probes, or None if there is none.
        build_next: builds the supervisor that takes over.
    """

    def __init__(
        self,
        loop: ProbeLoop,
        *,
        after_probes: Callable[[], ProbeJob | None],
        build_next: Callable[[], Supervisor | None],
    ) -> None:
        self._loop = loop
        self._after_probes, self._build_next = after_probes, build_next
        self._is_over = False
        self._next: Supervisor | None = None

    def next_job(self) -> Job | None:
        """Return a probe's job, or once all have ended one of what comes after them."""
        if not self._is_over:
            job = self._loop.next_job()
            if job is not None or self._loop.is_running:
                return job
            if self._loop.error is not None:
                return None
            if (further := self._after_probes()) is not None:
                self._loop.add(further)
                return self.next_job()
            self._is_over = True
            self._next = self._build_next()
        return None if self._next is None else self._next.next_job()

    def handle(self, event: Event) -> Verdict:
        """Pass the event to the supervisor of its job."""
        if event.job_id.startswith(JOB_PREFIX):
            return self._loop.handle(event)
        assert self._next is not None
        return self._next.handle(event)


def deal_candidates(job: ProbeJob, n_jobs: int) -> list[ProbeJob]:
    """Split a job into as many, each with every n-th of its probes."""
    dealt = [
        replace(job, numbers=job.numbers[first::n_jobs], candidates=job.candidates[first::n_jobs])
        for first in range(min(n_jobs, len(job.numbers)))
    ]
    return [own for own in dealt if own.numbers]


def is_completed(report: ProbeReport) -> bool:
    """Return whether the probe has a score."""
    return report.outcome == COMPLETED
