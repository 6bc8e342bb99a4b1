"""After each trial: the submission is up to date, and the disk holds what is wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles, write_arrays, write_bytes
from automl.data.competition import Competition
from automl.metrics.registry import get_metric
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.search.upkeep import StudyKeeper, Upkeep
from runners.base import Event, Failed, Finished, Job, Progressed, Reported, Started, Stopped, Verdict
from tests.automl_tests.submission_tests.forms import competition_of_form


@pytest.fixture(scope="module")
def competition(digits: Path) -> Competition:
    return read_competition(digits, CompetitionSettings(flips=False))


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path)


def end_trial(study: optuna.Study, files: StudyFiles, score: float | None, *, predicted: int = 0) -> int:
    """A trial whose test probabilities all name one class; None for one that is pruned."""
    trial = study.ask()
    if score is None:
        trial.report(0.1, 0)
    study.tell(trial, score, state=TrialState.COMPLETE if score is not None else TrialState.PRUNED)
    trial_files = files.get_trial_files(trial.number)
    write_bytes(trial_files.get_weights_path(0), b"weights")
    write_bytes(trial_files.get_checkpoint_path(0), b"checkpoint")
    write_bytes(trial_files.get_previous_checkpoint_path(0), b"checkpoint")
    probs = np.full((360, 10), 0.01, np.float32)
    probs[:, predicted] = 0.91
    write_arrays(trial_files.test, probs=probs)
    return trial.number


def labels_in(path: Path) -> set[str]:
    return {line.partition(",")[2] for line in path.read_text().splitlines()[1:]}


def test_from_the_first_complete_trial_on_there_is_a_submission_and_it_follows_the_best(
    competition: Competition, files: StudyFiles
) -> None:
    study = optuna.create_study(direction="maximize")
    keeper = StudyKeeper(study, files, competition, top=1, keep_weights=None)
    end_trial(study, files, None)
    keeper.tidy()
    assert not files.submission.exists()
    end_trial(study, files, 0.5, predicted=3)
    keeper.tidy()
    assert labels_in(files.submission) == {"3"}
    end_trial(study, files, 0.4, predicted=4)
    keeper.tidy()
    assert labels_in(files.submission) == {"3"}
    end_trial(study, files, 0.9, predicted=5)
    keeper.tidy()
    assert labels_in(files.submission) == {"5"}


def test_a_submission_that_would_be_the_same_is_not_written_again(competition: Competition, files: StudyFiles) -> None:
    study = optuna.create_study(direction="maximize")
    keeper = StudyKeeper(study, files, competition, top=1, keep_weights=None)
    end_trial(study, files, 0.5)
    keeper.tidy()
    files.submission.write_text("mine")
    end_trial(study, files, 0.4)
    keeper.tidy()
    assert files.submission.read_text() == "mine"


def tagging(files: StudyFiles, *, oof: bool) -> StudyKeeper:
    """A keeper whose one trial says low probabilities throughout, of the test images never the lowest."""
    competition, _ = competition_of_form("labels, may be none", files.root)
    competition = replace(competition, metric=get_metric("f1_macro"))  # a threshold for each label by itself
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    study.tell(trial, 0.5)
    low = np.tile(np.float32([0.30, 0.20, 0.02, 0.01]), (len(competition.test_ids), 1))
    low[:, 0] = np.linspace(0.30, 0.39, len(low))
    write_arrays(files.get_trial_files(trial.number).test, probs=low)
    if oof:
        ranks = np.linspace(0, 0.4, len(competition.image_ids), dtype=np.float32)
        rows = np.arange(len(competition.image_ids))
        probs = np.repeat(ranks[:, None], 4, axis=1)
        write_arrays(files.get_trial_files(trial.number).oof, rows=rows, folds=rows % 5, probs=probs)
    return StudyKeeper(study, files, competition, top=1, keep_weights=None)


def test_the_running_submission_is_decided_as_rows_out_of_fold_tell(files: StudyFiles) -> None:
    """Labels are as frequent out of fold as in training, 80 % and 40 %; whatever the test images are told."""
    tagging(files, oof=True).tidy()
    assert labels_in(files.submission) == {"clear"}


def test_without_rows_out_of_fold_the_running_submission_is_decided_plainly(files: StudyFiles) -> None:
    """Never so that the frequencies match among the test images: these may be others."""
    tagging(files, oof=False).tidy()
    assert labels_in(files.submission) == {""}


def test_a_test_image_that_nobody_can_see_gets_the_prior_in_the_running_submission(files: StudyFiles) -> None:
    keeper = tagging(files, oof=True)
    keeper._competition = replace(keeper._competition, unreadable_test=(3,))
    keeper.tidy()
    lines = files.submission.read_text().splitlines()[1:]
    assert lines[3].partition(",")[2] == "clear road"  # 80 % and 40 % are above what the thresholds ask
    assert lines[4].partition(",")[2] == "clear"


@pytest.mark.parametrize(("keep", "kept"), [(1, {2}), (2, {2, 0}), (None, {0, 2, 3})])
def test_only_the_best_trials_keep_weights_and_no_ended_one_its_training_state(
    competition: Competition, files: StudyFiles, keep: int | None, kept: set[int]
) -> None:
    study = optuna.create_study(direction="maximize")
    for score in (0.5, None, 0.9, 0.4):
        end_trial(study, files, score)
    running = study.ask()
    write_bytes(files.get_trial_files(running.number).get_checkpoint_path(0), b"checkpoint")
    keeper = StudyKeeper(study, files, competition, top=1, keep_weights=keep)
    keeper.tidy()
    keeper.tidy()
    assert {n for n in range(4) if files.get_trial_files(n).get_weights_path(0).exists()} == kept
    assert not any(files.get_trial_files(n).get_checkpoint_path(0).exists() for n in range(4))
    assert not any(files.get_trial_files(n).get_previous_checkpoint_path(0).exists() for n in range(4))
    assert files.get_trial_files(running.number).get_checkpoint_path(0).exists()
    assert all(files.get_trial_files(n).test.exists() for n in range(4))


def test_upkeep_passes_everything_on_and_tidies_after_ends_only() -> None:
    seen: list[object] = []

    class Inner:
        def next_job(self) -> Job | None:
            return None

        def handle(self, event: Event) -> Verdict:
            seen.append(event)
            return Verdict.STOP

    upkeep = Upkeep(Inner(), lambda: seen.append("tidied"))
    lasting = [Started(job_id="1", device="cpu"), Progressed(job_id="1"), Reported(job_id="1", step=0, value=0.1)]
    final = [Finished(job_id="1"), Stopped(job_id="1"), Failed(job_id="1", reason="x")]
    assert upkeep.next_job() is None
    assert [upkeep.handle(event) for event in (*lasting, *final)] == [Verdict.STOP] * 6
    assert seen == [*lasting, final[0], "tidied", final[1], "tidied", final[2], "tidied"]
