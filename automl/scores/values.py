"""Scores of values: targets and predictions (n, n_targets) on the targets' own scale.

Not responsible for: turning places on a scale into values (automl.rules).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rmse(targets: NDArray[Any], values: NDArray[Any]) -> float:
    """Root of the mean squared error over all cells; several targets share one root, they are not averaged after it."""
    return float(np.sqrt((_errors(targets, values) ** 2).mean()))


def mae(targets: NDArray[Any], values: NDArray[Any]) -> float:
    """Mean absolute error over all cells."""
    return float(np.abs(_errors(targets, values)).mean())


def r2(targets: NDArray[Any], values: NDArray[Any]) -> float:
    """Mean over the targets of 1 - squared errors / squared deviations from the mean.

    A target that does not vary scores 1 where it is met exactly, else 0, as with scikit-learn's r2_score.
    """
    errors = (_errors(targets, values) ** 2).sum(axis=0)
    deviations = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return float(_explained(errors, deviations).mean())


def weighted_r2(targets: NDArray[Any], values: NDArray[Any], weights: NDArray[Any]) -> float:
    """1 - weighted squared errors / weighted squared deviations from the weighted mean, over all cells together.

    Each target has its weight (n_targets,). The mean is one for all targets, so that telling them apart counts as well.

    Source: CSIRO Image2Biomass Prediction, evaluation page: globally weighted R2.
    """
    errors = (_errors(targets, values) ** 2 @ weights).sum()
    mean = (targets @ weights).sum() / (weights.sum() * len(targets))
    deviations = ((targets - mean) ** 2 @ weights).sum()
    return float(_explained(np.atleast_1d(errors), np.atleast_1d(deviations))[0])


def _errors(targets: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    if targets.shape != values.shape:  # or numpy would pair every row with every other
        raise ValueError(f"targets of shape {targets.shape}, but values of shape {values.shape}")
    errors: NDArray[Any] = targets - values
    return errors


def _explained(errors: NDArray[Any], deviations: NDArray[Any]) -> NDArray[np.float64]:
    met = (errors == 0).astype(np.float64)
    explained: NDArray[np.float64] = 1.0 - np.divide(errors, deviations, out=1.0 - met, where=deviations > 0)
    return explained
