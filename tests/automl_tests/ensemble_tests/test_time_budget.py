"""What is left of an ensemble when the time is short."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.ensemble.ensemble_recipe import Recipe, RecipeMember, Saving
from automl.ensemble.time_budget import further_views, trimmed
from tests.automl_tests.ensemble_tests.recipes import member_of, recipe_of

VIEWS = ("mirror", "up", "down")


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any recipe: members with views of their own, and savings in any order that name some, all or more of them."""
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
    named = [Saving(view=view) for view in (*VIEWS, "rotate90")] + [Saving(member=str(n)) for n in range(n_members + 1)]
    savings = draw(st.lists(st.sampled_from(named), unique=True))
    return Recipe(members=tuple(members), by_rank=False, rule={}, short_side=64.0, savings=tuple(savings), n_threads=1)


budgets = st.floats(0.0, 300.0)


def parts(recipe: Recipe) -> set[tuple[str, str]]:
    return {(member.name, view) for member in recipe.members for view in member.views}


@settings(max_examples=100, deadline=None)
@given(recipes(), budgets, st.integers(0, 5), st.floats(0.1, 4.0))
def test_the_budget_is_kept_wherever_one_member_as_it_is_fits(
    recipe: Recipe, budget_s: float, n_images: int, slower: float
) -> None:
    kept = trimmed(recipe, n_images=n_images, budget_s=budget_s, slower=slower)
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
    kept = trimmed(recipe, n_images=1, budget_s=budget_s)
    assert kept.members and parts(kept) <= parts(recipe)
    assert math.isclose(sum(member.weight for member in kept.members), 1.0)
    before = {member.name: member for member in recipe.members}
    for member in kept.members:
        assert member.views[0] == "identity"
        assert member.folds == before[member.name].folds
        ratio = before[member.name].weight / before[kept.members[0].name].weight
        assert math.isclose(member.weight / kept.members[0].weight, ratio)
    if kept != recipe and len(kept.members) < len(recipe.members):
        assert not further_views(kept), "views go before members"


@settings(max_examples=100, deadline=None)
@given(recipes(), budgets)
def test_trimming_twice_changes_nothing(recipe: Recipe, budget_s: float) -> None:
    once = trimmed(recipe, n_images=1, budget_s=budget_s)
    assert trimmed(once, n_images=1, budget_s=budget_s) == once


@settings(max_examples=100, deadline=None)
@given(recipes(), budgets, budgets)
def test_more_time_never_buys_a_cheaper_ensemble(recipe: Recipe, one: float, other: float) -> None:
    less, more = (trimmed(recipe, n_images=1, budget_s=budget_s) for budget_s in sorted((one, other)))
    assert less.cost <= more.cost


def test_what_fits_stays_the_very_same() -> None:
    recipe = recipe_of(member_of(1, 1.0, seconds=2.0, views=("identity", "mirror")))
    assert trimmed(recipe, n_images=10, budget_s=40.0) is recipe
    assert trimmed(recipe, n_images=10, budget_s=40.0, slower=1.01) is not recipe


def test_savings_are_made_in_their_order_until_the_rest_fits() -> None:
    views = ("identity", "mirror", "up")
    recipe = recipe_of(
        member_of(1, 0.5, seconds=2.0, views=views, folds=(0, 1)),
        member_of(2, 0.3, seconds=1.0, views=views),
        member_of(3, 0.2, seconds=1.0),
        views=("up", "mirror"),
        leave=("2", "3"),
    )
    assert recipe.cost == 12 + 3 + 1

    def left(budget_s: float) -> set[tuple[str, str]]:
        return parts(trimmed(recipe, n_images=1, budget_s=budget_s))

    identities = {("1", "identity"), ("2", "identity"), ("3", "identity")}
    assert left(15.9) == identities | {("1", "mirror"), ("2", "mirror")}
    assert left(10.9) == identities
    assert left(5.9) == {("1", "identity"), ("3", "identity")}
    assert left(4.9) == {("1", "identity")}
    assert left(3.9) == {("2", "identity"), ("3", "identity")}, "the slowest does not fit even alone, the others do"
    assert left(0.5) in ({("2", "identity")}, {("3", "identity")}), "the quickest stays"


def test_the_weights_are_scaled_by_hand_worked_numbers() -> None:
    recipe = recipe_of(member_of(1, 0.5), member_of(2, 0.3), member_of(3, 0.2), leave=("2",))
    kept = trimmed(recipe, n_images=1, budget_s=2.0)
    assert [(member.name, member.weight) for member in kept.members] == [
        ("1", pytest.approx(5 / 7)),
        ("3", pytest.approx(2 / 7)),
    ]
    assert kept.savings == (), "what is left out cannot be left out again"


def test_views_that_no_saving_names_are_left_out_last() -> None:
    views = ("identity", "mirror", "up", "down")
    recipe = recipe_of(member_of(1, 0.6, views=views), member_of(2, 0.4, views=views), views=("up",))
    assert further_views(recipe) == ("mirror", "down", "up")


def test_of_members_that_no_saving_names_the_heaviest_that_fit_are_kept() -> None:
    recipe = recipe_of(member_of(1, 0.5, seconds=5.0), member_of(2, 0.3, seconds=2.0), member_of(3, 0.2, seconds=2.0))

    def names(budget_s: float) -> list[str]:
        return [member.name for member in trimmed(recipe, n_images=1, budget_s=budget_s).members]

    assert [names(budget_s) for budget_s in (9.0, 8.0, 6.0, 4.0, 3.0)] == [
        ["1", "2", "3"],
        ["1", "2"],
        ["1"],
        ["2", "3"],
        ["2"],
    ]
