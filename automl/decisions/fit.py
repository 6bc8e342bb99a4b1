"""Fit the decision rule that a metric calls for: to the prior, or to targets.

f1                          one threshold                       matched: share of the second class
pf1                         the same, for certain or not at all matched: share of the second class
f{beta}_macro, multi-label  a threshold for each class          matched: shares of the classes; expected F, beta not 1
f{beta}_micro, multi-label  one threshold for all classes       matched: number of labels; expected F, beta not 1
f{beta}_samples, the same   one threshold for all classes       matched: expected F
f{beta}_macro, balanced     weights on the classes              matched: a power of the prior
qwk                         cut points on the expected number   matched: shares of the classes
log losses                  a temperature, and bounds           none: only targets tell who is too sure

Of several heads each has the rule of its own that the metric calls for; a log loss has one for all of them.
All others need no more than the plain rule; with one class each F-micro and F-samples are the accuracy. A user's own
metric of labels (n, n_classes) gets a threshold for each class.
See also: automl.decisions.choose, which compares the fitted rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.decisions.prior_correction import fit_prior_weights, normalize_rows
from automl.decisions.resampling import sample_matrix_rows, sample_rows
from automl.decisions.rules import (
    NEVER,
    AllOrNothingRule,
    ClassWeightsRule,
    ClipRule,
    DecisionContext,
    HeadsRule,
    Rule,
    ThresholdRule,
    ThresholdsRule,
)
from automl.decisions.temperature import find_temperature
from automl.decisions.thresholds import (
    MAX_SEARCHED_CLASSES,
    find_best_threshold,
    fit_expected_thresholds,
    match_cut_points,
    match_pooled_threshold,
    match_thresholds,
    place_threshold,
    search_cut_points,
    search_thresholds,
)
from automl.metrics.labels import f_beta
from automl.metrics.metric import Metric
from automl.multi_output import iterate_head_targets, split_by_head

Floats = NDArray[np.float64]

MAX_CELLS = 4_000_000  # rows times classes of a sample
MIN_EXPECTED = 20.0  # rows; an F-score of fewer is luck
EXPECTED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SEARCHED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
MAX_CLIPPED_CELLS = 1_000_000  # rows times classes of a sample
CLIP_EDGES = tuple(
    float(f"{digit}e{power}") for power in range(-6, 0) for digit in (1, 2, 5) if (digit, power) != (5, -1)
)
N_CLIP_PASSES = 2
LOG_LOSSES = ("log_loss", "weighted_log_loss")

# What bounds and a temperature may cost and what they may save are unlike: a true probability that is kept at e loses
# about e, one that is sure and wrong costs -log(e) in place of up to 34. Rows that are sure and wrong are few, so that
# the gain is seldom much more than its own standard error. Simulated with 200 and 1,000 rows of 2 to 30 classes, any
# gain on rows that it was not fitted on, against one by a standard error: with true probabilities it costs 0.0013 in
# place of 0.0004 at worst (of a loss of 0.15 to 0.19), with others it saves up to 0.042 more (0.138 in place of 0.096,
# of 0.33).
MIN_CLIP_GAIN_IN_ERRORS = 0.0


class RuleFitter(NamedTuple):
    """The functions that fit a metric's decision rule, and the gain that it needs.

    Attributes:
        fit_to_prior: probs (n, n_classes) -> matched rule; None for none, and trials are scored by the plain rule.
        fit_to_targets: targets, probs -> searched rule; None for none.
        min_gain_in_errors: standard errors by which the searched rule has to win on rows that it was not fitted to.
        is_class_mean: whether the score counts on rows of each of the classes of which an image has one.
    """

    fit_to_prior: Callable[[NDArray[Any]], Rule] | None
    fit_to_targets: Callable[[NDArray[Any], NDArray[Any]], Rule] | None
    min_gain_in_errors: float = 1.0
    is_class_mean: bool = True


def get_rule_fitter(metric: Metric, context: DecisionContext, *, seed: int = 0) -> RuleFitter | None:
    """Return how the metric's rule is fitted; None where the plain rule is all it needs."""
    if metric.name in LOG_LOSSES:
        return _build_clip_fitter(metric, context, seed)
    if context.head_sizes:
        return _build_heads_fitter(metric, context, seed)
    if context.target_kind.is_multi_label:
        return _build_thresholds_fitter(metric, context) if metric.needs == "labels" else None
    if not context.target_kind.is_single_class:
        return None
    if metric.name == "qwk":
        return _build_cut_points_fitter(context, seed)
    if metric.name == "f1":
        return _build_threshold_fitter(context, ThresholdRule)
    if metric.name == "pf1":  # a ratio of sums in which each probability is free is greatest where all are 0 or 1
        return _build_threshold_fitter(context, AllOrNothingRule)
    if metric.name == "balanced_accuracy" or metric.average == "macro":
        return _build_class_weights_fitter(metric, context)
    return None


