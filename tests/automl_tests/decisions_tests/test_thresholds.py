"""Thresholds and cut points: matched to the prior, of the best expected score, and searched on labelled rows."""

from __future__ import annotations

import numpy as np
import pytest

from automl.decisions.choose import fit_matched_rule
from automl.decisions.rules import (
    ThresholdRule,
    ThresholdsRule,
)
from automl.decisions.thresholds import (
    find_best_threshold,
    fit_expected_thresholds,
    match_cut_points,
    place_threshold,
    search_cut_points,
    search_thresholds,
)
from automl.metrics.metric import Average
from automl.metrics.registry import METRICS, get_metric
from automl.tasks import Task
from tests.automl_tests.decisions_tests.drawn_probs import (
    GRADE_PRIOR,
    LABEL_PRIOR,
    context_of,
    draw,
    grades_with_probs,
    labels_with_probs,
)


def test_matched_labels_are_as_frequent_as_in_training() -> None:
    metric, context, _, probs = draw("f1_macro", 1000)
    labels = fit_matched_rule(metric, context, probs**3)(probs**3)  # far too unsure
    assert labels.mean(axis=0) == pytest.approx(LABEL_PRIOR, abs=0.001)


def test_matched_labels_together_are_as_many_as_in_training_where_f_is_pooled() -> None:
    metric, context, _, probs = draw("f1_micro", 1000)
    rule = fit_matched_rule(metric, context, probs)
    assert isinstance(rule, ThresholdsRule)
    assert len(set(rule.thresholds)) == 1
    assert rule(probs).sum() == pytest.approx(1000 * sum(LABEL_PRIOR), abs=1)


def test_matched_grades_are_as_frequent_as_in_training_however_sure_the_network_is() -> None:
    metric, context, _, probs = draw("qwk", 1000)
    unsure = np.sqrt(probs) / np.sqrt(probs).sum(axis=1, keepdims=True)
    for some in (probs, unsure):
        grades = fit_matched_rule(metric, context, some)(some)
        assert np.bincount(grades, minlength=5) / 1000 == pytest.approx(GRADE_PRIOR, abs=0.002)


@pytest.mark.parametrize("average", ["macro", "micro", "samples"])
@pytest.mark.parametrize("beta", [0.5, 2])
def test_expected_thresholds_are_near_the_best_ones(beta: float, average: str) -> None:
    """With true probabilities no single threshold for all, or for a class, does noticeably better."""
    metric, context = get_metric(f"f{beta}_{average}"), context_of(Task.MULTILABEL, LABEL_PRIOR)
    targets, probs = labels_with_probs(20_000, LABEL_PRIOR)
    score = metric.score(targets, fit_matched_rule(metric, context, probs)(probs))
    grid = np.linspace(0.02, 0.9, 45)
    if average == "macro":
        best = np.mean([max(metric.score(targets[:, [c]], probs[:, [c]] >= t) for t in grid) for c in range(3)])
    else:
        best = max(metric.score(targets, probs >= threshold) for threshold in grid)
    assert score == pytest.approx(best, abs=0.01)
    assert score > metric(targets, probs)


def test_a_threshold_of_f1_is_half_the_best_f1() -> None:
    """Lipton et al. 2014, theorem 1; matching shares comes close to it without knowing it."""
    metric, context, targets, probs = draw("f1", 40_000)
    rule = fit_matched_rule(metric, context, probs)
    assert isinstance(rule, ThresholdRule)
    scores = [metric.score(targets, probs[:, 1] >= threshold) for threshold in np.linspace(0.1, 0.6, 51)]
    assert np.linspace(0.1, 0.6, 51)[int(np.argmax(scores))] == pytest.approx(max(scores) / 2, abs=0.06)
    assert metric.score(targets, rule(probs)) > max(scores) - 0.01


