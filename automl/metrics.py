"""What a score is: a function of targets and probabilities, its name in scikit-learn, and its direction.

Scores keep their natural sign. Not responsible for: turning probabilities into submitted labels (automl.ensemble).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.errors import UsageError
from automl.tasks import Task

ScoreFunction = Callable[[NDArray[Any], NDArray[Any]], float]
Needs = Literal["probabilities", "order", "label", "labels", "ranking", "values"]
ONE_CLASS_EACH = frozenset(task for task in Task if task.one_class_each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A score of class probabilities.

    Attributes:
        function: targets, and predictions in the form that it needs -> the score.
        needs: "probabilities" (n, n_classes) where their size counts; "order", the same, where only their ranking does;
            "label" (n,) one class index for each image; "labels" (n, n_classes) of 0 and 1; "ranking" (n, k) class
            indices, the best first; "values" (n, n_classes) on the targets' own scale.
        tasks: the tasks that it can score.
        n_ranked: k of a ranking.
        weights: (n_classes,) of the columns, for a weighted metric.
    """

    name: str
    function: ScoreFunction
    greater_is_better: bool
    needs: Needs = "probabilities"
    tasks: frozenset[Task] = ONE_CLASS_EACH
    n_ranked: int = 0
    weights: tuple[float, ...] | None = None

    def __call__(self, targets: NDArray[Any], probs: NDArray[Any]) -> float:
        """The score of probs (n, n_classes) against targets, plainly decided, always finite.

        Raises:
            ValueError: the probabilities are not finite, or have another number of rows than the targets.
        """
        return self.score(targets, plain_predictions(self, np.asarray(probs, dtype=np.float64)))

    def score(self, targets: NDArray[Any], predictions: NDArray[Any]) -> float:
        """The score of predictions in the form that the metric needs.

        Raises:
            ValueError: they are not finite, or have another number of rows than the targets.
        """
        if len(targets) != len(predictions):
            raise ValueError(f"{len(targets)} targets, but {len(predictions)} rows of predictions")
        if not np.isfinite(predictions).all():
            raise ValueError("the predictions are not finite")
        return float(self.function(np.asarray(targets), predictions))

    @property
    def direction(self) -> str:
        """Optuna's word for the better direction."""
        return "maximize" if self.greater_is_better else "minimize"

    def better(self, score: float, other: float) -> bool:
        """Whether the first score is strictly better."""
        return score > other if self.greater_is_better else score < other


def log_loss(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Mean negative log probability of the true class; rows divided by their sums, clipped to [1e-15, 1 - 1e-15].

    Source: Kaggle's multi-class logarithmic loss, as its evaluation pages define it.
    """
    totals = probs.sum(axis=1, keepdims=True)
    rows = np.divide(probs, totals, out=np.full_like(probs, 1.0 / probs.shape[1]), where=totals > 0)
    true_probs = rows[np.arange(len(targets)), targets.astype(int)]
    return float(-np.log(np.clip(true_probs, 1e-15, 1 - 1e-15)).mean())


def accuracy(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of rows whose label is the true one."""
    return float((labels == targets).mean())


def balanced_accuracy(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean recall over the classes that occur in the targets."""
    hits = labels == targets
    return float(np.mean([hits[targets == index].mean() for index in np.unique(targets)]))


def f1_macro(targets: NDArray[Any], labels: NDArray[Any]) -> float:
    """Unweighted mean of F1 over the classes that occur in targets or predictions; 0 where undefined."""
    scores = []
    for index in np.union1d(targets, labels):
        true_positives = np.sum((labels == index) & (targets == index))
        scores.append(2.0 * true_positives / (np.sum(labels == index) + np.sum(targets == index)))
    return float(np.mean(scores))


def roc_auc(targets: NDArray[Any], probs: NDArray[Any]) -> float:
    """Area under the ROC curve; with more than two classes the mean of one class against the rest.

    A class that is absent, or alone, has no curve and is left out; 0.5 where none has one.
    Source: Mann-Whitney U with average ranks for ties (Hanley and McNeil 1982).
    """
    columns = [1] if probs.shape[1] == 2 else range(probs.shape[1])
    areas = [_binary_auc(targets == column, probs[:, column]) for column in columns]
    defined = [area for area in areas if area is not None]
    return float(np.mean(defined)) if defined else 0.5


def _binary_auc(positive: NDArray[Any], probs: NDArray[Any]) -> float | None:
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return None
    _, inverse, counts = np.unique(probs, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2.0
    rank_sum = mean_ranks[inverse][positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="log_loss", function=log_loss, greater_is_better=False),
        Metric(name="accuracy", function=accuracy, greater_is_better=True, needs="label"),
        Metric(name="balanced_accuracy", function=balanced_accuracy, greater_is_better=True, needs="label"),
        Metric(name="f1_macro", function=f1_macro, greater_is_better=True, needs="label"),
        Metric(name="roc_auc", function=roc_auc, greater_is_better=True, needs="order"),
    )
}


def metric_named(name: str, *, weights: tuple[float, ...] | None = None) -> Metric:
    """The metric of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in METRICS:
        raise UsageError(f"there is no metric '{name}'", hint=f"use one of {', '.join(METRICS)}")
    return replace(METRICS[name], weights=weights)


def plain_predictions(
    metric: Metric, probs: NDArray[Any], *, scales: tuple[tuple[float, float], ...] | None = None
) -> NDArray[Any]:
    """What the metric needs, decided without any threshold: the most probable class, labels from one half on, ..."""
    match metric.needs:
        case "label":
            return probs.argmax(axis=1)
        case "labels":
            return (probs >= 0.5).astype(np.int64)
        case "ranking":
            return np.argsort(-probs, axis=1, kind="stable")[:, : metric.n_ranked]
        case "values":
            low, high = np.asarray(scales or [(0.0, 1.0)] * probs.shape[1]).T
            return low + probs * (high - low)
        case _:
            return probs
