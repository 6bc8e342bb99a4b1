"""Run each job in a fresh operating-system process; one slot, and so one job at a time, per entry of `devices`.

A crash, a leak or a kill stays in its process. While a job runs, the slot's next process already stands by with its
imports done. Not responsible for what runs when, nor for retries: that is the supervisor's. For POSIX systems.
"""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from runners.base import Event, Failed, Finished, Job, Progressed, Reported, Started, Stopped, Supervisor, Verdict
from runners.child import Child
from runners.devices import get_cuda_visible_devices, get_inner_device
from runners.messages import decode_event, encode, encode_job
from runners.signals import SignalRecorder


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
    is_urgent: bool = False
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


_TICK_S = 0.25  # how often exits and deadlines are checked when no event comes
_SHORT_TICK_S = 0.02  # the same while a process is about to end


class ProcessRunner:
    """Runs jobs in processes on this machine."""

    def __init__(
        self,
        devices: Sequence[str],
        *,
        n_threads: int,
        preload: Sequence[str] = (),
        grace_s: float = 8.0,
        silence_timeout_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Make a runner; no process is started before `run`.

        Args:
            devices: one slot each, "cpu", "cuda:0" or, for jobs that take several, "cuda:0+cuda:1"; the same device
                twice makes two slots on it.
            n_threads: processor cores for each job.
            preload: modules that every worker imports before it waits for its job.
            grace_s: how long a job that was requested to stop, or whose task has returned, may live on before it is
                killed.
            silence_timeout_s: a job that sends no event for so long is killed; None waits for ever.
            environment: variables for the workers, on top of this process's own.

        Raises:
            ValueError: there is no device, or an unknown one.
        """
        if not devices:
            raise ValueError("a runner needs at least one device")
        self.n_threads = n_threads
        self.preload = tuple(preload)
        self.grace_s = grace_s
        self.silence_timeout_s = inf if silence_timeout_s is None else silence_timeout_s
        shared = {**os.environ, **_build_worker_environment(n_threads), **(environment or {})}
        self.environments = [
            (device, shared | {"CUDA_VISIBLE_DEVICES": get_cuda_visible_devices(device)}) for device in devices
        ]

    def run(self, supervisor: Supervisor) -> None:
        with SignalRecorder() as signals, selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ)
            run = _Run(self, supervisor, signals, selector)
            try:
                run.loop()
            finally:
                run.close()


def _build_worker_environment(n_threads: int) -> dict[str, str]:
    """Return what a worker needs to import what this process can, and to keep to its cores."""
    return {
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),  # noqa: PTH109
        "OMP_NUM_THREADS": str(n_threads),
        "MKL_NUM_THREADS": str(n_threads),
    }


class _Run:
    """The event loop of one run; in one thread, since on Linux a process dies with the thread that started it."""

    def __init__(
        self,
        runner: ProcessRunner,
        supervisor: Supervisor,
        signals: SignalRecorder,
        selector: selectors.BaseSelector,
    ) -> None:
        self._runner = runner
        self._supervisor = signals.stop_at_signal(supervisor)
        self._signals = signals
        self._selector = selector
        self._slots = [Slot(device=device, environment=environment) for device, environment in runner.environments]

    def loop(self) -> None:
        """Go on until no job is left and none runs; returns early, with processes left, after a second signal."""
        self._fill()
        while any(slot.attempt for slot in self._slots):
            now = self._wait()
            if self._signals.count > 1:
                return
            if self._signals.first is not None:
                self._stop_all(now)
            handled = [self._check_attempt(slot, slot.attempt, now) for slot in self._slots if slot.attempt]
            if any(handled):
                self._fill()

    def close(self) -> None:
        """Kill what is left."""
        children = [child for slot in self._slots for child in slot.children]
        for child in children:
            child.kill()
        for child in children:
            child.close()

    def _stop_all(self, now: float) -> None:
        """Ask all jobs to stop."""
        for slot in self._slots:
            if slot.attempt is not None:
                # one that has not begun may be importing for many seconds, and has nothing to lose
                slot.attempt.request_stop(now + self._runner.grace_s if slot.attempt.begun else now)

    def _fill(self) -> None:
        for slot in self._slots:
            if slot.attempt is None:
                job = self._supervisor.next_job()
                if job is None:
                    return
                self._start(slot, job)

    def _start(self, slot: Slot, job: Job) -> None:
        line = encode_job(job, device=get_inner_device(slot.device), n_threads=self._runner.n_threads)
        if slot.standby is not None and slot.standby.has_exited():
            slot.standby.close()
            slot.standby = None
        child = slot.standby or self._spawn(slot)
        slot.attempt = Attempt(job_id=job.id, child=child, last_event_s=time.monotonic(), is_urgent=job.is_urgent)
        slot.standby = None
        self._selector.register(child, selectors.EVENT_READ)
        child.send(line)

    def _spawn(self, slot: Slot) -> Child:
        return Child(environment=slot.environment, preload=self._runner.preload)

    def _wait(self) -> float:
        """Sleep until something may have happened; the time after which no pipe has been read yet.

        Silence is judged by that time: while the supervisor thinks, a worker's event may wait unread.
        """
        attempts = [slot.attempt for slot in self._slots if slot.attempt]
        is_ending = any(attempt.is_ending or attempt.child.has_unsent for attempt in attempts)
        self._selector.select(_SHORT_TICK_S if is_ending else _TICK_S)
        self._signals.clear_wakeup()
        return time.monotonic()

    def _check_attempt(self, slot: Slot, attempt: Attempt, now: float) -> bool:
        """Handle the events and time limits of one job; return whether there was an event."""
        exited = attempt.child.has_exited()  # checked before reading, so that its last events are in the pipe by then
        attempt.child.flush()
        n_handled = self._receive_events(slot, attempt)
        if exited:
            self._end(slot, attempt)
            return True
        if now >= attempt.deadline_s:
            attempt.child.kill()
        elif now > attempt.last_event_s + self._runner.silence_timeout_s:
            attempt.kill_for(f"no sign of life for {self._runner.silence_timeout_s:g} s")
        return n_handled > 0

    def _receive_events(self, slot: Slot, attempt: Attempt) -> int:
        was_silenced = attempt.child.disconnected
        try:
            events = [decode_event(message) for message in attempt.child.receive()]
        except ValueError as error:
            attempt.kill_for(f"its process sent what is no event: {error}")
            events = []
        if attempt.child.disconnected and not was_silenced:
            self._selector.unregister(attempt.child)
        if events:
            attempt.last_event_s = time.monotonic()
        for event in events:
            self._handle_event(slot, attempt, event)
        return len(events)

    def _handle_event(self, slot: Slot, attempt: Attempt, event: Event) -> None:
        if isinstance(event, Finished | Stopped | Failed):
            attempt.final_event = event
            attempt.deadline_s = min(attempt.deadline_s, time.monotonic() + self._runner.grace_s)
        elif not attempt.stop_requested:
            self._request_verdict(slot, attempt, event)

    def _request_verdict(self, slot: Slot, attempt: Attempt, event: Started | Progressed | Reported) -> None:
        if isinstance(event, Started):
            attempt.begun = True
            event = replace(event, device=slot.device)
        if isinstance(event, Reported) or (isinstance(event, Started) and not attempt.is_urgent):
            slot.standby = slot.standby or self._spawn(slot)  # now, since this one has done its imports
        verdict = self._supervisor.handle(event)
        if verdict is Verdict.STOP:
            attempt.request_stop(time.monotonic() + self._runner.grace_s)
        elif isinstance(event, Reported):
            attempt.send_verdict(verdict)

    def _end(self, slot: Slot, attempt: Attempt) -> None:
        if not attempt.child.disconnected:  # something it started holds the pipe open
            self._selector.unregister(attempt.child)
        end = attempt.end()
        slot.attempt = None
        attempt.child.close()
        self._supervisor.handle(end)
