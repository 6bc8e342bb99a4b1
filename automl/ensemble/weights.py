"""How members are blended and with which weights, and what score may honestly be shown for the blend.

Two rules compete: the plain mean of the best members, and greedy weights. Both are cross-fitted: the rows are split in
five, and each fifth is blended with weights that were fitted on the other four, so no row is scored with weights that
saw it. Not responsible for: the greedy selection itself (automl.ensemble.greedy), the error of a score
(automl.ensemble.bootstrap) or reading predictions (automl.ensemble.predict).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.decisions import Facts, Scorer
from automl.ensemble.bootstrap import bootstrap_scores
from automl.ensemble.greedy import greedy_weights
from automl.ensemble.objectives import objective_for
from automl.resampling import stratified_splits
from automl.tasks import Task

Floats = NDArray[np.float64]
Kind = Literal["mean", "greedy"]
Fit = Callable[[NDArray[np.int64]], Floats]  # rows -> weights (n_models,) fitted on them

SEED = 0
MIN_GAIN_FRACTION = 0.5  # a mean gains by members that err differently, not by one that learned next to nothing
MAX_CELLS = 2_000_000  # rows times columns on which members are compared one by one; keeps the time bounded


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blend:
    """Weights for a pool of members, and their cross-fitted score.

    Attributes:
        weights: (n_models,), not negative, sum 1.
        kind: "mean" of the best members, or "greedy" where that wins on rows it did not see.
        splits: (n,) the split of each row.
        split_weights: (n_splits, n_models); row s was fitted without the rows of split s.
        score: of `cross_fitted_probs`, never of the rows that the weights were fitted on.
        score_error: its standard error, from resampling rows or groups.
    """

    weights: Floats
    kind: Kind
    splits: NDArray[np.int64]
    split_weights: Floats
    score: float
    score_error: float

    def cross_fitted_probs(self, oof_probs: NDArray[Any]) -> Floats:
        """Each row of (n_models, n, n_classes) blended with the weights that were fitted without it."""
        return _cross_fitted_probs(oof_probs, self.splits, self.split_weights)


def blend(probs: NDArray[Any], weights: NDArray[Any], *, by_rank: bool = False) -> Floats:
    """The weighted mean (n, n_classes) of the members' probabilities (n_models, n, n_classes), or of their ranks.

    Never of logits: an overconfident member would outvote the others. Ranks serve where only the order counts, as an
    overconfident member would there dominate a mean of probabilities.
    """
    members = ranks_of(probs) if by_rank else probs
    total = np.zeros(members.shape[1:])
    for member, weight in zip(members, weights, strict=True):
        if weight != 0.0:
            total += weight * member.astype(np.float64)
    return total


def ranks_of(probs: NDArray[Any]) -> Floats:
    """Average ranks scaled to [0, 1] over the rows of each member and class; in and out (n_models, n, n_classes)."""
    ranks = np.empty(probs.shape)
    for member, class_index in np.ndindex(probs.shape[0], probs.shape[2]):
        ranks[member, :, class_index] = _column_ranks(probs[member, :, class_index])
    return ranks


def blend_weights(
    oof_probs: NDArray[Any],
    targets: NDArray[Any],
    scorer: Scorer,
    *,
    strata: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    max_members: int = 5,
) -> Blend:
    """The better rule's weights for out-of-fold probabilities (n_models, n, n_classes), or ranks of each column.

    Greedy weights are kept only where they beat the plain mean out of sample by more than the standard error of the
    difference: inside a handful of good members weights are worth little, and at few rows less than nothing.
    Members with identical predictions count once. Rows of one group stay in one split and are resampled together.
    With 20,000 rows of 1,000 classes and five members it takes less than a minute on one core.

    Args:
        strata: (n,) equal for rows that are to be dealt out evenly; None for the targets.
    """
    distinct = _first_of_identical(oof_probs)
    pool = _Pool(oof_probs[distinct] if len(distinct) < len(oof_probs) else oof_probs, targets, scorer, max_members)
    splits = stratified_splits(targets if strata is None else strata, groups, seed=SEED)
    kinds: tuple[Kind, ...] = ("mean", "greedy")
    fits: tuple[Fit, ...] = (pool.mean_of_best, pool.greedy)
    split_weights = [_split_weights(fit, splits, len(distinct)) for fit in fits]
    blended = [_cross_fitted_probs(pool.probs, splits, weights) for weights in split_weights]
    scores = np.array([scorer(targets, probs) for probs in blended])
    resampled = bootstrap_scores(blended, targets, scorer, groups=groups, seed=SEED)
    chosen = int(_beats_by_an_error(scores, resampled, scorer))
    return Blend(
        weights=_spread(fits[chosen](np.arange(len(targets))), distinct, len(oof_probs)),
        kind=kinds[chosen],
        splits=splits,
        split_weights=_spread(split_weights[chosen], distinct, len(oof_probs)),
        score=float(scores[chosen]),
        score_error=float(resampled[:, chosen].std()),
    )


@dataclass(frozen=True, slots=True)
class _Pool:
    """Distinct members (n_models, n, n_classes) and the two rules that weigh them on some of the rows."""

    probs: NDArray[Any]
    targets: NDArray[Any]
    scorer: Scorer
    max_members: int

    def mean_of_best(self, rows: NDArray[np.int64]) -> Floats:
        """Equal weights of the best members, without those that learned less than half of what the best one did."""
        gains = self._gains_over_constant(rows)
        best = np.argsort(-gains, kind="stable")[: self.max_members]
        if gains[best[0]] > 0:
            best = best[gains[best] >= MIN_GAIN_FRACTION * gains[best[0]]]
        weights = np.zeros(len(self.probs))
        weights[best] = 1.0 / len(best)
        return weights

    def greedy(self, rows: NDArray[np.int64]) -> Floats:
        objective = objective_for(self.scorer, n_rows=len(self.targets), n_classes=self.probs.shape[2])
        return greedy_weights(
            self.probs, self.targets, objective, max_members=self.max_members, seed=SEED, fit_rows=rows
        )

    def _gains_over_constant(self, rows: NDArray[np.int64]) -> Floats:
        """By how much each member is better on the rows, or many of them, than predicting their mean share."""
        n_classes = self.probs.shape[2]
        if len(rows) * n_classes > MAX_CELLS:
            rows = np.sort(np.random.default_rng(SEED).permutation(rows)[: max(1, MAX_CELLS // n_classes)])
        targets = self.targets[rows]
        constant = np.tile(mean_share(targets, n_classes, self.scorer.facts), (len(rows), 1))
        scores = np.array([self.scorer(targets, constant), *(self.scorer(targets, own[rows]) for own in self.probs)])
        gains: Floats = scores[1:] - scores[0]
        return gains if self.scorer.greater_is_better else -gains


def mean_share(targets: NDArray[Any], n_classes: int, facts: Facts) -> Floats:
    """(n_classes,) the mean over the rows of what a perfect model would predict for their targets."""
    if facts.task.one_class_each:
        counts: NDArray[np.int64] = np.bincount(targets, minlength=n_classes)
        return counts / len(targets)
    mean: Floats = targets.mean(axis=0, dtype=np.float64)
    if facts.task is Task.REGRESSION and facts.scales is not None:
        low, high = np.asarray(facts.scales, dtype=np.float64).T
        mean = (mean - low) / np.where(high > low, high - low, 1.0)
    return mean


def _first_of_identical(oof_probs: NDArray[Any]) -> NDArray[np.int64]:
    first: dict[bytes, int] = {}
    for index, probs in enumerate(oof_probs):
        first.setdefault(hashlib.blake2b(np.ascontiguousarray(probs).data).digest(), index)
    return np.array(list(first.values()), dtype=np.int64)


def _split_weights(fit: Fit, splits: NDArray[np.int64], n_models: int) -> Floats:
    others = [np.flatnonzero(splits != split) for split in range(int(splits.max()) + 1)]
    equal = np.full(n_models, 1.0 / n_models)  # for a single row, which leaves none to fit on
    return np.stack([fit(rows) if len(rows) else equal for rows in others])


def _cross_fitted_probs(probs: NDArray[Any], splits: NDArray[np.int64], split_weights: Floats) -> Floats:
    blended = np.empty(probs.shape[1:])
    for split, weights in enumerate(split_weights):
        rows = splits == split
        blended[rows] = blend(probs[:, rows], weights)
    return blended


def _beats_by_an_error(scores: Floats, resampled: Floats, scorer: Scorer) -> bool:
    """Whether the second blend is better than the first by more than the standard error of their difference."""
    gain = scores[1] - scores[0] if scorer.greater_is_better else scores[0] - scores[1]
    return bool(gain > (resampled[:, 1] - resampled[:, 0]).std())


def _spread(weights: Floats, distinct: NDArray[np.int64], n_models: int) -> Floats:
    """Weights of the distinct members as weights of all; the others get zero."""
    spread = np.zeros((*weights.shape[:-1], n_models))
    spread[..., distinct] = weights
    return spread


def _column_ranks(column: NDArray[Any]) -> Floats:
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts + 1) / 2.0  # from 0, ties share their mean
    ranks: Floats = mean_ranks[inverse] / max(1, len(column) - 1)
    return ranks
