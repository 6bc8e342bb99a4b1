"""How a driver ends, killed or signalled: with no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.runners_tests.processes import children_of, is_gone, wait_until_gone


@pytest.mark.parametrize("task", ["be_silent", "hold_the_interpreter"])
def test_a_killed_driver_leaves_no_worker(task: str) -> None:
    with _driver(task, grace_s=5.0) as driver:
        workers = [_read_pid(driver) for _ in range(2)]
        everything = workers + [pid for pid in children_of(driver.pid) if pid not in workers]  # standbys too
        driver.kill()
        wait_until_gone(everything)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signalled_driver_ends_at_once_when_its_jobs_heed_it(number: signal.Signals) -> None:
    with _driver("beat_for_ever", grace_s=50.0) as driver:
        workers = [_read_pid(driver) for _ in range(2)]
        driver.send_signal(number)
        assert driver.communicate(timeout=20)[0].split() == ["interrupted", str(int(number))]
        assert all(is_gone(pid) for pid in workers)


@pytest.mark.parametrize("task", ["be_silent", "freeze"])
def test_jobs_that_heed_nothing_are_killed_after_the_grace(task: str) -> None:
    with _driver(task, grace_s=0.5) as driver:
        workers = [_read_pid(driver) for _ in range(2)]
        driver.send_signal(signal.SIGINT)
        assert driver.communicate(timeout=20)[0].split() == ["interrupted", "2"]
        assert all(is_gone(pid) for pid in workers)


def test_a_second_signal_does_not_wait_for_the_grace() -> None:
    with _driver("freeze", grace_s=50.0) as driver:
        workers = [_read_pid(driver) for _ in range(2)]
        while driver.poll() is None:  # two signals at one moment may count as one
            driver.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert driver.communicate(timeout=20)[0].split() == ["interrupted", "2"]
        assert all(is_gone(pid) for pid in workers)


@contextmanager
def _driver(task: str, *, grace_s: float) -> Iterator[subprocess.Popen[str]]:
    """A driver in a process of its own, with two of its jobs about to start."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", f"{__package__}.driver", task, str(grace_s)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as driver:
        try:
            yield driver
        finally:
            driver.kill()


def _read_pid(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout is not None
    word, _, pid = driver.stdout.readline().partition(" ")
    assert word == "pid"
    return int(pid)
