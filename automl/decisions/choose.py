"""From probabilities to what is handed in and scored: which rule decides.

Three rules compete. The plain one takes the most probable class, labels from one half on, or the probabilities as they
are. The matched one is fitted
to probabilities and to how frequent the classes are in training, never to targets, so that whole searches can be scored
with it without fooling themselves. The searched one is fitted to targets, and has to prove itself on rows that it did
not see. Whichever it is, it is applied unchanged to rows out of fold and to the test images.
Not responsible for: how rules are fitted and what they do (automl.rules), or the scores themselves
(automl.metrics.registry).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.decisions.fit import Fitting, fitting_of
from automl.decisions.rules import Facts, Rule, plain_rule
from automl.metrics.metric import Metric, require_finite
from automl.resampling import resamples, some_units, stratified_splits

Kind = Literal["plain", "matched", "searched"]
Fit = Callable[[NDArray[Any], NDArray[Any]], Rule]  # targets, probs -> rule

MIN_ROWS_PER_CLASS = 5  # with fewer, a mean over the classes of these rows says little of that of many rows
MAX_RESAMPLED_CELLS = 400_000  # a standard error from more rows is only slower


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
        """The score of probs (n, n_classes) against targets in the competition's form, always finite.

        Raises:
            ValueError: the probabilities are not finite, or have another number of rows than the targets.
        """
        probs = require_finite(probs)
        return self.metric.score(targets, matched_rule(self.metric, self.facts, probs)(probs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A rule, where it comes from, and its score.

    Attributes:
        rule: fitted on all rows.
        kind: "plain", "matched" to the classes' frequencies, or "searched" on targets.
        score: of rows that were each decided by the kind that wins on the other four fifths of the rows, fitted without
            their own if at all.
        score_error: its standard error, from resampling rows or groups.
    """

    rule: Rule
    kind: Kind
    score: float
    score_error: float


def matched_rule(metric: Metric, facts: Facts, probs: NDArray[Any]) -> Rule:
    """The rule under which each class is as frequent in these probabilities as it was in training.

    The plain one where the metric needs none. Defined for any number of rows from one on.
    """
    fitting = fitting_of(metric, facts)
    if fitting is None or fitting.matched is None:
        return plain_rule(metric, facts)
    return fitting.matched(np.asarray(probs, dtype=np.float64))


def choose_rule(
    metric: Metric,
    facts: Facts,
    targets: NDArray[Any],
    probs: NDArray[Any],
    *,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
) -> Decision:
    """The rule that scores best on rows it was not fitted to: plain, matched or searched.

    What is fitted is cross-fitted over five splits of the rows. Neither the plain nor the matched rule looks at
    targets, and the better of the two leads; the searched one wins only if it is better than that one by more than the
    standard error of the difference, or at all where its metric sets no such bar. Where the score is one over classes,
    the plain one stays with too few rows for so many of them.
    """
    targets, probs = np.asarray(targets), require_finite(probs)
    plain, fitting = plain_rule(metric, facts), fitting_of(metric, facts, seed=seed)
    fits = _fits(fitting) if fitting is not None and _are_enough(len(targets), fitting, facts) else {}
    splits = stratified_splits(targets, groups, seed=seed)
    decided: dict[Kind, NDArray[Any]] = {"plain": plain(probs)}
    decided |= {kind: _cross_fitted(fit, targets, probs, splits) for kind, fit in fits.items()}
    resampled = _resampled_scores(metric, targets, decided, groups, seed)
    bars: dict[Kind, float] = {"matched": 0.0, "searched": 0.0 if fitting is None else fitting.bar}

    def winner_on(rows: NDArray[np.int64]) -> Kind:
        winner: Kind = "plain"
        scores = {kind: metric.score(targets[rows], predictions[rows]) for kind, predictions in decided.items()}
        for kind in fits:
            gain = (scores[kind] - scores[winner]) * (1.0 if metric.greater_is_better else -1.0)
            if gain > bars[kind] * (resampled[kind] - resampled[winner]).std():
                winner = kind
        return winner

    winner = winner_on(np.arange(len(targets)))
    predictions = decided[winner].copy()
    for split in np.unique(splits) if fits else ():
        others = np.flatnonzero(splits != split)
        predictions[splits == split] = decided[winner_on(others) if len(others) else winner][splits == split]
    return Decision(
        rule=plain if winner == "plain" else fits[winner](targets, probs),
        kind=winner,
        score=metric.score(targets, predictions),
        score_error=float(resampled[winner].std()),
    )


def is_fitted(metric: Metric, facts: Facts) -> bool:
    """Whether trials are scored by a rule with numbers that are fitted to their probabilities."""
    fitting = fitting_of(metric, facts)
    return fitting is not None and fitting.matched is not None


def is_chosen(metric: Metric, facts: Facts) -> bool:
    """Whether there is another rule than the plain one to choose."""
    return fitting_of(metric, facts) is not None


def _are_enough(n_rows: int, fitting: Fitting, facts: Facts) -> bool:
    one_of_each = fitting.over_classes and facts.task.one_class_each
    return not one_of_each or n_rows >= MIN_ROWS_PER_CLASS * len(facts.prior)


def _fits(fitting: Fitting) -> dict[Kind, Fit]:
    """The rules that compete with the plain one, the simpler first."""
    fits: dict[Kind, Fit] = {}
    if fitting.matched is not None:
        matched = fitting.matched
        fits["matched"] = lambda _, probs: matched(probs)
    if fitting.searched is not None:
        fits["searched"] = fitting.searched
    return fits


def _cross_fitted(fit: Fit, targets: NDArray[Any], probs: NDArray[Any], splits: NDArray[np.int64]) -> NDArray[Any]:
    """The predictions of each row by the rule that was fitted without its split; with one split there is no other."""
    if (splits == splits[0]).all():
        return fit(targets, probs)(probs)
    in_splits = [np.flatnonzero(splits == split) for split in np.unique(splits)]
    decided = [fit(np.delete(targets, rows, axis=0), np.delete(probs, rows, axis=0))(probs[rows]) for rows in in_splits]
    in_order = np.argsort(np.concatenate(in_splits))
    return np.concatenate(decided)[in_order]


def _resampled_scores(
    metric: Metric, targets: NDArray[Any], decided: dict[Kind, NDArray[Any]], groups: NDArray[Any] | None, seed: int
) -> dict[Kind, NDArray[np.float64]]:
    """Each kind's scores of the same rows drawn again; of so many rows that it takes seconds, spread accordingly."""
    width = max(predictions[0].size for predictions in decided.values())
    rows = some_units(len(targets), groups, n_rows=max(1, MAX_RESAMPLED_CELLS // width), seed=seed)
    drawn = list(resamples(len(rows), None if groups is None else groups[rows], seed=seed))
    shrink = np.sqrt(len(rows) / len(targets))
    scores = {}
    for kind, predictions in decided.items():
        truth, some = targets[rows], predictions[rows]
        sampled = np.array([metric.score(truth[again], some[again]) for again in drawn])
        scores[kind] = sampled.mean() + (sampled - sampled.mean()) * shrink
    return scores
