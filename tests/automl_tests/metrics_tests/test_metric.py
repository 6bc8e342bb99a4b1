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


HEADS_TARGETS = np.array([[0, 3], [0, 3], [1, 3], [2, 4]])  # three classes, then two
HEADS_LABELS = np.array([[0, 3], [1, 4], [1, 3], [1, 4]])


def test_the_score_of_several_heads_is_the_weighted_mean_of_the_scores_of_each() -> None:
    recall = get_metric("balanced_accuracy", weights=(2.0, 1.0), head_sizes=(3, 2))
    first, second = (0.5 + 1.0 + 0.0) / 3, (2 / 3 + 1.0) / 2  # recalls by class
    assert recall.score(HEADS_TARGETS, HEADS_LABELS) == pytest.approx((2 * first + second) / 3)
    accuracy = get_metric("accuracy", head_sizes=(3, 2))
    assert accuracy.score(HEADS_TARGETS, HEADS_LABELS) == (2 / 4 + 3 / 4) / 2


def test_probabilities_of_several_heads_are_scored_block_by_block() -> None:
    probs = np.array([[0.5, 0.25, 0.25, 0.9, 0.1]] * 4)
    metric = get_metric("log_loss", weights=(1.0, 3.0), head_sizes=(3, 2))
    first = -np.log([0.5, 0.5, 0.25, 0.25]).mean()
    second = -np.log([0.9, 0.9, 0.9, 0.1]).mean()
    assert metric(HEADS_TARGETS, probs) == pytest.approx((first + 3 * second) / 4)


def test_the_plain_rule_of_several_heads_is_the_likeliest_class_of_each() -> None:
    probs = np.array([[0.2, 0.5, 0.3, 0.6, 0.4], [0.5, 0.4, 0.1, 0.1, 0.9]])
    for name in ("accuracy", "f1_macro"):
        assert apply_plain_rule(get_metric(name, head_sizes=(3, 2)), probs).tolist() == [[1, 3], [0, 4]]


def test_a_metric_of_one_head_knows_nothing_of_the_others() -> None:
    metric = get_metric("balanced_accuracy", weights=(2.0, 1.0), head_sizes=(3, 2))
    assert metric.of_one_head == get_metric("balanced_accuracy")
    assert get_metric("accuracy").of_one_head is get_metric("accuracy")
