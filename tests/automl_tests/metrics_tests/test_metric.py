"""What a metric scores and refuses, which direction it has, and the plain rule for each form of predictions."""

from __future__ import annotations

import numpy as np
import pytest

from automl.metrics.metric import apply_plain_rule, require_finite
from automl.metrics.registry import get_metric


def test_what_is_not_finite_or_of_another_length_is_no_score() -> None:
    with pytest.raises(ValueError, match="finite"):
        get_metric("accuracy")(np.zeros(1), np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="rows"):
        get_metric("accuracy")(np.zeros(2), np.ones((1, 2)))
    with pytest.raises(ValueError, match="no rows"):
        get_metric("accuracy")(np.zeros(0), np.ones((0, 2)))


@pytest.mark.parametrize("n_classes", [6, 40, 300])
def test_a_ranking_names_each_class_once_and_the_first_of_equals_first(n_classes: int) -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(n_classes), 50).round(2)
    metric = get_metric("map@5")
    ranking = apply_plain_rule(metric, probs)
    alone = [apply_plain_rule(metric, probs[row : row + 1]) for row in range(len(probs))]
    np.testing.assert_array_equal(ranking, np.concatenate(alone))
    np.testing.assert_array_equal(np.take_along_axis(probs, ranking, axis=1), -np.sort(-probs, axis=1)[:, :5])
    assert all(len(set(row)) == 5 for row in ranking.tolist())
    assert apply_plain_rule(metric, np.array([[0.2, 0.5, 0.2]])).tolist() == [[1, 0, 2]]


def test_the_plain_rule_makes_what_a_metric_needs() -> None:
    probs = np.array([[0.2, 0.5], [0.5, 0.4]])
    assert apply_plain_rule(get_metric("accuracy"), probs).tolist() == [1, 0]
    assert apply_plain_rule(get_metric("f1_macro"), probs).tolist() == [[0, 1], [1, 0]]
    assert apply_plain_rule(get_metric("f1_macro"), probs, is_single_class=True).tolist() == [1, 0]
    assert apply_plain_rule(get_metric("log_loss"), probs) is probs
    scaled = apply_plain_rule(get_metric("rmse"), probs, scales=((0.0, 10.0), (-1.0, 1.0)))
    assert scaled == pytest.approx(np.array([[2.0, 0.0], [5.0, -0.2]]))


def test_a_metrics_direction_stands_for_what_is_better() -> None:
    loss, accuracy = get_metric("log_loss"), get_metric("accuracy")
    assert (loss.direction, accuracy.direction) == ("minimize", "maximize")
    assert loss.is_better(0.1, 0.2) and accuracy.is_better(0.2, 0.1)
    assert not loss.is_better(0.1, 0.1) and not accuracy.is_better(0.1, 0.1)


def test_predictions_are_doubles_where_they_are_floats() -> None:
    labels = np.array([0, 1])
    assert require_finite(labels) is labels
    assert require_finite(np.float32([0.5])).dtype == np.float64
    with pytest.raises(ValueError, match="not finite"):
        require_finite(np.array([0.5, np.inf]))
