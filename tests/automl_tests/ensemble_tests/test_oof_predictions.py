"""What a blend of members predicts and scores out of fold, against sums written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, log_loss

from automl.ensemble.crossfit import IDENTITY_ONLY, Blend, CrossFitted
from automl.ensemble.oof_predictions import OofPredictions
from tests.automl_tests.ensemble_tests.scripted import labelled, member_of, sure

N = 60
TARGETS = (np.arange(N) % 2).astype(np.int64)
RNG = np.random.default_rng(0)
FIRST, SECOND, MIRRORED = (sure(TARGETS, RNG.random(N) < share) for share in (0.9, 0.7, 0.8))
WITH_MIRROR = ("identity", "mirror")


def oof_of(metric: str = "log_loss") -> OofPredictions:
    """Two members, of which the first has predicted mirrored images too."""
    competition = labelled(TARGETS, metric)
    pool = [member_of(competition, number, probs) for number, probs in enumerate((FIRST, SECOND))]
    return OofPredictions(pool, competition, {"0": {"identity": FIRST, "mirror": MIRRORED}})


def test_rows_targets_and_groups_are_those_of_the_members() -> None:
    competition = replace(labelled(TARGETS), groups=np.arange(N) // 3)
    member = member_of(competition, 0, FIRST).select_rows(np.arange(0, N, 5))
    oof = OofPredictions([member], competition, {})
    assert oof.rows.tolist() == list(range(0, N, 5))
    assert np.array_equal(oof.targets, TARGETS[::5])
    assert oof.groups is not None and np.array_equal(oof.groups, np.arange(N)[::5] // 3)
    assert oof_of().groups is None


def test_views_are_averaged_and_the_identity_alone_needs_no_views() -> None:
    oof = oof_of()
    assert np.array_equal(oof.average_views(1, IDENTITY_ONLY), SECOND.astype(np.float64))
    assert oof.average_views(0, WITH_MIRROR) == pytest.approx((FIRST.astype(float) + MIRRORED) / 2)


def test_a_blend_weighs_tempered_means_over_views() -> None:
    blend = Blend(np.array([0.25, 0.75]), np.array([2.0, 1.0]), (WITH_MIRROR, IDENTITY_ONLY))
    rows = np.array([7, 3])
    first = (FIRST.astype(float) + MIRRORED)[rows] / 2
    expected = 0.25 * expit(logit(first) / 2.0) + 0.75 * SECOND[rows]
    assert oof_of().predict(blend, rows) == pytest.approx(expected)


def test_each_row_is_predicted_by_the_blend_of_its_split() -> None:
    oof, splits = oof_of(), np.arange(N) % 2
    first = Blend(np.array([1.0, 0.0]), np.ones(2), (WITH_MIRROR, IDENTITY_ONLY))
    second = Blend(np.array([0.0, 1.0]), np.array([1.0, 3.0]), (IDENTITY_ONLY, IDENTITY_ONLY))
    crossed = oof.cross_predict(CrossFitted(first, splits, (first, second)))
    for split, blend in enumerate((first, second)):
        rows = np.flatnonzero(splits == split)
        assert np.array_equal(crossed[rows], oof.predict(blend, rows))


def test_calibrated_scores_grow_with_quality_whichever_way_the_metric_points() -> None:
    assert oof_of("accuracy").score_calibrated(FIRST) == accuracy_score(TARGETS, FIRST.argmax(axis=1))
    oof = oof_of("log_loss")
    assert oof.score(SECOND) == pytest.approx(log_loss(TARGETS, SECOND.astype(float)))
    assert -oof.score_calibrated(SECOND) < oof.score(SECOND)  # as sure as 0.9, and right in 70 %
    assert oof.score_calibrated(FIRST) > oof.score_calibrated(SECOND)
    rows = np.arange(10)
    assert oof_of("accuracy").score_calibrated(SECOND[rows], rows) == accuracy_score(
        TARGETS[rows], SECOND[rows].argmax(axis=1)
    )


def test_a_fit_is_scored_by_its_cross_fitted_predictions() -> None:
    oof = oof_of("accuracy")
    first, second = (Blend(np.eye(2)[index], np.ones(2), (IDENTITY_ONLY,) * 2) for index in (0, 1))
    right = [(probs.argmax(axis=1) == TARGETS) for probs in (FIRST, SECOND)]
    splits = np.arange(N) % 2
    fit = CrossFitted(first, splits, (first, second))
    assert oof.score_fit(fit) == pytest.approx(np.where(splits == 0, right[0], right[1]).mean())
