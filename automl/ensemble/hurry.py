"""Predicting against the clock: what is most needed first, so that there is an ensemble whenever the time is up.

Not responsible for: what fits into the time going by a measurement (automl.ensemble.budget), looking at images, or
blending (automl.ensemble.apply).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.budget import further_views
from automl.ensemble.recipe import IDENTITY_NAME, Recipe, RecipeMember
from automl.errors import listed

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