def test_a_boundary_goes_around_ties() -> None:
    values = np.array([0.1, 0.2, 0.2, 0.2, 0.9])
    assert place_threshold(values, 1, top=1.0, never=2.0) == pytest.approx(0.15)
    assert place_threshold(values, 1.9, top=1.0, never=2.0) == pytest.approx(0.15)
    assert place_threshold(values, 3.2, top=1.0, never=2.0) == pytest.approx(0.55)
    assert place_threshold(values, 4.8, top=1.0, never=2.0) == pytest.approx(0.95)
    assert place_threshold(values, 0.0, top=1.0, never=2.0) == 0.0
    assert place_threshold(values, 5.0, top=1.0, never=2.0) == 2.0
    assert place_threshold(np.ones(3), 2.9, top=1.0, never=2.0) == 2.0  # none is to reach it, and all are the top
    assert place_threshold(np.array([0.5, np.nextafter(0.5, 1)]), 1, top=1.0, never=2.0) > 0.5


def test_searched_cut_points_are_at_least_as_good_as_those_they_start_from() -> None:
    targets, probs = grades_with_probs(800, GRADE_PRIOR)
    start = match_cut_points(probs, np.asarray(GRADE_PRIOR))
    found = search_cut_points(probs, targets, start, seed=0)
    assert METRICS["qwk"].score(targets, found(probs)) > METRICS["qwk"].score(targets, start(probs))
    assert found.cut_points == tuple(sorted(found.cut_points))


@pytest.mark.parametrize("average", ["micro", "samples"])
def test_thresholds_searched_on_some_rows_are_better_on_these_than_fitted_ones(average: Average) -> None:
    targets, probs = labels_with_probs(500, LABEL_PRIOR)
    metric, start = get_metric(f"f2_{average}"), np.full(3, 0.5)
    found = search_thresholds(probs, targets, start, beta=2.0, average=average)
    matched = fit_matched_rule(metric, context_of(Task.MULTILABEL, LABEL_PRIOR), probs)(probs)
    assert metric.score(targets, probs >= found) > metric.score(targets, probs >= start) + 0.02
    assert metric.score(targets, probs >= found) >= metric.score(targets, matched)


def test_the_searched_threshold_of_a_class_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    for beta in (0.5, 1.0, 2.0):
        targets, probs = rng.integers(0, 2, 40), rng.random(40).round(1)  # with ties
        metric = get_metric(f"f{beta}_macro")
        found = find_best_threshold(probs, targets, 0.5, beta=beta)
        best = max(metric.score(targets[:, None], probs[:, None] >= t) for t in np.linspace(0, 1, 21))
        assert metric.score(targets[:, None], probs[:, None] >= found) == pytest.approx(best)
    assert find_best_threshold(np.array([0.2, 0.3]), np.zeros(2), 0.7, beta=1.0) == 0.7
    tied = np.array(
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.9]
    )  # all of the tie is worse than none of it, part of it is not to be had
    assert find_best_threshold(tied, np.array([0, 0, 0, 0, 1, 1]), 0.7, beta=1.0) == pytest.approx(0.7)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 3.0])
def test_no_threshold_expects_more_than_the_one_that_is_found(beta: float) -> None:
    """Expected F of every cut through 60 probabilities, by the definition."""

    def expected(chosen: np.ndarray, some: np.ndarray) -> float:
        return float((1 + beta**2) * some[chosen].sum() / (chosen.sum() + beta**2 * some.sum()))

    probs = np.random.default_rng(0).beta(0.5, 1.0, (30, 2))
    for average, columns in (("micro", [probs]), ("macro", [probs[:, [0]], probs[:, [1]]])):
        found = fit_expected_thresholds(probs, probs.mean(axis=0), beta=beta, average=average)  # type: ignore[arg-type]
        for threshold, some in zip(found, columns, strict=False):
            best = max(expected(some >= cut, some) for cut in some.ravel())
            assert expected(some >= threshold, some) == pytest.approx(best)
