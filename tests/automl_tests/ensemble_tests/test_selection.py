"""Which members and views are chosen, and that no selection is scored on rows that it saw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from automl.data.competition import Competition
from automl.decisions.temperature import fit_temperature
from automl.ensemble.candidates import Member
from automl.ensemble.crossfit import IDENTITY_ONLY, Blend, CrossFitted, list_members
from automl.ensemble.oof_predictions import OofPredictions
from automl.ensemble.selection import EnsembleSelection, fit_member_blend, select_ensemble, select_members
from automl.ensemble.tta import AUTO
from automl.ensemble.tta_selection import keep_winning_views, use_views
from automl.errors import NoUsableModelError
from automl.resampling import assign_stratified_splits
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.scripted import ScriptedPredictor, labelled, member_of, sure

N = 200
TARGETS = (np.arange(N) % 2).astype(np.int64)
SPLITS = assign_stratified_splits(TARGETS, None, seed=0)
MANY_RIGHT = np.random.default_rng(0).random(N) < 0.8


def chosen(
    pool: list[Member], predictor: Any, *, tta: str = AUTO, max_members: int = 5, notes: list[str] | None = None
) -> EnsembleSelection:
    lines: list[str] = [] if notes is None else notes
    return select_ensemble(
        pool,
        competition=predictor.competition,
        predictor=predictor,
        tta=tta,
        max_members=max_members,
        notify=lines.append,
    )


def score_of(selection: EnsembleSelection) -> float:
    return selection.oof.score(selection.oof.cross_predict(selection.fit))


def one_member(competition: Competition, *, policy: str = "light") -> list[Member]:
    return [member_of(competition, 0, sure(TARGETS, MANY_RIGHT), policy=policy)]


def test_auto_takes_a_view_that_helps_and_scores_the_mean_of_probabilities() -> None:
    competition = labelled(TARGETS, "accuracy")
    mirror = sure(TARGETS, ~MANY_RIGHT | (np.arange(N) % 3 > 0), by=0.95)
    pool = one_member(competition)
    notes: list[str] = []
    selection = chosen(pool, ScriptedPredictor(competition, {(0, "mirror"): mirror}), notes=notes)
    gain = score_of(selection) - selection.oof.score(pool[0].oof)
    assert notes == [f"views: mirror, without crops, which gain {gain:.5f} on rows that did not choose them"]
    assert selection.tta == "mirror"
    assert selection.views == ("identity", "mirror")
    mean = (pool[0].oof.astype(float) + mirror) / 2.0
    assert score_of(selection) == pytest.approx(accuracy_score(TARGETS, mean.argmax(axis=1)))


def test_auto_leaves_out_views_that_do_not_help_and_says_so() -> None:
    competition = labelled(TARGETS, "accuracy")
    notes: list[str] = []
    selection = chosen(one_member(competition), ScriptedPredictor(competition), notes=notes)
    assert (selection.tta, selection.views, selection.fit is selection.plain) == ("none", ("identity",), True)
    assert notes == [f"views: the identity alone, as mirror and crops do not help, from {N} rows out of fold"]


def test_a_view_that_helps_by_chance_on_one_split_is_not_credited_there() -> None:
    """The view is perfect on the rows of split 0, a little harmful on all others: all rows together ask for it."""
    competition = labelled(TARGETS, "accuracy")
    in_split = SPLITS == 0
    right = MANY_RIGHT & ~(np.arange(N) % 50 == 1)
    pool = [member_of(competition, 0, sure(TARGETS, MANY_RIGHT))]
    mirror = sure(TARGETS, in_split | right, by=0.99)
    predictor = ScriptedPredictor(competition, {(0, "mirror"): mirror})
    assert accuracy_score(TARGETS[~in_split], mirror[~in_split].argmax(axis=1)) < MANY_RIGHT[~in_split].mean()
    assert accuracy_score(TARGETS, mirror.argmax(axis=1)) > MANY_RIGHT.mean()
    plain = chosen(pool, predictor, tta="none")
    selection = chosen(pool, predictor)
    assert score_of(selection) <= score_of(plain)
    by_hand = selection.oof.cross_predict(selection.fit)[in_split]
    assert by_hand == pytest.approx(pool[0].oof[in_split])


def test_rows_are_scored_by_the_views_that_the_other_splits_asked_for() -> None:
    """The view is good everywhere but on split 0: there it is used, as the others ask for it, and does its harm."""
    competition = labelled(TARGETS, "accuracy")
    in_split = SPLITS == 0
    mirror = sure(TARGETS, ~in_split, by=0.99)
    predictor = ScriptedPredictor(competition, {(0, "mirror"): mirror})
    selection = chosen(one_member(competition), predictor)
    assert selection.tta == "mirror"
    right = selection.oof.cross_predict(selection.fit).argmax(axis=1) == TARGETS
    assert right[~in_split].all()
    assert not right[in_split].any()


def test_whether_views_are_used_at_all_is_decided_without_the_rows_that_are_scored() -> None:
    """The view is perfect on the rows of split 0 and harms the others a little less than that in all.

    All rows together ask for it and win by it, the others alone do not: split 0 is scored without the view.
    """
    in_split = SPLITS == 0
    right = MANY_RIGHT & ~(np.arange(N) % 50 == 1)
    oof, plain, looking = with_and_without(sure(TARGETS, in_split | right, by=0.99))
    fit = keep_winning_views(oof, plain, looking)
    assert fit.final is looking.final
    assert [blend is own for blend, own in zip(fit.per_split, plain.per_split, strict=True)] == [True] + 4 * [False]
    assert oof.cross_predict(fit)[in_split] == pytest.approx(oof.pool[0].oof[in_split])
    assert keep_winning_views(oof, plain, plain) is plain


def with_and_without(
    mirror: np.ndarray,
) -> tuple[OofPredictions, CrossFitted[Blend], CrossFitted[Blend]]:
    """One member without the view, and in all splits with it."""
    competition = labelled(TARGETS, "accuracy")
    pool = one_member(competition)
    oof = OofPredictions(pool, competition, {"0": {"identity": pool[0].oof, "mirror": mirror}})
    own = Blend(np.ones(1), np.ones(1), (IDENTITY_ONLY,))
    plain = CrossFitted(own, SPLITS, (own,) * 5)
    return oof, plain, use_views(oof, plain, ("identity", "mirror"))


def test_views_that_win_in_some_splits_alone_are_not_used_but_count_in_the_score() -> None:
    """Without split 0 the view wins, on all rows it loses: the submission does without it, split 0 pays for it."""
    in_split = SPLITS == 0
    oof, plain, looking = with_and_without(sure(TARGETS, ~in_split & (MANY_RIGHT | (np.arange(N) % 25 == 3)), by=0.99))
    fit = keep_winning_views(oof, plain, looking)
    assert fit.final is plain.final
    assert [blend is own for blend, own in zip(fit.per_split, plain.per_split, strict=True)] == [False] + 4 * [True]
    assert oof.score(oof.cross_predict(fit)) < oof.score(oof.cross_predict(plain))


def test_a_view_that_makes_the_blend_modest_but_wiser_is_taken() -> None:
    """Before the rule sharpens it the mean of two views has the worse log loss."""
    competition = labelled(TARGETS)
    rng = np.random.default_rng(2)
    identity = sure(TARGETS, MANY_RIGHT, by=MANY_RIGHT.mean())
    mirror = sure(TARGETS, MANY_RIGHT | (rng.random(N) < 0.6), by=0.53)
    mean = (identity.astype(np.float64) + mirror) / 2.0
    assert log_loss(TARGETS, mean) > log_loss(TARGETS, identity)
    predictor = ScriptedPredictor(competition, {(0, "mirror"): mirror})
    assert chosen([member_of(competition, 0, identity)], predictor).tta == "mirror"


def test_of_equal_accuracy_the_better_log_loss_takes_a_view() -> None:
    competition = labelled(TARGETS, "accuracy")
    surer = np.where(MANY_RIGHT[:, None], sure(TARGETS, MANY_RIGHT, by=0.99), sure(TARGETS, MANY_RIGHT, by=0.6))
    notes: list[str] = []
    predictor = ScriptedPredictor(competition, {(0, "mirror"): surer})
    assert chosen(one_member(competition), predictor, notes=notes).tta == "mirror"
    assert notes == [
        "views: mirror, without crops, which gain nothing but in log loss on rows that did not choose them"
    ]
    too_sure = sure(TARGETS, MANY_RIGHT, by=0.9999)
    assert chosen(one_member(competition), ScriptedPredictor(competition, {(0, "mirror"): too_sure})).tta == "none"


def test_a_member_looks_only_through_views_that_its_training_has_shown_it() -> None:
    competition = labelled(TARGETS)
    rng = np.random.default_rng(1)
    shown = member_of(competition, 0, sure(TARGETS, rng.random(N) < 0.8))
    not_shown = member_of(competition, 1, sure(TARGETS, rng.random(N) < 0.8), policy="none")
    mirror = sure(TARGETS, np.ones(N, dtype=bool))
    predictor = ScriptedPredictor(competition, {(0, "mirror"): mirror, (1, "mirror"): mirror})
    selection = chosen([shown, not_shown], predictor)
    assert {number for number, _ in predictor.asked} == {0}
    assert selection.fit.final.views == (("identity", "mirror"), ("identity",))


def test_no_mirror_is_tried_where_it_may_change_the_label() -> None:
    competition = replace(labelled(TARGETS), flips=False)
    predictor = ScriptedPredictor(competition)
    chosen(one_member(competition), predictor)
    assert predictor.asked
    assert not any("mirror" in view for _, view in predictor.asked)


def test_a_named_group_is_used_by_all_members_though_it_worsens_the_score() -> None:
    competition = labelled(TARGETS)
    notes: list[str] = []
    selection = chosen(
        one_member(competition, policy="none"), ScriptedPredictor(competition), tta="shifts", notes=notes
    )
    assert selection.views == ("identity", "up", "down", "left", "right")
    assert selection.tta == "shifts"
    assert any("worsen" in note and "--tta none" in note for note in notes)


def test_where_members_have_temperatures_they_are_fitted_to_the_mean_of_the_views() -> None:
    """Two views that are too sure, and disagree: their mean needs less cooling than each of them."""
    competition = labelled(TARGETS)
    right = np.random.default_rng(1).random(N) < 0.8
    member = member_of(competition, 0, sure(TARGETS, MANY_RIGHT, by=0.9999))
    seen = {"identity": member.oof, "mirror": sure(TARGETS, right, by=0.9999)}
    oof = OofPredictions([member], competition, {"0": seen})
    own = Blend(np.ones(1), np.full(1, 4.0), (IDENTITY_ONLY,))
    fit = use_views(oof, CrossFitted(own, SPLITS, (own,) * 5), ("identity", "mirror"))
    mean = (seen["identity"].astype(float) + seen["mirror"]) / 2.0
    assert fit.final.temperatures[0] == pytest.approx(fit_temperature(mean, TARGETS, Task.BINARY))
    for split, blend in enumerate(fit.per_split):
        others = split != SPLITS
        assert blend.temperatures[0] == pytest.approx(fit_temperature(mean[others], TARGETS[others], Task.BINARY))
    untempered = Blend(np.ones(1), np.ones(1), (IDENTITY_ONLY,))
    kept = use_views(oof, CrossFitted(untempered, SPLITS, (untempered,) * 5), ("identity", "mirror"))
    assert kept.final.temperatures[0] == 1.0


def test_members_that_weigh_something_in_one_split_alone_look_too() -> None:
    """One member is asked for, but not the same one wins in all splits."""
    competition = labelled(TARGETS)
    knows = np.arange(N) % 4 < 2
    pool = [
        member_of(competition, 0, np.where(knows[:, None], sure(TARGETS, knows), 0.5)),
        member_of(competition, 1, np.where(knows[:, None], 0.5, sure(TARGETS, ~knows))),
    ]
    predictor = ScriptedPredictor(competition)
    selection = chosen(pool, predictor, tta="flips", max_members=1)
    assert len(selection.fit.final.members) == 1
    assert list_members(selection.fit) == [0, 1]
    assert {number for number, _ in predictor.asked} == {0, 1}


def test_a_member_that_weighs_nothing_is_not_asked() -> None:
    competition = labelled(TARGETS)
    pool = [*one_member(competition), member_of(competition, 1, np.full((N, 2), 0.5))]
    predictor = ScriptedPredictor(competition)
    chosen(pool, predictor)
    assert {number for number, _ in predictor.asked} == {0}


def test_a_member_with_damaged_weights_is_left_out_by_name_where_views_are_wanted() -> None:
    competition = labelled(TARGETS)
    rng = np.random.default_rng(1)
    pool = [member_of(competition, number, sure(TARGETS, rng.random(N) < 0.8)) for number in (0, 1)]
    predictor = ScriptedPredictor(competition, damaged=frozenset({1}))
    notes: list[str] = []
    selection = chosen(pool, predictor, tta="flips", notes=notes)
    assert [member.number for member, _ in selection.weighted_members] == [0]
    assert any("trial 1 is left out" in note and "fold0" in note and "automl refit" in note for note in notes)
    assert len(chosen(pool, predictor, tta="none").weighted_members) == 2
    with pytest.raises(NoUsableModelError):
        chosen(pool, ScriptedPredictor(competition, damaged=frozenset({0, 1})), tta="flips")


def test_chosen_members_are_those_that_weigh_anything_heaviest_first() -> None:
    competition = labelled(TARGETS)
    rng = np.random.default_rng(1)
    pool = [member_of(competition, number, sure(TARGETS, rng.random(N) < 0.6 + 0.1 * number)) for number in range(3)]
    pool.append(member_of(competition, 3, np.full((N, 2), 0.5)))
    fit = fit_member_blend(pool, competition, 2)
    members = select_members(pool, competition, 2)
    assert 1 <= len(members) <= 2
    weights = [fit.final.weights[member.number] for member in members]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1.0)


def test_members_of_other_splits_make_way_where_an_ensemble_is_trimmed() -> None:
    competition = labelled(TARGETS)
    rng = np.random.default_rng(1)
    pool = [member_of(competition, number, sure(TARGETS, rng.random(N) < 0.8)) for number in range(3)]
    script = {(number, "mirror"): sure(TARGETS, rng.random(N) < 0.8) for number in range(3)}
    selection = chosen(pool, ScriptedPredictor(competition, script), tta="flips")
    name = selection.weighted_members[0][0].name
    trimmed = selection.trim(members={name}, views={"identity"})
    assert [member.name for member, _ in trimmed.weighted_members] == [name]
    assert (trimmed.views, trimmed.tta) == (("identity",), "none")
    assert list_members(trimmed.fit) == [selection.find_position(name)]
    assert all(own.weights.sum() == pytest.approx(1.0) for own in trimmed.fit.per_split)
