"""Which members and views an ensemble takes, with its notes, and what is left where time is short."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from automl.ensemble.blending import compute_ranks
from automl.ensemble.candidates import read_members
from automl.ensemble.crossfit import list_members
from automl.ensemble.predictor import Predictor
from automl.ensemble.selection import fit_member_blend, select_ensemble, select_members
from automl.errors import NoUsableModelError
from automl.metrics.registry import METRICS
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
from tests.automl_tests.ensemble_tests.small_studies import (
    TrainedStudy,
    one_family_probs,
    predict_out_of_fold,
)


def test_auto_takes_a_view_that_helps_and_scores_the_mean_of_probabilities() -> None:
    competition = labelled(TARGETS, "accuracy")
    mirror = sure(TARGETS, ~MANY_RIGHT | (np.arange(N) % 3 > 0), by=0.95)
    pool = one_member(competition)
    notes: list[str] = []
    selection = select(pool, ScriptedPredictor(competition, {(0, "mirror"): mirror}), notes=notes)
    gain = score_of(selection) - selection.oof.score(pool[0].oof)
    assert notes == [f"views: mirror, without crops, which gain {gain:.5f} on rows that did not choose them"]
    assert selection.tta == "mirror"
    assert selection.views == ("identity", "mirror")
    mean = (pool[0].oof.astype(float) + mirror) / 2.0
    assert score_of(selection) == pytest.approx(accuracy_score(TARGETS, mean.argmax(axis=1)))


def test_auto_leaves_out_views_that_do_not_help_and_notifies_of_it() -> None:
    competition = labelled(TARGETS, "accuracy")
    notes: list[str] = []
    selection = select(one_member(competition), ScriptedPredictor(competition), notes=notes)
    assert (selection.tta, selection.views, selection.fit is selection.plain) == ("none", ("identity",), True)
    assert notes == [f"views: the identity alone, as mirror and crops do not help, from {N} rows out of fold"]


def test_a_named_group_is_used_by_all_members_though_it_worsens_the_score() -> None:
    competition = labelled(TARGETS)
    notes: list[str] = []
    selection = select(
        one_member(competition, policy="none"), ScriptedPredictor(competition), tta="shifts", notes=notes
    )
    assert selection.views == ("identity", "up", "down", "left", "right")
    assert selection.tta == "shifts"
    assert any("worsen" in note and "--tta none" in note for note in notes)


@pytest.mark.slow
def test_members_that_weigh_something_in_one_split_alone_predict_views_too() -> None:
    """One member is wanted, but not the same one wins in all splits."""
    competition = labelled(TARGETS)
    knows = np.arange(N) % 4 < 2
    pool = [
        member_of(competition, 0, np.where(knows[:, None], sure(TARGETS, knows), 0.5)),
        member_of(competition, 1, np.where(knows[:, None], 0.5, sure(TARGETS, ~knows))),
    ]
    predictor = ScriptedPredictor(competition)
    selection = select(pool, predictor, tta="flips", max_members=1)
    assert len(selection.fit.final.members) == 1
    assert list_members(selection.fit) == [0, 1]
    assert {number for number, _ in predictor.requests} == {0, 1}


def test_a_member_that_weighs_nothing_does_not_predict() -> None:
    competition = labelled(TARGETS)
    pool = [*one_member(competition), member_of(competition, 1, np.full((N, 2), 0.5))]
    predictor = ScriptedPredictor(competition)
    select(pool, predictor)
    assert {number for number, _ in predictor.requests} == {0}


@pytest.mark.slow
def test_a_member_with_damaged_weights_is_left_out_by_name_where_views_are_wanted() -> None:
    competition = labelled(TARGETS)
    rng = np.random.default_rng(1)
    pool = [member_of(competition, number, sure(TARGETS, rng.random(N) < 0.8)) for number in (0, 1)]
    predictor = ScriptedPredictor(competition, damaged=frozenset({1}))
    notes: list[str] = []
    selection = select(pool, predictor, tta="flips", notes=notes)
    assert [member.number for member, _ in selection.weighted_members] == [0]
    assert any("trial 1 is left out" in note and "fold0" in note and "automl refit" in note for note in notes)
    assert len(select(pool, predictor, tta="none").weighted_members) == 2
    with pytest.raises(NoUsableModelError):
        select(pool, ScriptedPredictor(competition, damaged=frozenset({0, 1})), tta="flips")


@pytest.mark.slow
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
    selection = select(pool, ScriptedPredictor(competition, script), tta="flips")
    name = selection.weighted_members[0][0].name
    trimmed = selection.trim(members={name}, views={"identity"})
    assert [member.name for member, _ in trimmed.weighted_members] == [name]
    assert (trimmed.views, trimmed.tta) == (("identity",), "none")
    assert list_members(trimmed.fit) == [selection.find_position(name)]
    assert all(own.weights.sum() == pytest.approx(1.0) for own in trimmed.fit.per_split)


def test_a_rank_blend_is_scored_on_ranks(study: TrainedStudy) -> None:
    """Two made-up members of which one is much more confident than the other."""
    ranking = replace(study.competition, metric=METRICS["roc_auc"], metric_given=True)
    real = read_members(study.candidates[:1], study.files, ranking, study.folds, notify=print)[0]
    targets = ranking.targets[real.rows]
    probs = one_family_probs(targets, 2, np.random.default_rng(0), n_models=2)
    probs[0] = probs[0] ** 20 / (probs[0] ** 20).sum(axis=1, keepdims=True)
    pool = [replace(real, number=number, oof=member) for number, member in enumerate(probs)]
    predictor = Predictor(ranking, study.cache, device="cpu", cache_folder=None)
    selection = select_ensemble(pool, competition=ranking, predictor=predictor, tta="none", max_members=2, notify=print)
    fit = fit_member_blend(pool, ranking, 2)
    scored = selection.oof.score(selection.oof.cross_predict(selection.fit))
    ranks, on_probs = (predict_out_of_fold(fit, own, ranking.task) for own in (compute_ranks(probs), probs))
    assert scored == pytest.approx(ranking.metric(targets, ranks))
    assert scored != pytest.approx(ranking.metric(targets, on_probs))
