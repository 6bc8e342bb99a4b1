"""The optimism of the best of some trials, against simulations in which it is known."""

from __future__ import annotations

import numpy as np
import pytest

from automl.decisions.bootstrap import estimate_optimism
from tests.automl_tests.ensemble_tests.small_studies import one_family_probs, scorer_of

ACCURACY, LOG_LOSS, AUC = (scorer_of(name) for name in ("accuracy", "log_loss", "roc_auc"))


def trials(seed: int, skills: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n,) of two classes, and trials that differ in skill, half of whose noise is shared."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(2, size=n)
    shape = (n, 2)
    shared = 0.7 * rng.normal(size=shape)
    logits = np.stack([skill * np.eye(2)[targets] + shared + 0.7 * rng.normal(size=shape) for skill in skills])
    powers = np.exp(1.5 * logits)
    return targets, powers / powers.sum(axis=2, keepdims=True)


@pytest.mark.parametrize("name", ["accuracy", "log_loss", pytest.param("roc_auc", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spread", [0.0, 0.15], ids=["alike", "unlike"])
def test_luck_is_nearly_what_the_best_one_loses_on_other_rows(name: str, spread: float) -> None:
    scorer, sign = scorer_of(name), 1.0 if name != "log_loss" else -1.0
    estimates, lost = [], []
    for seed in range(25):
        skills = 1.2 + spread * np.random.default_rng(seed + 100).normal(size=12)
        targets, probs = trials(seed, skills, 150 + 3000)
        scores = sign * np.array([scorer(targets[:150], own[:150]) for own in probs])
        best = int(scores.argmax())
        lost.append(scores[best] - sign * scorer(targets[150:], probs[best, 150:]))
        estimates.append(estimate_optimism(list(probs[:, :150]), targets[:150], scorer))
    error = np.std(lost) / np.sqrt(len(lost))
    assert min(estimates) >= 0.0
    assert abs(np.mean(estimates) - np.mean(lost)) < 2.5 * error
    assert np.mean(estimates) > 0.3 * np.mean(lost)


def test_one_trial_and_one_that_leads_by_far_owe_nothing_to_luck() -> None:
    targets, probs = trials(0, np.array([6.0, 0.1, 0.2]), 400)
    assert estimate_optimism([probs[0]], targets, ACCURACY) == 0.0
    assert estimate_optimism([probs[0], probs[0]], targets, ACCURACY) == pytest.approx(0.0, abs=1e-3)
    assert estimate_optimism(list(probs), targets, ACCURACY) == pytest.approx(0.0, abs=1e-3)


def test_more_trials_owe_more_to_luck_and_more_rows_less() -> None:
    targets, probs = trials(1, np.full(30, 1.2), 4000)
    few, many = (estimate_optimism(list(probs[:n_trials, :400]), targets[:400], ACCURACY) for n_trials in (3, 30))
    assert estimate_optimism(list(probs), targets, ACCURACY) < few < many


def test_groups_that_err_as_a_whole_leave_more_to_luck() -> None:
    rng = np.random.default_rng(2)
    targets = np.repeat(rng.integers(2, size=80), 5)
    second = np.where(np.repeat(rng.random((8, 80)) < 0.8, 5, axis=1), targets, 1 - targets).astype(float)
    probs = list(np.stack([1 - second, second], axis=2))
    alone = estimate_optimism(probs, targets, ACCURACY)
    assert estimate_optimism(probs, targets, ACCURACY, groups=np.arange(400) // 5) > 1.5 * alone


def test_a_part_of_large_tables_estimates_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    targets = rng.integers(5, size=4000)
    probs = list(one_family_probs(targets, 5, rng, n_models=10))
    exact = estimate_optimism(probs, targets, LOG_LOSS)
    monkeypatch.setattr("automl.decisions.bootstrap.MAX_CELLS_IN_ALL", 1_000_000)
    assert estimate_optimism(probs, targets, LOG_LOSS) == pytest.approx(exact, rel=0.5)
