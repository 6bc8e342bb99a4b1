"""Faults of processes: signals to the driver, lost terminals, stale locks, and what is left of it all."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles
from automl.study.lock import lock_study
from automl.study.study import read_study
from tests.faults_tests.programs import DRIVER, files_of, run, search_command, start
from tests.soak.journal import read_journal
from tests.soak.processes import wait_until, workers_of

pytestmark = pytest.mark.slow

GRACE_S = 8.0  # what the runner gives a trial to stop


def wait_for_epochs(files: StudyFiles, n_epochs: int = 3) -> None:
    wait_until(lambda: read_journal(files).n_epochs >= n_epochs, what="trials to begin")


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_signalled_search_ends_soon_says_how_to_go_on_and_goes_on(
    number: signal.Signals, exit_code: int, work: Path, mark: str
) -> None:
    command, files = search_command(work), files_of(work)
    search = start(command, mark=mark, epoch_seconds=0.3)
    wait_for_epochs(files)
    os.killpg(search.pid, number)  # as a terminal does: to all of them
    stdout, stderr = search.communicate(timeout=GRACE_S)
    assert (search.returncode, stderr) == (exit_code, "")
    assert "the same command goes on" in stdout
    running = {trial.number: trial.intermediate_values for trial in read_study(files).trials}
    assert {trial.state for trial in read_study(files).trials} == {TrialState.RUNNING}
    again = run(command, mark=mark, epoch_seconds=0.0)
    assert again.returncode == 0, again.stderr
    trials = read_study(files).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert all(trials[number].intermediate_values.items() >= before.items() for number, before in running.items())
    journal = read_journal(files)
    assert journal.n_repeated <= journal.n_lost_attempts == 2


def test_a_second_ctrl_c_does_not_wait_for_frozen_trials(work: Path, mark: str) -> None:
    search = start(search_command(work), mark=mark, faults={"0": "freeze", "1": "freeze"})
    wait_for_epochs(files_of(work), 2)
    os.killpg(search.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        search.wait(1.0)
    os.killpg(search.pid, signal.SIGINT)
    stdout, _ = search.communicate(timeout=GRACE_S - 2.0)
    assert search.returncode == 130
    assert "the same command goes on" in stdout


def test_ctrl_c_before_the_first_trial_ends_the_search_at_once(work: Path, mark: str) -> None:
    command, files = search_command(work), files_of(work)
    assert run([*command[:-1], "1"], mark=mark).returncode == 0
    (cache,) = [path for path in files.cache.glob("train*") if path.suffix != ".lock"]
    cache.unlink()
    with cache.with_suffix(".lock").open("wb") as builder:
        fcntl.flock(builder, fcntl.LOCK_EX)  # somebody else decodes the images
        search = start(command, mark=mark)
        assert search.stdout is not None
        search.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            search.wait(3.0)
        os.killpg(search.pid, signal.SIGINT)
        stdout, stderr = search.communicate(timeout=GRACE_S)
    assert search.returncode == 130
    assert "Traceback" not in stdout + stderr
    assert len(read_study(files).trials) == 1


def test_a_search_whose_reader_has_gone_goes_on(work: Path, mark: str) -> None:
    search = start(search_command(work), mark=mark)
    assert search.stdout is not None
    search.stdout.readline()
    search.stdout.close()  # as in `automl search | head -1`
    assert search.wait(60) == 0
    assert search.stderr is not None and search.stderr.read() == ""
    assert read_study(files_of(work)).trials[3].state is TrialState.COMPLETE


def test_lines_that_a_full_disk_does_not_take_stop_nothing() -> None:
    program = (
        "from rich.console import Console\nfrom automl.search.progress import PlainDisplay\n"
        "screen = PlainDisplay(Console())\n"
        "for number in range(3): screen.print_line(f'trial {number} starts')\nprint('and so on')\n"
    )
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_lock_file_that_names_a_living_process_is_no_lock(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "leaf")
    files.root.mkdir()
    files.lock.write_text(f"process {os.getpid()} on {os.uname().nodename}\n")
    with lock_study(files):
        pass


def test_no_clock_that_can_be_set_decides_anything() -> None:
    package = Path(__file__).parent.parent.parent
    sources = [path for name in ("automl", "runners") for path in (package / name).rglob("*.py")]
    assert [path.name for path in sources if "time.time()" in path.read_text()] == []


@pytest.mark.slow
def test_a_driver_killed_at_its_start_leaves_a_study_that_goes_on(tmp_path: Path, mark: str) -> None:
    command = [*DRIVER, str(tmp_path / "leaf"), "--trials", "2", "--epoch-seconds", "0"]
    for patience_s in (0.7, 1.1):
        driver = start(command, mark=mark)
        try:
            driver.wait(patience_s)
        except subprocess.TimeoutExpired:
            driver.kill()
        driver.communicate()
    assert run(command, mark=mark).returncode == 0
    assert [trial.number for trial in read_study(StudyFiles(tmp_path / "leaf")).trials] == [0, 1]


@pytest.mark.slow
def test_a_driver_of_many_trials_keeps_its_memory_and_descriptors(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\nfrom automl.artifacts import StudyFiles\nfrom runners.inline import InlineRunner\n"
        "from tests.soak.driver import run\n"
        "def size():\n"
        "    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])\n"
        "    return pages * os.sysconf('SC_PAGESIZE') / 1e6, len(os.listdir('/proc/self/fd'))\n"
        "files = StudyFiles(pathlib.Path(sys.argv[1]))\n"
        "for n_trials in (50, 500):\n"
        "    run(files, InlineRunner(), n_trials=n_trials)\n    print(*size())\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "leaf")], capture_output=True, text=True, check=True
    )
    before, after = ([float(word) for word in line.split()] for line in finished.stdout.splitlines())
    assert after[0] - before[0] < 50, "megabytes"
    assert after[1] == before[1], "descriptors"


def test_the_workers_of_a_killed_search_are_gone(work: Path, mark: str) -> None:
    search = start(search_command(work), mark=mark, epoch_seconds=0.5)
    wait_for_epochs(files_of(work), 2)
    assert len(workers_of(search.pid)) >= 2
    search.kill()
    search.communicate()


@pytest.mark.slow
def test_ctrl_c_while_the_ensemble_is_made_leaves_the_submission_as_it_was(work: Path, mark: str) -> None:
    command, files = search_command(work), files_of(work)
    assert run(command, mark=mark).returncode == 0
    before = files.submission.read_bytes()
    files.get_trial_files(0).oof.unlink(missing_ok=True)
    os.mkfifo(files.get_trial_files(0).oof)  # whoever reads a member's predictions waits here for ever
    for number in range(4):
        files.get_trial_files(number).get_weights_path(0).write_bytes(b"")
    ensemble = start(
        [*command[:3], "ensemble", "--top", "1", "--tta", "none", "--workdir", str(work / "runs")], mark=mark
    )
    with files.get_trial_files(0).oof.open("wb"):  # and here until it has come to read
        os.killpg(ensemble.pid, signal.SIGINT)
        _, stderr = ensemble.communicate(timeout=60)
    assert ensemble.returncode == 130, stderr
    assert files.submission.read_bytes() == before
