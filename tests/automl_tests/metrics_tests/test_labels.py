"""Metrics of labels against scikit-learn, or against numbers worked out by hand in the test."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from automl.metrics import labels
from automl.metrics.registry import METRICS


def test_qwk_keeps_its_classes_where_one_is_absent() -> None:
    """Classes 0, 1 and 3 of 4: weights 0, 1, 4, 9 (over 9). Renumbered 0, 1, 2 they would give another kappa."""
    targets, labels = np.array([0, 1, 3, 3]), np.array([0, 3, 3, 1])
    observed = (4 + 4) / 4
    expected = sum((t - p) ** 2 for t in targets.tolist() for p in labels.tolist()) / 16
    assert METRICS["qwk"].score(targets, labels) == pytest.approx(1 - observed / expected)
    assert METRICS["qwk"].score(targets, labels) == pytest.approx(
        reference.cohen_kappa_score(targets, labels, weights="quadratic", labels=range(4))
    )


def test_qwk_of_a_constant_is_zero() -> None:
    assert METRICS["qwk"].score(np.array([2, 2]), np.array([2, 2])) == 0.0
    assert METRICS["qwk"].score(np.array([0, 1, 2]), np.array([1, 1, 1])) == 0.0


def test_f1_is_that_of_the_second_class() -> None:
    assert METRICS["f1"].score(np.array([1, 0, 0, 0]), np.array([1, 1, 0, 0])) == pytest.approx(2 / 3)
    assert METRICS["f1"].score(np.zeros(3), np.zeros(3)) == 0.0


def test_balanced_accuracy_ignores_classes_that_are_only_predicted() -> None:
    assert METRICS["balanced_accuracy"].score(np.array([0, 0, 1]), np.array([0, 4, 1])) == 0.75


def test_macro_f_of_classes_leaves_out_those_that_occur_nowhere() -> None:
    assert METRICS["f1_macro"].score(np.array([0, 2]), np.array([0, 2])) == 1.0
    assert METRICS["f1_macro"].score(np.array([0, 2]), np.array([0, 5])) == pytest.approx(1 / 3)


def test_the_error_is_what_accuracy_lacks() -> None:
    targets, predicted = np.array([0, 2, 1, 1]), np.array([0, 2, 1, 0])
    assert (labels.accuracy(targets, predicted), labels.top1_error(targets, predicted)) == (0.75, 0.25)


def test_f_beta_weighs_recall_by_beta_and_is_zero_where_nothing_is_counted() -> None:
    scores = labels.f_beta(np.array([2, 0]), np.array([4, 0]), np.array([2, 0]), beta=2.0)
    assert scores == pytest.approx([5 * 0.5 * 1.0 / (4 * 0.5 + 1.0), 0.0])


def test_averages_of_f_differ_by_what_is_pooled() -> None:
    """Row 0 has one of two labels right, row 1 none of none; column 0 is right, column 1 is missed."""
    targets, predicted = np.array([[1, 1], [0, 0]]), np.array([[1, 0], [0, 0]])
    assert labels.f_beta_micro(targets, predicted, beta=1.0) == pytest.approx(2 / 3)
    assert labels.f_beta_samples(targets, predicted, beta=1.0) == pytest.approx((2 / 3 + 0) / 2)
    assert labels.f_beta_macro(targets, predicted, beta=1.0) == pytest.approx((1 + 0) / 2)
