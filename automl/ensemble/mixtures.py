"""The ways to mix members, each fitted on some of the rows: which members, how heavy, and how sure each may be.

Not responsible for: which way is taken and what it scores (automl.ensemble.weights), the greedy selection
(automl.ensemble.greedy) or the temperatures (automl.ensemble.calibration).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.decisions import Facts, Scorer
from automl.ensemble.calibration import tempered
from automl.ensemble.greedy import MAX_ROWS, greedy_weights
from automl.ensemble.objectives import Floats, objective_for
from automl.resampling import some_units
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
