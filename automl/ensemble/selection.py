"""Which trials become members, with which weights and through which views, and what that scores.

The score is cross-fitted: each row is blended with weights, temperatures, members and views that were chosen without
it. All rows are asked for what to leave out where time is short.
Not responsible for: reading the pool (automl.ensemble.candidates), the rules of weighing (automl.ensemble.blending) or
which views help (automl.ensemble.tta_selection).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.deadline import duration
from automl.ensemble.blending import Blend, blend_weights, ranks_of
from automl.ensemble.bootstrap import bootstrap_scores
from automl.ensemble.candidates import Member, Note, predict_oof, require_some
from automl.ensemble.crossfit import PLAIN, CrossFit, Voices, cross_fit_of
from automl.ensemble.ensemble_recipe import Recipe
from automl.ensemble.predictor import Looker
from automl.ensemble.time_budget import trimmed
from automl.ensemble.tta import AUTO, BUNDLES, GROUPS, IDENTITY, VIEWS
from automl.ensemble.tta_selection import shown_views, where_views_win, with_helpful_views, with_views, with_views_left
from automl.errors import StorageError, listed
from automl.submission.decide import Estimate, blends_ranks

NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a pool's members say, how they are blended, and what that scores.

    Attributes:
        kind: "mean" of the best members, or "greedy" weights.
        plain: with the identity view alone.
        fit: with the views that are used; `plain` itself where those are the identity alone, in every split too.
        tta: what the views are called, as "mirror+crops"; "none" where there is but the identity.
    """

    voices: Voices
    kind: str
    plain: CrossFit
    fit: CrossFit
    tta: str

    @property
    def weighted(self) -> list[tuple[Member, float]]:
        """The members that weigh anything, with their weights, the heaviest first."""
        weights = self.fit.final.weights
        pairs = [(self.voices.pool[index], float(weights[index])) for index in self.fit.final.members]
        return sorted(pairs, key=lambda pair: -pair[1])

    @property
    def views(self) -> tuple[str, ...]:
        """All that some member looks through, the identity first."""
        final = self.fit.final
        used = {view for index in final.members for view in final.views[index]}
        return (IDENTITY.name, *(name for name in VIEWS if name in used and name != IDENTITY.name))

    def position(self, name: str) -> int:
        """Of the member with that name, in the pool."""
        return next(index for index, member in enumerate(self.voices.pool) if member.name == name)

    def estimate(self, probs: NDArray[np.float64]) -> Estimate:
        """The score of cross-fitted probabilities (n_rows, n_classes), and its standard error."""
        voices = self.voices
        resampled = bootstrap_scores([probs], voices.targets, voices.competition.scorer, groups=voices.groups)
        return Estimate(voices.score(probs), float(resampled.std()))

    def trimmed(self, *, members: Collection[str], views: Collection[str]) -> Choice:
        """The same with these members and views alone, where time is short.

        Weights of the others, if they weighed anything in some split, are given to those that are left.
        """
        fit, plain = self.fit, self.plain
        if len(members) < len(fit.final.members):
            kept = [self.position(name) for name in members]
            fit, plain = fit.of_members(kept) or fit, plain.of_members(kept) or plain
        left = tuple(view for view in self.views if view in views)
        if left == self.views:
            return replace(self, fit=fit if self.fit is not self.plain else plain, plain=plain)
        if left == PLAIN:
            return replace(self, fit=plain, plain=plain, tta=NONE)
        return replace(self, fit=with_views_left(self.voices, fit, left), plain=plain, tta="+".join(left[1:]))


def blended_pool(pool: list[Member], competition: Competition, max_members: int) -> Blend:
    """The members weighed by what they said out of fold, with the identity view alone."""
    rows = pool[0].rows
    stacked = np.stack([member.oof for member in pool])
    return blend_weights(
        ranks_of(stacked) if blends_ranks(competition) else stacked,
        competition.targets[rows],
        competition.scorer,
        strata=competition.strata[rows],
        groups=None if competition.groups is None else competition.groups[rows],
        max_members=max_members,
        kinds=[(member.config.model.backbone, member.image_size) for member in pool],
    )


def chosen_members(pool: list[Member], competition: Competition, max_members: int) -> list[Member]:
    """The members that weigh anything, the heaviest first, going by the identity view alone."""
    weights = blended_pool(pool, competition, max_members).weights
    heaviest_first = np.argsort(-weights, kind="stable")
    return [pool[index] for index in heaviest_first if weights[index] > 0]


def choose(
    pool: list[Member], *, competition: Competition, looker: Looker, wanted: str, max_members: int, note: Note
) -> Choice:
    """Weigh the pool by what its members predicted, then look through views with those that weigh anything.

    A member whose weights cannot be loaded is left out, and the others are weighed again.

    Args:
        wanted: a group of views, or AUTO for those that a member's own training has shown it and that help.

    Raises:
        NoUsableModelError: no member is left.
    """
    views = None if wanted == AUTO else tuple(view.name for view in GROUPS[wanted])
    voices, blend = _looked(pool, competition, looker, views=views, max_members=max_members, note=note)
    plain = cross_fit_of(blend)
    choice = Choice(voices, blend.kind, plain, plain, NONE)
    if views == PLAIN:
        return choice
    if views is None:
        return _with_helpful_views(choice, note)
    seeing = replace(choice, fit=with_views(voices, plain, views), tta=wanted)
    gain = _gain_of(seeing)
    if gain < 0.0:
        note(f"the views '{wanted}' worsen the score by {-gain:.5f}: --tta none would leave them out")
    return seeing


