"""Looking at processes from outside, for the tests (Linux)."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def is_gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pids: list[int], patience_s: float = 5.0) -> None:
    end = time.monotonic() + patience_s
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < end, f"still alive: {[pid for pid in pids if not is_gone(pid)]}"
        time.sleep(0.01)


def children_of(pid: int | None = None) -> set[int]:
    """The child processes of a process, by default of this one."""
    children: set[int] = set()
    for thread in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended in the meantime
            children.update(map(int, (thread / "children").read_text().split()))
    return children
