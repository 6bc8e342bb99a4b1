"""Apply decision rules: turn probabilities into submitted labels, sets of labels, ranked lists or values.

A rule decides each row by itself, so that an image gets the same label out of fold, in the test set, and alone.
See also: automl.decisions.fit fits the rules, automl.decisions.choose chooses one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automl.decisions.temperature import apply_temperature
from automl.errors import StorageError
from automl.metrics.metric import Metric, apply_plain_rule
from automl.multi_output import HeadSizes, list_head_slices, split_by_head
from automl.target_kinds import TargetKind
from automl.tasks import Task

NEVER = 2.0  # a threshold that no probability reaches


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """What a decision rule needs to know of a competition besides probabilities.

    Attributes:
        prior: (n_classes,) the mean share of each class in training.
        always_labelled: whether every training image has at least one label.
        scales: (n_classes,) of (low, high) with REGRESSION.
        head_sizes: the number of classes of each head with MULTIOUTPUT.
    """

    task: Task
    prior: tuple[float, ...]
    always_labelled: bool = True
    scales: tuple[tuple[float, float], ...] | None = None
    head_sizes: HeadSizes = ()

    @property
    def target_kind(self) -> TargetKind:
        """What is computed from the targets and probs."""
        return self.task.target_kind.with_heads(self.head_sizes)

    def split_heads(self) -> list[DecisionContext]:
        """Return the context of each head: one of several classes, of which an image has one."""
        priors = [self.prior[own] for own in list_head_slices(self.head_sizes)]
        return [replace(self, task=Task.MULTICLASS, prior=prior, head_sizes=()) for prior in priors]

    @property
    def prior_array(self) -> NDArray[np.float64]:
        """The prior (n_classes,) as an array."""
        return np.asarray(self.prior, dtype=np.float64)


class Rule(Protocol):
    """A decision rule: probs (n, n_classes) -> predictions in the form that the metric needs; each row by itself."""

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]: ...

    def to_json(self) -> dict[str, Any]:
        """Return the rule for ensemble.json."""


@dataclass(frozen=True, slots=True)
class PlainRule:
    """Predict the most probable class, the best k, values on the scales, or the probabilities themselves."""

    metric: Metric
    context: DecisionContext

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        is_single_class = self.context.target_kind.is_single_class
        return apply_plain_rule(
            self.metric, _convert_to_double(probs), is_single_class=is_single_class, scales=self.context.scales
        )

    def to_json(self) -> dict[str, Any]:
        return {"rule": "plain"}


@dataclass(frozen=True, slots=True)
class ThresholdsRule:
    """Predict labels (n, n_classes) of 0 and 1: those whose probability reaches their class's threshold.

    Attributes:
        thresholds: (n_classes,) from 0, which all reach, to NEVER.
        always_labelled: whether a row that reaches none gets the label that comes nearest, as a share of its threshold.
    """

    thresholds: tuple[float, ...]
    always_labelled: bool

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        probs, thresholds = _convert_to_double(probs), np.asarray(self.thresholds)
        labels = (probs >= thresholds).astype(np.int64)
        if self.always_labelled:
            unlabelled = np.flatnonzero(~labels.any(axis=1))  # where there are any, all thresholds are above 0
            labels[unlabelled, (probs[unlabelled] / np.where(thresholds > 0, thresholds, 1.0)).argmax(axis=1)] = 1
        return labels

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": "thresholds",
            "thresholds": list(self.thresholds),
            "always_labelled": self.always_labelled,
        }


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Predict the second of two classes (n,) where its probability reaches the threshold."""

    threshold: float

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        return (_convert_to_double(probs)[:, 1] >= self.threshold).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        return {"rule": "threshold", "threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class AllOrNothingRule:
    """Predict probabilities (n, 2) of 0 and 1: the second class where its probability reaches the threshold."""

    threshold: float

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        reached = _convert_to_double(probs)[:, 1] >= self.threshold
        return np.column_stack([~reached, reached]).astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        return {"rule": "all or nothing", "threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class ClipRule:
    """Scale probabilities (n, n_classes) by a temperature, then clip them to [edge, 1 - edge].

    Where an image has one class, or one of each head, rows are divided by their sums before and after.

    Attributes:
        temperature: by which logits are divided; 1 leaves them.
        edge: from 0, which changes nothing, to below 1/2.
    """

    temperature: float
    edge: float
    task: Task
    head_sizes: HeadSizes = ()

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        target_kind = self.task.target_kind.with_heads(self.head_sizes)
        normalize = target_kind.normalize_rows
        scaled = apply_temperature(normalize(_convert_to_double(probs)), self.temperature, target_kind)
        return normalize(np.clip(scaled, self.edge, 1.0 - self.edge))

    def to_json(self) -> dict[str, Any]:
        return {"rule": "clip", "temperature": self.temperature, "edge": self.edge}


@dataclass(frozen=True, slots=True)
class CutPointsRule:
    """Predict the class (n,): the number of cut points that the expected class reaches.

    Attributes:
        cut_points: (n_classes - 1,) ascending.
    """

    cut_points: tuple[float, ...]

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        labels: NDArray[np.int64] = np.searchsorted(self.cut_points, compute_expected_classes(probs), side="right")
        return labels

    def to_json(self) -> dict[str, Any]:
        return {"rule": "cut points", "cut_points": list(self.cut_points)}


@dataclass(frozen=True, slots=True)
class ClassWeightsRule:
    """Predict the class (n,) whose probability times its weight is greatest.

    Attributes:
        weights: (n_classes,) from 0 on; 0 for a class that is never given.
    """

    weights: tuple[float, ...]

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        weights = np.asarray(self.weights)
        labels: NDArray[np.int64] = np.where(weights > 0, _convert_to_double(probs) * weights, -1.0).argmax(axis=1)
        return labels

    def to_json(self) -> dict[str, Any]:
        return {"rule": "class weights", "weights": list(self.weights)}


@dataclass(frozen=True, slots=True)
class HeadsRule:
    """Predict the class of each head (n, n_heads), as indices of columns: each by a rule of its own.

    Attributes:
        rules: of each head; probs (n, n_classes of the head) -> the class (n,) within it.
    """

    rules: tuple[Rule, ...]
    head_sizes: HeadSizes

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        blocks = zip(self.rules, split_by_head(probs, self.head_sizes), list_head_slices(self.head_sizes), strict=True)
        return np.stack([rule(block) + own.start for rule, block, own in blocks], axis=1)

    def to_json(self) -> dict[str, Any]:
        return {"rule": "heads", "rules": [rule.to_json() for rule in self.rules]}


def compute_expected_classes(probs: NDArray[Any]) -> NDArray[np.float64]:
    """Return the expected class (n,) under the probabilities (n, n_classes), as a real number.

    Column after column, because a matrix product rounds a row differently alone and among others.
    """
    probs = _convert_to_double(probs)
    weighted_sum, total = np.zeros(len(probs)), np.zeros(len(probs))
    for number, column in enumerate(probs.T):
        weighted_sum += number * column
        total += column
    middle = np.full(len(probs), (probs.shape[1] - 1) / 2.0)
    expected: NDArray[np.float64] = np.divide(weighted_sum, total, out=middle, where=total > 0)
    return expected


def build_plain_rule(metric: Metric, context: DecisionContext) -> Rule:
    """Return the rule without any fitting; with labels of 0 and 1 at least one per image, if training has that."""
    if metric.needs == "labels" and context.target_kind.is_multi_label:
        return ThresholdsRule((0.5,) * len(context.prior), context.always_labelled)
    return PlainRule(metric, context)


def parse_rule(document: Mapping[str, Any], metric: Metric, context: DecisionContext) -> Rule:
    """Return the rule that `to_json` described.

    Raises:
        StorageError: it describes none.
    """
    try:
        match document["rule"]:
            case "plain":
                return build_plain_rule(metric, context)
            case "thresholds":
                return ThresholdsRule(_parse_floats(document["thresholds"]), bool(document["always_labelled"]))
            case "threshold":
                return ThresholdRule(float(document["threshold"]))
            case "all or nothing":
                return AllOrNothingRule(float(document["threshold"]))
            case "clip":
                return _build_clip_rule(float(document["temperature"]), float(document["edge"]), context)
            case "cut points":
                return CutPointsRule(_parse_floats(document["cut_points"]))
            case "class weights":
                return ClassWeightsRule(_parse_floats(document["weights"]))
            case "heads":
                own = zip(document["rules"], context.split_heads(), strict=True)
                rules = tuple(parse_rule(rule, metric.of_one_head, head) for rule, head in own)
                return HeadsRule(rules, context.head_sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise _build_unknown_rule_error(document) from error
    raise _build_unknown_rule_error(document)


def _convert_to_double(probs: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(probs, dtype=np.float64)


def _build_clip_rule(temperature: float, edge: float, context: DecisionContext) -> ClipRule:
    if not (temperature > 0.0 and 0.0 <= edge < 0.5):
        raise ValueError(f"temperature {temperature}, edge {edge}")
    return ClipRule(temperature, edge, context.task, context.head_sizes)


def _parse_floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _build_unknown_rule_error(document: Mapping[str, Any]) -> StorageError:
    return StorageError(f"{dict(document)!r} describes no rule", hint="make the ensemble again: automl ensemble")
