"""The slots of a `ProcessRunner`: the process of the job that runs there, and the one that stands by for the next.

Not responsible for deciding anything: the runner's event loop does.
"""

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
        last_sign_s: when it was last heard, by the monotonic clock.
        deadline_s: when it is killed if it still lives.
        begun: whether its task was about to be called.
        stop_asked: whether it was told to stop; from then on only its end is of interest.
        offence: why the runner had to kill it, if it had to.
        last_word: the end that it told; passed on when its process is gone, with its memory and its locks.
    """

    job_id: str
    child: Child
    last_sign_s: float
    deadline_s: float = inf
    begun: bool = False
    stop_asked: bool = False
    offence: str | None = None
    last_word: Finished | Stopped | Failed | None = None

    @property
    def is_ending(self) -> bool:
        return self.last_word is not None or self.child.silenced or self.child.killed

    def ask_to_stop(self, deadline_s: float) -> None:
        if not self.stop_asked:
            self.stop_asked = True
            self.deadline_s = min(self.deadline_s, deadline_s)
            self.answer(Verdict.STOP)

    def answer(self, verdict: Verdict) -> None:
        self.child.send(encode({"verdict": verdict.value}))

    def punish(self, offence: str) -> None:
        self.offence = offence
        self.child.kill()

    def end(self) -> Finished | Stopped | Failed:
        """The job's end, once its process has exited."""
        if self.last_word is not None:
            return self.last_word
        if self.stop_asked:
            return Stopped(job_id=self.job_id)
        reason = self.offence or self.child.cause_of_end()
        return Failed(job_id=self.job_id, reason=reason, died=True, log=self.child.log_tail())


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
