"""How much of an ensemble fits into a time.

Pure arithmetic on what the recipe says of seconds and of gains. Not responsible for: measuring a machine or predicting
(automl.ensemble.apply), or for which part is worth how much (automl.ensemble.build, which orders the savings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.ensemble_recipe import IDENTITY_NAME, Recipe, RecipeMember, Saving
from automl.errors import listed


def trimmed(recipe: Recipe, *, n_images: int, budget_s: float, slower: float = 1.0) -> Recipe:
    """The recipe without as many of its savings, in their order, as it takes to fit into the time.

    Views go before members, and views that no saving names after those that one does. At least one member stays, with
    the identity: where all savings are not enough, the heaviest members that fit; where none does, the quickest. The
    weights sum to 1 again. A recipe that fits is returned as it is.

    Args:
        slower: how many times as long this machine takes as the one that measured the recipe's seconds.
    """

    def fits(cost: float) -> bool:
        return cost * n_images * slower <= budget_s

    kept = recipe
    for saving in _all_savings(recipe):
        if fits(kept.cost):
            return kept
        kept = _without(kept, saving)
    return kept if fits(kept.cost) else _quick_enough(recipe, fits)


def with_members(recipe: Recipe, members: Sequence[RecipeMember]) -> Recipe:
    """The recipe with these of its members, perhaps with fewer views; weights sum to 1, and made savings are gone."""
    total = sum(member.weight for member in members) if len(members) < len(recipe.members) else 1.0
    views = {view for member in members for view in member.views[1:]}
    names = {member.name for member in members}
    return replace(
        recipe,
        members=tuple(replace(member, weight=member.weight / total) for member in members),
        savings=tuple(saving for saving in recipe.savings if saving.view in views or saving.member in names),
    )


def further_views(recipe: Recipe) -> tuple[str, ...]:
    """The views beside the identity, the one that would be left out last first."""
    return tuple(reversed([saving.view for saving in _all_savings(recipe) if saving.view is not None]))


def _all_savings(recipe: Recipe) -> Iterator[Saving]:
    """Views first, those that the recipe does not name among them, and then its members."""
    views = list(dict.fromkeys(view for member in recipe.members for view in member.views[1:]))
    named_views = [saving.view for saving in recipe.savings if saving.view in views]
    for view in dict.fromkeys([*named_views, *reversed(views)]):
        yield Saving(view=view)
    yield from (saving for saving in recipe.savings if saving.member is not None)


def _without(recipe: Recipe, saving: Saving) -> Recipe:
    """The recipe without the view or the member; as it is where that is the last member."""
    if saving.view is not None:
        return with_members(recipe, [_without_view(member, saving.view) for member in recipe.members])
    others = [member for member in recipe.members if member.name != saving.member]
    return with_members(recipe, others) if others else recipe


def _without_view(member: RecipeMember, view: str) -> RecipeMember:
    return replace(member, views=tuple(other for other in member.views if other != view))


def _quick_enough(recipe: Recipe, fits: Callable[[float], bool]) -> Recipe:
    """The heaviest members that fit together, with the identity alone; the quickest one where none does."""
    plain = [replace(member, views=member.views[:1]) for member in recipe.members]
    kept: list[RecipeMember] = []
    for member in sorted(plain, key=lambda member: -member.weight):
        if fits(sum(other.cost for other in (*kept, member))):
            kept.append(member)
    return with_members(recipe, kept or [min(plain, key=lambda member: member.cost)])


Floats = NDArray[np.float64]
Prepare = Callable[[RecipeMember], object]  # decodes the images for the member's size
Look = Callable[[RecipeMember, int, str], Floats]  # what a fold's model says of all images seen through a view


@dataclass(slots=True)
class Heard:
    """What a member has said so far: the sum over n_looks folds and views."""

    total: Floats
    n_looks: int = 0

    def add(self, probs: Floats, n_looks: int) -> None:
        self.total += probs
        self.n_looks += n_looks

    @property
    def mean(self) -> Floats:
        return self.total / self.n_looks


@dataclass(slots=True)
class Pace:
    """How long looking takes here, against what the recipe says.

    Attributes:
        of_member: the last ratio of each member, as machines differ in what they are good at.
    """

    spent_s: float
    nominal_s: float
    of_member: dict[str, float] = field(default_factory=dict)

    @property
    def slower(self) -> float:
        """The ratio of all that was measured so far."""
        return self.spent_s / self.nominal_s if self.nominal_s > 0 else 1.0

    def note(self, member: RecipeMember, n_images: int, spent_s: float) -> None:
        """A look of one fold's model through one view took so long."""
        nominal_s = member.seconds_per_image * n_images
        self.spent_s += spent_s
        self.nominal_s += nominal_s
        if nominal_s > 0:
            self.of_member[member.name] = spent_s / nominal_s

    def seconds(self, member: RecipeMember, n_images: int) -> float:
        """How long such a look will take."""
        return member.seconds_per_image * n_images * self.of_member.get(member.name, self.slower)


