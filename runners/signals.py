"""Record SIGINT, SIGTERM and SIGHUP while a run lasts, and raise `Interrupted` when it has ended.

A handler that raises could cut any statement in half, a commit too; so these only count.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from runners.base import Event, Interrupted, Job, Supervisor, Verdict

RECORDED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalRecorder:
    """A context that notes signals, and raises `Interrupted` at its end when there was one.

    Outside the main thread it notes nothing, since Python handles signals only there. A signal that the process ignores
    (`nohup`, a background job) stays ignored.

    Attributes:
        first: the first signal noted, or None.
        count: how many were noted.
    """

    def __init__(self, *, raise_second: bool = False) -> None:
        """Note signals; with `raise_second` the second one is raised on the spot, for work that cannot be killed."""
        self.first: int | None = None
        self.count = 0
        self._raise_second = raise_second
        self._old_handlers: dict[signal.Signals, Any] = {}
        self._old_wakeup_fd = -1

    def __enter__(self) -> SignalRecorder:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:
            self._old_wakeup_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
            for number in RECORDED_SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._old_handlers[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        if self._in_main_thread:
            signal.set_wakeup_fd(self._old_wakeup_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)
        if error is None and self.first is not None:
            raise Interrupted(self.first)

    def fileno(self) -> int:
        """Return a descriptor that is readable after a signal, to wake a selector."""
        return self._read_fd

    def clear_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read_fd, 4096):
                pass

    def stop_at_signal(self, supervisor: Supervisor) -> Supervisor:
        """Wrap the supervisor: from the first signal on it gives no job, gets no event and stops all."""
        return _StopAtSignal(supervisor, self)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.first = self.first or number
        if self._raise_second and self.count > 1:
            raise Interrupted(self.first)


class _StopAtSignal:
    def __init__(self, supervisor: Supervisor, signals: SignalRecorder) -> None:
        self._supervisor = supervisor
        self._signals = signals

    def next_job(self) -> Job | None:
        return None if self._signals.first is not None else self._supervisor.next_job()

    def handle(self, event: Event) -> Verdict:
        return Verdict.STOP if self._signals.first is not None else self._supervisor.handle(event)
