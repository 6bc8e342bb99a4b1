"""The tasks that a runner carries, importable in an instant: torch is imported where they run, not where they are sent.

Not responsible for: what the tasks do (automl.training.trial, automl.training.refit_fold).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.training.reporting import Context


def run_trial(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train a trial; see `automl.training.trial.run_trial`."""
    from automl.training import trial

    return trial.run_trial(payload, context)


def run_fold(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train a single fold of a trial that has ended; see `automl.training.refit_fold.run_fold`."""
    from automl.training import refit_fold

    return refit_fold.run_fold(payload, context)


def sweep(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Take the steps of a range test; see `automl.training.lr_sweep.sweep`."""
    from automl.training import lr_sweep

    return lr_sweep.sweep(payload, context)
