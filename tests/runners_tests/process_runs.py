"""Runs of jobs in worker processes of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runners.base import Event, Failed, Finished, Job, Verdict
from runners.process import ProcessRunner
from tests.runners_tests import tasks
from tests.runners_tests.supervisors import Recorder


def carry(*jobs: Job, decide: Callable[[Event], Verdict | None] = lambda event: None, **options: Any) -> Recorder:
    supervisor = Recorder(jobs, decide)
    devices = options.pop("devices", ["cpu"])
    ProcessRunner(devices, **{"n_threads": 1, "grace_s": 5.0, **options}).run(supervisor)
    return supervisor


def run_to_failure(task: Callable[..., object], **options: Any) -> Failed:
    """How a job that is bound to fail ended, after which a good one still ran."""
    supervisor = carry(Job(id="bad", task=task), Job(id="good", task=tasks.climb), **options)
    end = supervisor.ends()["bad"]
    assert isinstance(supervisor.ends()["good"], Finished)
    assert isinstance(end, Failed)
    return end


def collect_results(*jobs: Job, **options: Any) -> list[Any]:
    """The results, in the order of the jobs."""
    ends = carry(*jobs, **options).ends()
    finished = [ends[job.id] for job in jobs]
    return [end.result for end in finished if isinstance(end, Finished)]
