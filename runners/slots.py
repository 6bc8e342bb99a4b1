"""The slots of a `ProcessRunner`: the process of the job that runs there, and the one that stands by for the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from runners.base import Failed, Finished, Stopped, Verdict
from runners.child import Child
from runners.messages import encode


@dataclass(kw_only=True)
class Attempt:
    """A job in its process.

    Attributes:
        last_event_s: when its last event came, by the monotonic clock.
        deadline_s: when it is killed if it still lives.
        begun: whether its task was about to be called.
        stop_requested: whether it was requested to stop; from then on only its end is of interest.
        kill_reason: why the runner had to kill it, if it had to.
        final_event: the last event that it sent; passed on when its process is gone, with its memory and its locks.
    """

    job_id: str
    child: Child
    last_event_s: float
    deadline_s: float = inf
    begun: bool = False
    stop_requested: bool = False
    kill_reason: str | None = None
    final_event: Finished | Stopped | Failed | None = None

    @property
    def is_ending(self) -> bool:
        return self.final_event is not None or self.child.disconnected or self.child.killed

    def request_stop(self, deadline_s: float) -> None:
        if not self.stop_requested:
            self.stop_requested = True
            self.deadline_s = min(self.deadline_s, deadline_s)
            self.send_verdict(Verdict.STOP)

    def send_verdict(self, verdict: Verdict) -> None:
        self.child.send(encode({"verdict": verdict.value}))

    def kill_for(self, kill_reason: str) -> None:
        self.kill_reason = kill_reason
        self.child.kill()

    def end(self) -> Finished | Stopped | Failed:
        """Return the job's last event, once its process has exited."""
        if self.final_event is not None:
            return self.final_event
        if self.stop_requested:
            return Stopped(job_id=self.job_id)
        reason = self.kill_reason or self.child.describe_end()
        return Failed(job_id=self.job_id, reason=reason, died=True, log=self.child.read_log_tail())


@dataclass(kw_only=True)
class Slot:
    """A place for one attempt at a time, and for the process of the next one."""

    device: str
    environment: Mapping[str, str]
    attempt: Attempt | None = None
    standby: Child | None = None

    @property
    def children(self) -> list[Child]:
        running = [] if self.attempt is None else [self.attempt.child]
        return running if self.standby is None else [*running, self.standby]
