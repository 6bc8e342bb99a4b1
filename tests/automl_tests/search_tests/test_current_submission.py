"""The current submission: there from the first probe on, and replaced only by what scores better out of fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, TrialFiles, read_json, write_arrays, write_json
from automl.data.competition import Competition
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.search.current_submission import (
    CurrentSubmission,
    describe_summary,
    keep_better,
    read_summary,
    summarize_ensemble,
    write_summary,
)


@pytest.fixture(scope="module")
def competition(digits: Path) -> Competition:
    return read_competition(digits, CompetitionSettings(flips=False))


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path)


def probs_of(targets: NDArray[Any], n_right: int) -> NDArray[np.float32]:
    """Probabilities that name the right class for the first so many rows, and the next class for the others."""
    named = np.where(np.arange(len(targets)) < n_right, targets, (targets + 1) % 10)
    probs = np.full((len(targets), 10), 0.01, np.float32)
    probs[np.arange(len(targets)), named] = 0.91
    return probs


def predict(files: TrialFiles, competition: Competition, *, n_right: int, n_rows: int, label: int) -> None:
    """What a probe or a trial leaves: predictions of the first rows, and one and the same class for all test images."""
    rows = np.arange(n_rows)[::-1]  # in no particular order
    probs = probs_of(competition.targets, n_right)
    write_arrays(files.oof, rows=rows, folds=np.zeros(n_rows), probs=probs[rows])
    test = np.full((len(competition.test_ids), 10), 0.01, np.float32)
    test[:, label] = 0.91
    write_arrays(files.test, probs=test)


def labels_in(path: Path) -> set[str]:
    return {line.partition(",")[2] for line in path.read_text().splitlines()[1:]}


def test_a_submission_stands_after_the_first_probe_and_gives_way_to_a_better_one(
    competition: Competition, files: StudyFiles
) -> None:
    current = CurrentSubmission(files, competition, top=2)
    predict(files.get_probe_files(0), competition, n_right=60, n_rows=100, label=3)
    written = current.update([0], [])
    assert written is not None and written.members == ("probe 0",)
    assert (written.score, written.n_rows) == (0.6, 100)
    assert 0.02 < written.score_error < 0.1
    assert labels_in(files.submission) == {"3"}
    assert read_json(files.current_submission)["members"] == ["probe 0"]
    predict(files.get_trial_files(0), competition, n_right=90, n_rows=100, label=5)
    assert current.update([0], [0]) is not None
    assert labels_in(files.submission) == {"5"}


def test_a_worse_trial_does_not_replace_what_stands_and_neither_does_a_new_process(
    competition: Competition, files: StudyFiles
) -> None:
    predict(files.get_probe_files(0), competition, n_right=90, n_rows=100, label=3)
    CurrentSubmission(files, competition, top=2).update([0], [])
    predict(files.get_trial_files(0), competition, n_right=50, n_rows=100, label=5)
    before = files.submission.stat().st_mtime_ns
    assert CurrentSubmission(files, competition, top=2).update([0], [0]) is None
    assert files.submission.stat().st_mtime_ns == before
    assert labels_in(files.submission) == {"3"}


def test_probes_and_trials_are_compared_on_the_rows_that_both_predicted(
    competition: Competition, files: StudyFiles
) -> None:
    # Over 100 rows the probe has .7, but on the 40 that the trial predicted it has all right.
    predict(files.get_probe_files(0), competition, n_right=70, n_rows=100, label=3)
    predict(files.get_trial_files(0), competition, n_right=36, n_rows=40, label=5)
    written = CurrentSubmission(files, competition, top=2).update([0], [0])
    assert written is not None and written.members == ("probe 0",) and written.n_rows == 40 and written.score == 1.0


def test_what_cannot_be_read_is_left_out(competition: Competition, files: StudyFiles) -> None:
    predict(files.get_probe_files(1), competition, n_right=50, n_rows=100, label=3)
    files.get_probe_files(0).root.mkdir(parents=True)
    files.get_probe_files(0).oof.write_bytes(b"cut short")
    current = CurrentSubmission(files, competition, top=2)
    assert current.update([0], []) is None
    written = current.update([1, 0], [])
    assert written is not None and written.members == ("probe 1",)


@pytest.mark.parametrize("damage", [b"cut short", None])
def test_what_has_no_prediction_of_the_test_images_gives_way_to_the_next_best(
    damage: bytes | None, competition: Competition, files: StudyFiles
) -> None:
    predict(files.get_probe_files(0), competition, n_right=90, n_rows=100, label=3)
    predict(files.get_trial_files(0), competition, n_right=50, n_rows=100, label=5)
    files.get_probe_files(0).test.unlink()
    if damage is not None:
        files.get_probe_files(0).test.write_bytes(damage)
    written = CurrentSubmission(files, competition, top=2).update([0], [0])
    assert written is not None and written.members == ("trial 0",)
    assert labels_in(files.submission) == {"5"}


def test_nothing_is_written_twice_for_the_same_probes_and_trials(competition: Competition, files: StudyFiles) -> None:
    predict(files.get_probe_files(0), competition, n_right=50, n_rows=100, label=3)
    current = CurrentSubmission(files, competition, top=2)
    assert current.update([0], []) is not None
    files.submission.write_text("mine")
    assert current.update([0], []) is None
    assert files.submission.read_text() == "mine"


def test_the_line_names_what_it_is_made_of(competition: Competition, files: StudyFiles) -> None:
    assert read_summary(files) is None
    predict(files.get_probe_files(4), competition, n_right=50, n_rows=100, label=3)
    CurrentSubmission(files, competition, top=2).update([4], [])
    known = read_summary(files)
    assert known is not None
    assert describe_summary(known).startswith("submission: probe 4, 0.5000 ± 0.0")
    assert describe_summary(known).endswith("on 100 rows out of fold")


class Member:
    """A member of an ensemble's recipe, by what names it."""

    number, member_kind = 0, "search"


