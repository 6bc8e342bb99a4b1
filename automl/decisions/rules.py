"""The rules that turn probabilities into what is handed in: labels, sets of labels, ranked lists, values.

A rule looks at each row by itself, so that an image gets the same label out of fold, in the test set, and alone. Its
numbers are made elsewhere (automl.decisions.thresholds, cut_points, class_weights). Not responsible for: which rule is
taken (automl.decisions.choose).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automl.decisions.temperature import tempered
from automl.errors import StorageError
from automl.metrics.metric import Metric, plain_predictions
from automl.tasks import Task

NEVER = 2.0  # a threshold that no probability reaches


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What deciding needs to know of a competition beside probabilities.

    Attributes:
        prior: (n_classes,) the mean share of each class in training.
        always_labelled: whether every training image has at least one label.
        scales: (n_classes,) of (low, high) with REGRESSION.
    """

    task: Task
    prior: tuple[float, ...]
    always_labelled: bool = True
    scales: tuple[tuple[float, float], ...] | None = None

    @property
    def shares(self) -> NDArray[np.float64]:
        """(n_classes,) the prior as an array."""
        return np.asarray(self.prior, dtype=np.float64)


class Rule(Protocol):
    """What decides: probs (n, n_classes) -> predictions in the form that the metric needs; each row by itself."""

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]: ...

    def to_json(self) -> dict[str, Any]:
        """What the rule is, for ensemble.json."""


@dataclass(frozen=True, slots=True)
class PlainRule:
    """The most probable class, the best k, the place on the scales, or the probabilities themselves."""

    metric: Metric
    facts: Facts

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        one_class_each = self.facts.task.one_class_each
        return plain_predictions(self.metric, _double(probs), one_class_each=one_class_each, scales=self.facts.scales)

    def to_json(self) -> dict[str, Any]:
        return {"rule": "plain"}


