"""Metric: a score function with its direction, the form of predictions it needs, and the tasks it fits.

See also: automl.metrics.registry for the table of metrics, automl.decisions.choose for fitted decision rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.multi_output import HeadSizes, choose_likeliest_classes, iterate_head_targets, split_by_head
from automl.tasks import Task

ScoreFunction = Callable[..., float]
Needs = Literal["probabilities", "order", "label", "labels", "ranking", "values"]
Average = Literal["macro", "micro", "samples"]
MAX_SORTED_CLASSES = 50  # of thousands of classes the best k are picked first: to sort them all takes seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the table of metrics: everything that is known of a metric, stated and never inferred.

    Attributes:
        name: as scikit-learn calls it where it has it; "/path/of.py:function" for the user's own.
        function: targets, and predictions in the form that it needs -> the score; a third argument where `weighted`.
        greater_is_better: the metric's direction; each row states it.
        needs: "probabilities" (n, n_classes) where their size counts; "order", the same, where only their ranking does;
            "label" (n,) one class index for each image; "labels" (n, n_classes) of 0 and 1 with MULTILABEL, and as
            "label" where an image has one class; "ranking" (n, k) class indices, the best first; "values"
            (n, n_classes) on the targets' own scale.
        tasks: the tasks that it can score.
        n_ranked: k of a ranking.
        weighted: whether it weighs the columns.
        weights: (n_classes,) of the columns, for a weighted metric; (n_heads,) of the heads.
        average, beta: of an F-score over several classes.
        digest: of the file's content for the user's own; empty otherwise.
        head_sizes: the number of classes of each head with MULTIOUTPUT; then the score is the weighted mean over the
            heads of what `function` says of each, and "label" is (n, n_heads) indices of columns.
    """

    name: str
    function: ScoreFunction
    greater_is_better: bool
    needs: Needs
    tasks: frozenset[Task]
    n_ranked: int = 0
    weighted: bool = False
    weights: tuple[float, ...] | None = None
    average: Average | None = None
    beta: float = 1.0
    digest: str = ""
    head_sizes: HeadSizes = ()

    def __call__(self, targets: NDArray[Any], probs: NDArray[Any]) -> float:
        """Return the score of probs (n, n_classes) under the plain rule, always finite.

        Raises:
            ValueError: the probabilities are not finite, or have another number of rows than the targets.
        """
        targets, probs = np.asarray(targets), require_finite(probs)
        return self.score(targets, apply_plain_rule(self, probs, is_single_class=targets.ndim == 1))

    def score(self, targets: NDArray[Any], predictions: NDArray[Any]) -> float:
        """Return the score of predictions in the form that the metric needs.

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
        if self.head_sizes:
            return self._average_heads(targets, predictions)
        if not self.weighted:
            return float(self.function(targets, predictions))
        if self.weights is None:
            raise ValueError(f"{self.name} has no weights")
        return float(self.function(targets, predictions, np.asarray(self.weights, dtype=np.float64)))

    @property
    def of_one_head(self) -> Metric:
        """The same of one head alone; itself where there are none."""
        return replace(self, head_sizes=(), weights=None) if self.head_sizes else self

    def _average_heads(self, targets: NDArray[Any], predictions: NDArray[Any]) -> float:
        own = (
            iterate_head_targets(predictions, self.head_sizes)
            if self.needs_labels
            else split_by_head(predictions, self.head_sizes)
        )
        pairs = zip(iterate_head_targets(targets, self.head_sizes), own, strict=True)
        metric = self.of_one_head
        return float(np.average([metric.score(truth, predicted) for truth, predicted in pairs], weights=self.weights))

    @property
    def identity(self) -> str:
        """The name in a study's fingerprint; for a user's metric its file's name and content, wherever it lies."""
        return f"{Path(self.name).name} {self.digest}" if self.digest else self.name

    @property
    def needs_labels(self) -> bool:
        """Whether the metric scores labels, which a decision rule makes from probabilities."""
        return self.needs in ("label", "labels")

    @property
    def direction(self) -> str:
        """Optuna's direction: "maximize" or "minimize"."""
        return "maximize" if self.greater_is_better else "minimize"

    def is_better(self, score: float, other: float) -> bool:
        """Return whether the first score is strictly better."""
        return score > other if self.greater_is_better else score < other


def apply_plain_rule(
    metric: Metric,
    probs: NDArray[Any],
    *,
    is_single_class: bool = False,
    scales: tuple[tuple[float, float], ...] | None = None,
) -> NDArray[Any]:
    """Return predictions in the form that the metric needs, by argmax, a threshold of 1/2, top k, or scaling."""
    match metric.needs:
        case "label" | "labels" if metric.head_sizes:
            return choose_likeliest_classes(probs, metric.head_sizes)
        case "labels" if not is_single_class:
            return (probs >= 0.5).astype(np.int64)
        case "label" | "labels":
            labels: NDArray[np.int64] = probs.argmax(axis=1)
            return labels
        case "ranking":
            return _rank_classes(probs, metric.n_ranked)
        case "values":
            low, high = np.asarray(scales or [(0.0, 1.0)] * probs.shape[1]).T
            values: NDArray[np.float64] = low + probs * (high - low)
            return values
        case _:
            return probs


def require_finite(predictions: NDArray[Any]) -> NDArray[Any]:
    """Return the predictions, floats in double precision.

    Raises:
        ValueError: some are not finite.
    """
    predictions = np.asarray(predictions)
    if np.issubdtype(predictions.dtype, np.floating):
        predictions = predictions.astype(np.float64, copy=False)
        if not np.isfinite(predictions).all():
            raise ValueError("the predictions are not finite")
    return predictions


def _rank_classes(probs: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return (n, at most k) the most probable classes, best first; ties in class order.

    With more than MAX_SORTED_CLASSES, which of several equal ones is the last on the list is left open.
    """
    if probs.shape[1] <= max(k, MAX_SORTED_CLASSES):
        return np.argsort(-probs, axis=1, kind="stable")[:, :k]
    candidates = np.sort(np.argpartition(-probs, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(probs, candidates, axis=1), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1)