class Result:
    """What is read of an ensemble."""

    members, score_error, optimism, n_rows = (Member(),), 0.01, 0.02, 100

    def __init__(self, score: float) -> None:
        self.score = score


@pytest.mark.parametrize(("ensemble_score", "stays"), [(0.5, True), (0.95, False), (0.875, False)])
def test_an_ensemble_that_scores_worse_than_what_stands_is_set_aside(
    ensemble_score: float, stays: bool, competition: Competition, files: StudyFiles
) -> None:
    predict(files.get_probe_files(0), competition, n_right=90, n_rows=100, label=3)
    predict(files.get_trial_files(0), competition, n_right=50, n_rows=100, label=5)
    CurrentSubmission(files, competition, top=1).update([0], [])
    before, submission = read_summary(files), files.submission.read_bytes()
    result: Any = Result(ensemble_score)
    files.submission.write_text("the ensemble's")
    write_summary(files, summarize_ensemble(result))
    assert before is not None
    line = keep_better(files, competition, result, before=before, submission=submission)
    if not stays:
        assert line is None and files.submission.read_text() == "the ensemble's"
        return
    assert line is not None and line.startswith("probe 0 scores 0.9000 on the same rows, better")
    assert files.submission.read_bytes() == submission
    assert (files.root / "submission-ensemble.csv").read_text() == "the ensemble's"
    assert read_summary(files) == before


def test_an_ensemble_of_an_earlier_version_stays_until_something_is_better(
    competition: Competition, files: StudyFiles
) -> None:
    write_json(files.ensemble, {"score": 0.8, "score_error": 0.01, "n_rows": 100})
    files.submission.write_text("the ensemble's")
    predict(files.get_probe_files(0), competition, n_right=70, n_rows=100, label=3)
    assert CurrentSubmission(files, competition, top=1).update([0], []) is None
    assert files.submission.read_text() == "the ensemble's"


def test_after_an_ensemble_only_what_scores_better_than_it_is_written(
    competition: Competition, files: StudyFiles
) -> None:
    result: Any = Result(0.8)
    write_summary(files, summarize_ensemble(result))
    files.submission.write_text("the ensemble's")
    predict(files.get_probe_files(0), competition, n_right=70, n_rows=100, label=3)
    assert CurrentSubmission(files, competition, top=1).update([0], []) is None
    assert files.submission.read_text() == "the ensemble's"
    predict(files.get_trial_files(0), competition, n_right=90, n_rows=100, label=5)
    written = CurrentSubmission(files, competition, top=1).update([0], [0])
    assert written is not None and written.members == ("trial 0",)
