"""The pool: what can be used, by name what cannot, and the rows on which all are compared."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_arrays, write_arrays
from automl.config import ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.data.competition import Competition
from automl.ensemble.candidates import Candidate, Member, read_members
from automl.errors import NoUsableModelError
from automl.training.network.create import compute_classes_digest
from tests.automl_tests.small_competitions import competition_of

N, N_FOLDS = 50, 5
FOLDS = np.arange(N) % N_FOLDS
COMPETITION = competition_of(Path("/nowhere"), [f"{number}.png" for number in range(N)], ["a.png", "b.png"])


def config_of(number: int) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone="resnet18"),
        resize=ResizeConfig(image_sizes=(32,)),
        optim=OptimConfig(lr=1e-4 * (number + 1)),
    )


def put_trial(files: StudyFiles, number: int, *, n_folds: int = 1, refitted: Sequence[int] = ()) -> Candidate:
    """A trial's predictions without its weights, as the search and a refit leave them."""
    trial, rng = files.get_trial_files(number), np.random.default_rng(number)

    def probs(n: int) -> np.ndarray:
        second = rng.random((n, 1), dtype=np.float32)
        return np.concatenate([1 - second, second], axis=1)

    rows = np.concatenate([np.flatnonzero(fold == FOLDS) for fold in range(n_folds)])
    write_arrays(trial.oof, rows=rows, folds=FOLDS[rows], probs=probs(len(rows)))
    write_arrays(trial.test, probs=probs(2))
    for fold in refitted:
        own = trial.get_refit_files("refit")
        write_arrays(own.get_fold_oof_path(fold), rows=np.flatnonzero(fold == FOLDS), probs=probs(N // N_FOLDS))
        write_arrays(own.get_fold_test_path(fold), probs=probs(2))
    return Candidate(number, 0.1 * number, config_of(number))


def pool_of(
    files: StudyFiles, candidates: Sequence[Candidate], competition: Competition = COMPETITION, refits: bool = True
) -> tuple[list[Member], list[str]]:
    notes: list[str] = []
    return read_members(candidates, files, competition, FOLDS, notify=notes.append, refits=refits), notes


@pytest.mark.parametrize(("n_refitted", "expected"), [(5, 5), (3, 3), (2, 15), (1, 15), (0, 15)])
def test_of_fifteen_trials_three_with_all_folds_go_before_all_with_one(
    n_refitted: int, expected: int, tmp_path: Path
) -> None:
    """Two would leave too little to choose from; all then know the rows of the first fold."""
    files = StudyFiles(tmp_path)
    numbers = [3, 7, 11, 0, 14][:n_refitted]
    candidates = [put_trial(files, number, refitted=(1, 2, 3, 4) * (number in numbers)) for number in range(15)]
    pool, notes = pool_of(files, candidates)
    assert len(pool) == expected
    assert [member.number for member in pool] == (sorted(numbers) if expected < 15 else list(range(15)))
    n_rows = N if expected < 15 else N // N_FOLDS
    assert all(np.array_equal(member.rows, pool[0].rows) and len(member.rows) == n_rows for member in pool)
    if n_refitted == 5:
        assert notes[0] == (
            "trials 1, 2, 4, 5, 6, 8, 9, 10, 12 and 13 are left out: "
            "they have no prediction for some rows that the others share"
        )
        assert notes[1] == "members are compared on the 50 rows that all of them have out of fold"


def test_a_refit_that_was_interrupted_leaves_the_pool_as_it_was(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    further: dict[int, tuple[int, ...]] = {0: (1, 2, 3, 4), 1: (1, 2)}
    candidates = [put_trial(files, number, refitted=further.get(number, ())) for number in range(15)]
    pool, _ = pool_of(files, candidates)
    assert len(pool) == 15
    assert np.array_equal(pool[0].rows, np.flatnonzero(FOLDS == 0))


def test_without_refits_the_pool_is_that_of_the_search(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    candidates = [put_trial(files, number, refitted=(1, 2, 3, 4) * (number < 6)) for number in range(15)]
    assert len(pool_of(files, candidates)[0]) == 6
    pool, notes = pool_of(files, candidates, refits=False)
    assert [member.number for member in pool] == list(range(15))
    assert len(pool[0].rows) == N // N_FOLDS
    assert notes == []


def test_kinds_of_one_config_are_several_candidates_and_copies_of_one_are_not(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    first = put_trial(files, 4, n_folds=5)
    shutil.copytree(files.get_trial_files(4).root, files.get_trial_files(9).root)
    for fold in range(N_FOLDS):
        rows = np.flatnonzero(fold == FOLDS)
        probs = np.full((len(rows), 2), 0.5, np.float32)
        for number in (4, 9):
            own = files.get_trial_files(number).get_refit_files("pseudo")
            write_arrays(own.get_fold_oof_path(fold), rows=rows, probs=probs)
            write_arrays(own.get_fold_test_path(fold), probs=probs[:2])
    pool, notes = pool_of(
        files,
        [
            first,
            replace(first, member_kind="pseudo"),
            replace(first, number=9),
            replace(first, number=9, member_kind="pseudo"),
        ],
    )
    assert [member.name for member in pool] == ["4", "4-pseudo"]
    assert notes == [
        "trial 9 is left out: it has the configuration of trial 4",
        "trial 9-pseudo is left out: it has the configuration of trial 4-pseudo",
    ]


def test_members_with_another_class_order_other_folds_or_other_rows_are_refused_by_name(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    candidates = [put_trial(files, number) for number in range(17, 22)]
    digest = np.array(compute_classes_digest(replace(COMPETITION, classes=("dog", "cat"))))
    oof = {number: read_arrays(files.get_trial_files(number).oof) for number in (17, 18, 19)}
    write_arrays(files.get_trial_files(17).oof, **oof[17], classes=digest)
    write_arrays(files.get_trial_files(18).oof, **{**oof[18], "folds": oof[18]["folds"] + 1})
    write_arrays(files.get_trial_files(19).oof, **{**oof[19], "rows": oof[19]["rows"] + N})
    write_arrays(files.get_trial_files(20).test, **read_arrays(files.get_trial_files(20).test), classes=digest)
    pool, notes = pool_of(files, candidates)
    assert [member.number for member in pool] == [21]
    named = [note.split(":")[0] for note in notes]
    assert named == [f"trial {number} is left out" for number in (17, 18, 19, 20)]
    assert "another order" in notes[0]
    assert "another order" in notes[3]
    assert all("not of this competition and split" in note for note in notes[1:3])


def test_a_pool_of_nothing_usable_is_an_error(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    candidate = put_trial(files, 0)
    files.get_trial_files(0).oof.unlink()
    with pytest.raises(NoUsableModelError):
        pool_of(files, [candidate])
