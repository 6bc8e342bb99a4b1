"""Looking at processes from outside, for the tests (Linux)."""

from __future__ import annotations

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
    folder = Path(f"/proc/{pid or os.getpid()}/task")
    return {int(child) for task in folder.iterdir() for child in (task / "children").read_text().split()}
