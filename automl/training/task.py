"""The task that a runner carries, importable in an instant: torch is imported where it runs, not where it is sent from.

Not responsible for: what the task does (automl.training.trial).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.training.trial import Context


def run_trial(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train a trial; see `automl.training.trial.run_trial`."""
    from automl.training import trial

    return trial.run_trial(payload, context)
