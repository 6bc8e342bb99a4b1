"""The programs under test as processes: the command line with quick trials, and the bare driver of the soak."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles
from tests.faults_tests.quick_trial import SETTINGS

ROOT = Path(__file__).parent.parent.parent
SPACE = '"""What the soak searches in."""\nfrom tests.soak.space import suggest\n'
DRIVER = [sys.executable, "-m", "tests.soak.driver"]


def search_command(work: Path, *flags: str, trials: int = 4) -> list[str]:
    """`automl search` on the competition in work/leaves, in the space work/mine.py."""
    (work / "mine.py").write_text(SPACE)
    command = [sys.executable, "-m", "tests.faults_tests.quick_cli", "search", str(work / "leaves")]
    options = ["--space", str(work / "mine.py"), "--workdir", str(work / "runs"), "--cpu-slots", "2", "--no-ensemble"]
    options += ["--probe", "none"]
    return [*command, *options, "--trials", str(trials), *flags]


def files_of(work: Path) -> StudyFiles:
    return StudyFiles(work / "runs" / "leaves")


def environment(mark: str = "unmarked", **settings: Any) -> dict[str, str]:
    """Of a program: settings of its trials, and a mark by which its processes are known."""
    return os.environ | {SETTINGS: json.dumps(settings), "AUTOML_TEST_MARK": mark}


def start(command: list[str], *, stdout: Any = subprocess.PIPE, **settings: Any) -> subprocess.Popen[str]:
    """A program in a session of its own, so that a signal can be sent to all that a terminal would send it to."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(**settings),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(command: list[str], *, timeout_s: float = 120.0, **settings: Any) -> subprocess.CompletedProcess[str]:
    """A program to its end."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def run_in_terminal(command: list[str], **settings: Any) -> tuple[int, str]:
    """A program to its end, with a terminal for its errors: its exit code, and all that it printed."""
    terminal, of_program = pty.openpty()
    try:
        program = subprocess.Popen(
            command, cwd=ROOT, env=environment(**settings), stdout=subprocess.PIPE, stderr=of_program, text=True
        )
        stdout, _ = program.communicate(timeout=120)
        os.set_blocking(terminal, False)
        with contextlib.suppress(BlockingIOError):
            stdout += os.read(terminal, 65536).decode(errors="replace")
        return program.returncode, stdout
    finally:
        os.close(terminal)
        os.close(of_program)


def can_mount() -> bool:
    """Whether a test may have a file system of its own."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def can_trace() -> bool:
    """Whether a test may make system calls fail."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
