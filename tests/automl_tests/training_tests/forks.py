"""Processes that are forked, so that they need not import torch again; a GPU's autograd threads forbid it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from automl.training.distributed import main_rank, other_rank


def fork(work: Callable[[], object]) -> int:
    """Do the work in a process of its own; return its number."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def wait_for_exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve_as_rank(order_fd: int, ready_fd: int, unused_fds: tuple[int, ...], main_pid: int) -> None:
    """Be a rank that reads its orders from one pipe and says on another that it is ready."""
    os.dup2(order_fd, 0)
    os.dup2(ready_fd, 1)
    for fd in unused_fds:
        os.close(fd)
    other_rank.main([str(main_pid)])


class ForkedRank:
    """What `main_rank` needs of subprocess.Popen."""

    def __init__(self, command: list[str], **ignored: Any) -> None:
        (order_fd, write_fd), (read_fd, ready_fd), main_pid = os.pipe(), os.pipe(), int(command[-1])
        self._pid = fork(lambda: serve_as_rank(order_fd, ready_fd, (write_fd, read_fd), main_pid))
        os.close(order_fd)
        os.close(ready_fd)
        self.stdin, self.stdout = os.fdopen(write_fd, "wb", buffering=0), os.fdopen(read_fd, "rb", buffering=0)
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("rank", timeout)
            time.sleep(0.01)
        return code


@contextmanager
def _fork_ranks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        names = {"PIPE": subprocess.PIPE, "TimeoutExpired": subprocess.TimeoutExpired}
        patch.setattr(main_rank, "subprocess", SimpleNamespace(Popen=ForkedRank, **names))
        patch.setattr(main_rank, "LOST_RANK_TIMEOUT_S", 600.0)  # after it the process ends, which here is pytest's own
        yield


def fork_ranks() -> Any:
    """Return a context in which trials fork their other ranks, where that can be done."""
    return nullcontext() if torch.cuda.is_available() or sys.platform != "linux" else _fork_ranks()
