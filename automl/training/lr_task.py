"""The range test as a task that a runner carries, importable in an instant: torch is imported where it runs.

Not responsible for: what the task does (automl.training.lr_sweep).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.training.reporting import Context


def sweep(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Take the steps of a range test; see `automl.training.lr_sweep.sweep`."""
    from automl.training import lr_sweep

    return lr_sweep.sweep(payload, context)
