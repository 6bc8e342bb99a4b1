"""One worker process as its driver sees it: start it, send to it, receive from it, clean up after it.

Nothing here blocks on a worker, not even a frozen one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from runners.base import JSON
from runners.messages import LineBuffer

LOG_LINES = 40
_LOG_BYTES = 64 * 1024
_REAP_TIMEOUT_S = 5.0  # a killed process is only slow to go when a disk or a GPU driver hangs


class Child:
    """A running `runners.worker` in a session of its own, so that whatever it starts can be killed along with it.

    Start it from a thread that lives as long as the child may: on Linux its end kills the child.

    Attributes:
        disconnected: whether it has closed its event pipe, which is nearly always its end.
        killed: whether `kill` was called.
    """

    def __init__(self, *, environment: Mapping[str, str], preload: Sequence[str]) -> None:
        self.disconnected = False
        self.killed = False
        self._lines = LineBuffer()
        self._unsent = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._event_fd, worker_fd = os.pipe()
        try:
            self._process = subprocess.Popen(
                # -P: a module beside the user's images must not hide one of Python's
                [sys.executable, "-P", "-m", "runners.worker", str(os.getpid()), str(worker_fd), *preload],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(worker_fd,),
                close_fds=True,  # a line kept open by a sibling would hide the driver's end from the worker
                start_new_session=True,
            )
        except BaseException:
            os.close(self._event_fd)
            self._log.close()
            raise
        finally:
            os.close(worker_fd)
        assert self._process.stdin is not None
        self._command_fd = self._process.stdin.fileno()
        os.set_blocking(self._event_fd, False)
        os.set_blocking(self._command_fd, False)

    def fileno(self) -> int:
        """Return the event pipe, for a selector."""
        return self._event_fd

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, line: bytes) -> None:
        """Queue a line and send what the pipe takes; `flush` sends the rest."""
        self._unsent += line
        self.flush()

    def flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._command_fd, self._unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it is about to be seen as exited
            self._unsent = b""

    def receive(self) -> list[JSON]:
        """Read the messages that have arrived.

        Raises:
            ValueError: one of them is not JSON.
        """
        messages: list[JSON] = []
        while not self.disconnected:
            try:
                chunk = os.read(self._event_fd, 65536)
            except BlockingIOError:
                break
            self.disconnected = not chunk
            messages += self._lines.feed(chunk)
        return messages

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def describe_end(self) -> str:
        code = self._process.returncode
        return f"killed by signal {-code}" if code < 0 else f"exited with code {code}"

    def read_log_tail(self) -> str:
        """Read the last lines that it printed."""
        log_fd = self._log.fileno()
        # pread, since a seek would move the place where the child writes next
        tail = os.pread(log_fd, _LOG_BYTES, max(0, os.fstat(log_fd).st_size - _LOG_BYTES))
        return "\n".join(tail.decode(errors="replace").splitlines()[-LOG_LINES:])

    def kill(self) -> None:
        """Kill it and everything that it has started."""
        self.killed = True
        # The number of a group stays taken while it has members; of a group without any nothing is found.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Leave nothing of it: no process, no descriptor, no file."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_TIMEOUT_S)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        os.close(self._event_fd)
        self._log.close()
