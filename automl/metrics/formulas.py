"""Compute metrics: log losses and regression errors, areas under ROC curves, and ranked lists.

Accuracies, F scores and kappa, which compare labels, stand in automl.metrics.labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COLUMNS_AT_ONCE = 32  # ranks of 3,000 columns at once would take gigabytes
MIN_TPR = 0.8
TPR_SLICES = ((0.0, 0.4, 2.0), (0.4, 1.0, 1.0))  # from, to, weight
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


def mean_average_precision(targets: NDArray[Any], ranking: NDArray[Any], *, k: int) -> float:
    """Return the MAP@k of rankings (n, at least 1) of class indices, the best first.

    Against class indices (n,) that is the mean of 1 / rank, 0 where the true class is not among the first k. Against
    labels (n, n_classes) of 0 and 1 each row's precisions at its hits are summed and divided by the number of its
    labels or k, whichever is less; a row without labels scores 0. A class that is listed again is no second hit.

    Source: https://github.com/benhamner/Metrics, average_precision.py, which Kaggle refers to.
    """
    ranking = ranking[:, :k]
    if targets.ndim == 1:
        is_hit, n_true = ranking == targets[:, None], np.ones(len(targets), dtype=np.int64)
    else:
        is_hit, n_true = np.take_along_axis(targets > 0, ranking, axis=1), (targets > 0).sum(axis=1)
    is_hit = is_hit & ~_find_repeated(ranking)
    precisions = np.cumsum(is_hit, axis=1) / np.arange(1, ranking.shape[1] + 1)
    return float(((precisions * is_hit).sum(axis=1) / np.clip(n_true, 1, k)).mean())


def roc_auc(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Return the area under the ROC curve; the mean over the columns of more than two classes, or of several labels.

    With class indices (n,) a column is one class against the rest. A column whose class is absent, or alone, has no
    curve and is left out; 0.5 where none has one.

    Source: Mann-Whitney U with average ranks for ties (Hanley and McNeil 1982).
    """
    if targets.ndim == 1 and probs.shape[1] == 2:
        areas = _compute_aucs(targets[:, None] == 1, probs[:, 1:])
    else:
        columns = range(0, probs.shape[1], COLUMNS_AT_ONCE)
        areas = np.concatenate(
            [_compute_aucs(_binarize_columns(targets, first), _take_columns(probs, first)) for first in columns]
        )
    defined = areas[~np.isnan(areas)]
    return float(defined.mean()) if len(defined) else 0.5


def partial_auc(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Return the area between the ROC curve and 80 % true positives, from 0 to 0.2; 0.02, as by chance, without one.

    Source: ISIC 2024 challenge, https://www.kaggle.com/code/metric/isic-pauc-abovetpr
    """
    return _compute_slice_area(*_compute_roc_curve(targets, probs), MIN_TPR, 1.0)


def weighted_auc(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Return the area right of the ROC curve where the part below 40 % true positives counts twice, from 0 to 1.

    The limits are points of the curve, interpolated where no threshold falls on them. As by chance where it has none.

    Source: ALASKA2 image steganalysis, evaluation page, in the form of mle-bench's grade.py.
    """
    fpr, tpr = _compute_roc_curve(targets, probs)
    total = sum(weight * _compute_slice_area(fpr, tpr, low, high) for low, high, weight in TPR_SLICES)
    return total / sum(weight * (high - low) for low, high, weight in TPR_SLICES)


def _find_repeated(ranking: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (n, k) whether the class occurs earlier in the ranking."""
    repeated = np.zeros(ranking.shape, dtype=np.bool_)
    for rank in range(1, ranking.shape[1]):
        repeated[:, rank] = (ranking[:, :rank] == ranking[:, rank : rank + 1]).any(axis=1)
    return repeated


def _binarize_columns(targets: NDArray[Any], first: int) -> NDArray[np.bool_]:
    if targets.ndim == 2:
        return _take_columns(targets, first) > 0
    positive: NDArray[np.bool_] = targets[:, None] == np.arange(first, first + COLUMNS_AT_ONCE)
    return positive


def _take_columns(matrix: NDArray[Any], first: int) -> NDArray[Any]:
    return matrix[:, first : first + COLUMNS_AT_ONCE]


def _compute_aucs(positive: NDArray[np.bool_], probs: NDArray[Any]) -> Floats:
    """Return the AUC of each column of probs (n, columns); NaN where it has no positive or no negative row."""
    from scipy.stats import rankdata  # here, because it takes a second to load and commands that score nothing need it

    positive = positive[:, : probs.shape[1]]
    n_positive = positive.sum(axis=0)
    n_pairs = n_positive * (len(positive) - n_positive)
    n_wins = (rankdata(probs, axis=0) * positive).sum(axis=0) - n_positive * (n_positive + 1) / 2.0
    areas: Floats = np.divide(n_wins, n_pairs, out=np.full(len(n_pairs), np.nan), where=n_pairs > 0)
    return areas


def _compute_roc_curve(targets: NDArray[Any], probs: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return false and true positive rates at falling thresholds; the diagonal where a class is missing."""
    from sklearn.metrics import roc_curve  # here, because it loads pandas

    positive = targets == 1
    if positive.all() or not positive.any():
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    fpr, tpr, _ = roc_curve(positive, probs[:, 1])
    return fpr, tpr


def _compute_slice_area(fpr: Floats, tpr: Floats, low: float, high: float) -> float:
    """Return the area right of the curve, up to fpr = 1, between two true positive rates."""
    heights = np.clip(tpr, low, high)
    rises = np.diff(tpr)
    slopes = np.divide(np.diff(fpr), rises, out=np.zeros_like(rises), where=rises > 0)  # a level step has no area
    starts = fpr[:-1] + slopes * (heights[:-1] - tpr[:-1])
    ends = fpr[:-1] + slopes * (heights[1:] - tpr[:-1])
    return float(np.sum(np.diff(heights) * (1.0 - (starts + ends) / 2.0)))
