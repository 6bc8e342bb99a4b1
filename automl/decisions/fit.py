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
(automl.decisions.choose).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.decisions.prior_correction import normalised, restoring_weights
from automl.decisions.rules import (
    NEVER,
    AllOrNothingRule,
    ClassWeightsRule,
    ClipRule,
    Facts,
    Rule,
    ThresholdRule,
    ThresholdsRule,
)
from automl.decisions.temperature import best_temperature
from automl.decisions.thresholds import (
    MAX_SEARCHED_CLASSES,
    best_threshold,
    boundary,
    expected_thresholds,
    matched_cut_points,
    matched_thresholds,
    pooled_thresholds,
    searched_cut_points,
    searched_thresholds,
)
from automl.metrics.labels import f_beta
from automl.metrics.metric import Metric
from automl.resampling import some_rows_of, some_units
from automl.tasks import Task

Floats = NDArray[np.float64]

MAX_CELLS = 4_000_000  # rows times classes that are looked at
MIN_EXPECTED = 20.0  # rows; an F-score of fewer is luck
EXPECTED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SEARCHED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def prior_corrected(probs: NDArray[Any], prior: Floats) -> ClassWeightsRule:
    """The rule of the best balanced accuracy: probabilities divided by how frequent the classes are.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", section 3.
    """
    return _rule(restoring_weights(some_rows_of(probs, MAX_CELLS), prior), prior, exponent=1.0)


def expected_best(probs: NDArray[Any], prior: Floats, *, beta: float) -> ClassWeightsRule:
    """Probabilities divided by the power of the prior whose macro F-beta is best if the probabilities are true."""
    sample = some_rows_of(probs, MAX_CELLS)
    restoring = restoring_weights(sample, prior)
    restored = normalised(sample * restoring)
    rules = [_rule(restoring, prior, exponent=exponent) for exponent in EXPECTED_EXPONENTS]
    scores = [_expected_macro_f(restored, rule(sample), prior, beta=beta) for rule in rules]
    return rules[int(np.argmax(scores))]


def searched_weights(
    probs: NDArray[Any], prior: Floats, score_of: Callable[[NDArray[Any]], float], start: ClassWeightsRule
) -> ClassWeightsRule:
    """The rule whose labels (n,) score best among powers of the prior, with the classes' shares restored and without.

    One number is searched, not one for each class: that would fit the noise of rare ones.
    """
    return max((start, *_powers(probs, prior)), key=lambda rule: score_of(rule(probs)))


def _powers(probs: NDArray[Any], prior: Floats) -> Iterator[ClassWeightsRule]:
    for restoring in (np.ones(len(prior)), restoring_weights(some_rows_of(probs, MAX_CELLS), prior)):
        for exponent in SEARCHED_EXPONENTS:
            yield _rule(restoring, prior, exponent=exponent)


def _rule(restoring: Floats, prior: Floats, *, exponent: float) -> ClassWeightsRule:
    divisors = np.where(prior > 0, prior, 1.0) ** exponent
    weights = np.where(prior > 0, restoring / divisors, 0.0)  # what training never showed is never said
    return ClassWeightsRule(tuple((weights / weights.max()).tolist()))


def _expected_macro_f(probs: Floats, labels: NDArray[Any], prior: Floats, *, beta: float) -> float:
    """The mean over the classes; rare ones, neighbours by frequency, share counts and thereby a score.

    Otherwise a class that is expected in less than a row would score by whether it is named at all.
    """
    n_classes = probs.shape[1]
    hits = np.bincount(labels, weights=probs[np.arange(len(labels)), labels], minlength=n_classes)
    counts = (hits, np.bincount(labels, minlength=n_classes), probs.sum(axis=0))
    rarest_first = np.argsort(prior, kind="stable")[np.count_nonzero(prior == 0) :]
    together = np.cumsum(prior[rarest_first] * len(probs)) // MIN_EXPECTED
    starts = np.flatnonzero(np.diff(together, prepend=-1.0))
    shared = [np.add.reduceat(count[rarest_first], starts) for count in counts]
    return float(np.average(f_beta(*shared, beta=beta), weights=np.diff(starts, append=len(together))))


MAX_CLIPPED_CELLS = 1_000_000  # rows times classes that are looked at
EDGES = tuple(float(f"{digit}e{power}") for power in range(-6, 0) for digit in (1, 2, 5) if (digit, power) != (5, -1))
N_PASSES = 2


def best_clip(metric: Metric, facts: Facts, targets: NDArray[Any], probs: NDArray[Any], *, seed: int) -> ClipRule:
    """The temperature and the bounds of the best score on these rows' targets, found in turn.

    The bounds are round numbers, each about twice the one before: the loss is flat around its best.
    """
    rows = some_units(len(targets), None, n_rows=max(1, MAX_CLIPPED_CELLS // probs.shape[1]), seed=seed)
    truth, some = targets[rows], probs[rows]
    sign = -1.0 if metric.greater_is_better else 1.0

    def loss_of(temperature: float, edge: float) -> float:
        return sign * metric.score(truth, ClipRule(temperature, edge, facts.task)(some))

    edge = 0.0
    for _ in range(N_PASSES):
        temperature = best_temperature(partial(loss_of, edge=edge), n_rows=len(rows))
        edge = min((0.0, *EDGES), key=partial(loss_of, temperature))
    return ClipRule(temperature, edge, facts.task)


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
