"""The contract between a supervisor, which decides what runs, and a runner, which runs it.

A runner asks its supervisor for jobs, runs each somewhere, and passes it every event; the supervisor answers each
event with a verdict. Neither knows what a job computes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

JSON: TypeAlias = Any  # what json.dumps takes: null, bool, number, string, list, dict with string keys


class Verdict(enum.Enum):
    """What becomes of a job after an event."""

    CONTINUE = "continue"
    STOP = "stop"


class Context(Protocol):
    """What a running job sees of its runner."""

    @property
    def device(self) -> str:
        """Where to compute: "cpu", "cuda:0" or, where the job has several devices, "cuda:0+cuda:1"."""

    @property
    def n_threads(self) -> int:
        """This job's share of the processor's cores."""

    def report(self, step: int, value: float, detail: Mapping[str, JSON] | None = None) -> None:
        """Report the value of a step and wait for the verdict.

        Raises:
            JobStopped: the verdict is to stop; let it pass through the task.
        """

    def beat(self, detail: Mapping[str, JSON] | None = None) -> None:
        """Show that the job is alive, without waiting; cheap enough for every batch.

        Raises:
            JobStopped: the job was requested to stop in the meantime.
        """


Task: TypeAlias = Callable[[Mapping[str, JSON], Context], JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A unit of work.

    Attributes:
        id: unique among the jobs that run at one time; a retry may carry the id of the attempt before.
        task: an importable function, called as `task(payload, context)`; what it returns must be JSON.
        payload: JSON.
        is_urgent: whether nothing else may use the processor before its first report, such as the next job's imports.
    """

    id: str
    task: Task
    payload: Mapping[str, JSON] = field(default_factory=dict)
    is_urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The job's task is about to be called."""

    job_id: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """A sign of life between two reports."""

    job_id: str
    detail: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The value of a step; the verdict on it goes back to the job."""

    job_id: str
    step: int
    value: float
    detail: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The task returned."""

    job_id: str
    result: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The job ended because a verdict was STOP."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The task raised, or its process died.

    Attributes:
        reason: one line.
        died: whether the process ended without a word (killed, crashed), as against an exception in the task.
        log: the last lines that the job printed, or its traceback.
    """

    job_id: str
    reason: str
    died: bool = False
    log: str = ""


Event: TypeAlias = Started | Progressed | Reported | Finished | Stopped | Failed


class JobStopped(BaseException):
    """Raised inside a job whose verdict is STOP; not an Exception, so that no task swallows it by accident."""


class Interrupted(BaseException):
    """The run was asked to end by a signal; every job has ended, none of them by an event.

    Attributes:
        signal_number: 2 for SIGINT, 15 for SIGTERM, 1 for SIGHUP.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.signal_number = signal_number


class NoPlaceError(Exception):
    """There is nowhere to run jobs: no cluster at the address, or no machine that is large enough."""


class Supervisor(Protocol):
    """Decides what runs and what stops; does no input or output on processes or clocks."""

    def next_job(self) -> Job | None:
        """Return the next job to start now, or None when there is none at this moment.

        After None, a runner asks again when an event has been handled; it ends when the answer is None and no job runs.
        """

    def handle(self, event: Event) -> Verdict:
        """Take note of an event. For the final events of a job (Finished, Stopped, Failed) the verdict is ignored."""


class Runner(Protocol):
    """Carries jobs; decides nothing."""

    def run(self, supervisor: Supervisor) -> None:
        """Start what `next_job` gives, as slots get free, until there is no job left and none is running.

        Each job that was started ends in exactly one of Finished, Stopped and Failed.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGHUP arrived; no child process is left.
        """
