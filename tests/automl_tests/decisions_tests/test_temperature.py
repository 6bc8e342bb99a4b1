"""Temperatures: algebra, the best one where it is known, and what few rows may ask for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from automl.decisions.temperature import BOUNDS, apply_temperature, find_temperature, fit_temperature
from automl.tasks import Task

LOGITS = np.random.default_rng(0).normal(size=(50, 4)) * 3


def test_without_rows_the_temperature_is_one() -> None:
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int), Task.MULTICLASS) == 1.0


def test_the_least_loss_is_found_within_the_bounds_and_one_where_nothing_is_gained() -> None:
    assert find_temperature(lambda temperature: 0.5, n_rows=100) == pytest.approx(1.0, abs=0.01)
    assert find_temperature(lambda t: float(np.log(t) - 1.0) ** 2, n_rows=10**9) == pytest.approx(np.e, rel=0.01)
    assert find_temperature(lambda t: -t, n_rows=10**9) == pytest.approx(BOUNDS[1], rel=0.02)


def test_a_temperature_divides_logits() -> None:
    assert apply_temperature(softmax(LOGITS, axis=1), 2.5, Task.MULTICLASS) == pytest.approx(
        softmax(LOGITS / 2.5, axis=1)
    )
    assert apply_temperature(expit(LOGITS), 2.5, Task.MULTILABEL) == pytest.approx(expit(LOGITS / 2.5))
    two = np.column_stack([1 - expit(LOGITS[:, 0]), expit(LOGITS[:, 0])])
    assert apply_temperature(two, 0.7, Task.BINARY)[:, 1] == pytest.approx(expit(LOGITS[:, 0] / 0.7))


def test_temperature_one_leaves_the_very_bits() -> None:
    probs = softmax(LOGITS, axis=1).astype(np.float32)
    assert apply_temperature(probs, 1.0, Task.MULTICLASS) is probs


def test_a_row_alone_is_tempered_as_among_others() -> None:
    probs = np.asfortranarray(np.random.default_rng(0).dirichlet(np.ones(23), 40))
    among = apply_temperature(probs, 1.7, Task.MULTICLASS)
    alone = np.concatenate([apply_temperature(probs[row : row + 1], 1.7, Task.MULTICLASS) for row in range(40)])
    assert np.array_equal(among, alone)


def test_probabilities_of_nothing_and_of_everything_stay_finite() -> None:
    odd = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1e-40, 1.0]])
    for task in (Task.BINARY, Task.MULTILABEL):
        for temperature in (0.2, 5.0):
            assert np.isfinite(apply_temperature(odd, temperature, task)).all()


@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_the_temperature_by_which_logits_were_multiplied_is_found(true: float) -> None:
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(4000, 4))
    targets = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    assert fit_temperature(softmax(true * logits, axis=1), targets, Task.MULTICLASS) == pytest.approx(true, rel=0.06)
    labels = (rng.random(logits.shape) < expit(logits)).astype(int)
    assert fit_temperature(expit(true * logits), labels, Task.MULTILABEL) == pytest.approx(true, rel=0.06)


def test_of_many_rows_it_is_the_one_with_the_least_log_loss() -> None:
    """Against scipy on scikit-learn's own terms, without what is thought likely beforehand."""
    rng = np.random.default_rng(2)
    targets = rng.integers(4, size=20_000)
    logits = 1.5 * np.eye(4)[targets] + 2 * rng.normal(size=(20_000, 4))
    found = minimize_scalar(
        lambda t: -log_softmax(logits / t, axis=1)[np.arange(20_000), targets].mean(), bounds=(0.2, 5), method="bounded"
    )
    assert fit_temperature(softmax(logits, axis=1), targets, Task.MULTICLASS) == pytest.approx(found.x, rel=0.01)


def test_columns_count_as_their_weights_say() -> None:
    rng = np.random.default_rng(3)
    logits = 2 * rng.normal(size=(4000, 2))
    labels = (rng.random(logits.shape) < expit(logits)).astype(int)
    probs = expit(logits * np.array([3.0, 1.0]))
    found = fit_temperature(probs, labels, Task.MULTILABEL, column_weights=(1.0, 1e-6))
    assert found == pytest.approx(3.0, rel=0.1)
    assert logit(0.9) / found < logit(0.9)


def test_few_rows_that_are_all_right_do_not_ask_for_certainty() -> None:
    """The least loss is at the lowest temperature there is, and one wrong image more would cost dear."""
    targets = np.arange(60) % 2
    second = np.where(targets == 1, 0.97, 0.03)
    probs = np.column_stack([1 - second, second])
    assert 0.6 < fit_temperature(probs, targets, Task.BINARY) < 1.0
