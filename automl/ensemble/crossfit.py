"""How a pool's members are blended: weights, temperatures and views, and what such a blend says of rows out of fold.

A weighing is fitted to some rows; a cross-fit holds one for each split of the rows, fitted without it, so that no row
is scored by a choice that has seen it. Not responsible for: fitting weights (automl.ensemble.blending) or choosing
views (automl.ensemble.tta_selection).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.decisions.temperature import tempered
from automl.ensemble.blending import Blend, ranks_of
from automl.ensemble.calibration import sharpened
from automl.ensemble.candidates import Member
from automl.ensemble.tta import IDENTITY
from automl.submission.decide import blends_ranks

Floats = NDArray[np.float64]
Seen = Mapping[str, Mapping[str, NDArray[Any]]]  # member -> view -> (n_rows, n_classes)

PLAIN = (IDENTITY.name,)
EVERYWHERE = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """How each member of a pool counts, and through which views it looks.

    Attributes:
        weights: (n_models,) not negative, sum 1.
        temperatures: (n_models,) 1 leaves a member's probabilities as they are.
        views: of each member, the identity first.
    """

    weights: Floats
    temperatures: Floats
    views: tuple[tuple[str, ...], ...]

    @property
    def members(self) -> list[int]:
        """Positions in the pool of those that weigh anything."""
        return [int(index) for index in np.flatnonzero(self.weights)]

    def of_members(self, indices: Collection[int]) -> Weighing | None:
        """The same weights of these members alone, brought to sum 1; None where they have none."""
        weights = np.where(np.isin(np.arange(len(self.weights)), list(indices)), self.weights, 0.0)
        return replace(self, weights=weights / weights.sum()) if weights.any() else None

    def without_views(self, names: Collection[str]) -> Weighing:
        return replace(self, views=tuple(tuple(view for view in own if view not in names) for own in self.views))


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """One weighing that is used, and one for each split of the rows that the score comes from.

    Attributes:
        final: fitted to all rows.
        splits: (n_rows,) the split of each row.
        of_splits: that of split s was fitted without the rows of split s.
    """

    final: Weighing
    splits: NDArray[np.int64]
    of_splits: tuple[Weighing, ...]

    @property
    def members(self) -> list[int]:
        """Positions of those that weigh anything, be it in one split alone."""
        return sorted({index for weighing in (self.final, *self.of_splits) for index in weighing.members})

    def changed(self, change: Callable[[Weighing], Weighing]) -> CrossFit:
        """The same change of every weighing."""
        return replace(self, final=change(self.final), of_splits=tuple(change(own) for own in self.of_splits))

    def of_members(self, indices: Collection[int]) -> CrossFit | None:
        """These members alone; None where the final weighing has none of them.

        A split in which none of them weighs anything takes the final weights.
        """
        final = self.final.of_members(indices)
        if final is None:
            return None
        return replace(self, final=final, of_splits=tuple(own.of_members(indices) or final for own in self.of_splits))

    def without_views(self, names: Collection[str]) -> CrossFit:
        return self.changed(lambda weighing: weighing.without_views(names))


def cross_fit_of(blend: Blend) -> CrossFit:
    """A blend's weights and temperatures, with the identity view alone."""
    views = (PLAIN,) * len(blend.weights)
    pairs = zip(blend.split_weights, blend.split_temperatures, strict=True)
    return CrossFit(
        final=Weighing(blend.weights, blend.temperatures, views),
        splits=blend.splits,
        of_splits=tuple(Weighing(weights, temperatures, views) for weights, temperatures in pairs),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """What the members of a pool say of the same rows out of fold.

    Attributes:
        seen: what members that have looked through views said in each; others have the identity view alone.
    """

    pool: Sequence[Member]
    competition: Competition
    seen: Seen

    @property
    def rows(self) -> NDArray[np.int64]:
        return self.pool[0].rows

    @property
    def targets(self) -> NDArray[Any]:
        """Of the rows, in the competition's form."""
        return self.competition.targets[self.rows]

    @property
    def groups(self) -> NDArray[np.int64] | None:
        return None if self.competition.groups is None else self.competition.groups[self.rows]

    def score(self, probs: NDArray[Any]) -> float:
        """The score of probabilities (n_rows, n_classes) of these rows."""
        return self.competition.scorer(self.targets, probs)

    def merit(self, probs: NDArray[Any], rows: NDArray[np.int64] | slice = EVERYWHERE) -> float:
        """What a blend (n, n_classes) of positions among the rows is worth beside other blends; greater is better.

        Its score, signed. Where that depends on how sure a blend is, each is taken to be as sure as it may be: the rule
        that decides will make it so.
        """
        scorer, targets = self.competition.scorer, self.targets[rows]
        return scorer(targets, sharpened(probs, targets, scorer)) * (1.0 if scorer.greater_is_better else -1.0)

    def said(self, index: int, views: tuple[str, ...]) -> Floats:
        """(n_rows, n_classes): a member's mean probabilities over views, or their ranks where those are blended."""
        member = self.pool[index]
        if views == PLAIN:
            mean = member.oof.astype(np.float64)
        else:
            of_views = self.seen[member.name]
            mean = sum((of_views[view] for view in views), np.zeros(member.oof.shape)) / len(views)
        return ranks_of(mean[None])[0] if blends_ranks(self.competition) else mean

    def blended(self, weighing: Weighing, rows: NDArray[np.int64]) -> Floats:
        """(n, n_classes) of positions among the rows."""
        total = np.zeros((len(rows), self.pool[0].oof.shape[1]))
        for index in weighing.members:
            said = self.said(index, weighing.views[index])[rows]
            total += weighing.weights[index] * self._heard(index, weighing, said)
        return total

    def cross_fitted(self, fit: CrossFit) -> Floats:
        """(n_rows, n_classes): each row blended as the other splits suggest."""
        total = np.zeros(self.pool[0].oof.shape)
        for index in fit.members:
            said: dict[tuple[str, ...], Floats] = {}
            for split, weighing in enumerate(fit.of_splits):
                if weighing.weights[index] == 0.0:
                    continue
                views = weighing.views[index]
                if views not in said:
                    said[views] = self.said(index, views)
                rows = fit.splits == split
                total[rows] += weighing.weights[index] * self._heard(index, weighing, said[views][rows])
        return total

    def _heard(self, index: int, weighing: Weighing, said: Floats) -> Floats:
        temperature = float(weighing.temperatures[index])
        return said if temperature == 1.0 else tempered(said, temperature, self.competition.task)
