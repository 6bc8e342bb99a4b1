"""What members and views are said to add, how alike members err, and what is given up first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, log_loss

from automl.decisions.temperature import fit_temperature
from automl.ensemble.contributions import error_correlations, ordered_savings, what_members_add, what_views_add
from automl.ensemble.crossfit import PLAIN, CrossFit, Voices, Weighing
from automl.ensemble.ensemble_recipe import Saving
from automl.ensemble.selection import Choice
from automl.ensemble.tta_selection import with_views
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.scripted import labelled, member_of, sure

N = 120
TARGETS = (np.arange(N) % 2).astype(np.int64)


def equal_choice(metric: str, said: list[np.ndarray], seen: dict[str, dict[str, np.ndarray]] | None = None) -> Choice:
    """A mean of members, the same in every split."""
    competition = labelled(TARGETS, metric)
    pool = [member_of(competition, number, probs) for number, probs in enumerate(said)]
    voices = Voices(pool, competition, seen or {})
    n_models = len(said)
    own = Weighing(np.full(n_models, 1.0 / n_models), np.ones(n_models), (PLAIN,) * n_models)
    plain = CrossFit(own, np.arange(N) % 5, (own,) * 5)
    views = tuple(next(iter(seen.values()))) if seen else PLAIN
    return Choice(voices, "mean", plain, with_views(voices, plain, views) if seen else plain, "views")


def three_members() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [sure(TARGETS, rng.random(N) < share) for share in (0.9, 0.8, 0.55)]


def test_what_a_member_adds_is_the_difference_to_the_mean_of_the_others() -> None:
    said = three_members()
    for metric, score, sign in (("accuracy", _accuracy, 1.0), ("log_loss", _log_loss_of_sharpened, -1.0)):
        adds = what_members_add(equal_choice(metric, said))
        full = score(np.mean(said, axis=0))
        for number in range(3):
            others = [probs for other, probs in enumerate(said) if other != number]
            assert adds[str(number)] == pytest.approx(sign * (full - score(np.mean(others, axis=0))))
    assert adds["0"] is not None and adds["0"] > 0
    assert adds["2"] is not None and adds["2"] < adds["0"]


def test_the_only_member_adds_nothing_that_could_be_named() -> None:
    assert what_members_add(equal_choice("accuracy", three_members()[:1])) == {"0": None}


def test_a_split_without_other_members_takes_the_final_weights() -> None:
    competition = labelled(TARGETS)
    pool = [member_of(competition, number, probs) for number, probs in enumerate(three_members()[:2])]
    both, first = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    plain = CrossFit(
        Weighing(both, np.ones(2), (PLAIN, PLAIN)),
        np.arange(N) % 2,
        tuple(Weighing(weights, np.ones(2), (PLAIN, PLAIN)) for weights in (both, first)),
    )
    choice = Choice(Voices(pool, competition, {}), "greedy", plain, plain, "none")
    adds = what_members_add(choice)
    full = _log_loss_of_sharpened(choice.voices.cross_fitted(plain))
    assert adds["0"] == pytest.approx(_log_loss_of_sharpened(pool[1].oof) - full)


def test_what_a_view_adds_is_the_difference_to_the_other_views() -> None:
    said, rng = three_members()[:2], np.random.default_rng(1)
    good, bad = (sure(TARGETS, rng.random(N) < share) for share in (0.95, 0.3))
    seen = {str(number): {"identity": said[number], "mirror": good, "up": bad} for number in range(2)}
    adds = what_views_add(equal_choice("log_loss", said, seen))
    mean = np.mean(said, axis=0)
    full = _log_loss_of_sharpened((mean + good + bad) / 3.0)
    assert adds == pytest.approx(
        {
            "mirror": _log_loss_of_sharpened((mean + bad) / 2.0) - full,
            "up": _log_loss_of_sharpened((mean + good) / 2.0) - full,
        }
    )
    assert adds["mirror"] > 0 > adds["up"]


def test_a_member_that_only_makes_the_blend_more_modest_adds_nothing() -> None:
    """The rule that decides sharpens what is left, so that doubt alone is worth nothing: both say the same."""
    rng = np.random.default_rng(0)
    knows = sure(TARGETS, rng.random(N) < 0.85, by=0.6)  # too modest
    surer = sure(TARGETS, knows.argmax(axis=1) == TARGETS, by=0.75)
    adds = what_members_add(equal_choice("log_loss", [knows, surer]))
    assert adds == pytest.approx({"0": 0.0, "1": 0.0}, abs=3e-3)
    assert log_loss(TARGETS, knows) - log_loss(TARGETS, (knows + surer) / 2.0) > 0.04


def test_error_correlations_are_those_of_the_residuals() -> None:
    said = three_members()
    competition = labelled(TARGETS)
    members = [member_of(competition, number, probs) for number, probs in enumerate(said)]
    residuals = [(np.eye(2)[TARGETS] - probs).ravel() for probs in said]
    assert error_correlations(members, competition) == pytest.approx(np.corrcoef(residuals), abs=1e-6)


def test_a_perfect_member_is_correlated_with_nobody() -> None:
    competition = labelled(TARGETS)
    members = [
        member_of(competition, 0, np.eye(2)[TARGETS]),
        member_of(competition, 1, three_members()[0]),
    ]
    assert error_correlations(members, competition).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_all_views_are_given_up_before_any_member_and_the_last_member_stays() -> None:
    said, rng = three_members(), np.random.default_rng(1)
    good, bad = (sure(TARGETS, rng.random(N) < share) for share in (0.95, 0.3))
    seen = {str(number): {"identity": said[number], "mirror": good, "up": bad} for number in range(3)}
    savings = ordered_savings(equal_choice("log_loss", said, seen), {"0": 1.0, "1": 1.0, "2": 1.0})
    assert savings[:2] == (Saving(view="up"), Saving(view="mirror"))
    assert savings[2] == Saving(member="2")
    assert len(savings) == 4


def test_of_equal_gains_the_slower_member_is_given_up_first() -> None:
    said = three_members()[:1] * 2
    choice = equal_choice("log_loss", [*said, sure(TARGETS, np.arange(N) % 10 > 0)])
    first = [ordered_savings(choice, {"0": slow, "1": 3.0 - slow, "2": 0.1})[0] for slow in (2.0, 1.0)]
    assert first == [Saving(member="0"), Saving(member="1")]


def _accuracy(probs: np.ndarray) -> float:
    return float(accuracy_score(TARGETS, probs.argmax(axis=1)))


def _log_loss_of_sharpened(probs: np.ndarray) -> float:
    temperature = fit_temperature(probs, TARGETS, Task.BINARY)
    assert temperature != 1.0
    return float(log_loss(TARGETS, expit(logit(probs[:, 1].astype(np.float64)) / temperature)))
