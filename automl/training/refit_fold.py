"""Train one fold of a trial after the search, for a refit.

As kill-safe as a trial, and from the same seeds: the fold comes out bit for bit as if the search had trained it.
"""

from __future__ import annotations

from automl.artifacts import TrialFiles
from automl.errors import StorageError
from automl.training.fold import Progress
from automl.training.fold_outputs import FoldResult, load_fold
from automl.training.network.shared_backbone import is_network_whole
from automl.training.optim.accumulation import InfeasibleConfig
from automl.training.reporting import RunnerContext
from automl.training.trial_context import TrialContext, find_trial_files
from automl.training.trial_job import Completed, TrialJob, TrialResult
from automl.training.trial_run import (
    build_infeasible,
    collect_attributes,
    hold_lock,
    run_or_refuse,
    train_missing_folds,
    write_config,
)


def run_fold(job: TrialJob, context: RunnerContext) -> TrialResult:
    """Train the job's fold into trials/N/<refit_kind>, as far as an earlier run has not done it.

    Returns:
        as `automl.training.trial.run_trial`; the score is that of the fold's validation rows.

    Raises:
        StorageError: another process works on this fold.
    """
    assert job.fold is not None
    fold = job.fold
    with hold_lock(find_trial_files(job).get_fold_lock_path(fold)):
        return run_or_refuse(lambda: _run(job, fold, context))


def load_valid_fold(files: TrialFiles, fold: int) -> FoldResult | None:
    """Return what is left of a fold that was trained by itself, or None where any part is missing or damaged."""
    try:
        return load_fold(files, fold) if has_weights(files, fold) else None
    except (StorageError, KeyError, TypeError, ValueError):
        return None


def has_weights(files: TrialFiles, fold: int) -> bool:
    """Whether the fold's weights are there, and not cut short."""
    return is_network_whole(files.get_weights_path(fold))


def delete_fold(files: TrialFiles, fold: int) -> None:
    """Delete the result of a fold that was trained by itself, and its checkpoints."""
    paths = (files.get_fold_oof_path(fold), files.get_fold_test_path(fold), files.get_weights_path(fold))
    for path in (*paths, files.get_checkpoint_path(fold), files.get_previous_checkpoint_path(fold)):
        path.unlink(missing_ok=True)


def _run(job: TrialJob, fold: int, context: RunnerContext) -> TrialResult:
    trial = TrialContext.open_job(job, context)
    write_config(trial)
    if load_valid_fold(trial.files, fold) is None:
        trial.files.get_fold_oof_path(fold).unlink(missing_ok=True)  # it would say that the fold is finished
    progress = Progress()
    try:
        (finished,) = train_missing_folds(trial, job, [fold], progress, devices=context.device.split("+"))
    except InfeasibleConfig as end:
        return build_infeasible(trial, progress, end)
    competition = trial.competition
    return Completed(
        score=competition.scorer(competition.targets[finished.rows], finished.probs),
        attributes=collect_attributes(progress, micro_batch=finished.micro_batch, n_parameters=finished.n_parameters),
    )
