"""Train one trial, from its job to its files.

Kill-safe at every point: a fold goes on from its last epoch, a finished fold is not trained again, a finished trial
returns at once. Not responsible for: deciding whether to go on (the runner's context raises JobStopped, which passes
through), nor Optuna's states (automl.search.search_loop).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from automl.artifacts import TrialFiles, read_json, write_json
from automl.training.checkpoints import EpochRecord
from automl.training.early_stopping import select_epoch
from automl.training.fold import Progress
from automl.training.fold_outputs import FoldResult, delete_fold_arrays, join_folds
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


def run_trial(job: TrialJob, context: RunnerContext) -> TrialResult:
    """Train the folds of a trial, or what is missing of them.

    Raises:
        StorageError: another process works on this trial.
    """
    with hold_lock(find_trial_files(job).lock):
        return run_or_refuse(lambda: _run(job, context))


def _run(job: TrialJob, context: RunnerContext) -> TrialResult:
    trial = TrialContext.open_job(job, context)
    write_config(trial)
    if _is_complete(trial.files, job.train_folds):
        return _load_result(trial)
    write_json(trial.files.origin, _describe_origin(job))
    progress, folds = Progress(), range(job.train_folds)
    try:
        finished = train_missing_folds(trial, job, folds, progress, devices=context.device.split("+"))
    except InfeasibleConfig as end:
        return build_infeasible(trial, progress, end)
    return _complete(trial, progress, finished)


def _describe_origin(job: TrialJob) -> dict[str, str | None]:
    """Return what the trial's first fold began with, as others of it shall."""
    document = job.to_json()
    return {name: document[name] for name in ("weights_dir", "init_from")}


def _complete(trial: TrialContext, progress: Progress, folds: list[FoldResult]) -> Completed:
    """Join the folds. The result is the last file to be written, and the folds' own arrays go only after it."""
    join_folds(trial.files, folds)
    competition = trial.competition
    rows, probs = np.concatenate([fold.rows for fold in folds]), np.concatenate([fold.probs for fold in folds])
    attributes = collect_attributes(
        progress,
        micro_batch=min(fold.micro_batch for fold in folds),
        n_parameters=folds[0].n_parameters,
    )
    attributes.update(_describe_epochs(trial, progress.history))
    score = competition.scorer(competition.targets[rows], probs)
    result = Completed(score=score, attributes=attributes)
    history = [asdict(record) for record in progress.history]
    write_json(trial.files.result, {"answer": result.to_json(), "history": history})
    delete_fold_arrays(trial.files, len(folds))
    return result


def _describe_epochs(trial: TrialContext, history: Sequence[EpochRecord]) -> dict[str, Any]:
    """Return which epoch of the first fold predicts, by which policy, and the last score at each image size."""
    choice = trial.config.epoch_choice
    chosen = select_epoch(
        history,
        choice,
        final_size=trial.config.resize.image_sizes[-1],
        greater_is_better=trial.competition.metric.greater_is_better,
    )
    by_size = {str(record.image_size): record.score for record in history}
    return {"epoch_choice": choice, "chosen_epoch": chosen, "score_by_size": by_size}


def _is_complete(files: TrialFiles, n_folds: int) -> bool:
    weights = (files.get_weights_path(fold) for fold in range(n_folds))
    return all(path.exists() for path in (files.result, files.oof, files.test)) and all(map(is_network_whole, weights))


def _load_result(trial: TrialContext) -> TrialResult:
    document = read_json(trial.files.result)
    trial.reporter.replay([EpochRecord(**record) for record in document["history"]])
    return TrialResult.from_json(document["answer"])
