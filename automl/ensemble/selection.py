"""Select the members of an ensemble, their weights and their views, with a cross-fitted score.

Each row is scored by weights, temperatures, members and views that were selected without it. Only what to leave out
where time is short is decided on all rows. See also automl.ensemble.blending for the weights and
automl.ensemble.tta_selection for the views.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.decisions.bootstrap import bootstrap_scores
from automl.ensemble.blending import compute_ranks, fit_blend
from automl.ensemble.candidates import Member, predict_oof, require_members
from automl.ensemble.crossfit import IDENTITY_ONLY, Blend, CrossFitted, list_members, select_members_of_fit
from automl.ensemble.ensemble_recipe import Recipe, describe_member
from automl.ensemble.oof_predictions import OofPredictions
from automl.ensemble.predictor import Predictor
from automl.ensemble.time_budget import trim_recipe
from automl.ensemble.tta import AUTO, IDENTITY, TTA_GROUPS, VIEW_BUNDLES, VIEWS
from automl.ensemble.tta_selection import (
    keep_winning_views,
    limit_views,
    list_trained_views,
    select_helpful_views,
    use_views,
)
from automl.errors import Notify, StorageError, join_names
from automl.study.deadline import format_duration
from automl.submission.decide import Estimate, is_blended_by_rank

NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleSelection:
    """The pool's predictions out of fold, how they are blended, and what that scores.

    Attributes:
        plain: with the identity view alone.
        fit: with the views that are used; `plain` itself where those are the identity alone, in every split too.
        tta: what the views are called, as "mirror+crops"; "none" where there is but the identity.
    """

    oof: OofPredictions
    plain: CrossFitted[Blend]
    fit: CrossFitted[Blend]
    tta: str

    @property
    def weighted_members(self) -> list[tuple[Member, float]]:
        """The members that weigh anything, with their weights, the heaviest first."""
        weights = self.fit.final.weights
        pairs = [(self.oof.pool[index], float(weights[index])) for index in self.fit.final.members]
        return sorted(pairs, key=lambda pair: -pair[1])

    @property
    def views(self) -> tuple[str, ...]:
        """All that some member predicts under, the identity first."""
        final = self.fit.final
        used = {view for index in final.members for view in final.views[index]}
        return (IDENTITY.name, *(name for name in VIEWS if name in used and name != IDENTITY.name))

    @property
    def view_gain(self) -> float:
        """By how much the views better the cross-fitted score, whichever way the metric points."""
        return self.oof.score_fit(self.fit) - self.oof.score_fit(self.plain)

    def find_position(self, name: str) -> int:
        """Return the position in the pool of the member with that name."""
        return next(index for index, member in enumerate(self.oof.pool) if member.name == name)

    def estimate_score(self, probs: NDArray[np.float64]) -> Estimate:
        """Return the score of cross-fitted probabilities (n_rows, n_classes), and its standard error."""
        oof = self.oof
        resampled = bootstrap_scores([probs], oof.targets, oof.competition.scorer, groups=oof.groups)
        return Estimate(oof.score(probs), float(resampled.std()))

    def trim(self, *, members: Collection[str], views: Collection[str]) -> EnsembleSelection:
        """Return the selection with these members and views alone, where time is short.

        Weights of the others, if they weighed anything in some split, are given to those that are left.
        """
        fit, plain = self.fit, self.plain
        if len(members) < len(fit.final.members):
            kept = [self.find_position(name) for name in members]
            fit, plain = select_members_of_fit(fit, kept) or fit, select_members_of_fit(plain, kept) or plain
        left = tuple(view for view in self.views if view in views)
        if left == self.views:
            return replace(self, fit=fit if self.fit is not self.plain else plain, plain=plain)
        if left == IDENTITY_ONLY:
            return replace(self, fit=plain, plain=plain, tta=NONE)
        return replace(self, fit=limit_views(self.oof, fit, left), plain=plain, tta="+".join(left[1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionBudget:
    """How long predicting so many test images may take."""

    minutes: float
    n_images: int

    @property
    def words(self) -> str:
        """In a message."""
        return f"{self.minutes:g} min for {self.n_images} test images"


def fit_member_blend(pool: list[Member], competition: Competition, max_members: int) -> CrossFitted[Blend]:
    """Fit the weights of members to their predictions out of fold, with the identity view alone.

    A probe and a trial that was fine-tuned from the same backbone count as of different backbones.
    """
    rows = pool[0].rows
    stacked = np.stack([member.oof for member in pool])
    return fit_blend(
        compute_ranks(stacked) if is_blended_by_rank(competition) else stacked,
        competition.targets[rows],
        competition.scorer,
        strata=competition.strata[rows],
        groups=None if competition.groups is None else competition.groups[rows],
        max_members=max_members,
        traits=[((member.config.model.backbone, member.is_probe), member.image_size) for member in pool],
    )


def select_members(pool: list[Member], competition: Competition, max_members: int) -> list[Member]:
    """Select the members that weigh anything, the heaviest first, going by the identity view alone."""
    weights = fit_member_blend(pool, competition, max_members).final.weights
    heaviest_first = np.argsort(-weights, kind="stable")
    return [pool[index] for index in heaviest_first if weights[index] > 0]


def select_ensemble(
    pool: list[Member], *, competition: Competition, predictor: Predictor, tta: str, max_members: int, notify: Notify
) -> EnsembleSelection:
    """Fit the pool's weights to its predictions, then predict under views with the members that weigh anything.

    A member whose weights cannot be loaded is left out, and the blend is fitted again.

    Args:
        tta: a group of views, or AUTO for those that a member's own training has shown it and that help.

    Raises:
        NoUsableModelError: no member is left.
    """
    views = None if tta == AUTO else tuple(view.name for view in TTA_GROUPS[tta])
    oof, plain = _predict_under_views(pool, competition, predictor, views=views, max_members=max_members, notify=notify)
    selection = EnsembleSelection(oof, plain, plain, NONE)
    if views == IDENTITY_ONLY:
        return selection
    if views is None:
        return _select_views(selection, notify)
    augmented = replace(selection, fit=use_views(oof, plain, views), tta=tta)
    gain = augmented.view_gain
    if gain < 0.0:
        notify(f"the views '{tta}' worsen the score by {-gain:.5f}: --tta none would leave them out")
    return augmented


def trim_selection(
    budget: PredictionBudget, selection: EnsembleSelection, recipe: Recipe, *, notify: Notify
) -> tuple[EnsembleSelection, Recipe]:
    """Drop from the selection and the recipe what has no time; a line says what, or that all of it fits."""
    whole_s = recipe.cost * budget.n_images
    kept = trim_recipe(recipe, n_images=budget.n_images, budget_s=60.0 * budget.minutes)
    kept_s = kept.cost * budget.n_images
    if kept == recipe and kept_s <= 60.0 * budget.minutes:
        notify(f"time: {format_duration(kept_s)} of {budget.words}, so nothing is left out")
        return selection, recipe
    names = {member.name for member in kept.members}
    views = {view for member in kept.members for view in member.views}
    dropped = [f"view {view}" for view in selection.views if view not in views]
    dropped += [
        describe_member(member.number, member.member_kind) for member in recipe.members if member.name not in names
    ]
    left_out = f"{join_names(dropped, at_most=10)} left out, " if dropped else "nothing can be left out, "
    short = "" if kept_s <= 60.0 * budget.minutes else ", which is more than there is"
    whole = f"all would take {format_duration(whole_s)} of {budget.words}"
    notify(f"time: {left_out}as {whole}; the rest takes {format_duration(kept_s)}{short}")
    left = selection.trim(members=names, views=views)
    temperatures = left.fit.final.temperatures
    members = [replace(own, temperature=float(temperatures[left.find_position(own.name)])) for own in kept.members]
    return left, replace(kept, members=tuple(members))


def _predict_under_views(
    pool: list[Member],
    competition: Competition,
    predictor: Predictor,
    *,
    views: tuple[str, ...] | None,
    max_members: int,
    notify: Notify,
) -> tuple[OofPredictions, CrossFitted[Blend]]:
    """The pool without members that cannot predict, blended; all that weigh anything in some split have predicted."""
    fit = fit_member_blend(pool, competition, max_members)
    by_view: dict[str, dict[str, NDArray[Any]]] = {}
    while (member := _find_unpredicted(pool, fit, views, by_view)) is not None:
        names = list_trained_views(member) if views is None else views
        try:
            probs = predict_oof(member, [VIEWS[name] for name in names], predictor)
        except StorageError as error:
            notify(f"{member.title} is left out: {error.problem}; {error.hint}")
            pool = require_members([other for other in pool if other is not member])
            fit = fit_member_blend(pool, competition, max_members)
        else:
            by_view[member.name] = dict(zip(names, probs, strict=True))
    return OofPredictions(pool, competition, by_view), fit


def _find_unpredicted(
    pool: Sequence[Member], fit: CrossFitted[Blend], views: tuple[str, ...] | None, predicted: Collection[str]
) -> Member | None:
    """A member with a weight, be it in one split alone, that has yet to predict under more than the identity."""
    for index in list_members(fit):
        member = pool[index]
        names = list_trained_views(member) if views is None else views
        if len(names) > 1 and member.name not in predicted:
            return member
    return None


def _select_views(selection: EnsembleSelection, notify: Notify) -> EnsembleSelection:
    """The selection with the views that help, if any; a line says which were tried."""
    tried = [name for name in VIEW_BUNDLES if any(_has_bundle(own, name) for own in selection.oof.by_view.values())]
    if not tried:
        notify("views: none, as no member's training has shown it any that could be tried")
        return selection
    augmented = replace(selection, fit=select_helpful_views(selection.oof, selection.plain))
    winning = replace(selection, fit=keep_winning_views(selection.oof, selection.plain, augmented.fit))
    helpful = [name for name in tried if _has_bundle(augmented.views, name)]
    selected = [name for name in helpful if _has_bundle(winning.views, name)]
    source = f"from {len(selection.oof.rows)} rows out of fold"
    if not helpful:
        notify(f"views: the identity alone, as {_join_all(tried)} do not help, {source}")
    elif not selected:
        help_where = "help on rows that chose them but not on others"
        notify(f"views: the identity alone, as {_join_all(helpful)} {help_where}, {source}")
    else:
        left_out = [name for name in tried if name not in selected]
        rest = f", without {_join_all(left_out)}" if left_out else ""
        gain = augmented.view_gain
        worth = f"gain {gain:.5f}" if gain > 0.0 else "gain nothing but in log loss"
        notify(f"views: {_join_all(selected)}{rest}, which {worth} on rows that did not choose them")
    return replace(winning, tta="+".join(selected) or NONE)


def _has_bundle(views: Collection[str], bundle: str) -> bool:
    return all(view.name in views for view in VIEW_BUNDLES[bundle])


def _join_all(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
