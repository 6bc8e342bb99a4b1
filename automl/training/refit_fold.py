"""One fold of a trial that the search has ended, trained after it: the task that a runner carries for a refit.

As kill-safe as a trial, and from the same seeds: the fold comes out bit for bit as if the search had trained it. Not
responsible for: which folds are trained (automl.refit.plan), nor for what an attempt shares with a trial's
(automl.training.attempt).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from automl.artifacts import StudyFiles, TrialFiles
from automl.errors import StorageError
from automl.training.attempt import Answer, answered, claim_folder, dead_end, finish_folds, locked, measured
from automl.training.fold import Progress
from automl.training.fold_outputs import FinishedFold, load_fold
from automl.training.optim.accumulation import DeadEnd
from automl.training.reporting import Context
from automl.training.trial_context import Setting


def run_fold(payload: Mapping[str, Any], context: Context) -> Answer:
    """Train a fold into trials/N/<kind>, as far as an earlier attempt has not done it, and say how it ended.

    Args:
        payload: as that of `run_trial`, without train_folds; and fold, kind (refit, pseudo or distilled), and lesson, a
            path or None.

    Returns:
        as `run_trial`; the score is that of the fold's validation rows.

    Raises:
        StorageError: another process works on this fold.
    """
    files = StudyFiles(Path(payload["study_dir"])).trial(payload["trial"]).retrained(payload["kind"])
    with locked(files.fold_lock(payload["fold"])):
        return answered(lambda: _run(payload, context))


def whole_fold(files: TrialFiles, fold: int) -> FinishedFold | None:
    """What is left of a fold that was trained by itself, or None where any part of it is missing or damaged."""
    try:
        return load_fold(files, fold) if has_weights(files, fold) else None
    except (StorageError, KeyError, TypeError, ValueError):
        return None


def has_weights(files: TrialFiles, fold: int) -> bool:
    """Whether the fold's weights are there, and not cut short."""
    try:
        with safetensors.safe_open(files.weights(fold), framework="numpy") as file:
            return len(file.keys()) > 0
    except (OSError, safetensors.SafetensorError):
        return False


def forget_fold(files: TrialFiles, fold: int) -> None:
    """Delete what a fold that was trained by itself has come to, and how far it has come."""
    paths = (files.fold_oof(fold), files.fold_test(fold), files.weights(fold))
    for path in (*paths, files.checkpoint(fold), files.previous_checkpoint(fold)):
        path.unlink(missing_ok=True)


def _run(payload: Mapping[str, Any], context: Context) -> Answer:
    setting, fold = Setting.opened(payload, context), payload["fold"]
    claim_folder(setting)
    if whole_fold(setting.files, fold) is None:
        setting.files.fold_oof(fold).unlink(missing_ok=True)  # it would say that the fold is finished
    progress = Progress()
    try:
        (finished,) = finish_folds(setting, payload, [fold], progress, devices=context.device.split("+"))
    except DeadEnd as end:
        return dead_end(setting, progress, end)
    competition = setting.competition
    return {
        "outcome": "completed",
        "score": competition.scorer(competition.targets[finished.rows], finished.probs),
        "attributes": measured(progress, micro_batch=finished.micro_batch, n_parameters=finished.n_parameters),
    }
