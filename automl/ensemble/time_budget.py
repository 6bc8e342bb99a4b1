"""Predict within a time budget: what of an ensemble fits into it, and prediction step by step until it is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from automl.data.resize import EvaluationPixels
from automl.ensemble.ensemble_recipe import IDENTITY_VIEW, Drop, Recipe, RecipeMember
from automl.errors import join_names

Floats = NDArray[np.float64]
Decode = Callable[[RecipeMember], object]  # decodes the images for the member's size
PredictView = Callable[[RecipeMember, int, str], Floats]  # a fold's predictions of all images under a view


def trim_recipe(recipe: Recipe, *, n_images: int, budget_s: float, slower: float = 1.0) -> Recipe:
    """Drop as much from the recipe, in its drop order, as it takes to fit into the time.

    Views go before members, and views that the drop order lacks after those that it has. At least one member stays,
    with the identity: where all drops are not enough, the heaviest members that fit; where none does, the quickest. The
    weights sum to 1 again. A recipe that fits is returned as it is.

    Args:
        slower: how many times as long this machine takes as the one that measured the recipe's seconds.
    """

    def fits(cost: float) -> bool:
        return cost * n_images * slower <= budget_s

    kept = recipe
    for drop in _iterate_drops(recipe):
        if fits(kept.cost):
            return kept
        kept = _apply_drop(kept, drop)
    return kept if fits(kept.cost) else _keep_heaviest_that_fit(recipe, fits)


def keep_members(recipe: Recipe, members: Sequence[RecipeMember]) -> Recipe:
    """Keep these members, perhaps with fewer views; weights sum to 1, and drops that are done are gone."""
    total = sum(member.weight for member in members) if len(members) < len(recipe.members) else 1.0
    views = {view for member in members for view in member.views[1:]}
    names = {member.name for member in members}
    return replace(
        recipe,
        members=tuple(replace(member, weight=member.weight / total) for member in members),
        drop_order=tuple(drop for drop in recipe.drop_order if drop.view in views or drop.member in names),
    )


def list_further_views(recipe: Recipe) -> tuple[str, ...]:
    """Return the views beside the identity, the one that would be dropped last first."""
    return tuple(reversed([drop.view for drop in _iterate_drops(recipe) if drop.view is not None]))


@dataclass(slots=True)
class RunningMean:
    """The mean of a member's predictions so far: the sum over n_predictions folds and views."""

    total: Floats
    n_predictions: int = 0

    def add(self, probs: Floats, n_predictions: int) -> None:
        """Add the sum of so many predictions."""
        self.total += probs
        self.n_predictions += n_predictions

    @property
    def mean(self) -> Floats:
        """Over folds and views."""
        return self.total / self.n_predictions


@dataclass(slots=True)
class MeasuredSpeed:
    """How long predicting takes here, against what the recipe states.

    Attributes:
        per_member: the last ratio of each member, as machines differ in what they are good at.
    """

    spent_s: float
    nominal_s: float
    per_member: dict[str, float] = field(default_factory=dict)

    @property
    def slower(self) -> float:
        """The ratio of all that was measured so far."""
        return self.spent_s / self.nominal_s if self.nominal_s > 0 else 1.0

    def record(self, member: RecipeMember, n_images: int, spent_s: float, *, n_predictions: int = 1) -> None:
        """Record how long the models of so many folds took under one view."""
        nominal_s = member.seconds_per_image * n_images * n_predictions
        self.spent_s += spent_s
        self.nominal_s += nominal_s
        if nominal_s > 0:
            self.per_member[member.name] = spent_s / nominal_s

    def estimate_seconds(self, member: RecipeMember, n_images: int) -> float:
        """Estimate how long one fold's model will take under one view."""
        return member.seconds_per_image * n_images * self.per_member.get(member.name, self.slower)


