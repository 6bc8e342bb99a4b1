"""A slot on some machine of the cluster: the end of a Ray runner where the jobs run.

A Ray actor carries one job after the other with a `ProcessRunner` of one slot, so that a job meets the same rules as on
one machine: a fresh process, whose imports were done while the job before it still ran. Not responsible for deciding:
each event travels to the driver, and waits for its verdict there.
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
from runners.messages import encode_event, load_task, task_name
from runners.process import ProcessRunner
from runners.signals import NOTED

TICK_S = 1.0  # how long the driver waits at most for a word from a slot, even an empty one
CLOSE_PATIENCE_S = 5.0
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
    """A job as the configuration of a Tune trial: one string, since Tune looks into everything else.

    Raises:
        TypeError: the payload is not JSON.
        ValueError: the task cannot be imported by name.
    """
    fields = {"job_id": job.id, "task": task_name(job.task), "payload": dict(job.payload)}
    return {"order": json.dumps({"job": fields, "settings": asdict(settings)})}


class RaySlot(tune.Trainable):  # type: ignore[misc]
    """What Tune takes for a training: each of its steps gives the next event of a job, the last one its end.

    A result holds `said`, an event as a line of JSON or "" when there was none for a second; `node`, the id of Ray's
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
        said = "" if event is None else encode_event(event).decode()
        node = ray.get_runtime_context().get_node_id()
        done = bool(self._broken) or isinstance(event, _FINAL)
        return {"said": said, "node": node, "broken": self._broken, "done": done}

    def ask_to_stop(self) -> None:
        """Called by the driver, as its verdict on the last event, before it asks for the next."""
        if self._relay is not None:
            self._relay.ask_to_stop()

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
            event = self._relay.listen(TICK_S)
        except BaseException:
            self._broken = traceback.format_exc()
            return None
        return replace(event, device=_device()) if isinstance(event, Started) else event


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
        self._stop_asked = False
        self._closed = False
        self._runner = _runner(settings)
        self._thread = threading.Thread(target=self._live, name="slot", daemon=True)
        self._thread.start()

    def begin(self, job_id: str, task: str, payload: JSON) -> None:
        self._stop_asked = False
        try:
            self._jobs.put(Job(id=job_id, task=load_task(task), payload=payload))
        except Exception as error:  # this machine lacks what the task needs
            reason = f"{type(error).__name__}: {error}"
            self._events.put(Failed(job_id=job_id, reason=reason, log=traceback.format_exc()))

    def listen(self, patience_s: float) -> Event | None:
        """The job's next event; whoever asks for it has let the one before pass, or has asked to stop.

        Raises:
            BaseException: the slot is broken.
        """
        if self._owes_verdict:
            self._owes_verdict = False
            self._verdicts.put(Verdict.STOP if self._stop_asked else Verdict.CONTINUE)
        try:
            event = self._events.get(timeout=patience_s)
        except Empty:
            return None
        if isinstance(event, BaseException):
            raise event
        self._owes_verdict = not isinstance(event, _FINAL)
        return event

    def ask_to_stop(self) -> None:
        self._stop_asked = True

    def close(self) -> None:
        """Kill what runs here."""
        self._closed = True
        self._runner.silence_timeout_s = -1.0  # from now on each job has been silent for too long
        self._jobs.put(None)
        self._verdicts.put(Verdict.STOP)
        self._thread.join(CLOSE_PATIENCE_S)

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
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NOTED)
        try:
            self._runner.run(self)
        except _Closed:
            pass
        except BaseException as error:
            self._events.put(error)


class _Closed(BaseException):
    """The slot is no longer needed."""


def _runner(settings: SlotSettings) -> ProcessRunner:
    # Ray shows each actor its own GPUs alone, so they are the first ones.
    gpus = [f"cuda:{number}" for number in range(math.ceil(settings.n_gpus))]
    return ProcessRunner(
        ["+".join(gpus) or "cpu"],
        n_threads=settings.n_threads,
        preload=settings.preload,
        grace_s=settings.grace_s,
        silence_timeout_s=settings.silence_timeout_s,
    )


def _device() -> str:
    """The job's device by the machine's own count, for the person; the job itself counts from 0."""
    return "+".join(f"cuda:{number}" for number in ray.get_gpu_ids()) or "cpu"
