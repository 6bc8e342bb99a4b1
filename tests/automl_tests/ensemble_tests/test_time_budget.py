"""What is left of an ensemble when the time is short, and which steps are still begun before a deadline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from automl.ensemble.ensemble_recipe import Drop, Recipe, RecipeMember
from automl.ensemble.time_budget import MeasuredSpeed, TimeBudget, list_further_views, trim_recipe
from tests.automl_tests.ensemble_tests.recipes import member_of, recipe_of

VIEWS = ("mirror", "up", "down")


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any recipe: members with views of their own, and drops in any order that name some, all or more of them."""
    n_members = draw(st.integers(1, 4))
    raw = draw(st.lists(st.floats(0.01, 1.0), min_size=n_members, max_size=n_members))
    members: list[RecipeMember] = []
    for number, weight in sorted(enumerate(raw), key=lambda pair: -pair[1]):
        members.append(
            member_of(
                number,
                weight / sum(raw),
                seconds=draw(st.floats(0.001, 10.0)),
                folds=range(draw(st.integers(1, 5))),
                views=("identity", *draw(st.lists(st.sampled_from(VIEWS), unique=True))),
            )
        )
    named = [Drop(view=view) for view in (*VIEWS, "rotate90")] + [Drop(member=str(n)) for n in range(n_members + 1)]
    drops = draw(st.lists(st.sampled_from(named), unique=True))
    return Recipe(members=tuple(members), by_rank=False, rule={}, short_side=64.0, drop_order=tuple(drops), n_threads=1)


budgets = st.floats(0.0, 300.0)


def parts(recipe: Recipe) -> set[tuple[str, str]]:
    return {(member.name, view) for member in recipe.members for view in member.views}


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(recipes(), budgets, st.integers(0, 5), st.floats(0.1, 4.0))
def test_the_budget_is_kept_wherever_one_member_as_it_is_fits(
    recipe: Recipe, budget_s: float, n_images: int, slower: float
) -> None:
    kept = trim_recipe(recipe, n_images=n_images, budget_s=budget_s, slower=slower)
    least = min(member.seconds_per_image * len(member.folds) for member in recipe.members)
    if least * n_images * slower <= budget_s:
        assert kept.cost * n_images * slower <= budget_s
    else:
        assert parts(kept) == {(kept.members[0].name, "identity")}
        assert kept.cost == least


@settings(max_examples=100, deadline=None)
@given(recipes(), budgets)
def test_what_is_left_is_a_part_with_weights_that_sum_to_one_and_keep_their_ratios(
    recipe: Recipe, budget_s: float
) -> None:
    kept = trim_recipe(recipe, n_images=1, budget_s=budget_s)
    assert kept.members and parts(kept) <= parts(recipe)
    assert math.isclose(sum(member.weight for member in kept.members), 1.0)
    before = {member.name: member for member in recipe.members}
    for member in kept.members:
        assert member.views[0] == "identity"
        assert member.folds == before[member.name].folds
        ratio = before[member.name].weight / before[kept.members[0].name].weight
        assert math.isclose(member.weight / kept.members[0].weight, ratio)
    if kept != recipe and len(kept.members) < len(recipe.members):
        assert not list_further_views(kept), "views go before members"


@settings(max_examples=100, deadline=None)
@given(recipes(), budgets)
def test_trimming_twice_changes_nothing(recipe: Recipe, budget_s: float) -> None:
    once = trim_recipe(recipe, n_images=1, budget_s=budget_s)
    assert trim_recipe(once, n_images=1, budget_s=budget_s) == once


@settings(max_examples=100, deadline=None)
@given(recipes(), budgets, budgets)
def test_more_time_never_buys_a_cheaper_ensemble(recipe: Recipe, one: float, other: float) -> None:
    less, more = (trim_recipe(recipe, n_images=1, budget_s=budget_s) for budget_s in sorted((one, other)))
    assert less.cost <= more.cost


def test_what_fits_stays_the_very_same() -> None:
    recipe = recipe_of(member_of(1, 1.0, seconds=2.0, views=("identity", "mirror")))
    assert trim_recipe(recipe, n_images=10, budget_s=40.0) is recipe
    assert trim_recipe(recipe, n_images=10, budget_s=40.0, slower=1.01) is not recipe


