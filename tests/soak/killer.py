"""Runs a search to its end while killing its processes: a worker, the driver, or both, at random moments.

Not responsible for: whether the study that comes out is right (tests.soak.verdict).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from automl.artifacts import StudyFiles
from tests.runners_tests.processes import is_gone
from tests.soak.journal import read_journal
from tests.soak.processes import marked, wait_until, workers_of

ROOT = Path(__file__).parent.parent.parent
KINDS = ("worker", "worker", "driver", "both")  # a worker is what dies most often
MARK = "AUTOML_SOAK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is searched and how it is disturbed."""

    n_trials: int = 50
    n_slots: int = 2
    n_kills: int = 24
    seed: int = 0
    sampler: str = "random"
    epoch_seconds: float = 0.12
    patience_s: float = 300.0


@dataclass(slots=True)
class Story:
    """What happened.

    Attributes:
        kills: the kind of each kill that landed.
        n_victims: processes that died of them, workers that went with their driver included.
        deaths_seen: trial -> how often a worker of it was killed; None for workers that had not begun one yet.
        slowest_orphan_s: the longest that a worker lived on without its driver.
    """

    kills: list[str] = field(default_factory=list)
    n_victims: int = 0
    deaths_seen: dict[int | None, int] = field(default_factory=dict)
    n_drivers: int = 0
    slowest_orphan_s: float = 0.0
    seconds: float = 0.0
    orphans: list[int] = field(default_factory=list)


def soak(files: StudyFiles, plan: Plan) -> Story:
    """Search until the driver has ended by itself, starting it again as often as it is killed.

    Raises:
        AssertionError: a driver ended with an error, or the search took longer than the plan's patience.
    """
    chance, story, begun = random.Random(plan.seed), Story(), time.monotonic()
    mark = f"{MARK}={os.getpid()}-{plan.seed}-{begun}"
    while True:
        driver = _start(files, plan, mark)
        story.n_drivers += 1
        _disturb(driver, files, plan, chance, story)
        code = _end_of(driver, begun + plan.patience_s)
        assert code in (0, -signal.SIGKILL), f"the driver ended with {code}:\n{_printed(driver)}"
        if code == 0:
            break
    story.orphans = marked(mark)
    story.seconds = time.monotonic() - begun
    return story


def _start(files: StudyFiles, plan: Plan, mark: str) -> subprocess.Popen[str]:
    name, _, value = mark.partition("=")
    command = [sys.executable, "-m", "tests.soak.driver", str(files.root)]
    options = {
        "--trials": plan.n_trials,
        "--slots": plan.n_slots,
        "--sampler": plan.sampler,
        "--epoch-seconds": plan.epoch_seconds,
    }
    command += [str(part) for option in options.items() for part in option]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {name: value}, stderr=subprocess.PIPE, text=True)


def _disturb(driver: subprocess.Popen[str], files: StudyFiles, plan: Plan, chance: random.Random, story: Story) -> None:
    """Kill until the driver is gone, the plan is fulfilled, or the search has ended."""
    time.sleep(chance.uniform(0.2, 2.0))  # in the driver's first second it opens its study and takes up its trials
    while len(story.kills) < plan.n_kills and driver.poll() is None:
        kind = chance.choice(KINDS)
        workers = workers_of(driver.pid)
        if kind != "driver" and not workers:
            kind = "driver"
        if kind != "driver":
            _kill_worker(chance.choice(workers), files, story)
        if kind != "worker":
            _kill_driver(driver, workers, story)
        story.kills.append(kind)
        time.sleep(chance.uniform(0.1, 1.2))


def _kill_worker(pid: int, files: StudyFiles, story: Story) -> None:
    os.kill(pid, signal.SIGKILL)
    story.n_victims += 1
    trial = read_journal(files).trial_of_process.get(pid)
    story.deaths_seen[trial] = story.deaths_seen.get(trial, 0) + 1


def _kill_driver(driver: subprocess.Popen[str], workers: list[int], story: Story) -> None:
    driver.kill()
    driver.wait()
    lingering_s = wait_until(lambda: all(is_gone(pid) for pid in workers), what="the workers of a dead driver to end")
    story.n_victims += len(workers)
    story.slowest_orphan_s = max(story.slowest_orphan_s, lingering_s)


def _end_of(driver: subprocess.Popen[str], deadline_s: float) -> int:
    try:
        return driver.wait(max(1.0, deadline_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        driver.kill()
        raise AssertionError("the search did not end in time") from None


def _printed(driver: subprocess.Popen[str]) -> str:
    return "" if driver.stderr is None else driver.stderr.read()
