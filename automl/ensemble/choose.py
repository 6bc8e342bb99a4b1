"""Which trials become members, with which weights, and what that scores with and without views.

The score is cross-fitted all the way: each row is blended with weights, and by members, that were chosen without it.
The views are judged on those same blends, so that their gain is not mistaken for the luck of the choice.
Not responsible for: reading the pool (automl.ensemble.pool) or the rules of weighing (automl.ensemble.weights).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.cache import PixelCache
from automl.data.competition import Competition
from automl.ensemble.bootstrap import bootstrap_scores
from automl.ensemble.deciding import Estimate, blends_ranks
from automl.ensemble.pool import Note, require_some
from automl.ensemble.predict import Member, predict_oof, predict_test
from automl.ensemble.tta import View
from automl.ensemble.weights import Blend, blend_weights, ranks_of
from automl.errors import StorageError


@dataclass(frozen=True, slots=True)
class Looking:
    """What predicting through views needs, and whom to tell of it."""

    cache: PixelCache
    device: str
    tell: Callable[[str], None]

    def oof(self, member: Member, views: Sequence[View], *, note: Note) -> NDArray[Any] | None:
        """As `predict_oof`; None, with a note, where the member's own files do not allow it."""
        self.tell(f"trial {member.number} sees its rows out of fold in {len(views)} views")
        pixels = self.cache.pixels("train", member.image_size)
        try:
            return predict_oof(member, views, pixels, device=self.device)
        except StorageError as error:
            note(f"trial {member.number} is left out: {error.problem}")
            return None

    def test(self, member: Member, views: Sequence[View]) -> NDArray[Any]:
        """As `predict_test`, and from the member's files where the identity is the only view."""
        if len(views) == 1:
            return member.test
        self.tell(f"trial {member.number} sees the test images in {len(views)} views")
        return predict_test(member, views, self.cache.pixels("test", member.image_size), device=self.device)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A blend of a pool and its scores, with the identity view alone and with all views.

    Attributes:
        plain_probs, probs: (n_rows, n_classes) cross-fitted, with the identity view alone and with all views.
        best_single: the best member on the same rows, and its score: the luckiest of the pool, so a little flattered.
    """

    pool: list[Member]
    blend: Blend
    plain: Estimate
    with_views: Estimate
    plain_probs: NDArray[np.float64]
    probs: NDArray[np.float64]
    best_single: tuple[Member, float]

    @property
    def weighted(self) -> list[tuple[Member, float]]:
        """The members that weigh anything, with their weights, the heaviest first."""
        weights = self.blend.weights.tolist()
        pairs = [(member, weight) for member, weight in zip(self.pool, weights, strict=True) if weight > 0]
        return sorted(pairs, key=lambda pair: -pair[1])

    def without_views(self) -> Choice:
        """The same, looking with the identity view alone."""
        return replace(self, with_views=self.plain, probs=self.plain_probs)


def choose(
    pool: list[Member],
    views: Sequence[View],
    *,
    competition: Competition,
    looking: Looking,
    max_members: int,
    note: Note,
) -> Choice:
    """Weigh the pool by what its members predicted, then look through the views with those that weigh anything.

    A member whose weights cannot be loaded is left out, and the others are weighed again.

    Raises:
        NoUsableModelError: none is left.
    """
    blended = _blended(pool, competition, max_members)
    seen: dict[int, NDArray[Any]] = {}
    while len(views) > 1 and (member := _unseen(pool, blended, seen)) is not None:
        probs = looking.oof(member, views, note=note)
        if probs is not None:
            seen[member.number] = probs
        else:
            pool = require_some([other for other in pool if other is not member])
            blended = _blended(pool, competition, max_members)
    plain = Estimate(blended.score, blended.score_error)
    plain_probs = probs = blended.cross_fitted_probs(_stacked([member.oof for member in pool], competition))
    with_views = plain
    if seen:
        probs = blended.cross_fitted_probs(_stacked([seen.get(m.number, m.oof) for m in pool], competition))
        with_views = _estimate(probs, pool[0].rows, competition)
    return Choice(pool, blended, plain, with_views, plain_probs, probs, _best_single(pool, competition))


def _blended(pool: list[Member], competition: Competition, max_members: int) -> Blend:
    rows = pool[0].rows
    return blend_weights(
        _stacked([member.oof for member in pool], competition),
        competition.targets[rows],
        competition.scorer,
        strata=competition.strata[rows],
        groups=None if competition.groups is None else competition.groups[rows],
        max_members=max_members,
    )


def _unseen(pool: list[Member], blended: Blend, seen: dict[int, NDArray[Any]]) -> Member | None:
    """A member with a weight, be it only in one of the splits that the score comes from, that has not looked yet."""
    used = blended.weights + blended.split_weights.sum(axis=0) > 0
    unseen = (m for m, is_used in zip(pool, used, strict=True) if is_used and m.number not in seen)
    return next(unseen, None)


def _estimate(probs: NDArray[np.float64], rows: NDArray[np.int64], competition: Competition) -> Estimate:
    """The score of cross-fitted probabilities of those rows."""
    targets, scorer = competition.targets[rows], competition.scorer
    groups = None if competition.groups is None else competition.groups[rows]
    resampled = bootstrap_scores([probs], targets, scorer, groups=groups)
    return Estimate(scorer(targets, probs), float(resampled.std()))


def _stacked(oof_probs: list[NDArray[Any]], competition: Competition) -> NDArray[Any]:
    stacked = np.stack(oof_probs)
    return ranks_of(stacked) if blends_ranks(competition) else stacked


def _best_single(pool: list[Member], competition: Competition) -> tuple[Member, float]:
    scorer, targets = competition.scorer, competition.targets[pool[0].rows]
    scores = [scorer(targets, member.oof) for member in pool]
    best = int(np.argmax(scores) if scorer.greater_is_better else np.argmin(scores))
    return pool[best], scores[best]
