"""The class frequencies of training are restored in probabilities of a network trained on other ones."""

from __future__ import annotations

import numpy as np
import pytest

from automl.decisions.choose import Scorer, fit_matched_rule
from automl.decisions.prior_correction import fit_prior_odds, fit_prior_weights, normalize_rows, scale_odds
from automl.decisions.rules import (
    DecisionContext,
)
from automl.metrics.registry import get_metric
from automl.tasks import Task
from tests.automl_tests.decisions_tests.drawn_probs import (
    GRADE_PRIOR,
    LABEL_PRIOR,
    classes_with_probs,
    draw,
    labels_with_probs,
)


def test_a_network_trained_on_balanced_batches_is_not_corrected_twice() -> None:
    metric, context, targets, probs = draw("balanced_accuracy", 5000)
    balanced = probs / GRADE_PRIOR
    balanced /= balanced.sum(axis=1, keepdims=True)
    restored = balanced * fit_prior_weights(balanced, np.asarray(GRADE_PRIOR))
    assert (restored / restored.sum(axis=1, keepdims=True)).mean(axis=0) == pytest.approx(GRADE_PRIOR, abs=0.02)
    np.testing.assert_array_equal(fit_prior_weights(probs, np.asarray(GRADE_PRIOR)), 1.0)
    as_trained, corrected_twice = metric(targets, balanced), metric(targets, balanced / GRADE_PRIOR)
    assert Scorer(metric, context)(targets, balanced) > as_trained - 0.005 > corrected_twice


@pytest.mark.parametrize("name", ["f1_micro", "f1_samples", "f2_samples", "f2_micro"])
def test_labels_trained_on_balanced_batches_are_restored_before_one_threshold_serves_all(name: str) -> None:
    rng = np.random.default_rng(0)
    prior = 0.5 / np.arange(1, 18)
    targets = (rng.random((4000, 17)) < prior).astype(np.int64)
    logits = 2.0 * (rng.normal(size=targets.shape) + 2.0 * targets - 1.0)
    true, balanced = (1 / (1 + np.exp(-(logits + shift))) for shift in (np.log(prior / (1 - prior)), 0.0))
    metric, context = get_metric(name), DecisionContext(task=Task.MULTILABEL, prior=tuple(prior), always_labelled=False)
    score = metric.score(targets, fit_matched_rule(metric, context, true)(true))
    from_balanced = metric.score(targets, fit_matched_rule(metric, context, balanced)(balanced))
    assert from_balanced > metric.score(targets, balanced >= 0.5) + 0.03
    assert from_balanced == pytest.approx(score, abs=0.01)


def test_a_power_of_the_prior_undoes_balanced_training_of_any_number_of_classes() -> None:
    prior = np.arange(1, 41) / np.arange(1, 41).sum()
    _, probs = classes_with_probs(20_000, prior.tolist())
    balanced = normalize_rows(probs / prior)
    restored = normalize_rows(balanced * fit_prior_weights(balanced, prior))
    assert np.abs(restored.mean(axis=0) - prior).max() < 0.005
    assert np.abs(balanced.mean(axis=0) - prior).max() > 0.015


def test_odds_bring_each_column_to_its_prior_and_leave_true_ones() -> None:
    prior = np.array(LABEL_PRIOR)
    _, probs = labels_with_probs(20_000, LABEL_PRIOR)
    np.testing.assert_array_equal(fit_prior_odds(probs, prior), 1.0)
    balanced = scale_odds(probs, (1 - prior) / prior)
    restored = scale_odds(balanced, fit_prior_odds(balanced, prior))
    assert restored.mean(axis=0) == pytest.approx(prior, rel=0.1)
    assert balanced.mean(axis=0).min() > 0.1


def test_absent_classes_and_constant_columns_are_no_error() -> None:
    probs = np.array([[0.2, 0.0, 0.8], [0.1, 0.0, 0.9]])
    assert np.isfinite(fit_prior_weights(probs, np.array([0.5, 0.0, 0.5]))).all()
    assert np.isfinite(fit_prior_odds(probs, np.array([0.0, 0.5, 1.0]))).all()


def test_odds_are_multiplied_and_rows_without_a_sum_are_uniform() -> None:
    assert scale_odds(np.array([[0.5, 0.2]]), np.array([3.0, 4.0])) == pytest.approx(np.array([[0.75, 0.5]]))
    assert normalize_rows(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist() == [[0.25, 0.75], [0.5, 0.5]]
