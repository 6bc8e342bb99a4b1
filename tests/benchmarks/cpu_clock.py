"""Run a command until it has used so much CPU time, and keep the file that stands at each mark.

CPU time (user and system, of the command and of everything that it starts) and not the clock on the wall, so that what
else the machine does matters little. Linux alone: read from /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

POLL_S = 0.1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36
# GNU OpenMP's threads spin while they wait, which counts as CPU time: on a busy machine three times that of the work.
QUIET_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """A line of /proc: seconds of its own, and of the children that it has waited for."""

    pid: int
    parent: int
    own_s: float
    children_s: float


@dataclass(slots=True)
class Watched:
    """What came of a command.

    Attributes:
        first_s: CPU seconds when the file first stood; None if it never did.
        marks: for each mark, CPU seconds when its copy was made, and the copy or None where no file stood.
        cpu_s, wall_s: at the end.
        returncode: None if the command was stopped after the last mark.
    """

    first_s: float | None = None
    first: Path | None = None
    marks: dict[float, tuple[float, Path | None]] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    returncode: int | None = None


def parse_stat(text: str) -> ProcessTimes:
    """Parse /proc/PID/stat. Source: proc_pid_stat(5); the name in parentheses may hold anything."""
    pid, rest = text.split(" (", 1)
    fields = rest.rsplit(") ", 1)[1].split()
    user, system, children_user, children_system = (int(word) / TICKS_PER_S for word in fields[11:15])
    return ProcessTimes(int(pid), int(fields[1]), user + system, children_user + children_system)


def list_descendants(root: int) -> list[ProcessTimes]:
    """List the processes below one, parents before their children."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found.append(parse_stat(path.read_text(errors="replace")))
    tree, parents = [], {root}
    while parents:
        below = [process for process in found if process.parent in parents]
        tree += below
        parents = {process.pid for process in below}
    return tree


class CpuClock:
    """CPU seconds of everything below this process since the clock was made; never goes back.

    Orphans are adopted, so that what a killed process has used and started is counted and found.
    """

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._last_s = 0.0
        self._begun_s = 0.0
        self._begun_s = self._sum()

    def close(self) -> None:
        """Adopt no further orphans."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def read(self) -> float:
        # a child that is waited for between two looks is missed once: the sum would fall
        self._last_s = max(self._last_s, self._sum() - self._begun_s)
        return self._last_s

    def _sum(self) -> float:
        times = os.times()
        below = list_descendants(os.getpid())
        return times.children_user + times.children_system + sum(each.own_s + each.children_s for each in below)


def watch(
    command: Sequence[str], standing: Path, marks_s: Sequence[float], copies: Path, *, cwd: Path, log: Path
) -> Watched:
    """Run the command; it is killed once the last mark has passed.

    A command that ends before a mark has what it left standing there too.
    """
    copies.mkdir(parents=True, exist_ok=True)
    clock, began, waiting, out = CpuClock(), time.monotonic(), sorted(marks_s), Watched()
    environment: Mapping[str, str] = {**os.environ, **QUIET_WAITING}
    spared = {each.pid for each in list_descendants(os.getpid())}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        while waiting:
            time.sleep(POLL_S)
            ended = process.poll() is not None
            seconds = clock.read()
            if out.first is None:
                out.first = copy_standing(standing, copies, "first")
                out.first_s = None if out.first is None else seconds
            while waiting and (ended or seconds >= waiting[0]):
                mark = waiting.pop(0)
                out.marks[mark] = (seconds, copy_standing(standing, copies, f"mark{mark:g}"))
            if ended:
                out.returncode = process.returncode
    finally:
        kill_tree(process, spared)
    out.cpu_s, out.wall_s = clock.read(), time.monotonic() - began
    clock.close()
    return out


def copy_standing(standing: Path, copies: Path, name: str) -> Path | None:
    """Copy a file that is replaced whole; None where there is none."""
    try:
        return Path(shutil.copyfile(standing, copies / f"{name}{standing.suffix}"))
    except FileNotFoundError:
        return None


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it watches ends too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def kill_tree(process: subprocess.Popen[bytes], spared: Set[int]) -> None:
    """Kill a process and everything that it has started, and wait for them; not those that were there before."""
    while below := [each.pid for each in list_descendants(os.getpid()) if each.pid not in spared]:
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        for pid in below:
            with contextlib.suppress(ChildProcessError):  # its parent has waited, or it is about to be adopted
                os.waitpid(pid, 0)
