"""The study's file: its terms, what of damage is noticed, and what others see of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles, compute_digest
from automl.errors import StorageError, UsageError
from automl.space import load_space
from automl.study.probe_evidence import ProbeScore
from automl.study.study import SearchStudy, open_study, read_study, read_terms, select_best_trials
from automl.suggest import Params
from tests.automl_tests.study_tests.studies import SPACE, TERMS


def begin(files: StudyFiles, scores: tuple[float, ...] = (0.5,)) -> None:
    with open_study(files, TERMS) as study:
        for score in scores:
            trial = study.ask(SPACE)
            SPACE(trial)
            study.report(trial, 0, score)
            study.tell(trial, TrialState.COMPLETE, score)
    files.trials.mkdir(exist_ok=True)


def test_a_study_is_what_any_optuna_user_expects(files: StudyFiles) -> None:
    begin(files, (0.5, 0.7))
    study = optuna.load_study(study_name="leaf", storage=f"sqlite:///{files.study_db}")
    assert (study.best_value, study.metric_names) == (0.7, ["accuracy"])
    assert study.direction.name == "MAXIMIZE"
    assert [trial.intermediate_values for trial in study.trials] == [{0: 0.5}, {0: 0.7}]


def test_a_metric_that_falls_is_minimised_and_its_lowest_is_best(files: StudyFiles) -> None:
    with open_study(files, replace(TERMS, metric="log_loss", direction="minimize")) as study:
        for score in (0.5, 0.2, 0.9):
            study.tell(study.ask(SPACE), TrialState.COMPLETE, score)
        assert [trial.value for trial in select_best_trials(study.optuna_study, 2)] == [0.2, 0.5]


def test_best_trials_are_complete_ones_best_first(files: StudyFiles) -> None:
    begin(files, (0.5, 0.9, 0.7))
    with open_study(files, TERMS) as study:
        pruned = study.ask(SPACE)
        study.report(pruned, 0, 0.99)
        study.tell(pruned, TrialState.PRUNED)
    assert [trial.value for trial in select_best_trials(read_study(files))] == [0.9, 0.7, 0.5]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("space", "default", "search space: tiny, not default"),
        ("space_fingerprint", "z", "--fix or --choices"),
        ("competition_fingerprint", "z", "competition folder"),
        ("metric", "log_loss", "metric: accuracy, not log_loss"),
        ("epochs", 3, "number of epochs: 9, not 3"),
        ("train_folds", 5, "training folds"),
        ("seed", 1, "seed"),
    ],
)
def test_a_study_refuses_other_terms_and_keeps_its_own(files: StudyFiles, name: str, value: str, words: str) -> None:
    begin(files)
    with pytest.raises(UsageError, match=words), open_study(files, replace(TERMS, **{name: value})):  # type: ignore[arg-type]
        pass
    assert read_terms(read_study(files)) == TERMS
    assert len(read_study(files).trials) == 1


@pytest.mark.slow
def test_a_damaged_file_is_named_and_not_replaced(files: StudyFiles) -> None:
    begin(files)
    content = bytearray(files.study_db.read_bytes())
    content[4096 : 4096 * 4] = b"\xff" * 4096 * 3
    files.study_db.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"), open_study(files, TERMS):
        pass
    assert files.study_db.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"this is no database, not at all"])
def test_a_file_that_is_no_database_is_never_silently_a_new_study(files: StudyFiles, content: bytes) -> None:
    begin(files)
    files.study_db.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"), open_study(files, TERMS):
        pass


@pytest.mark.parametrize("access", ["drive", "read"])
def test_a_commit_that_a_kill_cut_in_half_is_undone_by_whoever_looks_next(files: StudyFiles, access: str) -> None:
    begin(files)
    program = (
        "import os, signal, sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1')\ndb.execute('BEGIN')\n"  # a cache of a page spills to the file at once
        "row = 'INSERT INTO study_user_attributes VALUES (?, 1, ?, ?)'\n"
        "for n in range(2000): db.execute(row, (n + 9, n, 'x' * 99))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, files.study_db], check=False)
    assert files.study_db.with_name("study.db-journal").stat().st_size > 0
    with contextlib.ExitStack() as stack:
        study = read_study(files) if access == "read" else stack.enter_context(open_study(files, TERMS)).optuna_study
        assert [trial.value for trial in study.trials] == [0.5]
        assert list(study.user_attrs) == ["terms"]


def test_a_missing_file_beside_trials_is_never_silently_a_new_study(files: StudyFiles) -> None:
    begin(files)
    files.study_db.unlink()
    with pytest.raises(StorageError, match="is missing, but"), open_study(files, TERMS):
        pass


def test_a_study_can_be_moved(files: StudyFiles, tmp_path: Path) -> None:
    begin(files)
    moved = StudyFiles(tmp_path / "elsewhere" / "leaf")
    shutil.move(files.root, moved.root)
    with open_study(moved, TERMS) as study:
        assert study.count_trials(TrialState.COMPLETE) == 1


def test_reading_a_study_that_is_not_there_says_how_to_begin_one(files: StudyFiles) -> None:
    with pytest.raises(UsageError, match="no study"):
        read_study(files)


def test_a_study_is_read_while_its_driver_writes_it_and_cannot_be_written_by_readers(files: StudyFiles) -> None:
    with open_study(files, TERMS) as study:
        trial = study.ask(SPACE)
        reader = read_study(files)
        assert [t.state for t in reader.trials] == [TrialState.RUNNING]
        with pytest.raises(optuna.exceptions.StorageInternalError):
            reader.tell(trial.number, 0.5)
        study.tell(trial, TrialState.COMPLETE, 0.5)


@pytest.mark.slow
def test_a_reader_that_locks_the_file_for_a_moment_only_delays_the_driver(files: StudyFiles) -> None:
    program = (
        "import sqlite3, sys, time\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\ntime.sleep(6.5)\n"
    )
    with open_study(files, TERMS) as study:
        trial = study.ask(SPACE)
        with subprocess.Popen([sys.executable, "-c", program, str(files.study_db)], stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()  # 6.5 s is longer than the five that sqlite3 waits by itself
            study.tell(trial, TrialState.COMPLETE, 0.5)
        assert study.count_trials(TrialState.COMPLETE) == 1


# ---- What probes say ------------------------------------------------------------------------------------------------

TINY = load_space("tiny")
DRAWN = {"tpe": "f286450a002a7b73", "random": "40d1added97b456d", "qmc": "8448251cc1e29e63"}  # before there were probes
PROBES = [ProbeScore("test_efficientnet", 48, 0.9), ProbeScore("test_resnet", 32, 0.8), ProbeScore("gone", 32, 0.99)]


def search_tiny(*, probes: Sequence[ProbeScore] | None, sampler: str = "tpe") -> list[Params]:
    """The parameters of 16 trials of a study in memory."""
    drawn = []
    study = SearchStudy(optuna.create_study(direction="maximize"), sampler=sampler, seed=0)
    if probes is not None:
        study.set_probe_evidence(probes)
    for number in range(16):
        trial = study.ask(TINY)
        TINY(study.seed_questions(trial))
        drawn.append(trial.params)
        study.tell(trial, TrialState.COMPLETE, (number * 7 % 16) / 16)
    return drawn


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
@pytest.mark.parametrize("probes", [None, []])
def test_without_probes_a_study_draws_what_it_always_drew(sampler: str, probes: list[ProbeScore] | None) -> None:
    drawn = search_tiny(probes=probes, sampler=sampler)
    assert compute_digest([json.dumps(params, sort_keys=True) for params in drawn]) == DRAWN[sampler]


def test_first_trials_follow_the_probes_and_so_does_the_sampler() -> None:
    drawn = search_tiny(probes=PROBES)
    assert [(params["backbone"], params["resize"]) for params in drawn[:2]] == [
        ("test_efficientnet", "32-48"),
        ("test_resnet", "32"),
    ]
    assert [params["lr"] for params in drawn[:2]] == [3e-3, 3e-3]
    assert drawn[2:] != search_tiny(probes=None)[2:]
    assert search_tiny(probes=PROBES) == drawn
