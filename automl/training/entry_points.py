"""Entry points of a runner's jobs, importable in an instant: torch is imported where they run.

Here alone JSON becomes a `TrialJob`, and a result JSON. Not responsible for: what the tasks do (automl.training.trial,
automl.training.refit_fold, automl.training.lr_sweep).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from automl.errors import AutomlError
from automl.training.trial_job import Refused, SweepResult, TrialJob, TrialResult

if TYPE_CHECKING:
    from automl.training.reporting import RunnerContext


def run_trial(payload: Mapping[str, Any], context: RunnerContext) -> dict[str, Any]:
    """Train the folds of a trial; see `automl.training.trial.run_trial`."""
    from automl.training import trial

    return _run(payload, lambda job: trial.run_trial(job, context))


def run_fold(payload: Mapping[str, Any], context: RunnerContext) -> dict[str, Any]:
    """Train a single fold of a trial that has ended; see `automl.training.refit_fold.run_fold`."""
    from automl.training import refit_fold

    return _run(payload, lambda job: refit_fold.run_fold(job, context))


def run_lr_sweep(payload: Mapping[str, Any], context: RunnerContext) -> dict[str, Any]:
    """Take the steps of a learning-rate range test; see `automl.training.lr_sweep.run_lr_sweep`."""
    from automl.training import lr_sweep

    return _run(payload, lambda job: lr_sweep.run_lr_sweep(job, context))


def _run(payload: Mapping[str, Any], work: Callable[[TrialJob], TrialResult | SweepResult]) -> dict[str, Any]:
    try:
        job = TrialJob.from_json(payload)
    except AutomlError as error:
        return Refused.from_error(error).to_json()
    return work(job).to_json()
