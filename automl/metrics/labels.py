"""Metrics of labels: class indices (n,), or multi-label indicators (n, n_classes) of 0 and 1.

See also: automl.decisions.choose, which turns probabilities into labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[Any]


def accuracy(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the share of rows whose label is the true one."""
    return float((labels == targets).mean())


def top1_error(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the share of rows whose label is not the true one."""
    return float((labels != targets).mean())


def balanced_accuracy(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the mean recall over the classes that occur in the targets."""
    true_positives, _, n_true = _count_by_class(targets, labels)
    occurring = n_true > 0
    return float((true_positives[occurring] / n_true[occurring]).mean())


def f1(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the F1 of the second of two classes; 0 where it occurs neither in targets nor in labels."""
    is_true, is_predicted = targets == 1, labels == 1
    counts = np.array([(is_true & is_predicted).sum(), is_predicted.sum(), is_true.sum()])
    return float(f_beta(*counts, beta=1.0))


def f_beta_macro(targets: NDArray[Any], labels: NDArray[Any], *, beta: float) -> float:
    """Return the unweighted mean of the classes' F-beta.

    With class indices over the classes that occur in targets or labels; with labels of 0 and 1 over all columns, where
    one that occurs in neither counts 0. Both are scikit-learn's defaults with zero_division=0.
    """
    if targets.ndim == 2:
        return float(f_beta(*_count_labels(targets, labels, axis=0), beta=beta).mean())
    true_positives, n_predicted, n_true = _count_by_class(targets, labels)
    occurring = n_predicted + n_true > 0
    return float(f_beta(true_positives, n_predicted, n_true, beta=beta)[occurring].mean())


def f_beta_micro(targets: NDArray[Any], labels: NDArray[Any], *, beta: float) -> float:
    """Return the F-beta of all labels of all rows together; with one class each that is the accuracy."""
    if targets.ndim == 1:
        return accuracy(targets, labels)
    return float(f_beta(*(counts.sum() for counts in _count_labels(targets, labels, axis=0)), beta=beta))


def f_beta_samples(targets: NDArray[Any], labels: NDArray[Any], *, beta: float) -> float:
    """Return the mean F-beta of the rows, 0 for one without true and predicted labels; accuracy of indices."""
    if targets.ndim == 1:
        return accuracy(targets, labels)
    return float(f_beta(*_count_labels(targets, labels, axis=1), beta=beta).mean())


def f_beta(true_positives: Counts, n_predicted: Counts, n_true: Counts, *, beta: float) -> NDArray[np.float64]:
    """Return F-beta from counts, elementwise; 0 where it is undefined.

    Source: van Rijsbergen, "Information Retrieval", 1979, with precision and recall written out as counts.
    """
    totals = np.asarray(n_predicted + beta**2 * n_true, dtype=np.float64)
    scores: NDArray[np.float64] = np.divide(
        (1.0 + beta**2) * true_positives, totals, out=np.zeros_like(totals), where=totals > 0
    )
    return scores


def qwk(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return Cohen's kappa with quadratic weights over class numbers; 0 where all targets and labels are one class.

    The classes are 0 to N - 1 even where some are absent. N itself cancels: 1 - sum(wO) / sum(wE) with
    w = (i - j)^2 / (N - 1)^2 is 1 less the mean squared difference of target and label over that of all pairs of them.

    Source: Cohen 1968, "Weighted kappa"; Kaggle's Diabetic Retinopathy Detection, evaluation page.
    """
    true, predicted = targets.astype(np.float64), labels.astype(np.float64)
    expected = true.var() + predicted.var() + (true.mean() - predicted.mean()) ** 2
    return float(1.0 - ((true - predicted) ** 2).mean() / expected) if expected > 0 else 0.0


def _count_by_class(targets: NDArray[Any], labels: NDArray[Any]) -> tuple[Counts, Counts, Counts]:
    """Return true positives, predictions and true rows of each class."""
    targets, labels = targets.astype(np.int64), labels.astype(np.int64)
    n_classes = int(max(targets.max(initial=0), labels.max(initial=0))) + 1
    counted = (targets[targets == labels], labels, targets)
    true_positives, n_predicted, n_true = (np.bincount(indices, minlength=n_classes) for indices in counted)
    return true_positives, n_predicted, n_true


def _count_labels(targets: NDArray[Any], labels: NDArray[Any], *, axis: int) -> tuple[Counts, Counts, Counts]:
    """Return true positives, predicted and true labels of each column (axis 0) or row (axis 1)."""
    is_true, is_predicted = targets > 0, labels > 0
    sets = (is_true & is_predicted, is_predicted, is_true)
    true_positives, n_predicted, n_true = (np.asarray(np.count_nonzero(members, axis=axis)) for members in sets)
    return true_positives, n_predicted, n_true