def _looked(
    pool: list[Member],
    competition: Competition,
    looker: Looker,
    *,
    views: tuple[str, ...] | None,
    max_members: int,
    note: Note,
) -> tuple[Voices, Blend]:
    """The pool without those that cannot look, weighed, after all that weigh anything in some split have looked."""
    blend = blended_pool(pool, competition, max_members)
    seen: dict[str, dict[str, NDArray[Any]]] = {}
    while (member := _unseen(pool, blend, views, seen)) is not None:
        names = shown_views(member) if views is None else views
        try:
            probs = predict_oof(member, [VIEWS[name] for name in names], looker)
        except StorageError as error:
            note(f"trial {member.name} is left out: {error.problem}; {error.hint}")
            pool = require_some([other for other in pool if other is not member])
            blend = blended_pool(pool, competition, max_members)
        else:
            seen[member.name] = dict(zip(names, probs, strict=True))
    return Voices(pool, competition, seen), blend


def _unseen(
    pool: Sequence[Member], blend: Blend, views: tuple[str, ...] | None, seen: Collection[str]
) -> Member | None:
    """A member with a weight, be it in one split alone, that has yet to look through more than the identity."""
    used = blend.weights + blend.split_weights.sum(axis=0) > 0
    for member, is_used in zip(pool, used, strict=True):
        names = shown_views(member) if views is None else views
        if is_used and len(names) > 1 and member.name not in seen:
            return member
    return None


def _with_helpful_views(choice: Choice, note: Note) -> Choice:
    """The choice with the views that help, if any; a line says which were tried."""
    tried = [name for name in BUNDLES if any(_has(own, name) for own in choice.voices.seen.values())]
    if not tried:
        note("views: none, as no member's training has shown it any that could be tried")
        return choice
    seeing = replace(choice, fit=with_helpful_views(choice.voices, choice.plain))
    winning = replace(choice, fit=where_views_win(choice.voices, choice.plain, seeing.fit))
    helpful = [name for name in tried if _has(seeing.views, name)]
    taken = [name for name in helpful if _has(winning.views, name)]
    source = f"from {len(choice.voices.rows)} rows out of fold"
    if not helpful:
        note(f"views: the identity alone, as {_listed(tried)} do not help, {source}")
    elif not taken:
        help_where = "help on rows that chose them but not on others"
        note(f"views: the identity alone, as {_listed(helpful)} {help_where}, {source}")
    else:
        left_out = [name for name in tried if name not in taken]
        rest = f", without {_listed(left_out)}" if left_out else ""
        gain = _gain_of(seeing)
        worth = f"gain {gain:.5f}" if gain > 0.0 else "gain nothing but in log loss"
        note(f"views: {_listed(taken)}{rest}, which {worth} on rows that did not choose them")
    return replace(winning, tta="+".join(taken) or NONE)


def _has(seen: Collection[str], bundle: str) -> bool:
    return all(view.name in seen for view in BUNDLES[bundle])


def _gain_of(seeing: Choice) -> float:
    """By how much the views better the cross-fitted score, whichever way the metric points."""
    voices = seeing.voices
    return voices.merit(voices.cross_fitted(seeing.fit)) - voices.merit(voices.cross_fitted(seeing.plain))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long predicting so many test images may take."""

    minutes: float
    n_images: int

    @property
    def words(self) -> str:
        return f"{self.minutes:g} min for {self.n_images} test images"


def trimmed_to(budget: Budget, choice: Choice, recipe: Recipe, *, note: Note) -> tuple[Choice, Recipe]:
    """The choice and the recipe without what has no time; as they are, with a line saying so, where all of it fits."""
    whole_s = recipe.cost * budget.n_images
    kept = trimmed(recipe, n_images=budget.n_images, budget_s=60.0 * budget.minutes)
    kept_s = kept.cost * budget.n_images
    if kept == recipe and kept_s <= 60.0 * budget.minutes:
        note(f"time: {duration(kept_s)} of {budget.words}, so nothing is left out")
        return choice, recipe
    names = {member.name for member in kept.members}
    views = {view for member in kept.members for view in member.views}
    gone = [f"view {view}" for view in choice.views if view not in views]
    gone += [f"trial {member.name}" for member in recipe.members if member.name not in names]
    left_out = f"{listed(gone, at_most=10)} left out, " if gone else "nothing can be left out, "
    short = "" if kept_s <= 60.0 * budget.minutes else ", which is more than there is"
    taken = f"all would take {duration(whole_s)} of {budget.words}; the rest takes {duration(kept_s)}{short}"
    note(f"time: {left_out}as {taken}")
    left = choice.trimmed(members=names, views=views)
    temperatures = left.fit.final.temperatures
    members = [replace(own, temperature=float(temperatures[left.position(own.name)])) for own in kept.members]
    return left, replace(kept, members=tuple(members))
