"""The gains of members and views, the correlation of errors, and the order of drops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, log_loss

from automl.decisions.temperature import fit_temperature
from automl.ensemble.contributions import (
    compute_error_correlations,
    compute_member_gains,
    compute_view_gains,
    order_drops,
)
from automl.ensemble.crossfit import IDENTITY_ONLY, Blend, CrossFitted
from automl.ensemble.ensemble_recipe import Drop
from automl.ensemble.oof_predictions import OofPredictions
from automl.ensemble.selection import EnsembleSelection
from automl.ensemble.tta_selection import use_views
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.scripted import labelled, member_of, sure

N = 120
TARGETS = (np.arange(N) % 2).astype(np.int64)


def equal_selection(
    metric: str, predictions: list[np.ndarray], by_view: dict[str, dict[str, np.ndarray]] | None = None
) -> EnsembleSelection:
    """A mean of members, the same in every split."""
    competition = labelled(TARGETS, metric)
    pool = [member_of(competition, number, probs) for number, probs in enumerate(predictions)]
    oof = OofPredictions(pool, competition, by_view or {})
    n_models = len(predictions)
    own = Blend(np.full(n_models, 1.0 / n_models), np.ones(n_models), (IDENTITY_ONLY,) * n_models)
    plain = CrossFitted(own, np.arange(N) % 5, (own,) * 5)
    views = tuple(next(iter(by_view.values()))) if by_view else IDENTITY_ONLY
    return EnsembleSelection(oof, plain, use_views(oof, plain, views) if by_view else plain, "views")


def three_members() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [sure(TARGETS, rng.random(N) < share) for share in (0.9, 0.8, 0.55)]


def test_what_a_member_adds_is_the_difference_to_the_mean_of_the_others() -> None:
    predictions = three_members()
    for metric, score, sign in (("accuracy", _accuracy, 1.0), ("log_loss", _calibrated_log_loss, -1.0)):
        gains = compute_member_gains(equal_selection(metric, predictions))
        full = score(np.mean(predictions, axis=0))
        for number in range(3):
            others = [probs for other, probs in enumerate(predictions) if other != number]
            assert gains[str(number)] == pytest.approx(sign * (full - score(np.mean(others, axis=0))))
    assert gains["0"] is not None and gains["0"] > 0
    assert gains["2"] is not None and gains["2"] < gains["0"]


def test_the_only_member_adds_nothing_that_could_be_named() -> None:
    assert compute_member_gains(equal_selection("accuracy", three_members()[:1])) == {"0": None}


def test_a_split_without_other_members_takes_the_final_weights() -> None:
    competition = labelled(TARGETS)
    pool = [member_of(competition, number, probs) for number, probs in enumerate(three_members()[:2])]
    both, first = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    plain = CrossFitted(
        Blend(both, np.ones(2), (IDENTITY_ONLY, IDENTITY_ONLY)),
        np.arange(N) % 2,
        tuple(Blend(weights, np.ones(2), (IDENTITY_ONLY, IDENTITY_ONLY)) for weights in (both, first)),
    )
    selection = EnsembleSelection(OofPredictions(pool, competition, {}), plain, plain, "none")
    gains = compute_member_gains(selection)
    full = _calibrated_log_loss(selection.oof.cross_predict(plain))
    assert gains["0"] == pytest.approx(_calibrated_log_loss(pool[1].oof) - full)


def test_what_a_view_adds_is_the_difference_to_the_other_views() -> None:
    predictions, rng = three_members()[:2], np.random.default_rng(1)
    good, bad = (sure(TARGETS, rng.random(N) < share) for share in (0.95, 0.3))
    by_view = {str(number): {"identity": predictions[number], "mirror": good, "up": bad} for number in range(2)}
    gains = compute_view_gains(equal_selection("log_loss", predictions, by_view))
    mean = np.mean(predictions, axis=0)
    full = _calibrated_log_loss((mean + good + bad) / 3.0)
    assert gains == pytest.approx(
        {
            "mirror": _calibrated_log_loss((mean + bad) / 2.0) - full,
            "up": _calibrated_log_loss((mean + good) / 2.0) - full,
        }
    )
    assert gains["mirror"] > 0 > gains["up"]


def test_a_member_that_only_makes_the_blend_more_modest_adds_nothing() -> None:
    """The rule that decides sharpens what is left, so doubt alone is worth nothing: both predict the same."""
    rng = np.random.default_rng(0)
    knows = sure(TARGETS, rng.random(N) < 0.85, by=0.6)  # too modest
    surer = sure(TARGETS, knows.argmax(axis=1) == TARGETS, by=0.75)
    gains = compute_member_gains(equal_selection("log_loss", [knows, surer]))
    assert gains == pytest.approx({"0": 0.0, "1": 0.0}, abs=3e-3)
    assert log_loss(TARGETS, knows) - log_loss(TARGETS, (knows + surer) / 2.0) > 0.04


def test_error_correlations_are_those_of_the_residuals() -> None:
    predictions = three_members()
    competition = labelled(TARGETS)
    members = [member_of(competition, number, probs) for number, probs in enumerate(predictions)]
    residuals = [(np.eye(2)[TARGETS] - probs).ravel() for probs in predictions]
    assert compute_error_correlations(members, competition) == pytest.approx(np.corrcoef(residuals), abs=1e-6)


def test_a_perfect_member_is_correlated_with_nobody() -> None:
    competition = labelled(TARGETS)
    members = [
        member_of(competition, 0, np.eye(2)[TARGETS]),
        member_of(competition, 1, three_members()[0]),
    ]
    assert compute_error_correlations(members, competition).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_all_views_are_given_up_before_any_member_and_the_last_member_stays() -> None:
    predictions, rng = three_members(), np.random.default_rng(1)
    good, bad = (sure(TARGETS, rng.random(N) < share) for share in (0.95, 0.3))
    by_view = {str(number): {"identity": predictions[number], "mirror": good, "up": bad} for number in range(3)}
    drops = order_drops(equal_selection("log_loss", predictions, by_view), {"0": 1.0, "1": 1.0, "2": 1.0})
    assert drops[:2] == (Drop(view="up"), Drop(view="mirror"))
    assert drops[2] == Drop(member="2")
    assert len(drops) == 4


def test_of_equal_adds_the_slower_member_is_given_up_first() -> None:
    predictions = three_members()[:1] * 2
    selection = equal_selection("log_loss", [*predictions, sure(TARGETS, np.arange(N) % 10 > 0)])
    first = [order_drops(selection, {"0": slow, "1": 3.0 - slow, "2": 0.1})[0] for slow in (2.0, 1.0)]
    assert first == [Drop(member="0"), Drop(member="1")]


def _accuracy(probs: np.ndarray) -> float:
    return float(accuracy_score(TARGETS, probs.argmax(axis=1)))


def _calibrated_log_loss(probs: np.ndarray) -> float:
    temperature = fit_temperature(probs, TARGETS, Task.BINARY)
    assert temperature != 1.0
    return float(log_loss(TARGETS, expit(logit(probs[:, 1].astype(np.float64)) / temperature)))
