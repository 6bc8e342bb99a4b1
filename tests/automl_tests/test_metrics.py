"""Scores against scikit-learn, and what is defined where scikit-learn is not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from automl.errors import UsageError
from automl.metrics import METRICS, metric_named


def draw(n_classes: int, seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(n_classes), n).round(2 if seed % 2 else 8)  # odd seeds have ties
    return rng.integers(0, n_classes, n), probs / probs.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_classes", [2, 5])
def test_scores_are_scikit_learns(n_classes: int, seed: int) -> None:
    targets, probs = draw(n_classes, seed)
    labels = probs.argmax(axis=1)
    one_hot_scores = probs[:, 1] if n_classes == 2 else probs
    expected = {
        "log_loss": reference.log_loss(targets, np.clip(probs, 1e-15, 1 - 1e-15), labels=range(n_classes)),
        "accuracy": reference.accuracy_score(targets, labels),
        "balanced_accuracy": reference.balanced_accuracy_score(targets, labels),
        "f1_macro": reference.f1_score(targets, labels, average="macro"),
        "roc_auc": reference.roc_auc_score(targets, one_hot_scores, multi_class="ovr"),
    }
    assert {name: metric(targets, probs) for name, metric in METRICS.items()} == pytest.approx(expected, abs=1e-9)


def test_log_loss_divides_rows_by_their_sums_and_clips() -> None:
    targets = np.array([0, 1])
    assert metric_named("log_loss")(targets, np.array([[2.0, 2.0], [1.0, 3.0]])) == pytest.approx(
        -(np.log(0.5) + np.log(0.75)) / 2
    )
    assert metric_named("log_loss")(targets, np.array([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(
        -np.log(1e-15) / 2, rel=1e-6
    )
    assert metric_named("log_loss")(targets, np.zeros((2, 2))) == pytest.approx(np.log(2))


def test_auc_of_a_fold_without_a_class_is_defined() -> None:
    assert metric_named("roc_auc")(np.zeros(3), np.full((3, 2), 0.5)) == 0.5
    targets = np.array([0, 0, 1, 1])
    probs = np.array([[0.8, 0.2, 0.0], [0.7, 0.3, 0.0], [0.1, 0.9, 0.0], [0.2, 0.8, 0.0]])
    assert metric_named("roc_auc")(targets, probs) == 1.0


def test_what_is_not_finite_or_of_another_length_is_no_score() -> None:
    with pytest.raises(ValueError, match="finite"):
        metric_named("accuracy")(np.zeros(1), np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="rows"):
        metric_named("accuracy")(np.zeros(2), np.ones((1, 2)))


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as error:
        metric_named("kappa")
    assert "log_loss" in error.value.hint


def test_directions_are_natural() -> None:
    assert metric_named("log_loss").direction == "minimize"
    assert metric_named("log_loss").better(0.1, 0.2)
    assert metric_named("accuracy").direction == "maximize"
    assert metric_named("accuracy").better(0.2, 0.1)
