"""A blend of members, and the cross-fit that it is scored by: one blend for use, and one for each split of the rows.

The blend of a split was fitted without the split's rows, so that no row is scored by a choice that has seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.tta import IDENTITY

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
BlendMethod = Literal["mean", "greedy"]
Fit = TypeVar("Fit")

IDENTITY_ONLY = (IDENTITY.name,)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """How much each member of a pool counts, at which temperature, and through which views it predicts.

    Attributes:
        weights: (n_models,) not negative, sum 1.
        temperatures: (n_models,) by which each member's logits are divided; 1 for those without weight.
        views: of each member, the identity first.
        method: "mean" of the best members, or "greedy" where that wins on rows that it did not see.
    """

    weights: Floats
    temperatures: Floats
    views: tuple[tuple[str, ...], ...]
    method: BlendMethod = "mean"

    @property
    def members(self) -> list[int]:
        """Positions in the pool of those that weigh anything."""
        return [int(index) for index in np.flatnonzero(self.weights)]

    def select_members(self, indices: Collection[int]) -> Blend | None:
        """Return the same weights of these members alone, brought to sum 1; None where they have none."""
        weights = np.where(np.isin(np.arange(len(self.weights)), list(indices)), self.weights, 0.0)
        return replace(self, weights=weights / weights.sum()) if weights.any() else None

    def without_views(self, names: Collection[str]) -> Blend:
        """Return the blend whose members all do without these views."""
        return replace(self, views=tuple(tuple(view for view in own if view not in names) for own in self.views))


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted(Generic[Fit]):
    """What is fitted to all rows and used, and what is fitted to all but one split for each, as the score is taken.

    Attributes:
        final: fitted to all rows.
        splits: (n_rows,) the split of each row.
        per_split: that of split s was fitted without the rows of split s.
    """

    final: Fit
    splits: Rows
    per_split: tuple[Fit, ...]

    def map(self, change: Callable[[Fit], Fit]) -> CrossFitted[Fit]:
        """Return the same change of every fit."""
        return replace(self, final=change(self.final), per_split=tuple(change(own) for own in self.per_split))

    def refit(self, refit: Callable[[Fit, Rows], Fit]) -> CrossFitted[Fit]:
        """Fit each anew, to the positions of the rows that it may see."""
        others = [self.find_other_rows(split) for split in range(len(self.per_split))]
        per_split = tuple(refit(own, rows) for own, rows in zip(self.per_split, others, strict=True))
        return replace(self, final=refit(self.final, self.find_other_rows(None)), per_split=per_split)

    def find_other_rows(self, split: int | None) -> Rows:
        """Return the positions of the rows outside a split; None for all rows."""
        return np.arange(len(self.splits)) if split is None else np.flatnonzero(self.splits != split)


def list_members(fit: CrossFitted[Blend]) -> list[int]:
    """Return the positions of the members that weigh anything, be it in one split alone."""
    return sorted({index for blend in (fit.final, *fit.per_split) for index in blend.members})


def select_members_of_fit(fit: CrossFitted[Blend], indices: Collection[int]) -> CrossFitted[Blend] | None:
    """Return the fit with these members alone; None where the final blend has none of them.

    A split in which none of them weighs anything takes the final weights.
    """
    final = fit.final.select_members(indices)
    return None if final is None else fit.map(lambda blend: blend.select_members(indices) or final)


def drop_views(fit: CrossFitted[Blend], names: Collection[str]) -> CrossFitted[Blend]:
    """Return the fit whose members all do without these views."""
    return fit.map(lambda blend: blend.without_views(names))
