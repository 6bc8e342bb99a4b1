"""Which rule a metric calls for, and how it is fitted: to frequencies, or to targets.

f1                          one threshold                       matched: share of the second class
pf1                         the same, for certain or not at all matched: share of the second class
f{beta}_macro, multi-label  a threshold for each class          matched: shares of the classes; expected F, beta not 1
f{beta}_micro, multi-label  one threshold for all classes       matched: number of labels; expected F, beta not 1
f{beta}_samples, the same   one threshold for all classes       matched: expected F
f{beta}_macro, balanced     weights on the classes              matched: a power of the prior
qwk                         cut points on the expected number   matched: shares of the classes
log losses                  a temperature, and bounds           none: only targets tell who is too sure

All others need no more than the plain rule; with one class each F-micro and F-samples are the accuracy. A user's own
metric of labels (n, n_classes) gets a threshold for each class. Not responsible for: whether a rule is any good
(automl.decisions).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.rules.boundaries import boundary
from automl.rules.class_weights import expected_best, prior_corrected, searched_weights
from automl.rules.clipping import best_clip
from automl.rules.cut_points import matched_cut_points, searched_cut_points
from automl.rules.kinds import NEVER, AllOrNothingRule, ClassWeightsRule, Facts, Rule, ThresholdRule, ThresholdsRule
from automl.rules.thresholds import (
    MAX_SEARCHED_CLASSES,
    best_threshold,
    expected_thresholds,
    matched_thresholds,
    pooled_thresholds,
    searched_thresholds,
)
from automl.scores.metric import Metric
from automl.tasks import Task

LOG_LOSSES = ("log_loss", "weighted_log_loss")

# What bounds and a temperature may cost and what they may save are unlike: a true probability that is kept at e loses
# about e, one that is sure and wrong costs -log(e) in place of up to 34. Rows that are sure and wrong are few, so that
# the gain is seldom much more than its own standard error. Simulated with 200 and 1,000 rows of 2 to 30 classes, any
# gain on rows that it was not fitted on, against one by a standard error: with true probabilities it costs 0.0013 in
# place of 0.0004 at worst (of a loss of 0.15 to 0.19), with others it saves up to 0.042 more (0.138 in place of 0.096,
# of 0.33).
CLIP_BAR = 0.0


class Fitting(NamedTuple):
    """How a rule is fitted.

    Attributes:
        matched: to probs (n, n_classes) alone; None where that is not done, and trials are scored by the plain rule.
        searched: to targets and probs; None where that is not done.
        bar: standard errors by which the searched rule has to win on rows that it was not fitted to.
        over_classes: whether the score is a mean over classes, or counts on what is decided for each.
    """

    matched: Callable[[NDArray[Any]], Rule] | None
    searched: Callable[[NDArray[Any], NDArray[Any]], Rule] | None
    bar: float = 1.0
    over_classes: bool = True


def fitting_of(metric: Metric, facts: Facts, *, seed: int = 0) -> Fitting | None:
    """How the metric's rule is fitted; None where the plain rule is all it needs."""
    if metric.name in LOG_LOSSES:
        return _clip(metric, facts, seed)
    if facts.task is Task.MULTILABEL:
        return _labels(metric, facts) if metric.needs == "labels" else None
    if not facts.task.one_class_each:
        return None
    if metric.name == "qwk":
        return _cut_points(facts, seed)
    if metric.name == "f1":
        return _threshold(facts, ThresholdRule)
    if metric.name == "pf1":  # a ratio of sums in which each probability is free is greatest where all are 0 or 1
        return _threshold(facts, AllOrNothingRule)
    if metric.name == "balanced_accuracy" or metric.average == "macro":
        return _class_weights(metric, facts)
    return None


def _clip(metric: Metric, facts: Facts, seed: int) -> Fitting:
    def search(targets: NDArray[Any], probs: NDArray[Any]) -> Rule:
        return best_clip(metric, facts, targets, probs, seed=seed)

    return Fitting(None, search, bar=CLIP_BAR, over_classes=False)


def _labels(metric: Metric, facts: Facts) -> Fitting:
    average = metric.average or "macro"

    def fit(probs: NDArray[Any]) -> ThresholdsRule:
        if metric.beta != 1.0 or average == "samples":
            return _thresholds(expected_thresholds(probs, facts.shares, beta=metric.beta, average=average), facts)
        matched = pooled_thresholds if average == "micro" else matched_thresholds
        return _thresholds(matched(probs, facts.shares), facts)

    def search(targets: NDArray[Any], probs: NDArray[Any]) -> ThresholdsRule:
        start = np.asarray(fit(probs).thresholds)
        return _thresholds(searched_thresholds(probs, targets, start, beta=metric.beta, average=average), facts)

    is_searched = metric.average is not None and len(facts.prior) <= MAX_SEARCHED_CLASSES
    return Fitting(fit, search if is_searched else None)


def _thresholds(thresholds: NDArray[np.float64], facts: Facts) -> ThresholdsRule:
    """A label that training never showed is never given."""
    allowed = np.where(facts.shares > 0, thresholds, NEVER)
    return ThresholdsRule(tuple(allowed.tolist()), facts.always_labelled)


def _cut_points(facts: Facts, seed: int) -> Fitting:
    def search(targets: NDArray[Any], probs: NDArray[Any]) -> Rule:
        return searched_cut_points(probs, targets, matched_cut_points(probs, facts.shares), seed=seed)

    return Fitting(lambda probs: matched_cut_points(probs, facts.shares), search)


def _threshold(facts: Facts, rule: Callable[[float], Rule]) -> Fitting:
    def matched(probs: NDArray[Any]) -> float:
        n_below = len(probs) * (1.0 - facts.prior[1])
        return boundary(np.sort(probs[:, 1]), n_below, top=1.0, never=NEVER)

    def search(targets: NDArray[Any], probs: NDArray[Any]) -> Rule:
        return rule(best_threshold(probs[:, 1], targets == 1, matched(probs), beta=1.0))

    return Fitting(lambda probs: rule(matched(probs)), search)


def _class_weights(metric: Metric, facts: Facts) -> Fitting:
    def fit(probs: NDArray[Any]) -> ClassWeightsRule:
        if metric.average is None:
            return prior_corrected(probs, facts.shares)
        return expected_best(probs, facts.shares, beta=metric.beta)

    def search(targets: NDArray[Any], probs: NDArray[Any]) -> ClassWeightsRule:
        return searched_weights(probs, facts.shares, lambda labels: metric.score(targets, labels), fit(probs))

    return Fitting(fit, search)
