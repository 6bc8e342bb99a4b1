"""Faults of the disk and of the study's file: full, failing, read-only, locked, gone, or looked at all the time."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from automl import artifacts
from automl.artifacts import StudyFiles, write_arrays, write_bytes
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from automl.ensemble.ensemble_result import EnsembleRequest
from automl.errors import StorageError
from automl.reports.dashboard import serve_dashboard
from automl.search.run_search import run_ensemble
from automl.study import study
from automl.study.study import open_study, read_study
from runners.inline import InlineRunner
from tests.faults_tests.programs import DRIVER, ROOT, can_mount, can_trace, files_of, run, search_command, start
from tests.soak import driver
from tests.soak.journal import read_journal
from tests.soak.processes import wait_until
from tests.soak.space import EPOCHS, SPACE, TERMS
from tests.soak.task import score_of

pytestmark = pytest.mark.slow

needs_mounts = pytest.mark.skipif(not can_mount(), reason="mounting a file system needs root and unshare")
needs_strace = pytest.mark.skipif(not can_trace(), reason="making system calls fail needs strace")
STORING = "pwrite64,fdatasync,fsync,rename,unlink,ftruncate"


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path / "leaf")


@pytest.fixture
def peace(tmp_path: Path) -> dict[int, object]:
    """What the trials of the same study are when nothing disturbs it."""
    undisturbed = StudyFiles(tmp_path / "peace")
    driver.run(undisturbed, InlineRunner(), n_trials=4)
    return outcomes(undisturbed)


def outcomes(files: StudyFiles) -> dict[int, object]:
    """Number -> params, state, value and curve."""
    return {t.number: (t.params, t.state, t.value, t.intermediate_values) for t in read_study(files).trials}


def inline_search(files: StudyFiles, *, injected: str | None = None) -> subprocess.CompletedProcess[str]:
    """Four trials in the driver's own process, with a fault in some of its system calls."""
    command = [*DRIVER, str(files.root), "--trials", "4", "--inline", "--epoch-seconds", "0"]
    if injected is not None:
        tracer = ["strace", "-o", "/dev/null", "-e", f"trace={STORING}", "-e", f"inject={injected}"]
        command = [*tracer, *command]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def points(*few: int, step: int, last: int) -> list[object]:
    """Some points of time for every run of the tests, and all others in steps for `make test-all`."""
    rest = [pytest.param(number, marks=pytest.mark.slow) for number in range(1, last, step) if number not in few]
    return [*few, *rest]


@needs_strace
@pytest.mark.parametrize("when", points(700, step=65, last=1300))
def test_a_driver_killed_at_any_call_that_stores_something_goes_on_as_if_nothing_had_been(
    when: int, files: StudyFiles, peace: dict[int, object]
) -> None:
    inline_search(files, injected=f"{STORING}:signal=KILL:when={when}")
    again = inline_search(files)
    assert again.returncode == 0, again.stderr
    assert outcomes(files) == peace
    assert read_journal(files).n_repeated <= 1


@needs_strace
@pytest.mark.parametrize(
    ("fault", "when"),
    [
        ("pwrite64:error=ENOSPC", 500),
        ("fdatasync:error=EIO", 120),
        *(pytest.param("pwrite64:error=ENOSPC", n, marks=pytest.mark.slow) for n in (3, *range(25, 1150, 125))),
        *(pytest.param("fdatasync,fsync:error=EIO", n, marks=pytest.mark.slow) for n in range(5, 380, 50)),
    ],
)
def test_a_disk_that_refuses_a_write_ends_the_search_with_5_and_nothing_is_lost(
    fault: str, when: int, files: StudyFiles, peace: dict[int, object]
) -> None:
    finished = inline_search(files, injected=f"{fault}:when={when}")
    assert finished.returncode in (0, 5), finished.stderr  # SQLite can do without some of its calls
    assert "Traceback" not in finished.stderr
    if finished.returncode == 5:
        assert finished.stderr.startswith("Error: ") and "cannot be written" in finished.stderr
    assert inline_search(files).returncode == 0
    assert outcomes(files) == peace


