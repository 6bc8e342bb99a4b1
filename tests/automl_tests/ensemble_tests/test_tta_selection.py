"""Views are selected where they help, and no row is scored with views that it selected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from automl.decisions.resampling import assign_stratified_splits
from automl.decisions.temperature import fit_temperature
from automl.ensemble.crossfit import IDENTITY_ONLY, Blend, CrossFitted
from automl.ensemble.oof_predictions import OofPredictions
from automl.ensemble.tta_selection import keep_winning_views, use_views
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.scripted import (
    MANY_RIGHT,
    TARGETS,
    N,
    ScriptedPredictor,
    labelled,
    member_of,
    one_member,
    score_of,
    select,
    sure,
)

SPLITS = assign_stratified_splits(TARGETS, None, seed=0)


def test_a_view_that_helps_by_chance_on_one_split_is_not_credited_there() -> None:
    """The view is perfect on the rows of split 0, a little harmful on all others: all rows together select it."""
    competition = labelled(TARGETS, "accuracy")
    in_split = SPLITS == 0
    right = MANY_RIGHT & ~(np.arange(N) % 50 == 1)
    pool = [member_of(competition, 0, sure(TARGETS, MANY_RIGHT))]
    mirror = sure(TARGETS, in_split | right, by=0.99)
    predictor = ScriptedPredictor(competition, {(0, "mirror"): mirror})
    assert accuracy_score(TARGETS[~in_split], mirror[~in_split].argmax(axis=1)) < MANY_RIGHT[~in_split].mean()
    assert accuracy_score(TARGETS, mirror.argmax(axis=1)) > MANY_RIGHT.mean()
    plain = select(pool, predictor, tta="none")
    selection = select(pool, predictor)
    assert score_of(selection) <= score_of(plain)
    by_hand = selection.oof.cross_predict(selection.fit)[in_split]
    assert by_hand == pytest.approx(pool[0].oof[in_split])


def test_rows_are_scored_by_the_views_that_the_other_splits_select() -> None:
    """The view is good everywhere but on split 0: there it is used, as the others select it, and does its harm."""
    competition = labelled(TARGETS, "accuracy")
    in_split = SPLITS == 0
    mirror = sure(TARGETS, ~in_split, by=0.99)
    predictor = ScriptedPredictor(competition, {(0, "mirror"): mirror})
    selection = select(one_member(competition), predictor)
    assert selection.tta == "mirror"
    right = selection.oof.cross_predict(selection.fit).argmax(axis=1) == TARGETS
    assert right[~in_split].all()
    assert not right[in_split].any()


def test_whether_views_are_used_at_all_is_decided_without_the_rows_that_are_scored() -> None:
    """The view is perfect on the rows of split 0 and harms the others a little less than that in all.

    All rows together select it and win by it, the others alone do not: split 0 is scored without the view.
    """
    in_split = SPLITS == 0
    right = MANY_RIGHT & ~(np.arange(N) % 50 == 1)
    oof, plain, augmented = with_and_without(sure(TARGETS, in_split | right, by=0.99))
    fit = keep_winning_views(oof, plain, augmented)
    assert fit.final is augmented.final
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
    oof, plain, augmented = with_and_without(
        sure(TARGETS, ~in_split & (MANY_RIGHT | (np.arange(N) % 25 == 3)), by=0.99)
    )
    fit = keep_winning_views(oof, plain, augmented)
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
    assert select([member_of(competition, 0, identity)], predictor).tta == "mirror"


def test_of_equal_accuracy_the_better_log_loss_takes_a_view() -> None:
    competition = labelled(TARGETS, "accuracy")
    surer = np.where(MANY_RIGHT[:, None], sure(TARGETS, MANY_RIGHT, by=0.99), sure(TARGETS, MANY_RIGHT, by=0.6))
    notes: list[str] = []
    predictor = ScriptedPredictor(competition, {(0, "mirror"): surer})
    assert select(one_member(competition), predictor, notes=notes).tta == "mirror"
    assert notes == [
        "views: mirror, without crops, which gain nothing but in log loss on rows that did not choose them"
    ]
    too_sure = sure(TARGETS, MANY_RIGHT, by=0.9999)
    assert select(one_member(competition), ScriptedPredictor(competition, {(0, "mirror"): too_sure})).tta == "none"


def test_a_member_predicts_only_under_views_that_its_training_has_shown_it() -> None:
    competition = labelled(TARGETS)
    rng = np.random.default_rng(1)
    mirrored = member_of(competition, 0, sure(TARGETS, rng.random(N) < 0.8))
    unaugmented = member_of(competition, 1, sure(TARGETS, rng.random(N) < 0.8), policy="none")
    mirror = sure(TARGETS, np.ones(N, dtype=bool))
    predictor = ScriptedPredictor(competition, {(0, "mirror"): mirror, (1, "mirror"): mirror})
    selection = select([mirrored, unaugmented], predictor)
    assert {number for number, _ in predictor.requests} == {0}
    assert selection.fit.final.views == (("identity", "mirror"), ("identity",))


def test_no_mirror_is_tried_where_it_may_change_the_label() -> None:
    competition = replace(labelled(TARGETS), flips=False)
    predictor = ScriptedPredictor(competition)
    select(one_member(competition), predictor)
    assert predictor.requests
    assert not any("mirror" in view for _, view in predictor.requests)


def test_where_members_have_temperatures_they_are_fitted_to_the_mean_of_the_views() -> None:
    """Two views that are too sure, and disagree: their mean needs less cooling than each of them."""
    competition = labelled(TARGETS)
    right = np.random.default_rng(1).random(N) < 0.8
    member = member_of(competition, 0, sure(TARGETS, MANY_RIGHT, by=0.9999))
    by_view = {"identity": member.oof, "mirror": sure(TARGETS, right, by=0.9999)}
    oof = OofPredictions([member], competition, {"0": by_view})
    own = Blend(np.ones(1), np.full(1, 4.0), (IDENTITY_ONLY,))
    fit = use_views(oof, CrossFitted(own, SPLITS, (own,) * 5), ("identity", "mirror"))
    mean = (by_view["identity"].astype(float) + by_view["mirror"]) / 2.0
    assert fit.final.temperatures[0] == pytest.approx(fit_temperature(mean, TARGETS, Task.BINARY))
    for split, blend in enumerate(fit.per_split):
        others = split != SPLITS
        assert blend.temperatures[0] == pytest.approx(fit_temperature(mean[others], TARGETS[others], Task.BINARY))
    untempered = Blend(np.ones(1), np.ones(1), (IDENTITY_ONLY,))
    kept = use_views(oof, CrossFitted(untempered, SPLITS, (untempered,) * 5), ("identity", "mirror"))
    assert kept.final.temperatures[0] == 1.0
