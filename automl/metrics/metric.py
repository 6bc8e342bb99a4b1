"""A metric: a score function with its name, its direction, and what it can score.

Not responsible for: which metrics there are (automl.metrics.registry), or deciding with more care than the plain way
(automl.decisions.choose).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.tasks import Task

ScoreFunction = Callable[..., float]
Needs = Literal["probabilities", "order", "label", "labels", "ranking", "values"]
Average = Literal["macro", "micro", "samples"]
MAX_SORTED_CLASSES = 50  # of thousands of classes the best k are picked first: to sort them all takes seconds
ONE_CLASS_EACH = frozenset(task for task in Task if task.one_class_each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A score of predictions.

    Attributes:
        name: as scikit-learn calls it where it has it; "/path/of.py:function" for the user's own.
        function: targets, and predictions in the form that it needs -> the score; a third argument where `weighted`.
        needs: "probabilities" (n, n_classes) where their size counts; "order", the same, where only their ranking does;
            "label" (n,) one class index for each image; "labels" (n, n_classes) of 0 and 1 with MULTILABEL, and as
            "label" where an image has one class; "ranking" (n, k) class indices, the best first; "values"
            (n, n_classes) on the targets' own scale.
        tasks: the tasks that it can score.
        n_ranked: k of a ranking.
        weighted: whether it weighs the columns.
        weights: (n_classes,) of the columns, for a weighted metric.
        average, beta: of an F-score over several classes.
        digest: of the file's content for the user's own; empty otherwise.
    """

    name: str
    function: ScoreFunction
    greater_is_better: bool
    needs: Needs = "probabilities"
    tasks: frozenset[Task] = ONE_CLASS_EACH
    n_ranked: int = 0
    weighted: bool = False
    weights: tuple[float, ...] | None = None
    average: Average | None = None
    beta: float = 1.0
    digest: str = ""

    def __call__(self, targets: NDArray[Any], probs: NDArray[Any]) -> float:
        """The score of probs (n, n_classes) against targets, plainly decided, always finite.

        Raises:
            ValueError: the probabilities are not finite, or have another number of rows than the targets.
        """
        targets, probs = np.asarray(targets), require_finite(probs)
        return self.score(targets, plain_predictions(self, probs, one_class_each=targets.ndim == 1))

    def score(self, targets: NDArray[Any], predictions: NDArray[Any]) -> float:
        """The score of predictions in the form that the metric needs.

        Raises:
            ValueError: they are not finite, or have another number of rows than the targets; there are no rows; a
                weighted metric has no weights.
            UsageError: the user's own function fails.
        """
        targets, predictions = np.asarray(targets), require_finite(predictions)
        if len(targets) != len(predictions):
            raise ValueError(f"{len(targets)} targets, but {len(predictions)} rows of predictions")
        if not len(targets):
            raise ValueError(f"{self.name} of no rows is undefined")
        if not self.weighted:
            return float(self.function(targets, predictions))
        if self.weights is None:
            raise ValueError(f"{self.name} has no weights")
        return float(self.function(targets, predictions, np.asarray(self.weights, dtype=np.float64)))

    @property
    def identity(self) -> str:
        """What a study is bound to: the name; for the user's own its file's name and content, wherever it lies."""
        return f"{Path(self.name).name} {self.digest}" if self.digest else self.name

    @property
    def needs_labels(self) -> bool:
        """Whether labels are scored, which are decided from probabilities."""
        return self.needs in ("label", "labels")

    @property
    def direction(self) -> str:
        """Optuna's word for the better direction."""
        return "maximize" if self.greater_is_better else "minimize"

    def better(self, score: float, other: float) -> bool:
        """Whether the first score is strictly better."""
        return score > other if self.greater_is_better else score < other


def plain_predictions(
    metric: Metric,
    probs: NDArray[Any],
    *,
    one_class_each: bool = False,
    scales: tuple[tuple[float, float], ...] | None = None,
) -> NDArray[Any]:
    """What the metric needs, decided without any threshold: the most probable class, labels from one half on, ..."""
    match metric.needs:
        case "labels" if not one_class_each:
            return (probs >= 0.5).astype(np.int64)
        case "label" | "labels":
            labels: NDArray[np.int64] = probs.argmax(axis=1)
            return labels
        case "ranking":
            return _best_first(probs, metric.n_ranked)
        case "values":
            low, high = np.asarray(scales or [(0.0, 1.0)] * probs.shape[1]).T
            values: NDArray[np.float64] = low + probs * (high - low)
            return values
        case _:
            return probs


def require_finite(predictions: NDArray[Any]) -> NDArray[Any]:
    """The predictions, in double precision where they are not whole numbers.

    Raises:
        ValueError: some are not finite.
    """
    predictions = np.asarray(predictions)
    if np.issubdtype(predictions.dtype, np.floating):
        predictions = predictions.astype(np.float64, copy=False)
        if not np.isfinite(predictions).all():
            raise ValueError("the predictions are not finite")
    return predictions


def _best_first(probs: NDArray[Any], k: int) -> NDArray[np.int64]:
    """(n, at most k) the most probable classes; of equal ones the first class first.

    With more than MAX_SORTED_CLASSES, which of several equal ones is the last on the list is left open.
    """
    if probs.shape[1] <= max(k, MAX_SORTED_CLASSES):
        return np.argsort(-probs, axis=1, kind="stable")[:, :k]
    among = np.sort(np.argpartition(-probs, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(probs, among, axis=1), axis=1, kind="stable")
    return np.take_along_axis(among, order, axis=1)