@dataclass(frozen=True, slots=True)
class ThresholdsRule:
    """Labels (n, n_classes) of 0 and 1: those whose probability reaches their class's threshold.

    Attributes:
        thresholds: (n_classes,) from 0, which all reach, to NEVER.
        always_labelled: whether a row that reaches none gets the label that comes nearest, as a share of its threshold.
    """

    thresholds: tuple[float, ...]
    always_labelled: bool

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        probs, thresholds = _double(probs), np.asarray(self.thresholds)
        labels = (probs >= thresholds).astype(np.int64)
        if self.always_labelled:
            bare = np.flatnonzero(~labels.any(axis=1))  # where there are any, all thresholds are above 0
            labels[bare, (probs[bare] / np.where(thresholds > 0, thresholds, 1.0)).argmax(axis=1)] = 1
        return labels

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": "thresholds",
            "thresholds": list(self.thresholds),
            "always_labelled": self.always_labelled,
        }


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """The second of two classes (n,) where its probability reaches the threshold."""

    threshold: float

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        return (_double(probs)[:, 1] >= self.threshold).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        return {"rule": "threshold", "threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class AllOrNothingRule:
    """Probabilities (n, 2) of 0 and 1: the second class for certain where its probability reaches the threshold."""

    threshold: float

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        reached = _double(probs)[:, 1] >= self.threshold
        return np.column_stack([~reached, reached]).astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        return {"rule": "all or nothing", "threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class ClipRule:
    """Probabilities (n, n_classes) with a temperature, then within [edge, 1 - edge].

    Where an image has one class, rows are divided by their sums before and after.

    Attributes:
        temperature: by which logits are divided; 1 leaves them.
        edge: from 0, which changes nothing, to below 1/2.
    """

    temperature: float
    edge: float
    task: Task

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        shares = _shares(_double(probs)) if self.task.one_class_each else _double(probs)
        clipped = np.clip(tempered(shares, self.temperature, self.task), self.edge, 1.0 - self.edge)
        return _shares(clipped) if self.task.one_class_each else clipped

    def to_json(self) -> dict[str, Any]:
        return {"rule": "clip", "temperature": self.temperature, "edge": self.edge}


@dataclass(frozen=True, slots=True)
class CutPointsRule:
    """The number (n,) of cut points that the expected class number reaches.

    Attributes:
        cut_points: (n_classes - 1,) ascending.
    """

    cut_points: tuple[float, ...]

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        labels: NDArray[np.int64] = np.searchsorted(self.cut_points, expected_numbers(probs), side="right")
        return labels

    def to_json(self) -> dict[str, Any]:
        return {"rule": "cut points", "cut_points": list(self.cut_points)}


@dataclass(frozen=True, slots=True)
class ClassWeightsRule:
    """The class (n,) whose probability times its weight is greatest.

    Attributes:
        weights: (n_classes,) from 0 on; 0 for a class that is never given.
    """

    weights: tuple[float, ...]

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        weights = np.asarray(self.weights)
        labels: NDArray[np.int64] = np.where(weights > 0, _double(probs) * weights, -1.0).argmax(axis=1)
        return labels

    def to_json(self) -> dict[str, Any]:
        return {"rule": "class weights", "weights": list(self.weights)}


def expected_numbers(probs: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) the mean class number under the probabilities (n, n_classes).

    Column after column, because a matrix product rounds a row differently alone and among others.
    """
    probs = _double(probs)
    weighted, total = np.zeros(len(probs)), np.zeros(len(probs))
    for number, column in enumerate(probs.T):
        weighted += number * column
        total += column
    middle = np.full(len(probs), (probs.shape[1] - 1) / 2.0)
    numbers: NDArray[np.float64] = np.divide(weighted, total, out=middle, where=total > 0)
    return numbers


def plain_rule(metric: Metric, facts: Facts) -> Rule:
    """The rule without any fitting; with labels of 0 and 1 at least one for each image, if training shows that."""
    if metric.needs == "labels" and facts.task is Task.MULTILABEL:
        return ThresholdsRule((0.5,) * len(facts.prior), facts.always_labelled)
    return PlainRule(metric, facts)


def rule_from_json(document: Mapping[str, Any], metric: Metric, facts: Facts) -> Rule:
    """The rule that `to_json` described.

    Raises:
        StorageError: it describes none.
    """
    try:
        match document["rule"]:
            case "plain":
                return plain_rule(metric, facts)
            case "thresholds":
                return ThresholdsRule(_numbers(document["thresholds"]), bool(document["always_labelled"]))
            case "threshold":
                return ThresholdRule(float(document["threshold"]))
            case "all or nothing":
                return AllOrNothingRule(float(document["threshold"]))
            case "clip":
                return _clip_rule(float(document["temperature"]), float(document["edge"]), facts.task)
            case "cut points":
                return CutPointsRule(_numbers(document["cut_points"]))
            case "class weights":
                return ClassWeightsRule(_numbers(document["weights"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _no_rule(document) from error
    raise _no_rule(document)


def _double(probs: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(probs, dtype=np.float64)


def _shares(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows divided by their sums, uniform where that is 0, as the log loss takes them.

    The rows lie one after the other: numpy adds up others in an order that depends on how many there are.
    """
    probs = np.ascontiguousarray(probs)
    totals = probs.sum(axis=1, keepdims=True)
    uniform = np.full_like(probs, 1.0 / probs.shape[1])
    shares: NDArray[np.float64] = np.divide(probs, totals, out=uniform, where=totals > 0)
    return shares


def _clip_rule(temperature: float, edge: float, task: Task) -> ClipRule:
    if not (temperature > 0.0 and 0.0 <= edge < 0.5):
        raise ValueError(f"temperature {temperature}, edge {edge}")
    return ClipRule(temperature, edge, task)


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _no_rule(document: Mapping[str, Any]) -> StorageError:
    return StorageError(f"{dict(document)!r} describes no rule", hint="make the ensemble again: automl ensemble")
