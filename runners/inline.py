"""Run jobs one after the other in this very process: for debuggers, profilers and print statements.

Not for long searches: a task that crashes the interpreter takes the driver along, and nothing frees its memory.
"""

from __future__ import annotations

from runners.base import Event, Job, Started, Supervisor, Verdict
from runners.context import JobContext, run_task, to_plain_json
from runners.signals import SignalRecorder


class InlineRunner:
    """Runs jobs here, one at a time; a first signal ends the job at its next report or beat, a second at once."""

    def __init__(self, device: str = "cpu", n_threads: int = 1) -> None:
        self._device = device
        self._n_threads = n_threads

    def run(self, supervisor: Supervisor) -> None:
        with SignalRecorder(raise_second=True) as signals:
            supervisor = signals.stop_at_signal(supervisor)
            while (job := supervisor.next_job()) is not None:
                self._carry(job, supervisor)

    def _carry(self, job: Job, supervisor: Supervisor) -> None:
        payload = to_plain_json(dict(job.payload))
        line = _Line(supervisor)
        context = JobContext(job.id, line, device=self._device, n_threads=self._n_threads)
        context.stopped = supervisor.handle(Started(job_id=job.id, device=self._device)) is Verdict.STOP
        end = run_task(job.id, lambda: job.task, payload, context)
        if line.error is not None:
            raise line.error
        supervisor.handle(end)


class _Line:
    """From the task to the supervisor above it on the stack; an exception of the one is no exception of the other."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.error: BaseException | None = None
        self._supervisor = supervisor

    def __call__(self, event: Event) -> Verdict:
        try:
            return self._supervisor.handle(event)
        except BaseException as error:
            self.error = error
            return Verdict.STOP
