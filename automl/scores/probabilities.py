"""Scores for which the size of a probability counts: log losses and the probabilistic F1.

Not responsible for: scores that look only at the order of probabilities (automl.scores.orders).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-15  # Source: Kaggle's evaluation pages; https://www.kaggle.com/c/leaf-classification/overview/evaluation


def log_loss(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Mean negative log probability of what is true, clipped to [1e-15, 1 - 1e-15].

    With class indices (n,) the rows are divided by their sums first. With labels (n, n_classes) of 0 and 1 each column
    is a question of its own, and the mean is over all of them.

    Source: Kaggle's multi-class logarithmic loss, as its evaluation pages define it.
    """
    if targets.ndim == 2:
        return float(_column_losses(targets, probs).mean())
    probs = np.asarray(probs, dtype=np.float64)
    totals = probs.sum(axis=1, keepdims=True)
    rows = np.divide(probs, totals, out=np.full_like(probs, 1.0 / probs.shape[1]), where=totals > 0)
    true_probs = rows[np.arange(len(targets)), targets.astype(int)]
    return float(-np.log(_clipped(true_probs)).mean())


def weighted_log_loss(targets: NDArray[Any], probs: NDArray[Any], weights: NDArray[Any]) -> float:
    """The weighted mean of the columns' log losses: labels (n, n_classes) of 0 and 1, weights (n_classes,).

    Source: RSNA Intracranial Hemorrhage Detection 2019, evaluation page, where the column `any` weighs twice.
    """
    return float(np.average(_column_losses(targets, probs), weights=weights))


def pf1(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """F1 of the second class with probabilities, clipped to [0, 1], in place of counts; 0 where it is undefined.

    Source: https://www.kaggle.com/code/sohier/probabilistic-f-score, after Yacouby and Axman 2020, "Probabilistic
    Extension of Precision, Recall, and F1 Score": precision = pTP / (pTP + pFP), recall = pTP / positives.
    """
    shares = np.clip(probs[:, 1], 0.0, 1.0)
    true_positive, n_positive = float(shares[targets == 1].sum()), int((targets == 1).sum())
    total = float(shares.sum()) + n_positive  # 2PR / (P + R) with one denominator
    return 2.0 * true_positive / total if total > 0 else 0.0


def _column_losses(targets: NDArray[Any], probs: NDArray[Any]) -> NDArray[np.float64]:
    probs = np.asarray(probs, dtype=np.float64)
    losses: NDArray[np.float64] = -np.log(_clipped(np.where(targets > 0, probs, 1.0 - probs))).mean(axis=0)
    return losses


def _clipped(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(probs, FLOOR, 1.0 - FLOOR)