def _build_heads_fitter(metric: Metric, context: DecisionContext, seed: int) -> RuleFitter | None:
    """Build the fitter of the rule of each head, by the metric of that head alone."""
    sizes = context.head_sizes
    fitters = [get_rule_fitter(metric.of_one_head, head, seed=seed) for head in context.split_heads()]
    to_prior = [fitter.fit_to_prior for fitter in fitters if fitter and fitter.fit_to_prior]
    to_targets = [fitter.fit_to_targets for fitter in fitters if fitter and fitter.fit_to_targets]
    if not len(to_prior) == len(to_targets) == len(sizes):  # all of them or none, as one metric scores them
        return None

    def fit(probs: NDArray[Any]) -> HeadsRule:
        blocks = zip(to_prior, split_by_head(probs, sizes), strict=True)
        return HeadsRule(tuple(own(block) for own, block in blocks), sizes)

    def search(targets: NDArray[Any], probs: NDArray[Any]) -> HeadsRule:
        blocks = zip(to_targets, iterate_head_targets(targets, sizes), split_by_head(probs, sizes), strict=True)
        return HeadsRule(tuple(own(truth, block) for own, truth, block in blocks), sizes)

    return RuleFitter(fit, search)


def _build_clip_fitter(metric: Metric, context: DecisionContext, seed: int) -> RuleFitter:
    def search(targets: NDArray[Any], probs: NDArray[Any]) -> Rule:
        return search_clip(metric, context, targets, probs, seed=seed)

    return RuleFitter(None, search, min_gain_in_errors=MIN_CLIP_GAIN_IN_ERRORS, is_class_mean=False)


def _build_thresholds_fitter(metric: Metric, context: DecisionContext) -> RuleFitter:
    average = metric.average or "macro"

    def fit(probs: NDArray[Any]) -> ThresholdsRule:
        if metric.beta != 1.0 or average == "samples":
            return _build_thresholds_rule(
                fit_expected_thresholds(probs, context.prior_array, beta=metric.beta, average=average), context
            )
        match = match_pooled_threshold if average == "micro" else match_thresholds
        return _build_thresholds_rule(match(probs, context.prior_array), context)

    def search(targets: NDArray[Any], probs: NDArray[Any]) -> ThresholdsRule:
        start = np.asarray(fit(probs).thresholds)
        return _build_thresholds_rule(
            search_thresholds(probs, targets, start, beta=metric.beta, average=average), context
        )

    is_searched = metric.average is not None and len(context.prior) <= MAX_SEARCHED_CLASSES
    return RuleFitter(fit, search if is_searched else None, is_class_mean=False)


def _build_thresholds_rule(thresholds: NDArray[np.float64], context: DecisionContext) -> ThresholdsRule:
    """Return the rule; a label that training never showed is never given."""
    allowed = np.where(context.prior_array > 0, thresholds, NEVER)
    return ThresholdsRule(tuple(allowed.tolist()), context.always_labelled)


def _build_cut_points_fitter(context: DecisionContext, seed: int) -> RuleFitter:
    def search(targets: NDArray[Any], probs: NDArray[Any]) -> Rule:
        return search_cut_points(probs, targets, match_cut_points(probs, context.prior_array), seed=seed)

    return RuleFitter(lambda probs: match_cut_points(probs, context.prior_array), search)


def _build_threshold_fitter(context: DecisionContext, rule: Callable[[float], Rule]) -> RuleFitter:
    def match(probs: NDArray[Any]) -> float:
        n_below = len(probs) * (1.0 - context.prior[1])
        return place_threshold(np.sort(probs[:, 1]), n_below, top=1.0, never=NEVER)

    def search(targets: NDArray[Any], probs: NDArray[Any]) -> Rule:
        return rule(find_best_threshold(probs[:, 1], targets == 1, match(probs), beta=1.0))

    return RuleFitter(lambda probs: rule(match(probs)), search)


def _build_class_weights_fitter(metric: Metric, context: DecisionContext) -> RuleFitter:
    def fit(probs: NDArray[Any]) -> ClassWeightsRule:
        if metric.average is None:
            return fit_prior_correction(probs, context.prior_array)
        return fit_expected_class_weights(probs, context.prior_array, beta=metric.beta)

    def search(targets: NDArray[Any], probs: NDArray[Any]) -> ClassWeightsRule:
        return search_class_weights(
            probs, context.prior_array, lambda labels: metric.score(targets, labels), fit(probs)
        )

    return RuleFitter(fit, search)


