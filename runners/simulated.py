"""Run real tasks on a simulated clock: hours of an asynchronous search in milliseconds, the same way each time.

Each job has a thread, but only one thread ever moves: the runner takes the event that is next in simulated time, asks
for the verdict, and lets that job compute up to its next event.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass, field
from queue import SimpleQueue

from runners.base import Event, Failed, Finished, Job, Progressed, Reported, Started, Stopped, Supervisor, Verdict
from runners.context import JobContext, run_task, to_plain_json
from runners.signals import SignalRecorder

_FINAL = (Finished, Stopped, Failed)


class SimulatedDeath(BaseException):
    """Raised by a task to play a process that ends without a word; its text is the reason, "killed by signal 9"."""


class SimulatedClock:
    """A clock that only a `SimulatedRunner` moves; call it for the time.

    Attributes:
        now_s: the simulated time.
    """

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class SimulatedRunner:
    """Runs jobs on `n_slots` simulated devices.

    A report takes `detail["seconds"]`, or `step_s` when it names none; all else takes no time.

    Attributes:
        clock: of the simulated time, also for others.
        busy_s: simulated seconds of all slots together spent on reports.
    """

    def __init__(self, n_slots: int, clock: SimulatedClock | None = None, *, step_s: float = 1.0) -> None:
        self.clock = clock or SimulatedClock()
        self.busy_s = 0.0
        self._n_slots = n_slots
        self._step_s = step_s
        self._started_s = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Simulated seconds since this runner was made."""
        return self.clock() - self._started_s

    def run(self, supervisor: Supervisor) -> None:
        agenda: list[_Entry] = []
        with SignalRecorder() as signals:
            try:
                self._loop(signals.stop_at_signal(supervisor), agenda)
            finally:
                for entry in agenda:
                    entry.actor.close()

    def _loop(self, supervisor: Supervisor, agenda: list[_Entry]) -> None:
        turns = itertools.count()
        while True:
            while len(agenda) < self._n_slots and (job := supervisor.next_job()) is not None:
                verdict = supervisor.handle(Started(job_id=job.id, device="cpu"))
                self._schedule(agenda, _Actor(job, stopped=verdict is Verdict.STOP), next(turns))
            if not agenda:
                return
            entry = agenda[0]  # stays there while it is handled, so that an exception finds it
            self.clock.now_s = entry.at_s
            self.busy_s += entry.duration_s
            verdict = supervisor.handle(entry.event)
            heapq.heappop(agenda)
            if isinstance(entry.event, _FINAL):
                entry.actor.close()
            else:
                self._schedule(agenda, entry.actor, next(turns), verdict)

    def _schedule(self, agenda: list[_Entry], actor: _Actor, turn: int, verdict: Verdict = Verdict.CONTINUE) -> None:
        """Let a job compute up to its next event, and note when that takes place."""
        event = actor.advance(verdict)
        duration_s = float(event.detail.get("seconds", self._step_s)) if isinstance(event, Reported) else 0.0
        entry = _Entry(at_s=self.clock() + duration_s, turn=turn, duration_s=duration_s, event=event, actor=actor)
        heapq.heappush(agenda, entry)


@dataclass(frozen=True, order=True, slots=True, kw_only=True)
class _Entry:
    """An event to come; of two at one time, the one that was known first."""

    at_s: float
    turn: int
    duration_s: float = field(compare=False)
    event: Event = field(compare=False)
    actor: _Actor = field(compare=False)


class _Actor:
    """A job on a thread of its own, which moves only inside `advance`."""

    def __init__(self, job: Job, *, stopped: bool) -> None:
        self._job = job
        self._payload = to_plain_json(dict(job.payload))
        self._events: SimpleQueue[Event | BaseException] = SimpleQueue()
        self._verdicts: SimpleQueue[Verdict] = SimpleQueue()
        self._context = JobContext(job.id, self._exchange, device="cpu", n_threads=1, beat_interval_s=0.0)
        self._context.stopped = stopped
        self._thread = threading.Thread(target=self._live, name=job.id, daemon=True)

    def advance(self, verdict: Verdict) -> Event:
        """Return the job's next event, after this verdict on the one before."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._verdicts.put(verdict)
        event = self._events.get()
        if isinstance(event, BaseException):
            raise event
        return event

    def close(self) -> None:
        """End the thread; a job that waits for a verdict is stopped."""
        self._verdicts.put(Verdict.STOP)
        self._thread.join()

    def _live(self) -> None:
        try:
            self._events.put(run_task(self._job.id, lambda: self._job.task, self._payload, self._context))
        except SimulatedDeath as death:
            self._events.put(Failed(job_id=self._job.id, reason=str(death), died=True))
        except BaseException as error:
            self._events.put(error)

    def _exchange(self, event: Reported | Progressed) -> Verdict:
        self._events.put(event)
        return self._verdicts.get()