@needs_mounts
def test_a_full_disk_ends_the_search_with_5_and_it_goes_on_when_there_is_room(tmp_path: Path, mark: str) -> None:
    disk, script = (
        tmp_path / "disk",
        "\n".join(
            (
                "mount -t tmpfs -o size=250k none $DISK",
                '"$@" 2> $DISK/../refusal; echo $? > $DISK/../codes',
                "mount -o remount,size=50m $DISK",
                '"$@"; echo $? >> $DISK/../codes',
                "cp -r $DISK/leaf $DISK/../kept",
            )
        ),
    )
    disk.mkdir()
    command = [*DRIVER, str(disk / "leaf"), "--trials", "12", "--epoch-seconds", "0"]
    run(["unshare", "-m", "env", f"DISK={disk}", "bash", "-c", script, "bash", *command], mark=mark)
    assert (tmp_path / "codes").read_text().split() == ["5", "0"]
    refusal = (tmp_path / "refusal").read_text()
    assert refusal.startswith("Error: ") and "Traceback" not in refusal
    for trial in read_study(StudyFiles(shutil.move(tmp_path / "kept", tmp_path / "leaf"))).trials:
        expected = {epoch: score_of(trial.number, epoch, trial.params["lr"]) for epoch in range(EPOCHS)}
        assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        assert trial.intermediate_values.items() <= expected.items()


@needs_mounts
@pytest.mark.slow
def test_a_read_only_disk_can_be_read_and_ends_a_search_with_5(work: Path, mark: str) -> None:
    search = search_command(work)
    assert run(search, mark=mark).returncode == 0
    runs = str(work / "runs")
    for command, code, words in (
        ([*search[:-1], "9"], 5, "cannot be opened: Read-only file system"),
        ([*search[:3], "status", "--workdir", runs], 0, ""),
        ([*search[:3], "report", "--workdir", runs], 5, "cannot be written: Read-only file system"),
    ):
        script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
        finished = run(["unshare", "-m", "bash", "-c", script, "bash", runs, *command], mark=mark)
        assert finished.returncode == code, finished.stderr
        assert words in finished.stderr and "Traceback" not in finished.stderr


def test_a_file_that_stays_locked_ends_the_search_with_the_cause(
    files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "SQLITE_TIMEOUT_S", 0.2)
    with pytest.raises(StorageError, match="database is locked"), open_study(files, TERMS) as opened:
        trial = opened.ask(SPACE)
        with contextlib.closing(sqlite3.connect(files.study_db, isolation_level=None)) as shell:
            shell.execute("BEGIN EXCLUSIVE")
            opened.tell(trial, TrialState.COMPLETE, 0.5)


def test_a_folder_that_is_removed_while_it_is_searched_in_ends_the_search_with_5(files: StudyFiles, mark: str) -> None:
    search = start([*DRIVER, str(files.root), "--trials", "50"], mark=mark)
    wait_until(lambda: read_journal(files).n_epochs > 2, what="trials to begin")
    files.root.rename(files.root.with_name("elsewhere"))
    _, stderr = search.communicate(timeout=30)
    assert search.returncode == 5, stderr
    assert "Traceback" not in stderr
    moved = StudyFiles(files.root.with_name("elsewhere"))
    shutil.rmtree(files.root, ignore_errors=True)
    moved.root.rename(files.root)
    assert run([*DRIVER, str(files.root), "--trials", "6", "--epoch-seconds", "0"], mark=mark).returncode == 0
    assert {trial.state for trial in read_study(files).trials} <= {TrialState.COMPLETE, TrialState.PRUNED}


def test_leftovers_of_killed_processes_are_removed_and_those_of_living_ones_are_not(files: StudyFiles) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    trial = files.get_trial_files(3).root
    trial.mkdir(parents=True)
    names = (f".result.json.tmp.{int(ended.stdout)}.ab12", f".oof.npz.tmp.{os.getpid()}.ab12", "note.tmp.7.txt")
    for name in names:
        (trial / name).touch()
    (files.root / f".folds.csv.tmp.{int(ended.stdout)}.ab12").touch()
    artifacts.remove_leftovers(files)
    assert sorted(path.name for path in trial.iterdir()) == sorted(names[1:])
    assert [path.name for path in files.root.iterdir()] == ["trials"]


def test_a_new_search_removes_the_leftovers_of_the_one_before(files: StudyFiles) -> None:
    driver.run(files, InlineRunner(), n_trials=1)
    leftover = (
        files.get_trial_files(0).root / ".result.json.tmp.4194305.ab12"
    )  # above the highest process number there is
    leftover.touch()
    driver.run(files, InlineRunner(), n_trials=2)
    assert not leftover.exists()


def test_a_temporary_file_that_somebody_planted_is_neither_followed_nor_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts.secrets, "token_hex", lambda n_bytes: "abcd")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / f".a.json.tmp.{os.getpid()}.abcd").symlink_to(victim)
    with pytest.raises(StorageError):
        write_bytes(tmp_path / "a.json", b"new")
    assert victim.read_bytes() == b"precious"


