"""Choose the decision rule that turns probabilities into submitted predictions: plain, matched or searched.

Three rules compete. The plain one takes the most probable class, labels with a probability of at least 1/2, or the
probabilities as they are. The matched one is fitted to probabilities and to the prior, never to targets, so that whole
searches can be scored with it without overfitting. The searched one is fitted to targets, and has to win on rows that
it did not see. Whichever it is, it is applied unchanged to out-of-fold rows and to the test images.
See also: automl.decisions.fit fits the rules, automl.decisions.rules applies them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.decisions.fit import RuleFitter, get_rule_fitter
from automl.decisions.resampling import assign_stratified_splits, draw_resamples, sample_rows
from automl.decisions.rules import DecisionContext, Rule, build_plain_rule
from automl.metrics.metric import Metric, require_finite

RuleSource = Literal["plain", "matched", "searched"]
Fit = Callable[[NDArray[Any], NDArray[Any]], Rule]  # targets, probs -> rule

MIN_ROWS_PER_CLASS = 5  # with fewer, a mean over the classes of these rows says little of that of many rows
MAX_RESAMPLED_CELLS = 400_000  # a standard error from more rows is only slower


@dataclass(frozen=True, slots=True)
class Scorer:
    """Score probabilities by a metric under the matched rule, which is fitted to these probabilities, never to targets.

    Trials, members and blends are compared by it.
    """

    metric: Metric
    context: DecisionContext

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

    def is_better(self, score: float, other: float) -> bool:
        """Return whether the first score is strictly better."""
        return self.metric.is_better(score, other)

    def __call__(self, targets: NDArray[Any], probs: NDArray[Any]) -> float:
        """Return the score of probs (n, n_classes) against targets in the competition's form, always finite.

        Raises:
            ValueError: the probabilities are not finite, or have another number of rows than the targets.
        """
        probs = require_finite(probs)
        return self.metric.score(targets, fit_matched_rule(self.metric, self.context, probs)(probs))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRule:
    """The chosen decision rule, its source, and its cross-fitted score.

    Attributes:
        rule: fitted on all rows.
        rule_source: "plain", "matched" to the prior, or "searched" on targets.
        score: of rows that were each decided by the source that wins on the other four fifths of the rows, fitted
            without their own if at all.
        score_error: its standard error, from resampling rows or groups.
    """

    rule: Rule
    rule_source: RuleSource
    score: float
    score_error: float


def fit_matched_rule(metric: Metric, context: DecisionContext, probs: NDArray[Any]) -> Rule:
    """Fit the rule under which each class is as frequent in these probabilities as in training.

    The plain one where the metric needs none. Defined for any number of rows from one on.
    """
    fitter = get_rule_fitter(metric, context)
    if fitter is None or fitter.fit_to_prior is None:
        return build_plain_rule(metric, context)
    return fitter.fit_to_prior(np.asarray(probs, dtype=np.float64))


def choose_rule(
    metric: Metric,
    context: DecisionContext,
    targets: NDArray[Any],
    probs: NDArray[Any],
    *,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
) -> ChosenRule:
    """Choose the rule that scores best on rows it was not fitted to: plain, matched or searched.

    What is fitted is cross-fitted over five splits of the rows. Neither the plain nor the matched rule looks at
    targets, and the better of the two comes first; the searched one wins only if it is better by more than the
    standard error of the difference, or at all where its metric sets no such bar. Where the score is one over classes,
    the plain one stays with too few rows for so many of them.
    """
    targets, probs = np.asarray(targets), require_finite(probs)
    plain, fitter = build_plain_rule(metric, context), get_rule_fitter(metric, context, seed=seed)
    fits = _get_fits(fitter) if fitter is not None and _has_enough_rows(len(targets), fitter, context) else {}
    splits = assign_stratified_splits(targets, groups, seed=seed)
    predicted: dict[RuleSource, NDArray[Any]] = {"plain": plain(probs)}
    predicted |= {source: _cross_fit(fit, targets, probs, splits) for source, fit in fits.items()}
    resampled = _resample_scores(metric, targets, predicted, groups, seed)
    min_gains: dict[RuleSource, float] = {
        "matched": 0.0,
        "searched": 0.0 if fitter is None else fitter.min_gain_in_errors,
    }

    def find_winner(rows: NDArray[np.int64]) -> RuleSource:
        winner: RuleSource = "plain"
        scores = {source: metric.score(targets[rows], predictions[rows]) for source, predictions in predicted.items()}
        for source in fits:
            gain = (scores[source] - scores[winner]) * (1.0 if metric.greater_is_better else -1.0)
            if gain > min_gains[source] * (resampled[source] - resampled[winner]).std():
                winner = source
        return winner

    winner = find_winner(np.arange(len(targets)))
    predictions = predicted[winner].copy()
    for split in np.unique(splits) if fits else ():
        others = np.flatnonzero(splits != split)
        predictions[splits == split] = predicted[find_winner(others) if len(others) else winner][splits == split]
    return ChosenRule(
        rule=plain if winner == "plain" else fits[winner](targets, probs),
        rule_source=winner,
        score=metric.score(targets, predictions),
        score_error=float(resampled[winner].std()),
    )


def is_fitted(metric: Metric, context: DecisionContext) -> bool:
    """Return whether trials are scored by a rule with numbers that are fitted to their probabilities."""
    fitter = get_rule_fitter(metric, context)
    return fitter is not None and fitter.fit_to_prior is not None


def is_chosen(metric: Metric, context: DecisionContext) -> bool:
    """Return whether there is another rule than the plain one to choose."""
    return get_rule_fitter(metric, context) is not None


def _has_enough_rows(n_rows: int, fitter: RuleFitter, context: DecisionContext) -> bool:
    return not fitter.is_class_mean or n_rows >= MIN_ROWS_PER_CLASS * len(context.prior)


def _get_fits(fitter: RuleFitter) -> dict[RuleSource, Fit]:
    """Return the fits that compete with the plain rule, the simpler first."""
    fits: dict[RuleSource, Fit] = {}
    if fitter.fit_to_prior is not None:
        fit_to_prior = fitter.fit_to_prior
        fits["matched"] = lambda _, probs: fit_to_prior(probs)
    if fitter.fit_to_targets is not None:
        fits["searched"] = fitter.fit_to_targets
    return fits


def _cross_fit(fit: Fit, targets: NDArray[Any], probs: NDArray[Any], splits: NDArray[np.int64]) -> NDArray[Any]:
    """Return each row's predictions by the rule fitted without its split; with a single split, by the rule of all."""
    if (splits == splits[0]).all():
        return fit(targets, probs)(probs)
    rows_of_splits = [np.flatnonzero(splits == split) for split in np.unique(splits)]
    predictions = [
        fit(np.delete(targets, rows, axis=0), np.delete(probs, rows, axis=0))(probs[rows]) for rows in rows_of_splits
    ]
    in_order = np.argsort(np.concatenate(rows_of_splits))
    return np.concatenate(predictions)[in_order]


def _resample_scores(
    metric: Metric,
    targets: NDArray[Any],
    predicted: dict[RuleSource, NDArray[Any]],
    groups: NDArray[Any] | None,
    seed: int,
) -> dict[RuleSource, NDArray[np.float64]]:
    """Return each source's scores of the same bootstrap resamples; of a sample of rows, with the spread of all rows."""
    width = max(predictions[0].size for predictions in predicted.values())
    rows = sample_rows(len(targets), groups, n_rows=max(1, MAX_RESAMPLED_CELLS // width), seed=seed)
    resamples = list(draw_resamples(len(rows), None if groups is None else groups[rows], seed=seed))
    shrink = np.sqrt(len(rows) / len(targets))
    scores = {}
    for source, predictions in predicted.items():
        sample_targets, sample = targets[rows], predictions[rows]
        resampled_scores = np.array(
            [metric.score(sample_targets[resample], sample[resample]) for resample in resamples]
        )
        scores[source] = resampled_scores.mean() + (resampled_scores - resampled_scores.mean()) * shrink
    return scores
