"""Predicting against a clock that a test winds: which steps are still begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.ensemble_recipe import Recipe, RecipeMember
from automl.ensemble.time_budget import Hurry, Pace
from tests.automl_tests.ensemble_tests.recipes import member_of, recipe_of

Step = tuple[str, int, str]


@dataclass
class Machine:
    """Takes as many seconds for a look as the member's name says, 1 where it says nothing."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    preparing_s: float = 0.0
    now_s: float = 0.0
    steps: list[Step] = field(default_factory=list)

    def prepare(self, member: RecipeMember) -> None:
        self.now_s += self.preparing_s

    def look(self, member: RecipeMember, fold: int, view: str) -> NDArray[np.float64]:
        self.steps.append((member.name, fold, view))
        self.now_s += self.seconds.get(member.name, 1.0)
        return np.full((1, 2), 0.5)

    def hurry(self, recipe: Recipe, deadline_s: float) -> Hurry:
        """Run, with a pace that was measured to be the recipe's."""
        pace = Pace(1.0, 1.0)
        hurry = Hurry(recipe, self.prepare, self.look, 1, deadline_s, lambda: self.now_s, pace)
        hurry.run()
        return hurry


def test_a_view_is_not_begun_without_time_for_all_folds() -> None:
    recipe = recipe_of(member_of(1, 1.0, folds=(0, 1, 2), views=("identity", "mirror")))
    machine = Machine()
    hurry = machine.hurry(recipe, 5.5)
    assert machine.steps == [("1", 0, "identity"), ("1", 1, "identity"), ("1", 2, "identity")]
    assert list(hurry.lines()) == ["time: view 'mirror' left out of member 1, as the time ran short"]
    assert Machine().hurry(recipe, 6.0).heard["1"].n_looks == 6


def test_the_pace_of_the_steps_so_far_tells_whether_there_is_time_for_another() -> None:
    recipe = recipe_of(member_of(1, 1.0, views=("identity", "mirror")))
    machine = Machine(seconds={"1": 3.0})
    machine.hurry(recipe, 5.0)
    assert machine.steps == [("1", 0, "identity")], "another look would have ended at 6 s"


def test_each_member_has_a_pace_of_its_own() -> None:
    views = ("identity", "mirror")
    recipe = recipe_of(member_of(1, 0.6, views=views), member_of(2, 0.4, views=views))
    machine = Machine(seconds={"1": 9.0, "2": 1.0})
    machine.hurry(recipe, 18.0)
    assert machine.steps[2:] == [("2", 0, "mirror")], "there are 8 s left: too few for the first member"


def test_decoding_for_another_size_is_expected_to_take_as_long_as_it_took_before() -> None:
    recipe = recipe_of(member_of(1, 0.5), member_of(2, 0.3, image_size=24), member_of(3, 0.2))
    machine = Machine(preparing_s=10.0)
    hurry = machine.hurry(recipe, 20.0)
    assert machine.steps == [("1", 0, "identity"), ("3", 0, "identity")]
    assert hurry.heard.keys() == {"1", "3"}
    assert machine.now_s == 12.0
    assert hurry.pace.slower == 1.0, "decoding is not looking"


def test_a_member_with_some_of_its_folds_is_not_looked_through_further_views() -> None:
    recipe = recipe_of(
        member_of(1, 0.6, folds=(0, 1, 2), views=("identity", "mirror")), member_of(2, 0.4, folds=(0, 1))
    )
    machine = Machine(seconds={"1": 4.0, "2": 1.0})
    hurry = machine.hurry(recipe, 12.0)
    assert machine.steps == [("1", 0, "identity"), ("2", 0, "identity"), ("1", 1, "identity"), ("2", 1, "identity")]
    assert hurry.heard["1"].n_looks == 2
    np.testing.assert_allclose(hurry.heard["1"].mean, 0.5)
    assert list(hurry.lines()) == [
        "time: fold 2 left out of member 1, as the time ran short",
        "time: view 'mirror' left out of member 1, as the time ran short",
    ]
