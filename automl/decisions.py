"""From probabilities to what is handed in and scored: labels, sets of labels, ranked lists, values.

A rule is fitted to probabilities and to how frequent the classes are in training, and then applied unchanged to rows
out of fold and to the test images. Not responsible for: the scores themselves (automl.metrics).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automl.metrics import Metric, plain_predictions
from automl.tasks import Task


class Rule(Protocol):
    """What decides: probs (n, n_classes) -> predictions in the form that the metric needs; each row by itself."""

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]: ...

    def to_json(self) -> dict[str, Any]:
        """What the rule is, for ensemble.json."""


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


@dataclass(frozen=True, slots=True)
class Scorer:
    """A metric of probabilities; its decisions are fitted to the very probabilities that are scored, never to targets.

    The way in which trials, members and blends are compared.
    """

    metric: Metric
    facts: Facts

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def needs(self) -> str:
        return self.metric.needs

    @property
    def greater_is_better(self) -> bool:
        return self.metric.greater_is_better

    @property
    def direction(self) -> str:
        return self.metric.direction

    def better(self, score: float, other: float) -> bool:
        """Whether the first score is strictly better."""
        return self.metric.better(score, other)

    def __call__(self, targets: NDArray[Any], probs: NDArray[Any]) -> float:
        """The score of probs (n, n_classes) against targets in the competition's form, always finite."""
        rule = matched_rule(self.metric, self.facts, probs)
        return self.metric.score(targets, rule(np.asarray(probs, dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class PlainRule:
    """The most probable class, labels above one half, the best k, or the place on the scales."""

    metric: Metric
    scales: tuple[tuple[float, float], ...] | None = None

    def __call__(self, probs: NDArray[Any]) -> NDArray[Any]:
        return plain_predictions(self.metric, probs, scales=self.scales)

    def to_json(self) -> dict[str, Any]:
        return {"rule": "plain"}


def matched_rule(metric: Metric, facts: Facts, probs: NDArray[Any]) -> Rule:
    """The rule under which each class is as frequent in these probabilities as it was in training."""
    return PlainRule(metric, facts.scales)
