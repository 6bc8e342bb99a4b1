"""The worker process: `python -m runners.worker DRIVER_PID EVENT_FD [MODULE ...]`; one job, then the end.

It imports the modules first and reads its job then, so that a worker can wait warm. Its stdin brings the job and the
verdicts, EVENT_FD takes the events; stdout and stderr stay free for whatever the task prints. It never outlives its
driver. Not responsible for retries, time limits or devices: the driver has set CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from importlib import import_module
from queue import SimpleQueue
from types import FrameType

from runners.base import JSON, Event, Progressed, Started, Stopped, Verdict
from runners.context import JobContext, run_task
from runners.messages import LineBuffer, encode_event, load_task

DRIVER_GONE = 99  # exit code
_PR_SET_PDEATHSIG = 1
_STOP = {"verdict": Verdict.STOP.value}


def main(arguments: Sequence[str]) -> None:
    driver_pid, event_fd, *modules = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to everybody; the driver decides
    _die_with(int(driver_pid))
    driver = DriverLink(_take_stdin(), int(event_fd))
    _make_output_robust()
    _preload(modules)
    _work(driver, **driver.next_message()["job"])


class DriverLink:
    """The driver as its worker sees it; a thread reads its messages, and ends the process when it is gone.

    Attributes:
        stop_requested: whether the driver's verdict was STOP.
        terminated: whether a SIGTERM came, from wherever.
    """

    def __init__(self, command_fd: int, event_fd: int) -> None:
        os.set_inheritable(event_fd, False)
        self.stop_requested = False
        self.terminated = False
        self._command_fd = command_fd
        self._event_fd = event_fd
        self._messages: SimpleQueue[JSON] = SimpleQueue()
        self._write_lock = threading.Lock()
        self._writable = select.poll()
        self._writable.register(event_fd, select.POLLOUT)
        threading.Thread(target=self._read, name="driver-link", daemon=True).start()

    def request_verdict(self, event: Event) -> Verdict:
        """Send an event; only a report waits for its verdict, and a beat is dropped rather than wait for the driver."""
        if isinstance(event, Progressed):
            if self._writable.poll(0):
                self.send(event)
            return Verdict.CONTINUE
        self.send(event)
        return Verdict(self.next_message()["verdict"])

    def send(self, event: Event) -> None:
        line = memoryview(encode_event(event))
        with self._write_lock:
            while line:
                try:
                    line = line[os.write(self._event_fd, line) :]
                except BrokenPipeError:
                    os._exit(DRIVER_GONE)

    def next_message(self) -> JSON:
        return self._messages.get()

    def record_sigterm(self, number: int, frame: FrameType | None) -> None:
        """Stop at the next report or beat."""
        self.terminated = True

    def _read(self) -> None:
        # Plain reads: a buffered reader held by a daemon thread can crash the interpreter's shutdown.
        lines = LineBuffer()
        while chunk := os.read(self._command_fd, 65536):
            for message in lines.feed(chunk):
                self.stop_requested |= message == _STOP
                self._messages.put(message)
        os._exit(DRIVER_GONE)


def _work(driver: DriverLink, *, job_id: str, task: str, payload: JSON, device: str, n_threads: int) -> None:
    signal.signal(signal.SIGTERM, driver.record_sigterm)
    os.register_at_fork(after_in_child=_restore_sigterm)  # else whoever forks helpers could not terminate them
    context = JobContext(
        job_id,
        driver.request_verdict,
        device=device,
        n_threads=n_threads,
        stop_requested=lambda: driver.stop_requested or driver.terminated,
    )
    driver.send(Started(job_id=job_id, device=device))
    end = run_task(job_id, lambda: load_task(task), payload, context)
    if isinstance(end, Stopped) and driver.terminated and not driver.stop_requested:
        # No verdict ended it but somebody's SIGTERM; Stopped would report to the supervisor a decision it never took.
        _restore_sigterm()
        os.kill(os.getpid(), signal.SIGTERM)
    driver.send(end)
    _leave()


def _leave() -> None:
    """End at once: taking a large library apart in order takes seconds, which the slot's next job would wait for."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _restore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _die_with(driver_pid: int) -> None:
    """Have the kernel kill this process when the driver's thread that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != driver_pid:  # it ended before the call
        os._exit(DRIVER_GONE)


def _take_stdin() -> int:
    """Move the driver's line out of reach of tasks that read stdin."""
    command_fd = os.dup(0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    return command_fd


def _make_output_robust() -> None:
    """Keep what was printed before a crash, and let no locale make a print fail."""
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def _preload(modules: Sequence[str]) -> None:
    for module in modules:
        try:
            import_module(module)
        except Exception:  # the task's own import fails the same way, in its own name
            traceback.print_exc()


if __name__ == "__main__":
    main(sys.argv[1:])