@dataclass(slots=True)
class TimeBudget:
    """Predicts all images step by step until a deadline; see automl.ensemble.apply.predict_ensemble_within.

    Attributes:
        deadline_s: on the clock.
        means: by member's name; a member that had no time at all is absent.
    """

    recipe: Recipe
    decode: Decode
    predict_view: PredictView
    n_images: int
    deadline_s: float
    clock: Callable[[], float]
    speed: MeasuredSpeed
    means: dict[str, RunningMean] = field(default_factory=dict)
    _decoded: set[EvaluationPixels] = field(default_factory=set)
    _decoding_s: float = 0.0  # what the last one took
    _skipped: dict[str, list[str]] = field(default_factory=dict)  # step -> the members that had no time for it

    def record_decoding(self, member: RecipeMember, spent_s: float) -> None:
        """Record that the images are decoded for a member's size, and how long it took; others should take as long."""
        self._decoded.add(EvaluationPixels.from_config(member.config))
        self._decoding_s = spent_s

    def run(self) -> None:
        """Take all steps that there is time for, and the first one in any case."""
        for member, folds in _interleave_folds(self.recipe):
            if not self.means or self._has_time(member, n_predictions=len(folds)):
                total = self._predict_and_time(member, folds, IDENTITY_VIEW)
                self.means.setdefault(member.name, RunningMean(np.zeros(total.shape))).add(total, len(folds))
            else:
                step = f"fold {folds[0]}" if len(folds) == 1 else "all folds"
                self._skipped.setdefault(step, []).append(member.name)
        for view in list_further_views(self.recipe):
            for member in self.recipe.members:
                if view in member.views and not self._add_view(member, view):
                    self._skipped.setdefault(f"view '{view}'", []).append(member.name)

    def describe_skipped(self) -> Iterator[str]:
        """Yield a line for each step that was left out, with its members."""
        for step, names in self._skipped.items():
            noun = "member" if len(names) == 1 else "members"
            yield f"time: {step} left out of {noun} {join_names(names, at_most=10)}, as the time ran short"

    def _add_view(self, member: RecipeMember, view: str) -> bool:
        """Whether all folds' models of the member have predicted: a view counts whole or not at all."""
        mean, n_folds = self.means.get(member.name), len(member.folds)
        if mean is None or mean.n_predictions < n_folds or not self._has_time(member, n_predictions=n_folds):
            return False
        total = np.zeros(mean.total.shape)
        for folds in _group_folds(member):
            if self.clock() > self.deadline_s:
                return False
            total += self._predict_and_time(member, folds, view)
        mean.add(total, n_folds)
        return True

    def _has_time(self, member: RecipeMember, *, n_predictions: int) -> bool:
        decoding_s = 0.0 if EvaluationPixels.from_config(member.config) in self._decoded else self._decoding_s
        predicting_s = n_predictions * self.speed.estimate_seconds(member, self.n_images)
        return self.clock() + decoding_s + predicting_s <= self.deadline_s

    def _predict_and_time(self, member: RecipeMember, folds: Sequence[int], view: str) -> Floats:
        """The sum of the predictions of these folds' models."""
        began_s = self.clock()
        if EvaluationPixels.from_config(member.config) not in self._decoded:
            self.decode(member)
            self.record_decoding(member, self.clock() - began_s)
            began_s = self.clock()
        total = self.predict_view(member, folds[0], view)
        for fold in folds[1:]:
            total = total + self.predict_view(member, fold, view)
        self.speed.record(member, self.n_images, self.clock() - began_s, n_predictions=len(folds))
        return total


def _iterate_drops(recipe: Recipe) -> Iterator[Drop]:
    """Views first, those that the recipe does not name among them, and then its members."""
    views = list(dict.fromkeys(view for member in recipe.members for view in member.views[1:]))
    named_views = [drop.view for drop in recipe.drop_order if drop.view in views]
    for view in dict.fromkeys([*named_views, *reversed(views)]):
        yield Drop(view=view)
    yield from (drop for drop in recipe.drop_order if drop.member is not None)


def _apply_drop(recipe: Recipe, drop: Drop) -> Recipe:
    """The recipe without the view or the member; as it is where that is the last member."""
    if drop.view is not None:
        return keep_members(recipe, [_drop_view(member, drop.view) for member in recipe.members])
    others = [member for member in recipe.members if member.name != drop.member]
    return keep_members(recipe, others) if others else recipe


def _drop_view(member: RecipeMember, view: str) -> RecipeMember:
    return replace(member, views=tuple(other for other in member.views if other != view))


def _keep_heaviest_that_fit(recipe: Recipe, fits: Callable[[float], bool]) -> Recipe:
    """The heaviest members that fit together, with the identity alone; the quickest one where none does."""
    plain = [replace(member, views=member.views[:1]) for member in recipe.members]
    kept: list[RecipeMember] = []
    for member in sorted(plain, key=lambda member: -member.weight):
        if fits(sum(other.cost for other in (*kept, member))):
            kept.append(member)
    return keep_members(recipe, kept or [min(plain, key=lambda member: member.cost)])


def _interleave_folds(recipe: Recipe) -> Iterator[tuple[RecipeMember, tuple[int, ...]]]:
    """The first folds of each member, then the second ones, and so on."""
    for places in zip_longest(*(_group_folds(member) for member in recipe.members)):
        yield from ((member, folds) for member, folds in zip(recipe.members, places, strict=True) if folds is not None)


def _group_folds(member: RecipeMember) -> list[tuple[int, ...]]:
    """Folds that are predicted together: all where they share a backbone, which then sees each image once."""
    return [member.folds] if member.shares_backbone else [(fold,) for fold in member.folds]