def test_a_copy_of_a_study_at_rest_is_whole(files: StudyFiles, tmp_path: Path) -> None:
    driver.run(files, InlineRunner(), n_trials=4)
    assert sorted(path.name for path in files.root.glob("study.db*")) == ["study.db"]
    copy = StudyFiles(tmp_path / "copy" / "leaf")
    copy.root.mkdir(parents=True)
    shutil.copy(files.study_db, copy.study_db)
    assert outcomes(copy) == outcomes(files)


def test_a_search_goes_on_without_the_files_of_its_best_trial_and_submits_without_it(work: Path, mark: str) -> None:
    command, files = search_command(work), files_of(work)
    assert run(command, mark=mark).returncode == 0
    best = study.select_best_trials(read_study(files), 1)[0]
    shutil.rmtree(files.get_trial_files(best.number).root)
    files.submission.unlink()
    finished = run([*command[:-1], "5"], mark=mark)
    assert finished.returncode == 0, finished.stderr
    assert files.submission.exists()
    assert read_study(files).trials[best.number].state is TrialState.COMPLETE


def test_an_ensemble_is_made_without_a_trial_whose_folder_is_gone(work: Path, mark: str) -> None:
    command, files = search_command(work), files_of(work)
    assert run(command, mark=mark).returncode == 0
    for trial in read_study(files).trials:
        give_predictions(files, trial.number)
    best = study.select_best_trials(read_study(files), 1)[0].number
    shutil.rmtree(files.get_trial_files(best).root)
    notes: list[str] = []
    request = EnsembleRequest(top=2, tta="none", device="cpu", out=work / "mine.csv")
    run_ensemble(files, request, notify=notes.append)
    assert [note for note in notes if note.startswith(f"trial {best} is left out: ")]
    assert (work / "mine.csv").exists()


def give_predictions(files: StudyFiles, number: int) -> None:
    """What a trial that has really trained leaves for an ensemble, of a configuration of its own."""
    competition = load_competition(files.competition)
    rows = np.flatnonzero(load_folds(files.folds, competition) == 0)
    trial, chance = files.get_trial_files(number), np.random.default_rng(number)
    oof, test = (chance.uniform(0.3, 0.7, n).astype(np.float32) for n in (len(rows), len(competition.test_ids)))
    write_arrays(trial.oof, rows=rows, folds=np.zeros_like(rows), probs=np.stack([oof, 1 - oof], axis=1))
    write_arrays(trial.test, probs=np.stack([test, 1 - test], axis=1))
    write_bytes(trial.get_weights_path(0), b"not looked at")


@pytest.fixture
def dashboard(files: StudyFiles) -> Iterator[str]:
    """A dashboard on a study that has one trial."""
    driver.run(files, InlineRunner(), n_trials=1)
    server = serve_dashboard(files, port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api/studies"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_dashboard_that_asks_all_the_time_never_makes_the_search_fail(
    files: StudyFiles, dashboard: str, mark: str
) -> None:
    search = start([*DRIVER, str(files.root), "--trials", "16", "--epoch-seconds", "0"], mark=mark)
    answers: list[int] = []

    def ask() -> None:
        for page in itertools.cycle(("", "/1")):
            if search.poll() is not None:
                return
            with urllib.request.urlopen(f"{dashboard}{page}", timeout=60) as answer:
                answers.append(answer.status)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    _, stderr = search.communicate(timeout=120)
    for asker in askers:
        asker.join()
    assert search.returncode == 0, stderr
    assert len(answers) > 20 and set(answers) == {200}
    assert len(read_study(files).trials) == 16


def test_a_study_of_another_version_of_optuna_is_refused_and_left_alone(files: StudyFiles) -> None:
    driver.run(files, InlineRunner(), n_trials=1)
    with contextlib.closing(sqlite3.connect(files.study_db, isolation_level=None)) as db:
        db.execute("UPDATE version_info SET schema_version = 9")
        db.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    before = files.study_db.read_bytes()
    with pytest.raises(StorageError, match="is not of this version") as error:
        driver.run(files, InlineRunner(), n_trials=2)
    assert "optuna storage upgrade" in error.value.hint
    assert files.study_db.read_bytes() == before


def test_a_place_that_cannot_hold_a_study_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="Not a directory"):
        driver.run(StudyFiles(tmp_path / "runs" / "leaf"), InlineRunner(), n_trials=1)
