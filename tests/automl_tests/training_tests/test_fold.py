"""Folds of a trial: what they need to be trained, and that none is trained twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from automl.errors import DataError
from automl.training import reporting
from automl.training.entry_points import run_trial
from automl.training.fold import prepare_fold
from automl.training.trial_context import TrialContext
from automl.training.trial_job import TrialJob
from runners.base import JobStopped
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    contents,
    payload_of,
    write_study,
)


@pytest.mark.slow
def test_a_fold_that_is_finished_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BEAT_INTERVAL_S", 0.0)
    whole, cut = write_study(tmp_path / "whole"), write_study(tmp_path / "cut")
    config, first = config_of(epochs=2), ScriptedContext()
    run_trial(payload_of(whole, config, train_folds=2), first)
    files = cut.get_trial_files(0)
    with pytest.raises(JobStopped):
        run_trial(payload_of(cut, config, train_folds=2), ScriptedContext(stop_at_beat=len(first.beats) - 3))
    assert files.get_fold_oof_path(0).exists()
    assert not files.get_fold_oof_path(1).exists()
    written = files.get_weights_path(0).stat().st_mtime_ns
    resumed = ScriptedContext()
    run_trial(payload_of(cut, config, train_folds=2), resumed)
    assert files.get_weights_path(0).stat().st_mtime_ns == written
    assert resumed.reports == first.reports
    assert contents(files) == contents(whole.get_trial_files(0))


def test_an_image_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    (tmp_path / "images" / "7.png").write_bytes(b"no image")
    answer = run_trial(payload_of(study, config_of()), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 3)
    assert "7.png" in answer["problem"]


def test_batch_norm_is_never_given_one_image_by_itself(tmp_path: Path) -> None:
    # At 32 pixels the last feature maps of test_resnet are single pixels, which batch norm refuses for one image.
    study = write_study(tmp_path)
    assert (load_folds(study.folds, load_competition(study.competition)) != 0).sum() % 47 == 1
    answer = run_trial(payload_of(study, config_of(batch_size=47, epochs=1)), ScriptedContext())
    assert answer["outcome"] == "completed"


def open_trial(study: StudyFiles) -> TrialContext:
    return TrialContext.open_job(TrialJob.from_json(payload_of(study, config_of())), ScriptedContext())


def test_a_fold_trains_on_the_rows_of_the_others_and_on_those_of_none(shapes: StudyFiles) -> None:
    trial = open_trial(shapes)
    folds = trial.folds.copy()
    folds[:4] = -1
    task, state = prepare_fold(replace(trial, folds=folds), 2)
    assert task.valid_rows.tolist() == np.flatnonzero(folds == 2).tolist()
    assert sorted([*task.train_rows, *task.valid_rows]) == list(range(len(folds)))
    assert task.seeds == (5, 0, 2)
    assert state.history == []


def test_a_fold_with_too_few_images_is_refused_with_their_numbers(shapes: StudyFiles) -> None:
    trial = open_trial(shapes)
    folds = np.ones(len(trial.folds), dtype=np.int64)
    folds[0] = 0
    lopsided = replace(trial, folds=folds)
    assert prepare_fold(lopsided, 0)[0].valid_rows.tolist() == [0]
    with pytest.raises(DataError, match="fold 1 has 1 images to train on and 59 to validate on"):
        prepare_fold(lopsided, 1)
    with pytest.raises(DataError, match="fold 2 has 60 images to train on and 0 to validate on"):
        prepare_fold(lopsided, 2)
