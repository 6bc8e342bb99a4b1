"""A slot of a Ray runner, on some machine of the cluster: where the jobs run.

A Ray actor carries one job after the other with a `ProcessRunner` of one slot, so that a job meets the same rules as on
one machine: a fresh process, whose imports were done while the job before it still ran.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import ray
from ray import tune

from runners.base import JSON, Event, Failed, Finished, Job, Started, Stopped, Verdict
from runners.messages import encode_event, get_task_name, load_task
from runners.process import ProcessRunner
from runners.signals import RECORDED_SIGNALS

TICK_S = 1.0  # how long the driver waits at most for a result of a slot, even an empty one
CLOSE_TIMEOUT_S = 5.0
_FINAL = (Finished, Stopped, Failed)

_Config: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """What all jobs of a run have in common.

    Attributes:
        folder: the working folder, where a machine has it.
    """

    n_threads: int
    n_gpus: float
    preload: Sequence[str]
    grace_s: float
    silence_timeout_s: float | None
    folder: str


def encode_order(job: Job, settings: SlotSettings) -> dict[str, str]:
    """Encode a job as the configuration of a Tune trial: one string, since Tune looks into everything else.

    Raises:
        TypeError: the payload is not JSON.
        ValueError: the task cannot be imported by name.
    """
    fields = {"job_id": job.id, "task": get_task_name(job.task), "payload": dict(job.payload)}
    return {"order": json.dumps({"job": fields, "settings": asdict(settings)})}


class RaySlot(tune.Trainable):  # type: ignore[misc]
    """What Tune takes for a training: each of its steps gives the next event of a job, the last one its end.

    A result holds `event`, an event as a line of JSON or "" when there was none for a second; `node`, the id of Ray's
    node; `broken`, the traceback when the slot itself has failed.
    """

    def setup(self, config: _Config) -> None:
        self._relay: Relay | None = None
        self._broken = ""
        self.reset_config(config)

    def reset_config(self, config: _Config) -> bool:
        try:
            self._begin(json.loads(config["order"]))
        except Exception:  # raised here, it would look to Tune like a machine that was lost
            self._broken = traceback.format_exc()
        return True

    def step(self) -> dict[str, Any]:
        event = self._next_event()
        event_line = "" if event is None else encode_event(event).decode()
        node = ray.get_runtime_context().get_node_id()
        done = bool(self._broken) or isinstance(event, _FINAL)
        return {"event": event_line, "node": node, "broken": self._broken, "done": done}

    def request_stop(self) -> None:
        """Called by the driver, as its verdict on the last event, before it asks for the next."""
        if self._relay is not None:
            self._relay.request_stop()

    def cleanup(self) -> None:
        if self._relay is not None:
            self._relay.close()

    def _begin(self, order: JSON) -> None:
        settings = SlotSettings(**order["settings"])
        with contextlib.suppress(OSError):
            os.chdir(settings.folder)  # Tune has gone to a folder of its own
        self._relay = self._relay or Relay(settings)
        self._relay.begin(**order["job"])

    def _next_event(self) -> Event | None:
        if self._relay is None or self._broken:
            return None
        try:
            event = self._relay.wait_for_event(TICK_S)
        except BaseException:
            self._broken = traceback.format_exc()
            return None
        return replace(event, device=_name_device()) if isinstance(event, Started) else event


class Relay:
    """The supervisor of this slot's own runner, which asks another one far away.

    The runner lives in a thread of its own as long as the slot does: on Linux a process dies with the thread that has
    started it.
    """

    def __init__(self, settings: SlotSettings) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._events: SimpleQueue[Event | BaseException] = SimpleQueue()
        self._verdicts: SimpleQueue[Verdict] = SimpleQueue()
        self._owes_verdict = False
        self._stop_requested = False
        self._closed = False
        self._runner = _build_runner(settings)
        self._thread = threading.Thread(target=self._live, name="slot", daemon=True)
        self._thread.start()

    def begin(self, job_id: str, task: str, payload: JSON) -> None:
        self._stop_requested = False
        try:
            self._jobs.put(Job(id=job_id, task=load_task(task), payload=payload))
        except Exception as error:  # this machine lacks what the task needs
            reason = f"{type(error).__name__}: {error}"
            self._events.put(Failed(job_id=job_id, reason=reason, log=traceback.format_exc()))

    def wait_for_event(self, timeout_s: float) -> Event | None:
        """Return the job's next event.

        Asking for it lets the job go on after the one before, unless a stop was requested.

        Raises:
            BaseException: the slot is broken.
        """
        if self._owes_verdict:
            self._owes_verdict = False
            self._verdicts.put(Verdict.STOP if self._stop_requested else Verdict.CONTINUE)
        try:
            event = self._events.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(event, BaseException):
            raise event
        self._owes_verdict = not isinstance(event, _FINAL)
        return event

    def request_stop(self) -> None:
        self._stop_requested = True

    def close(self) -> None:
        """Kill what runs here."""
        self._closed = True
        self._runner.silence_timeout_s = -1.0  # from now on each job has been silent for too long
        self._jobs.put(None)
        self._verdicts.put(Verdict.STOP)
        self._thread.join(CLOSE_TIMEOUT_S)

    # What the slot's own runner asks, in its thread

    def next_job(self) -> Job | None:
        return self._jobs.get()

    def handle(self, event: Event) -> Verdict:
        self._events.put(event)
        verdict = Verdict.CONTINUE if isinstance(event, _FINAL) else self._verdicts.get()
        if self._closed:
            raise _Closed
        return verdict

    def _live(self) -> None:
        # Ray's own processes leave signals to their driver; the jobs' are in a session of their own, and heed them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, RECORDED_SIGNALS)
        try:
            self._runner.run(self)
        except _Closed:
            pass
        except BaseException as error:
            self._events.put(error)


class _Closed(BaseException):
    """The slot is no longer needed."""


def _build_runner(settings: SlotSettings) -> ProcessRunner:
    # Ray shows each actor its own GPUs alone, so they are the first ones.
    gpus = [f"cuda:{number}" for number in range(math.ceil(settings.n_gpus))]
    return ProcessRunner(
        ["+".join(gpus) or "cpu"],
        n_threads=settings.n_threads,
        preload=settings.preload,
        grace_s=settings.grace_s,
        silence_timeout_s=settings.silence_timeout_s,
    )


def _name_device() -> str:
    """Return the job's device by the machine's own count, for the person; the job itself counts from 0."""
    return "+".join(f"cuda:{number}" for number in ray.get_gpu_ids()) or "cpu"