@dataclass(slots=True)
class Hurry:
    """An ensemble that looks at all images step by step; `automl.ensemble.apply.blended_in_time` says in which order.

    Attributes:
        deadline_s: on the clock.
        heard: by member's name; a member that had no time at all is absent.
    """

    recipe: Recipe
    prepare: Prepare
    look: Look
    n_images: int
    deadline_s: float
    clock: Callable[[], float]
    pace: Pace
    heard: dict[str, Heard] = field(default_factory=dict)
    _prepared: set[int] = field(default_factory=set)  # image sizes
    _preparing_s: float = 0.0  # what the last one took
    _missed: dict[str, list[str]] = field(default_factory=dict)  # step -> the members that had no time for it

    def note_prepared(self, image_size: int, spent_s: float) -> None:
        """The images are decoded for a size, which took so long; another size is expected to take as long."""
        self._prepared.add(image_size)
        self._preparing_s = spent_s

    def run(self) -> None:
        """Take all steps that there is time for, and the first one in any case."""
        for member, fold in _folds_in_turn(self.recipe):
            if not self.heard or self._has_time(member, n_looks=1):
                said = self._timed(member, fold, IDENTITY_NAME)
                self.heard.setdefault(member.name, Heard(np.zeros(said.shape))).add(said, 1)
            else:
                self._missed.setdefault(f"fold {fold}", []).append(member.name)
        for view in further_views(self.recipe):
            for member in self.recipe.members:
                if view in member.views and not self._through_view(member, view):
                    self._missed.setdefault(f"view '{view}'", []).append(member.name)

    def lines(self) -> Iterator[str]:
        """What was left out, and of which members."""
        for step, names in self._missed.items():
            noun = "member" if len(names) == 1 else "members"
            yield f"time: {step} left out of {noun} {listed(names, at_most=10)}, as the time ran short"

    def _through_view(self, member: RecipeMember, view: str) -> bool:
        """Whether all folds' models of the member have looked: a view counts whole or not at all."""
        heard, n_folds = self.heard.get(member.name), len(member.folds)
        if heard is None or heard.n_looks < n_folds or not self._has_time(member, n_looks=n_folds):
            return False
        of_view = np.zeros(heard.total.shape)
        for fold in member.folds:
            if self.clock() > self.deadline_s:
                return False
            of_view += self._timed(member, fold, view)
        heard.add(of_view, n_folds)
        return True

    def _has_time(self, member: RecipeMember, *, n_looks: int) -> bool:
        preparing_s = 0.0 if member.image_size in self._prepared else self._preparing_s
        return self.clock() + preparing_s + n_looks * self.pace.seconds(member, self.n_images) <= self.deadline_s

    def _timed(self, member: RecipeMember, fold: int, view: str) -> Floats:
        began_s = self.clock()
        if member.image_size not in self._prepared:
            self.prepare(member)
            self.note_prepared(member.image_size, self.clock() - began_s)
            began_s = self.clock()
        said = self.look(member, fold, view)
        self.pace.note(member, self.n_images, self.clock() - began_s)
        return said


def _folds_in_turn(recipe: Recipe) -> Iterator[tuple[RecipeMember, int]]:
    """The first fold of each member, then the second ones, and so on."""
    for place in range(max(len(member.folds) for member in recipe.members)):
        yield from ((member, member.folds[place]) for member in recipe.members if place < len(member.folds))
