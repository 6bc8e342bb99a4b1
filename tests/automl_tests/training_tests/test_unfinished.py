"""A trial that was stopped predicts with its last whole epoch, and goes on as if nobody had asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_arrays
from automl.training.entry_points import run_trial
from automl.training.trial_job import TrialJob
from automl.training.unfinished import predict_unfinished
from runners.base import JobStopped
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    payload_of,
    write_study,
)


def list_files(study: StudyFiles) -> dict[Path, bytes]:
    """The content of every file of the trial."""
    return {path: path.read_bytes() for path in sorted(study.get_trial_files(0).root.rglob("*")) if path.is_file()}


def test_the_last_whole_epoch_predicts_what_the_trial_would_have_predicted_there(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    payload = payload_of(study, config_of(epochs=3))
    with pytest.raises(JobStopped):
        run_trial(payload, ScriptedContext(stop_at_step=1))
    before = list_files(study)
    predicted = predict_unfinished(TrialJob.from_json(payload), device="cpu", n_threads=1)
    assert predicted is not None and predicted.n_epochs == 2
    assert predicted.test_probs.shape == (7, 3) and len(predicted.rows) == len(predicted.probs)
    assert list_files(study) == before
    run_trial(payload, ScriptedContext())
    oof = read_arrays(study.get_trial_files(0).oof)
    assert np.array_equal(np.sort(predicted.rows), np.sort(oof["rows"]))
    assert not np.array_equal(predicted.probs, oof["probs"])  # a third epoch was trained


def test_the_best_epoch_predicts_where_the_best_is_chosen(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    payload = payload_of(study, config_of(epochs=2, epoch_choice="best"))
    with pytest.raises(JobStopped):
        run_trial(payload, ScriptedContext(stop_at_step=0))
    predicted = predict_unfinished(TrialJob.from_json(payload), device="cpu", n_threads=1)
    assert predicted is not None and predicted.n_epochs == 1


def test_a_trial_without_a_whole_epoch_predicts_nothing(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    payload = payload_of(study, config_of(epochs=2))
    assert predict_unfinished(TrialJob.from_json(payload), device="cpu", n_threads=1) is None