def test_drops_are_made_in_their_order_until_the_rest_fits() -> None:
    views = ("identity", "mirror", "up")
    recipe = recipe_of(
        member_of(1, 0.5, seconds=2.0, views=views, folds=(0, 1)),
        member_of(2, 0.3, seconds=1.0, views=views),
        member_of(3, 0.2, seconds=1.0),
        dropped_views=("up", "mirror"),
        dropped_members=("2", "3"),
    )
    assert recipe.cost == 12 + 3 + 1

    def left(budget_s: float) -> set[tuple[str, str]]:
        return parts(trim_recipe(recipe, n_images=1, budget_s=budget_s))

    identities = {("1", "identity"), ("2", "identity"), ("3", "identity")}
    assert left(15.9) == identities | {("1", "mirror"), ("2", "mirror")}
    assert left(10.9) == identities
    assert left(5.9) == {("1", "identity"), ("3", "identity")}
    assert left(4.9) == {("1", "identity")}
    assert left(3.9) == {("2", "identity"), ("3", "identity")}, "the slowest does not fit even alone, the others do"
    assert left(0.5) in ({("2", "identity")}, {("3", "identity")}), "the quickest stays"


def test_the_weights_are_scaled_by_hand_worked_numbers() -> None:
    recipe = recipe_of(member_of(1, 0.5), member_of(2, 0.3), member_of(3, 0.2), dropped_members=("2",))
    kept = trim_recipe(recipe, n_images=1, budget_s=2.0)
    assert [(member.name, member.weight) for member in kept.members] == [
        ("1", pytest.approx(5 / 7)),
        ("3", pytest.approx(2 / 7)),
    ]
    assert kept.drop_order == (), "what is left out cannot be left out again"


def test_views_that_no_drop_names_are_left_out_last() -> None:
    views = ("identity", "mirror", "up", "down")
    recipe = recipe_of(member_of(1, 0.6, views=views), member_of(2, 0.4, views=views), dropped_views=("up",))
    assert list_further_views(recipe) == ("mirror", "down", "up")


def test_of_members_that_no_drop_names_the_heaviest_that_fit_are_kept() -> None:
    recipe = recipe_of(member_of(1, 0.5, seconds=5.0), member_of(2, 0.3, seconds=2.0), member_of(3, 0.2, seconds=2.0))

    def names(budget_s: float) -> list[str]:
        return [member.name for member in trim_recipe(recipe, n_images=1, budget_s=budget_s).members]

    assert [names(budget_s) for budget_s in (9.0, 8.0, 6.0, 4.0, 3.0)] == [
        ["1", "2", "3"],
        ["1", "2"],
        ["1"],
        ["2", "3"],
        ["2"],
    ]


Step = tuple[str, int, str]


@dataclass
class Machine:
    """Takes as many seconds for a prediction as the member's name says, 1 where it says nothing."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    decoding_s: float = 0.0
    now_s: float = 0.0
    steps: list[Step] = field(default_factory=list)

    def decode(self, member: RecipeMember) -> None:
        self.now_s += self.decoding_s

    def predict_view(self, member: RecipeMember, fold: int, view: str) -> NDArray[np.float64]:
        self.steps.append((member.name, fold, view))
        self.now_s += self.seconds.get(member.name, 1.0)
        return np.full((1, 2), 0.5)

    def run(self, recipe: Recipe, deadline_s: float) -> TimeBudget:
        """Run, with a speed that was measured to be the recipe's."""
        speed = MeasuredSpeed(1.0, 1.0)
        budget = TimeBudget(recipe, self.decode, self.predict_view, 1, deadline_s, lambda: self.now_s, speed)
        budget.run()
        return budget


def test_a_view_is_not_begun_without_time_for_all_folds() -> None:
    recipe = recipe_of(member_of(1, 1.0, folds=(0, 1, 2), views=("identity", "mirror")))
    machine = Machine()
    budget = machine.run(recipe, 5.5)
    assert machine.steps == [("1", 0, "identity"), ("1", 1, "identity"), ("1", 2, "identity")]
    assert list(budget.describe_skipped()) == ["time: view 'mirror' left out of member 1, as the time ran short"]
    assert Machine().run(recipe, 6.0).means["1"].n_predictions == 6


