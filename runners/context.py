"""Run a job's task: the context that it sees, and the event that it ends with.

Every runner uses these, so a task meets the same rules in all of them.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TypeAlias

from runners.base import JSON, Context, Failed, Finished, JobStopped, Progressed, Reported, Stopped, Task, Verdict

BEAT_INTERVAL_S = 0.5

SendEvent: TypeAlias = Callable[[Reported | Progressed], Verdict]


class JobContext:
    """The `Context` of every runner: passes reports and beats on; once stopped, it stops every further call.

    Attributes:
        stopped: whether the verdict was to stop.
    """

    def __init__(
        self,
        job_id: str,
        send: SendEvent,
        *,
        device: str,
        n_threads: int,
        stop_requested: Callable[[], bool] = lambda: False,
        beat_interval_s: float = BEAT_INTERVAL_S,
    ) -> None:
        self.device = device
        self.n_threads = n_threads
        self.stopped = False
        self._job_id = job_id
        self._send = send
        self._stop_requested = stop_requested
        self._beat_interval_s = beat_interval_s
        self._next_beat_s = -float("inf")

    def report(self, step: int, value: float, detail: Mapping[str, JSON] | None = None) -> None:
        self._stop_if(self.stopped or self._stop_requested())
        event = Reported(
            job_id=self._job_id, step=int(step), value=float(value), detail=to_plain_json(dict(detail or {}))
        )
        self._stop_if(self._send(event) is Verdict.STOP)

    def beat(self, detail: Mapping[str, JSON] | None = None) -> None:
        self._stop_if(self.stopped or self._stop_requested())
        now = time.monotonic()
        if now < self._next_beat_s:
            return
        self._next_beat_s = now + self._beat_interval_s
        self._stop_if(
            self._send(Progressed(job_id=self._job_id, detail=to_plain_json(dict(detail or {})))) is Verdict.STOP
        )

    def _stop_if(self, stop: bool) -> None:
        if stop:
            self.stopped = True
            raise JobStopped


def run_task(job_id: str, load: Callable[[], Task], payload: JSON, context: JobContext) -> Finished | Stopped | Failed:
    """Load and call a task, and turn what becomes of it into its last event.

    A job whose verdict was to stop ends as Stopped, whatever its task makes of the exception.
    """
    try:
        end: Finished | Stopped | Failed = Finished(job_id=job_id, result=_call(load(), payload, context))
    except JobStopped:
        return Stopped(job_id=job_id)
    except (Exception, SystemExit) as error:
        end = Failed(job_id=job_id, reason=_format_error(error), log=traceback.format_exc())
    return Stopped(job_id=job_id) if context.stopped else end


def to_plain_json(value: JSON) -> JSON:
    """Convert a value to what arrives when it travels as JSON; no runner passes objects on.

    Raises:
        TypeError: the value is not JSON.
    """
    return json.loads(json.dumps(value))


def _call(task: Task, payload: JSON, context: Context) -> JSON:
    return to_plain_json(task(payload, context))


def _format_error(error: BaseException) -> str:
    return " ".join("".join(traceback.format_exception_only(error)).split())
