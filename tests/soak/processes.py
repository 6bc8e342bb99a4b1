"""The processes of a driver, seen from outside (Linux)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.runners_tests.processes import children_of, is_gone


def workers_of(pid: int) -> list[int]:
    """The living children of a driver, at work or standing by."""
    try:
        return [child for child in children_of(pid) if not is_gone(child)]
    except (FileNotFoundError, ProcessLookupError):
        return []


def marked(mark: str) -> list[int]:
    """The living processes that have a text in their environment, this one left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment and not is_gone(int(folder.name)):
                found.append(int(folder.name))
    return found


def wait_until(condition: Callable[[], object], *, patience_s: float = 30.0, what: str = "something") -> float:
    """Wait for a condition; how many seconds that took.

    Raises:
        AssertionError: it did not come about.
    """
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + patience_s, f"waited {patience_s:g} s in vain for {what}"
        time.sleep(0.01)
    return time.monotonic() - begun
