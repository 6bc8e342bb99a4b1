"""Metrics of each prediction's size: log losses, probabilistic F1, and regression errors.

See also: automl.metrics.rankings for metrics of the predictions' order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-15  # Source: Kaggle's evaluation pages; https://www.kaggle.com/c/leaf-classification/overview/evaluation


def log_loss(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Return the mean negative log probability of the true classes, clipped to [1e-15, 1 - 1e-15].

    With class indices (n,) the rows are divided by their sums first. With labels (n, n_classes) of 0 and 1 each column
    is a question of its own, and the mean is over all of them.

    Source: Kaggle's multi-class logarithmic loss, as its evaluation pages define it.
    """
    if targets.ndim == 2:
        return float(_compute_column_losses(targets, probs).mean())
    probs = np.asarray(probs, dtype=np.float64)
    totals = probs.sum(axis=1, keepdims=True)
    rows = np.divide(probs, totals, out=np.full_like(probs, 1.0 / probs.shape[1]), where=totals > 0)
    true_probs = rows[np.arange(len(targets)), targets.astype(int)]
    return float(-np.log(_clip(true_probs)).mean())


def weighted_log_loss(targets: NDArray[Any], probs: NDArray[Any], weights: NDArray[Any]) -> float:
    """Return the weighted mean of the columns' log losses: labels (n, n_classes) of 0 and 1, weights (n_classes,).

    Source: RSNA Intracranial Hemorrhage Detection 2019, evaluation page, where the column `any` weighs twice.
    """
    return float(np.average(_compute_column_losses(targets, probs), weights=weights))


def pf1(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Return the F1 of the second class, with clipped probabilities in place of counts; 0 where it is undefined.

    Source: https://www.kaggle.com/code/sohier/probabilistic-f-score, after Yacouby and Axman 2020, "Probabilistic
    Extension of Precision, Recall, and F1 Score": precision = pTP / (pTP + pFP), recall = pTP / positives.
    """
    clipped = np.clip(probs[:, 1], 0.0, 1.0)
    true_positive, n_positive = float(clipped[targets == 1].sum()), int((targets == 1).sum())
    total = float(clipped.sum()) + n_positive  # 2PR / (P + R) with one denominator
    return 2.0 * true_positive / total if total > 0 else 0.0


def rmse(targets: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the root mean squared error over all cells: one root for all targets, no mean of their roots."""
    return float(np.sqrt((_subtract(targets, values) ** 2).mean()))


def mae(targets: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean absolute error over all cells."""
    return float(np.abs(_subtract(targets, values)).mean())


def r2(targets: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean over the targets of 1 - squared errors / squared deviations from the mean.

    A constant target scores 1 where it is predicted exactly, else 0, as with scikit-learn's r2_score.
    """
    errors = (_subtract(targets, values) ** 2).sum(axis=0)
    deviations = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return float(_compute_r2(errors, deviations).mean())


def weighted_r2(targets: NDArray[Any], values: NDArray[Any], weights: NDArray[Any]) -> float:
    """Return 1 - weighted squared errors / weighted squared deviations from the weighted mean, over all cells.

    Each target has its weight (n_targets,). One mean serves all targets, so that differences between them count too.

    Source: CSIRO Image2Biomass Prediction, evaluation page: globally weighted R2.
    """
    errors = (_subtract(targets, values) ** 2 @ weights).sum()
    mean = (targets @ weights).sum() / (weights.sum() * len(targets))
    deviations = ((targets - mean) ** 2 @ weights).sum()
    return float(_compute_r2(np.atleast_1d(errors), np.atleast_1d(deviations))[0])


def _subtract(targets: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    if targets.shape != values.shape:  # or numpy would pair every row with every other
        raise ValueError(f"targets of shape {targets.shape}, but values of shape {values.shape}")
    errors: NDArray[Any] = targets - values
    return errors


def _compute_r2(errors: NDArray[Any], deviations: NDArray[Any]) -> NDArray[np.float64]:
    is_exact = (errors == 0).astype(np.float64)
    r2s: NDArray[np.float64] = 1.0 - np.divide(errors, deviations, out=1.0 - is_exact, where=deviations > 0)
    return r2s


def _compute_column_losses(targets: NDArray[Any], probs: NDArray[Any]) -> NDArray[np.float64]:
    probs = np.asarray(probs, dtype=np.float64)
    losses: NDArray[np.float64] = -np.log(_clip(np.where(targets > 0, probs, 1.0 - probs))).mean(axis=0)
    return losses


def _clip(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(probs, FLOOR, 1.0 - FLOOR)
