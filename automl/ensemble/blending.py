"""The blend of members and its weights: fitted, chosen by nested cross-fitting, and never scored on rows that it saw.

The plain mean of the best members competes with greedy weights, and each member as it is with itself at another
temperature. The whole procedure is cross-fitted: the rows are split in five, and each fifth is blended with what was
chosen and fitted on the other four.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from operator import eq
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from automl.decisions.bootstrap import bootstrap_scores
from automl.decisions.choose import Scorer
from automl.decisions.resampling import assign_stratified_splits, sample_rows
from automl.decisions.temperature import apply_temperature
from automl.ensemble.calibration import calibrate_blend, fit_member_temperatures, needs_calibration
from automl.ensemble.crossfit import IDENTITY_ONLY, Blend, BlendMethod, CrossFitted, Floats, Rows
from automl.ensemble.greedy import MAX_ROWS, get_objective, select_greedy_weights
from automl.target_kinds import HasTargetKind

Traits = tuple[Hashable, ...]  # of a member, the most telling first, as (backbone, image_size)
Excluded = frozenset[int]  # splits

SEED = 0
MIN_GAIN_FRACTION = 0.5  # a mean gains by members that err differently, not by one that learned next to nothing
NEARLY_AS_MUCH = 0.98  # of what the next in the ranking has learned, for one of other traits to go before it
MAX_CELLS = 2_000_000  # rows times columns on which members are compared one by one; keeps the time bounded
MAX_ORDERED_ROWS = 2_000  # on which thousands of means are put in order, which takes longer than other scores
MAX_COMPARED_CELLS = 1_000_000  # rows times columns on which blends are compared; the error of a score takes no more


def blend_probs(probs: NDArray[Any], weights: NDArray[Any], *, by_rank: bool = False) -> Floats:
    """Average (n, n_classes) by weight of the members' probabilities (n_models, n, n_classes), or of their ranks.

    Never of logits: an overconfident member would outvote the others. Ranks serve where only the order counts, as an
    overconfident member would there dominate a mean of probabilities.
    """
    members = compute_ranks(probs) if by_rank else probs
    total = np.zeros(members.shape[1:])
    for member, weight in zip(members, weights, strict=True):
        if weight != 0.0:
            total += weight * member.astype(np.float64)
    return total


def compute_ranks(probs: NDArray[Any]) -> Floats:
    """Compute average ranks in [0, 1] over the rows of each member and class; in and out (n_models, n, n_classes)."""
    ranks = np.empty(probs.shape)
    for member, class_index in np.ndindex(probs.shape[0], probs.shape[2]):
        ranks[member, :, class_index] = _rank_column(probs[member, :, class_index])
    return ranks


def fit_blend(
    oof_probs: NDArray[Any],
    targets: NDArray[Any],
    scorer: Scorer,
    *,
    strata: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    max_members: int = 5,
    traits: Sequence[Traits] | None = None,
) -> CrossFitted[Blend]:
    """Fit the best method's weights to out-of-fold probabilities (n_models, n, n_classes), or ranks of each column.

    Greedy weights are kept only where they beat the plain mean out of sample by more than the standard error of the
    difference: inside a handful of good members weights are worth little, and at few rows less than nothing.
    A member's temperature is kept where the member wins by it at all on rows that it was not fitted on, and only where
    the score depends on it. Members with identical predictions count once. Rows of one group stay
    in one split and are resampled together. With 20,000 rows of 1,000 classes and five members it takes less than a
    minute on one core. A split's blend may be of another method than the final one.

    Args:
        strata: (n,) equal for rows that are to be dealt out evenly; None for the targets.
        traits: of each member, as (backbone, image_size): of members that are nearly as good those go first that share
            less with the ones already taken.
    """
    distinct = _find_distinct(oof_probs)
    fitter = BlendFitter(
        probs=oof_probs[distinct] if len(distinct) < len(oof_probs) else oof_probs,
        targets=targets,
        scorer=scorer,
        max_members=max_members,
        traits=() if traits is None else [traits[index] for index in distinct],
    )
    splits = assign_stratified_splits(targets if strata is None else strata, groups, seed=SEED)
    nested = _NestedSelection(fitter, splits, groups)
    fit = CrossFitted(
        final=nested.select(frozenset()),
        splits=splits,
        per_split=tuple(nested.select(frozenset({split})) for split in range(int(splits.max()) + 1)),
    )
    return fit.map(lambda blend: _spread(blend, distinct, len(oof_probs)))


def cross_predict(
    probs: NDArray[Any], splits: Rows, blends: Mapping[int, Blend], rows: Rows, task: HasTargetKind
) -> Floats:
    """Return (n_rows, n_classes) of those rows of (n_models, n, n_classes), each by the blend of its split."""
    blended = np.empty((len(rows), probs.shape[2]))
    for split, blend in blends.items():
        own = splits[rows] == split
        blended[own] = _predict(probs, blend, rows[own], task)
    return blended


def _predict(probs: NDArray[Any], blend: Blend, rows: Rows, task: HasTargetKind) -> Floats:
    members, temperatures = blend.members, blend.temperatures.tolist()
    calibrated = [apply_temperature(probs[member, rows], temperatures[member], task) for member in members]
    return blend_probs(np.stack(calibrated), blend.weights[members])


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendFitter:
    """Fits blends of members (n_models, n, n_classes), no two the same, to some of their rows.

    Attributes:
        traits: of each member; () where nothing is known.
    """

    probs: NDArray[Any]
    targets: NDArray[Any]
    scorer: Scorer
    max_members: int
    traits: Sequence[Traits]

    def fit(self, method: BlendMethod, rows: Rows, temperatures: Floats) -> Blend:
        """Fit members, at temperatures fitted to the same rows, to these rows; equal weights where there are none."""
        n_models = len(self.probs)
        views = (IDENTITY_ONLY,) * n_models
        if not len(rows):
            return Blend(np.full(n_models, 1.0 / n_models), np.ones(n_models), views, method)
        weights = (self._fit_greedy if method == "greedy" else self._average_best)(rows, temperatures)
        return Blend(weights, np.where(weights > 0, temperatures, 1.0), views, method)

    def _average_best(self, rows: Rows, temperatures: Floats) -> Floats:
        """Equal weights of the best members, without those that learned less than half of what the best one did."""
        gains = self._compute_gains(rows, temperatures)
        best = rank_diverse_first(gains, self.traits)[: self.max_members]
        if gains.max() > 0:
            best = best[gains[best] >= MIN_GAIN_FRACTION * gains.max()]
        weights = np.zeros(len(self.probs))
        weights[best] = 1.0 / len(best)
        return weights

    def _fit_greedy(self, rows: Rows, temperatures: Floats) -> Floats:
        objective = get_objective(self.scorer, n_rows=len(self.targets), n_classes=self.probs.shape[2])
        most = MAX_ORDERED_ROWS if self.scorer.needs == "order" else MAX_ROWS
        sample = _subsample(rows, min(most, MAX_CELLS // self.probs.shape[2]))
        probs = np.stack(list(self._iterate_members(sample, temperatures)))
        return select_greedy_weights(probs, self.targets[sample], objective, max_members=self.max_members, seed=SEED)

    def _compute_gains(self, rows: Rows, temperatures: Floats) -> Floats:
        """By how much each member is better on the rows, or many of them, than predicting their mean share."""
        n_classes = self.probs.shape[2]
        sample = _subsample(rows, MAX_CELLS // n_classes)
        targets = self.targets[sample]
        context = self.scorer.context
        mean = context.target_kind.compute_mean_probs(targets, n_classes=n_classes, scales=context.scales)
        constant = np.tile(mean, (len(sample), 1))
        members = self._iterate_members(sample, temperatures)
        scores = np.array([self.scorer(targets, probs) for probs in (constant, *members)])
        gains: Floats = scores[1:] - scores[0]
        return gains if self.scorer.greater_is_better else -gains

    def _iterate_members(self, rows: Rows, temperatures: Floats) -> Iterator[NDArray[Any]]:
        """(n_rows, n_classes) of each member at its temperature."""
        for own, temperature in zip(self.probs, temperatures.tolist(), strict=True):
            yield apply_temperature(own[rows], temperature, self.scorer.context)


class _NestedSelection:
    """Fits temperatures, selects the method of a blend and fits it, on the rows of all splits but some.

    Each is compared by its predictions of each split when it is fitted without that split too; fits are made
    once, as leaving out s and then t is leaving out t and then s.
    """

    def __init__(self, fitter: BlendFitter, splits: Rows, groups: NDArray[Any] | None) -> None:
        self._fitter, self._splits, self._groups = fitter, splits, groups
        self._blends: dict[tuple[BlendMethod, Excluded], Blend] = {}
        self._temperatures: dict[Excluded, Floats] = {}

    def select(self, excluded: Excluded) -> Blend:
        """Return the blend whose method wins on the other rows, fitted to them."""
        return self._fit("greedy" if self._greedy_wins(excluded) else "mean", excluded)

    def _greedy_wins(self, excluded: Excluded) -> bool:
        """Whether greedy weights are better than the plain mean by more than the standard error of the difference."""
        rows = self._subsample_rows(excluded)
        if not len(rows):
            return False
        targets, scorer = self._fitter.targets[rows], self._fitter.scorer
        blended = [
            calibrate_blend(self._cross_predict(method, excluded, rows), targets, scorer)
            for method in get_args(BlendMethod)
        ]
        scores = [scorer(targets, probs) for probs in blended]
        gain = (scores[1] - scores[0]) * (1.0 if scorer.greater_is_better else -1.0)
        if gain <= 0.0:
            return False
        groups = None if self._groups is None else self._groups[rows]
        resampled = bootstrap_scores(blended, targets, scorer, groups=groups, seed=SEED)
        return bool(gain > (resampled[:, 1] - resampled[:, 0]).std())

    def _fit(self, method: BlendMethod, excluded: Excluded) -> Blend:
        if (method, excluded) not in self._blends:
            temperatures = self._select_temperatures(excluded)
            self._blends[method, excluded] = self._fitter.fit(method, self._list_rows(excluded), temperatures)
        return self._blends[method, excluded]

    def _cross_predict(self, method: BlendMethod, excluded: Excluded, rows: Rows) -> Floats:
        splits = set(self._splits[rows].tolist())
        blends = {split: self._fit(method, excluded | {split}) for split in splits}
        return cross_predict(self._fitter.probs, self._splits, blends, rows, self._fitter.scorer.context)

    def _select_temperatures(self, excluded: Excluded) -> Floats:
        """(n_models,) each member's own where it wins on rows that it was not fitted on, by however little; else 1.

        With a single member nothing is to be balanced: its calibration is left to the decision rule.
        """
        n_models, rows = len(self._fitter.probs), self._subsample_rows(excluded)
        if not len(rows) or n_models == 1 or not needs_calibration(self._fitter.scorer):
            return np.ones(n_models)
        wins = [self._wins_at_temperature(member, excluded, rows) for member in range(n_models)]
        return np.where(wins, self._fit_temperatures(excluded), 1.0)

    def _wins_at_temperature(self, member: int, excluded: Excluded, rows: Rows) -> bool:
        scorer, targets, own = self._fitter.scorer, self._fitter.targets[rows], self._fitter.probs[member][rows]
        calibrated = np.array(own, dtype=np.float64)
        for split in set(self._splits[rows].tolist()):
            temperature = float(self._fit_temperatures(excluded | {split})[member])
            in_split = self._splits[rows] == split
            calibrated[in_split] = apply_temperature(own[in_split], temperature, scorer.context)
        return scorer.is_better(scorer(targets, calibrated), scorer(targets, own))

    def _fit_temperatures(self, excluded: Excluded) -> Floats:
        if excluded not in self._temperatures:
            fitter, rows = self._fitter, self._list_rows(excluded)
            fitted = fit_member_temperatures(fitter.probs, fitter.targets, fitter.scorer, rows)
            self._temperatures[excluded] = fitted
        return self._temperatures[excluded]

    def _list_rows(self, excluded: Excluded) -> Rows:
        return np.flatnonzero(~np.isin(self._splits, list(excluded)))

    def _subsample_rows(self, excluded: Excluded) -> Rows:
        rows = self._list_rows(excluded)
        groups = None if self._groups is None else self._groups[rows]
        n_rows = max(1, MAX_COMPARED_CELLS // self._fitter.probs.shape[2])
        return rows[sample_rows(len(rows), groups, n_rows=n_rows, seed=SEED)]


def rank_diverse_first(gains: Floats, traits: Sequence[Traits]) -> Rows:
    """Rank all members, best first; but one that shares less with those before it goes before the next in the ranking.

    That is, if it has learned nearly as much: members that err alike add little to one another. A backbone that is not
    there yet counts more than another image size of one that is.
    """
    remaining = np.argsort(-gains, kind="stable").tolist()
    order: list[int] = []
    while traits and remaining:
        enough = NEARLY_AS_MUCH * gains[remaining[0]] if gains[remaining[0]] > 0 else gains[remaining[0]]
        near = [member for member in remaining if gains[member] >= enough]
        n_shared = [_count_shared(traits[member], [traits[other] for other in order]) for member in near]
        order.append(near[n_shared.index(min(n_shared))])
        remaining.remove(order[-1])
    return np.array(order + remaining, dtype=np.int64)


def _subsample(rows: Rows, n: int) -> Rows:
    """As many of the rows, always the same ones; at least one."""
    return rows[sample_rows(len(rows), None, n_rows=max(1, n), seed=SEED)]


def _count_shared(traits: Traits, taken: Sequence[Traits]) -> int:
    """How many of the first traits some member that is taken has, too."""
    return max((sum(1 for _ in takewhile(bool, map(eq, traits, other))) for other in taken), default=0)


def _find_distinct(oof_probs: NDArray[Any]) -> NDArray[np.int64]:
    first: dict[bytes, int] = {}
    for index, probs in enumerate(oof_probs):
        first.setdefault(hashlib.blake2b(np.ascontiguousarray(probs).data).digest(), index)
    return np.array(list(first.values()), dtype=np.int64)


def _spread(blend: Blend, distinct: Rows, n_models: int) -> Blend:
    """The blend of the distinct members as one of all: repeated ones have no weight."""
    weights, temperatures = np.zeros(n_models), np.ones(n_models)
    weights[distinct], temperatures[distinct] = blend.weights, blend.temperatures
    return replace(blend, weights=weights, temperatures=temperatures, views=(IDENTITY_ONLY,) * n_models)


def _rank_column(column: NDArray[Any]) -> Floats:
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts + 1) / 2.0  # from 0, ties share their mean
    ranks: Floats = mean_ranks[inverse] / max(1, len(column) - 1)
    return ranks
