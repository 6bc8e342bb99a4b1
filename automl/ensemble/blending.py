"""How members are blended and with which weights, and what score may honestly be shown for the blend.

The plain mean of the best members competes with greedy weights, and each member as it is with itself at another
temperature. The whole procedure is cross-fitted: the rows are split in five, and each fifth is blended with what was
chosen and fitted on the other four, so no row is scored by anything that saw it. Not responsible for: fitting weights
(automl.ensemble.blending) or temperatures (automl.ensemble.calibration), the error of a score
(automl.ensemble.bootstrap) or reading predictions (automl.ensemble.candidates).
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from automl.decisions.choose import Scorer
from automl.decisions.rules import Facts
from automl.decisions.temperature import tempered
from automl.ensemble.bootstrap import bootstrap_scores
from automl.ensemble.calibration import is_calibrated, member_temperatures, sharpened
from automl.ensemble.greedy import MAX_ROWS, Floats, greedy_weights, objective_for
from automl.resampling import some_units, stratified_splits
from automl.tasks import Task

Rows = NDArray[np.int64]
Kind = Literal["mean", "greedy"]
Traits = tuple[Hashable, ...]  # of a member, the most telling first, as (backbone, image_size)

SEED = 0
MIN_GAIN_FRACTION = 0.5  # a mean gains by members that err differently, not by one that learned next to nothing
NEARLY_AS_MUCH = 0.98  # of what the next in the ranking has learned, for one of another kind to go before it
MAX_CELLS = 2_000_000  # rows times columns on which members are compared one by one; keeps the time bounded
MAX_ORDERED_ROWS = 2_000  # on which thousands of means are put in order, which takes longer than other scores


class Mixture(NamedTuple):
    """What mixes members.

    Attributes:
        weights: (n_models,), not negative, sum 1.
        temperatures: (n_models,), by which the logits of each are divided; 1 for those without weight.
    """

    weights: Floats
    temperatures: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Voters:
    """Members (n_models, n, n_classes), no two the same, and what they are to say.

    Attributes:
        kinds: the traits of each member; () where nothing is known.
    """

    probs: NDArray[Any]
    targets: NDArray[Any]
    scorer: Scorer
    max_members: int
    kinds: Sequence[Traits]

    def mixture(self, kind: Kind, rows: Rows, temperatures: Floats) -> Mixture:
        """The mixture of members (at temperatures that were fitted to the same rows) that these rows ask for.

        An equal one where there are no rows.
        """
        n_models = len(self.probs)
        if not len(rows):
            return Mixture(np.full(n_models, 1.0 / n_models), np.ones(n_models))
        weights = (self._greedy if kind == "greedy" else self._mean_of_best)(rows, temperatures)
        return Mixture(weights, np.where(weights > 0, temperatures, 1.0))

    def _mean_of_best(self, rows: Rows, temperatures: Floats) -> Floats:
        """Equal weights of the best members, without those that learned less than half of what the best one did."""
        gains = self._gains_over_constant(rows, temperatures)
        best = unlike_first(gains, self.kinds)[: self.max_members]
        if gains.max() > 0:
            best = best[gains[best] >= MIN_GAIN_FRACTION * gains.max()]
        weights = np.zeros(len(self.probs))
        weights[best] = 1.0 / len(best)
        return weights

    def _greedy(self, rows: Rows, temperatures: Floats) -> Floats:
        objective = objective_for(self.scorer, n_rows=len(self.targets), n_classes=self.probs.shape[2])
        most = MAX_ORDERED_ROWS if self.scorer.needs == "order" else MAX_ROWS
        some = _some(rows, min(most, MAX_CELLS // self.probs.shape[2]))
        said = np.stack(list(self._said(some, temperatures)))
        return greedy_weights(said, self.targets[some], objective, max_members=self.max_members, seed=SEED)

    def _gains_over_constant(self, rows: Rows, temperatures: Floats) -> Floats:
        """By how much each member is better on the rows, or many of them, than predicting their mean share."""
        n_classes = self.probs.shape[2]
        some = _some(rows, MAX_CELLS // n_classes)
        targets = self.targets[some]
        constant = np.tile(mean_share(targets, n_classes, self.scorer.facts), (len(some), 1))
        scores = np.array([self.scorer(targets, probs) for probs in (constant, *self._said(some, temperatures))])
        gains: Floats = scores[1:] - scores[0]
        return gains if self.scorer.greater_is_better else -gains

    def _said(self, rows: Rows, temperatures: Floats) -> Iterator[NDArray[Any]]:
        """What each member says of the rows, (n_rows, n_classes)."""
        for own, temperature in zip(self.probs, temperatures.tolist(), strict=True):
            yield tempered(own[rows], temperature, self.scorer.facts.task)


def unlike_first(gains: Floats, kinds: Sequence[Traits]) -> Rows:
    """All members, best first; but one that shares less with those before it goes before the next in the ranking.

    That is, if it has learned nearly as much: members that err alike add little to one another. A backbone that is not
    there yet counts more than another image size of one that is.
    """
    remaining = np.argsort(-gains, kind="stable").tolist()
    order: list[int] = []
    while kinds and remaining:
        enough = NEARLY_AS_MUCH * gains[remaining[0]] if gains[remaining[0]] > 0 else gains[remaining[0]]
        near = [member for member in remaining if gains[member] >= enough]
        n_shared = [_n_shared(kinds[member], [kinds[other] for other in order]) for member in near]
        order.append(near[n_shared.index(min(n_shared))])
        remaining.remove(order[-1])
    return np.array(order + remaining, dtype=np.int64)


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


def _some(rows: Rows, n: int) -> Rows:
    """As many of the rows, always the same ones; at least one."""
    return rows[some_units(len(rows), None, n_rows=max(1, n), seed=SEED)]


def _n_shared(traits: Traits, taken: Sequence[Traits]) -> int:
    """How many of the first traits some member that is taken has, too."""
    return max((sum(1 for _ in takewhile(bool, map(eq, traits, other))) for other in taken), default=0)


LeftOut = frozenset[int]  # splits

MAX_COMPARED_CELLS = 1_000_000  # rows times columns on which blends are compared; the error of a score takes no more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blend:
    """Weights and temperatures for a pool of members, and their cross-fitted score.

    Attributes:
        weights: (n_models,), not negative, sum 1.
        temperatures: (n_models,) by which each member's logits are divided before they are blended; 1 leaves them.
        kind: "mean" of the best members, or "greedy" where that wins on rows it did not see.
        splits: (n,) the split of each row.
        split_weights, split_temperatures: (n_splits, n_models); row s was fitted without the rows of split s, and may
            be of another kind.
        score: of `cross_fitted_probs`, never of the rows that the weights were fitted on.
        score_error: its standard error, from resampling rows or groups.
    """

    weights: Floats
    temperatures: Floats
    kind: Kind
    splits: NDArray[np.int64]
    split_weights: Floats
    split_temperatures: Floats
    score: float
    score_error: float
    task: Task

    def cross_fitted_probs(self, oof_probs: NDArray[Any]) -> Floats:
        """Each row of (n_models, n, n_classes) blended with what was fitted without it."""
        mixtures = map(Mixture, self.split_weights, self.split_temperatures)
        rows = np.arange(len(self.splits))
        return _cross_fitted(oof_probs, self.splits, dict(enumerate(mixtures)), rows, self.task)


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
    kinds: Sequence[Traits] | None = None,
) -> Blend:
    """The best way's weights for out-of-fold probabilities (n_models, n, n_classes), or ranks of each column.

    Greedy weights are kept only where they beat the plain mean out of sample by more than the standard error of the
    difference: inside a handful of good members weights are worth little, and at few rows less than nothing.
    A member's temperature is kept where the member wins by it at all on rows that it was not fitted on, and only where
    the score depends on it. Members with identical predictions count once. Rows of one group stay
    in one split and are resampled together. With 20,000 rows of 1,000 classes and five members it takes less than a
    minute on one core.

    Args:
        strata: (n,) equal for rows that are to be dealt out evenly; None for the targets.
        kinds: of each member, as (backbone, image_size): of members that are nearly as good those go first that share
            less with the ones already taken.
    """
    distinct = _first_of_identical(oof_probs)
    pool = Voters(
        probs=oof_probs[distinct] if len(distinct) < len(oof_probs) else oof_probs,
        targets=targets,
        scorer=scorer,
        max_members=max_members,
        kinds=() if kinds is None else [kinds[index] for index in distinct],
    )
    splits = stratified_splits(targets if strata is None else strata, groups, seed=SEED)
    procedure = _Procedure(pool, splits, groups)
    numbers = range(int(splits.max()) + 1)
    kind, final = procedure.chosen(frozenset())
    of_splits = {split: procedure.chosen(frozenset({split}))[1] for split in numbers}
    blended = _cross_fitted(pool.probs, splits, of_splits, np.arange(len(targets)), scorer.facts.task)
    in_turn = [of_splits[split] for split in numbers]
    return Blend(
        weights=_spread(final.weights, distinct, len(oof_probs), fill=0.0),
        temperatures=_spread(final.temperatures, distinct, len(oof_probs), fill=1.0),
        kind=kind,
        splits=splits,
        split_weights=_spread(np.stack([own.weights for own in in_turn]), distinct, len(oof_probs), fill=0.0),
        split_temperatures=_spread(np.stack([own.temperatures for own in in_turn]), distinct, len(oof_probs), fill=1.0),
        score=scorer(targets, blended),
        score_error=float(bootstrap_scores([blended], targets, scorer, groups=groups, seed=SEED).std()),
        task=scorer.facts.task,
    )


class _Procedure:
    """What fits temperatures, chooses a kind of mixture and fits it, on the rows of all splits but some.

    Whatever is judged is judged by what it says of each split when it is fitted without that split too; fits are made
    once, as leaving out s and then t is leaving out t and then s.
    """

    def __init__(self, pool: Voters, splits: Rows, groups: NDArray[Any] | None) -> None:
        self._pool, self._splits, self._groups = pool, splits, groups
        self._mixtures: dict[tuple[Kind, LeftOut], Mixture] = {}
        self._temperatures: dict[LeftOut, Floats] = {}

    def chosen(self, left_out: LeftOut) -> tuple[Kind, Mixture]:
        """The kind that wins on the other rows, fitted to them."""
        kind: Kind = "greedy" if self._greedy_wins(left_out) else "mean"
        return kind, self._mixture(kind, left_out)

    def _greedy_wins(self, left_out: LeftOut) -> bool:
        """Whether greedy weights are better than the plain mean by more than the standard error of the difference."""
        rows = self._some_rows(left_out)
        if not len(rows):
            return False
        targets, scorer = self._pool.targets[rows], self._pool.scorer
        blended = [sharpened(self._cross_fitted(kind, left_out, rows), targets, scorer) for kind in get_args(Kind)]
        scores = [scorer(targets, probs) for probs in blended]
        gain = (scores[1] - scores[0]) * (1.0 if scorer.greater_is_better else -1.0)
        if gain <= 0.0:
            return False
        groups = None if self._groups is None else self._groups[rows]
        resampled = bootstrap_scores(blended, targets, scorer, groups=groups, seed=SEED)
        return bool(gain > (resampled[:, 1] - resampled[:, 0]).std())

    def _mixture(self, kind: Kind, left_out: LeftOut) -> Mixture:
        if (kind, left_out) not in self._mixtures:
            temperatures = self._kept_temperatures(left_out)
            self._mixtures[kind, left_out] = self._pool.mixture(kind, self._rows(left_out), temperatures)
        return self._mixtures[kind, left_out]

    def _cross_fitted(self, kind: Kind, left_out: LeftOut, rows: Rows) -> Floats:
        splits = set(self._splits[rows].tolist())
        mixtures = {split: self._mixture(kind, left_out | {split}) for split in splits}
        return _cross_fitted(self._pool.probs, self._splits, mixtures, rows, self._pool.scorer.facts.task)

    def _kept_temperatures(self, left_out: LeftOut) -> Floats:
        """(n_models,) each member's own where it wins on rows that it was not fitted on, by however little; else 1.

        A member alone has nobody to be heard over: how sure it may be is left to the rule that decides.
        """
        n_models, rows = len(self._pool.probs), self._some_rows(left_out)
        if not len(rows) or n_models == 1 or not is_calibrated(self._pool.scorer):
            return np.ones(n_models)
        wins = [self._wins_tempered(member, left_out, rows) for member in range(n_models)]
        return np.where(wins, self._fitted_temperatures(left_out), 1.0)

    def _wins_tempered(self, member: int, left_out: LeftOut, rows: Rows) -> bool:
        scorer, targets, own = self._pool.scorer, self._pool.targets[rows], self._pool.probs[member][rows]
        cooler = np.array(own, dtype=np.float64)
        for split in set(self._splits[rows].tolist()):
            temperature = float(self._fitted_temperatures(left_out | {split})[member])
            there = self._splits[rows] == split
            cooler[there] = tempered(own[there], temperature, scorer.facts.task)
        return scorer.better(scorer(targets, cooler), scorer(targets, own))

    def _fitted_temperatures(self, left_out: LeftOut) -> Floats:
        if left_out not in self._temperatures:
            pool, rows = self._pool, self._rows(left_out)
            fitted = member_temperatures(pool.probs, pool.targets, pool.scorer, rows)
            self._temperatures[left_out] = fitted
        return self._temperatures[left_out]

    def _rows(self, left_out: LeftOut) -> Rows:
        return np.flatnonzero(~np.isin(self._splits, list(left_out)))

    def _some_rows(self, left_out: LeftOut) -> Rows:
        rows = self._rows(left_out)
        groups = None if self._groups is None else self._groups[rows]
        n_rows = max(1, MAX_COMPARED_CELLS // self._pool.probs.shape[2])
        return rows[some_units(len(rows), groups, n_rows=n_rows, seed=SEED)]


def _first_of_identical(oof_probs: NDArray[Any]) -> NDArray[np.int64]:
    first: dict[bytes, int] = {}
    for index, probs in enumerate(oof_probs):
        first.setdefault(hashlib.blake2b(np.ascontiguousarray(probs).data).digest(), index)
    return np.array(list(first.values()), dtype=np.int64)


def _cross_fitted(probs: NDArray[Any], splits: Rows, mixtures: Mapping[int, Mixture], rows: Rows, task: Task) -> Floats:
    """(n_rows, n_classes) of the rows, each blended by the mixture of its split."""
    blended = np.empty((len(rows), probs.shape[2]))
    for split, mixture in mixtures.items():
        own = splits[rows] == split
        blended[own] = _mixed(probs, mixture, rows[own], task)
    return blended


def _mixed(probs: NDArray[Any], mixture: Mixture, rows: Rows, task: Task) -> Floats:
    """(n_rows, n_classes) of those rows of (n_models, n, n_classes)."""
    members = np.flatnonzero(mixture.weights)
    said = [tempered(probs[member, rows], float(mixture.temperatures[member]), task) for member in members]
    return blend(np.stack(said), mixture.weights[members])


def _spread(values: Floats, distinct: Rows, n_models: int, *, fill: float) -> Floats:
    """Values of the distinct members as values of all."""
    spread = np.full((*values.shape[:-1], n_models), fill)
    spread[..., distinct] = values
    return spread


def _column_ranks(column: NDArray[Any]) -> Floats:
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts + 1) / 2.0  # from 0, ties share their mean
    ranks: Floats = mean_ranks[inverse] / max(1, len(column) - 1)
    return ranks