def test_the_speed_of_the_steps_so_far_decides_whether_there_is_time_for_another() -> None:
    recipe = recipe_of(member_of(1, 1.0, views=("identity", "mirror")))
    machine = Machine(seconds={"1": 3.0})
    machine.run(recipe, 5.0)
    assert machine.steps == [("1", 0, "identity")], "another prediction would have ended at 6 s"


def test_each_member_has_a_speed_of_its_own() -> None:
    views = ("identity", "mirror")
    recipe = recipe_of(member_of(1, 0.6, views=views), member_of(2, 0.4, views=views))
    machine = Machine(seconds={"1": 9.0, "2": 1.0})
    machine.run(recipe, 18.0)
    assert machine.steps[2:] == [("2", 0, "mirror")], "there are 8 s left: too few for the first member"


def test_decoding_for_another_size_is_expected_to_take_as_long_as_it_took_before() -> None:
    recipe = recipe_of(member_of(1, 0.5), member_of(2, 0.3, image_size=24), member_of(3, 0.2))
    machine = Machine(decoding_s=10.0)
    budget = machine.run(recipe, 20.0)
    assert machine.steps == [("1", 0, "identity"), ("3", 0, "identity")]
    assert budget.means.keys() == {"1", "3"}
    assert machine.now_s == 12.0
    assert budget.speed.slower == 1.0, "decoding is not predicting"


def test_a_member_with_some_of_its_folds_is_not_predicted_under_further_views() -> None:
    recipe = recipe_of(
        member_of(1, 0.6, folds=(0, 1, 2), views=("identity", "mirror")), member_of(2, 0.4, folds=(0, 1))
    )
    machine = Machine(seconds={"1": 4.0, "2": 1.0})
    budget = machine.run(recipe, 12.0)
    assert machine.steps == [("1", 0, "identity"), ("2", 0, "identity"), ("1", 1, "identity"), ("2", 1, "identity")]
    assert budget.means["1"].n_predictions == 2
    np.testing.assert_allclose(budget.means["1"].mean, 0.5)
    assert list(budget.describe_skipped()) == [
        "time: fold 2 left out of member 1, as the time ran short",
        "time: view 'mirror' left out of member 1, as the time ran short",
    ]


def test_folds_that_share_a_backbone_are_one_step_of_its_whole_cost() -> None:
    """The backbone sees the images for the first of them: no fold is left out because that one took long."""
    recipe = recipe_of(
        member_of(1, 0.6, seconds=1.0, folds=(0, 1, 2), shares_backbone=True, views=("identity", "mirror")),
        member_of(2, 0.4, seconds=1.0, folds=(0, 1)),
    )
    machine = Machine()
    budget = machine.run(recipe, 100.0)
    assert [step[:2] for step in machine.steps[:5]] == [("1", 0), ("1", 1), ("1", 2), ("2", 0), ("2", 1)]
    assert budget.means["1"].n_predictions == 6
    short = Machine()
    left_out = short.run(recipe, 4.5)  # three folds and one, but not the second fold of the other nor a view
    assert [step[0] for step in short.steps] == ["1", "1", "1", "2"]
    assert list(left_out.describe_skipped()) == [
        "time: fold 1 left out of member 2, as the time ran short",
        "time: view 'mirror' left out of member 1, as the time ran short",
    ]
    late = recipe_of(member_of(2, 0.6), member_of(1, 0.4, folds=(0, 1, 2), shares_backbone=True))
    assert list(Machine().run(late, 3.5).describe_skipped()) == [
        "time: all folds left out of member 1, as the time ran short"
    ]


def test_the_speed_of_a_step_of_several_folds_is_that_of_one() -> None:
    member, speed = member_of(1, 1.0, seconds=2.0, folds=(0, 1, 2), shares_backbone=True), MeasuredSpeed(1.0, 1.0)
    speed.record(member, 10, 120.0, n_predictions=3)
    assert speed.per_member["1"] == 2.0
    assert speed.estimate_seconds(member, 10) == 40.0