def fit_prior_correction(probs: NDArray[Any], prior: Floats) -> ClassWeightsRule:
    """Fit class weights for the best balanced accuracy: probabilities divided by how frequent the classes are.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", section 3.
    """
    return _build_class_weights_rule(
        fit_prior_weights(sample_matrix_rows(probs, MAX_CELLS), prior), prior, exponent=1.0
    )


def fit_expected_class_weights(probs: NDArray[Any], prior: Floats, *, beta: float) -> ClassWeightsRule:
    """Fit class weights, a power of the prior, to the best macro F-beta expected if the probabilities are true."""
    sample = sample_matrix_rows(probs, MAX_CELLS)
    correction = fit_prior_weights(sample, prior)
    corrected = normalize_rows(sample * correction)
    rules = [_build_class_weights_rule(correction, prior, exponent=exponent) for exponent in EXPECTED_EXPONENTS]
    scores = [_compute_expected_macro_f(corrected, rule(sample), prior, beta=beta) for rule in rules]
    return rules[int(np.argmax(scores))]


def search_class_weights(
    probs: NDArray[Any], prior: Floats, compute_score: Callable[[NDArray[Any]], float], start: ClassWeightsRule
) -> ClassWeightsRule:
    """Search the class weights, powers of the prior with and without prior correction, whose labels (n,) score best.

    One number is searched, not one for each class: that would fit the noise of rare ones.
    """
    return max((start, *_iterate_prior_powers(probs, prior)), key=lambda rule: compute_score(rule(probs)))


def _iterate_prior_powers(probs: NDArray[Any], prior: Floats) -> Iterator[ClassWeightsRule]:
    for correction in (np.ones(len(prior)), fit_prior_weights(sample_matrix_rows(probs, MAX_CELLS), prior)):
        for exponent in SEARCHED_EXPONENTS:
            yield _build_class_weights_rule(correction, prior, exponent=exponent)


def _build_class_weights_rule(correction: Floats, prior: Floats, *, exponent: float) -> ClassWeightsRule:
    divisors = np.where(prior > 0, prior, 1.0) ** exponent
    weights = np.where(prior > 0, correction / divisors, 0.0)  # what training never showed is never given
    return ClassWeightsRule(tuple((weights / weights.max()).tolist()))


def _compute_expected_macro_f(probs: Floats, labels: NDArray[Any], prior: Floats, *, beta: float) -> float:
    """Return the mean over the classes; rare ones, neighbours by frequency, share counts and thereby a score.

    Otherwise a class that is expected in less than a row would score by whether it is predicted at all.
    """
    n_classes = probs.shape[1]
    true_positives = np.bincount(labels, weights=probs[np.arange(len(labels)), labels], minlength=n_classes)
    counts = (true_positives, np.bincount(labels, minlength=n_classes), probs.sum(axis=0))
    rarest_first = np.argsort(prior, kind="stable")[np.count_nonzero(prior == 0) :]
    bins = np.cumsum(prior[rarest_first] * len(probs)) // MIN_EXPECTED
    starts = np.flatnonzero(np.diff(bins, prepend=-1.0))
    pooled = [np.add.reduceat(count[rarest_first], starts) for count in counts]
    return float(np.average(f_beta(*pooled, beta=beta), weights=np.diff(starts, append=len(bins))))


def search_clip(
    metric: Metric, context: DecisionContext, targets: NDArray[Any], probs: NDArray[Any], *, seed: int
) -> ClipRule:
    """Search the temperature and the clip of the best score on these rows' targets, in turn.

    The bounds are round numbers, each about twice the one before: the loss is flat around its best.
    """
    rows = sample_rows(len(targets), None, n_rows=max(1, MAX_CLIPPED_CELLS // probs.shape[1]), seed=seed)
    sample_targets, sample_probs = targets[rows], probs[rows]
    sign = -1.0 if metric.greater_is_better else 1.0

    def compute_loss(temperature: float, edge: float) -> float:
        return sign * metric.score(
            sample_targets, ClipRule(temperature, edge, context.task, context.head_sizes)(sample_probs)
        )

    edge = 0.0
    for _ in range(N_CLIP_PASSES):
        temperature = find_temperature(partial(compute_loss, edge=edge), n_rows=len(rows))
        edge = min((0.0, *CLIP_EDGES), key=partial(compute_loss, temperature))
    return ClipRule(temperature, edge, context.task, context.head_sizes)
