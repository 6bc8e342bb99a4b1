"""Rules on probabilities whose best decision is known, and the choice among rules on rows they did not see."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from automl.decisions.choose import Scorer, choose_rule, fit_matched_rule, is_chosen, is_fitted
from automl.decisions.fit import search_clip
from automl.decisions.prior_correction import fit_prior_weights
from automl.decisions.rules import (
    ClassWeightsRule,
    ClipRule,
    CutPointsRule,
    DecisionContext,
    Rule,
    ThresholdRule,
    ThresholdsRule,
    parse_rule,
)
from automl.decisions.thresholds import (
    find_best_threshold,
    fit_expected_thresholds,
    match_cut_points,
    place_threshold,
    search_cut_points,
    search_thresholds,
)
from automl.errors import StorageError
from automl.metrics.metric import Average, Metric
from automl.metrics.registry import METRICS, get_metric
from automl.resampling import assign_stratified_splits
from automl.tasks import Task

Drawn = tuple[np.ndarray, np.ndarray]


def logistic(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def labels_with_probs(n: int, base: list[float], *, skill: float = 2.0, seed: int = 0) -> Drawn:
    """Labels (n, n_classes) as frequent as base, and their true probabilities given one noisy look at each."""
    rng = np.random.default_rng(seed)
    prior = np.asarray(base)
    targets = (rng.random((n, len(base))) < prior).astype(int)
    looks = rng.normal(size=targets.shape) + skill * targets
    return targets, logistic(np.log(prior / (1 - prior)) + skill * looks - skill**2 / 2)


def classes_with_probs(n: int, prior: list[float], *, skill: float = 1.5, seed: int = 0) -> Drawn:
    """Class indices (n,) and their true probabilities given a noisy look."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(len(prior), n, p=prior)
    looks = rng.normal(size=(n, len(prior))) + skill * np.eye(len(prior))[targets]
    weights = np.exp(skill * looks) * prior
    return targets, weights / weights.sum(axis=1, keepdims=True)


def grades_with_probs(n: int, prior: list[float], *, noise: float = 0.7, seed: int = 0) -> Drawn:
    """Grades (n,) and their true probabilities given the grade with noise."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(len(prior), n, p=prior)
    looks = targets + noise * rng.normal(size=n)
    weights = np.exp(-((looks[:, None] - np.arange(len(prior))) ** 2) / (2 * noise**2)) * prior
    return targets, weights / weights.sum(axis=1, keepdims=True)


def facts_of(task: Task, prior: list[float], *, always_labelled: bool = False) -> DecisionContext:
    return DecisionContext(task=task, prior=tuple(prior), always_labelled=always_labelled)


LABEL_PRIOR = [0.3, 0.1, 0.02]
GRADE_PRIOR = [0.5, 0.1, 0.25, 0.05, 0.1]
CASES: dict[str, tuple[Task, list[float]]] = {
    "f1_macro": (Task.MULTILABEL, LABEL_PRIOR),
    "f2_macro": (Task.MULTILABEL, LABEL_PRIOR),
    "f1_micro": (Task.MULTILABEL, LABEL_PRIOR),
    "f0.5_micro": (Task.MULTILABEL, LABEL_PRIOR),
    "f1_samples": (Task.MULTILABEL, LABEL_PRIOR),
    "f2_samples": (Task.MULTILABEL, LABEL_PRIOR),
    "f1": (Task.BINARY, [0.9, 0.1]),
    "f3_macro": (Task.MULTICLASS, GRADE_PRIOR),
    "balanced_accuracy": (Task.MULTICLASS, GRADE_PRIOR),
    "qwk": (Task.ORDINAL, GRADE_PRIOR),
}


def draw(name: str, n: int, seed: int = 0) -> tuple[Metric, DecisionContext, np.ndarray, np.ndarray]:
    task, prior = CASES[name]
    drawing: Callable[..., Drawn] = classes_with_probs
    if task is not Task.MULTICLASS:
        drawing = labels_with_probs if task is Task.MULTILABEL else grades_with_probs
    return get_metric(name), facts_of(task, prior), *drawing(n, prior, seed=seed)


def test_matched_labels_are_as_frequent_as_in_training() -> None:
    metric, facts, _, probs = draw("f1_macro", 1000)
    labels = fit_matched_rule(metric, facts, probs**3)(probs**3)  # far too unsure
    assert labels.mean(axis=0) == pytest.approx(LABEL_PRIOR, abs=0.001)


def test_matched_labels_together_are_as_many_as_in_training_where_f_is_pooled() -> None:
    metric, facts, _, probs = draw("f1_micro", 1000)
    rule = fit_matched_rule(metric, facts, probs)
    assert isinstance(rule, ThresholdsRule)
    assert len(set(rule.thresholds)) == 1
    assert rule(probs).sum() == pytest.approx(1000 * sum(LABEL_PRIOR), abs=1)


def test_matched_grades_are_as_frequent_as_in_training_however_sure_the_network_is() -> None:
    metric, facts, _, probs = draw("qwk", 1000)
    unsure = np.sqrt(probs) / np.sqrt(probs).sum(axis=1, keepdims=True)
    for some in (probs, unsure):
        grades = fit_matched_rule(metric, facts, some)(some)
        assert np.bincount(grades, minlength=5) / 1000 == pytest.approx(GRADE_PRIOR, abs=0.002)


@pytest.mark.parametrize("average", ["macro", "micro", "samples"])
@pytest.mark.parametrize("beta", [0.5, 2])
def test_expected_thresholds_are_near_the_best_ones(beta: float, average: str) -> None:
    """With true probabilities no single threshold for all, or for a class, does noticeably better."""
    metric, facts = get_metric(f"f{beta}_{average}"), facts_of(Task.MULTILABEL, LABEL_PRIOR)
    targets, probs = labels_with_probs(20_000, LABEL_PRIOR)
    score = metric.score(targets, fit_matched_rule(metric, facts, probs)(probs))
    grid = np.linspace(0.02, 0.9, 45)
    if average == "macro":
        best = np.mean([max(metric.score(targets[:, [c]], probs[:, [c]] >= t) for t in grid) for c in range(3)])
    else:
        best = max(metric.score(targets, probs >= threshold) for threshold in grid)
    assert score == pytest.approx(best, abs=0.01)
    assert score > metric(targets, probs)


def test_a_threshold_of_f1_is_half_the_best_f1() -> None:
    """Lipton et al. 2014, theorem 1; matching shares comes close to it without knowing it."""
    metric, facts, targets, probs = draw("f1", 40_000)
    rule = fit_matched_rule(metric, facts, probs)
    assert isinstance(rule, ThresholdRule)
    scores = [metric.score(targets, probs[:, 1] >= threshold) for threshold in np.linspace(0.1, 0.6, 51)]
    assert np.linspace(0.1, 0.6, 51)[int(np.argmax(scores))] == pytest.approx(max(scores) / 2, abs=0.06)
    assert metric.score(targets, rule(probs)) > max(scores) - 0.01


def test_dividing_by_the_prior_is_best_for_balanced_accuracy() -> None:
    metric, facts, targets, probs = draw("balanced_accuracy", 20_000)
    rule = fit_matched_rule(metric, facts, probs)
    np.testing.assert_array_equal(rule(probs), (probs / GRADE_PRIOR).argmax(axis=1))
    score = metric.score(targets, rule(probs))
    assert score > metric(targets, probs) + 0.05
    assert all(
        score > metric.score(targets, (probs / np.power(GRADE_PRIOR, a)).argmax(axis=1)) - 0.005 for a in (0.7, 1.3)
    )


def test_a_network_trained_on_balanced_batches_is_not_corrected_twice() -> None:
    metric, facts, targets, probs = draw("balanced_accuracy", 5000)
    balanced = probs / GRADE_PRIOR
    balanced /= balanced.sum(axis=1, keepdims=True)
    restored = balanced * fit_prior_weights(balanced, np.asarray(GRADE_PRIOR))
    assert (restored / restored.sum(axis=1, keepdims=True)).mean(axis=0) == pytest.approx(GRADE_PRIOR, abs=0.02)
    np.testing.assert_array_equal(fit_prior_weights(probs, np.asarray(GRADE_PRIOR)), 1.0)
    as_trained, corrected_twice = metric(targets, balanced), metric(targets, balanced / GRADE_PRIOR)
    assert Scorer(metric, facts)(targets, balanced) > as_trained - 0.005 > corrected_twice


def test_a_row_gets_a_label_where_every_training_row_has_one() -> None:
    probs = np.array([[0.30, 0.11, 0.01], [0.9, 0.8, 0.0]])
    thresholds = (0.5, 0.15, 0.5)
    assert ThresholdsRule(thresholds, False)(probs).tolist() == [[0, 0, 0], [1, 1, 0]]
    assert ThresholdsRule(thresholds, True)(probs).tolist() == [[0, 1, 0], [1, 1, 0]]  # 0.11 / 0.15 is nearest


def test_the_plain_rule_gives_a_label_where_every_training_row_has_one() -> None:
    facts = facts_of(Task.MULTILABEL, [0.5, 0.5], always_labelled=True)
    plain = parse_rule({"rule": "plain"}, METRICS["f1_samples"], facts)
    assert plain(np.array([[0.4, 0.2], [0.6, 0.5]])).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("name", CASES)
def test_a_row_alone_gets_the_label_it_gets_among_others(name: str) -> None:
    """Also for single precision, in which probabilities are kept, and for memory laid out by columns."""
    metric, facts, targets, probs = draw(name, 300)
    probs = probs.astype(np.float32)
    for rule in (fit_matched_rule(metric, facts, probs), choose_rule(metric, facts, targets, probs).rule):
        together = rule(probs)
        alone = np.concatenate([rule(probs[row : row + 1]) for row in range(len(probs))])
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(together, rule(np.asfortranarray(probs.astype(np.float64))))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["one row", "constant", "zeros", "ones", "ends"])
def test_rules_are_defined_for_odd_probabilities(name: str, kind: str) -> None:
    metric, facts, targets, probs = draw(name, 8)
    ends = (probs == probs.max(axis=1, keepdims=True)).astype(float)
    odd = {
        "one row": probs[:1],
        "constant": np.tile(probs[:1], (8, 1)),
        "zeros": np.zeros_like(probs),
        "ones": np.ones_like(probs),
        "ends": ends,
    }[kind]
    labels = fit_matched_rule(metric, facts, odd)(odd)
    assert labels.shape == (targets[: len(odd)]).shape
    assert labels.min() >= 0 and labels.max() < odd.shape[1]
    assert np.isfinite(Scorer(metric, facts)(targets[: len(odd)], odd))
    assert np.isfinite(choose_rule(metric, facts, targets[: len(odd)], odd).score)


@pytest.mark.parametrize("name", CASES)
def test_what_training_never_showed_is_never_said_and_what_it_always_showed_always(name: str) -> None:
    task, prior = CASES[name]
    shares = [0.0] * (len(prior) - 1) + [1.0]
    probs = np.full((6, len(prior)), 1.0 / len(prior))
    probs[::2] = np.eye(len(prior))[0]
    labels = fit_matched_rule(get_metric(name), facts_of(task, shares), probs)(probs)
    if task is Task.MULTILABEL:
        assert not labels[:, :-1].any()
        assert name != "f1_macro" or labels[:, -1].all()
    else:
        assert (labels == len(prior) - 1).all()


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


@pytest.mark.parametrize("name", CASES)
def test_rules_survive_json(name: str) -> None:
    metric, facts, _, probs = draw(name, 60)
    rule = fit_matched_rule(metric, facts, probs)
    again = parse_rule(json.loads(json.dumps(rule.to_json())), metric, facts)
    assert again == rule
    assert np.array_equal(again(probs), rule(probs))


@pytest.mark.parametrize(
    "document", [{}, {"rule": "none"}, {"rule": "threshold"}, {"rule": "thresholds", "thresholds": ["x"]}]
)
def test_what_describes_no_rule_is_an_error(document: dict[str, object]) -> None:
    with pytest.raises(StorageError, match="describes no rule"):
        parse_rule(document, METRICS["f1"], facts_of(Task.BINARY, [0.5, 0.5]))


@pytest.mark.parametrize("name", ["f2_macro", "f1_micro", "f1_samples", "f2_samples", "f3_macro", "f1", "qwk"])
def test_a_decision_beats_the_plain_one_on_other_rows(name: str) -> None:
    metric, facts, targets, probs = draw(name, 3000)
    decision = choose_rule(metric, facts, targets, probs)
    _, _, new_targets, new_probs = draw(name, 10_000, seed=1)
    on_new_rows = metric.score(new_targets, decision.rule(new_probs))
    assert decision.rule_source != "plain"
    assert on_new_rows > metric(new_targets, new_probs) + 0.01
    assert decision.score == pytest.approx(on_new_rows, abs=4 * decision.score_error)
    assert 0 < decision.score_error < 0.05


@pytest.mark.parametrize("name", ["f1_macro", "f2_macro", "f1_micro", "f0.5_micro", "f1", "f3_macro"])
def test_a_search_seldom_wins_where_the_probabilities_are_true_already(name: str) -> None:
    kinds = []
    for seed in range(8):
        metric, facts, targets, probs = draw(name, 250, seed=10 + seed)
        kinds.append(choose_rule(metric, facts, targets, probs, seed=seed).rule_source)
    assert kinds.count("searched") <= 2


@pytest.mark.parametrize("name", ["f3_macro", "balanced_accuracy", "qwk"])
def test_a_search_seldom_wins_on_pure_noise(name: str) -> None:
    metric, facts, targets, probs = draw(name, 250)
    noises = [np.random.default_rng(seed).permutation(probs) for seed in range(8)]
    kinds = [choose_rule(metric, facts, targets, noise).rule_source for noise in noises]
    assert kinds.count("searched") <= 2


@pytest.mark.parametrize("name", CASES)
def test_a_search_on_noise_claims_no_more_than_other_rows_give(name: str) -> None:
    """F-scores of noise do gain by saying yes more often; what counts is that the score shown is true."""
    metric, facts, targets, probs = draw(name, 250)
    _, _, new_targets, new_probs = draw(name, 5000, seed=1)
    surplus = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        decision = choose_rule(metric, facts, targets, rng.permutation(probs), seed=seed)
        truth = metric.score(new_targets, decision.rule(rng.permutation(new_probs)))
        surplus.append((decision.score - truth) / decision.score_error)
    assert np.mean(surplus) < 2.5


def test_a_searched_rule_wins_where_probabilities_mislead() -> None:
    """One class's probabilities say next to nothing, so that its best threshold is far from its share."""
    targets, probs = labels_with_probs(3000, [0.3, 0.3])
    probs[:, 1] = np.random.default_rng(1).random(3000)
    decision = choose_rule(METRICS["f1_macro"], facts_of(Task.MULTILABEL, [0.3, 0.3]), targets, probs)
    assert decision.rule_source == "searched"
    assert isinstance(decision.rule, ThresholdsRule)
    assert decision.rule.thresholds[1] < 0.1  # all of them: F1 of 0.46 in place of 0.3
    assert decision.score > METRICS["f1_macro"](targets, probs)


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
    matched = fit_matched_rule(metric, facts_of(Task.MULTILABEL, LABEL_PRIOR), probs)(probs)
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


def test_metrics_that_need_no_decision_get_the_plain_rule_and_score() -> None:
    targets, probs = classes_with_probs(300, GRADE_PRIOR)
    facts = facts_of(Task.MULTICLASS, GRADE_PRIOR)
    for name in ("roc_auc", "accuracy", "f1_micro", "f1_samples", "map@5", "top1_error"):
        decision = choose_rule(METRICS[name], facts, targets, probs)
        assert decision.rule_source == "plain"
        assert decision.score == pytest.approx(METRICS[name](targets, probs))
        assert Scorer(METRICS[name], facts)(targets, probs) == decision.score


def test_values_are_put_on_their_scales() -> None:
    facts = DecisionContext(task=Task.REGRESSION, prior=(0.5, 0.5), scales=((0.0, 10.0), (-1.0, 1.0)))
    probs, targets = np.array([[0.1, 0.5], [0.9, 1.0]]), np.array([[1.0, 0.0], [9.0, 1.0]])
    assert Scorer(METRICS["rmse"], facts)(targets, probs) == pytest.approx(0.0)
    assert choose_rule(METRICS["mae"], facts, targets, probs).rule(probs) == pytest.approx(targets)


def test_rows_of_a_group_are_never_decided_by_a_rule_that_saw_the_group() -> None:
    """Every image five times: without groups the copies would tell the search their labels."""
    targets, probs = labels_with_probs(40, [0.3, 0.3], skill=0.3)
    targets, probs = np.repeat(targets, 5, axis=0), np.repeat(probs, 5, axis=0)
    facts, groups = facts_of(Task.MULTILABEL, [0.3, 0.3]), np.repeat(np.arange(40), 5)
    grouped = choose_rule(METRICS["f1_macro"], facts, targets, probs, groups=groups)
    ungrouped = choose_rule(METRICS["f1_macro"], facts, targets, probs)
    assert grouped.score_error > 1.5 * ungrouped.score_error


def test_scores_of_what_is_not_finite_are_refused() -> None:
    scorer = Scorer(METRICS["accuracy"], facts_of(Task.BINARY, [0.5, 0.5]))
    with pytest.raises(ValueError, match="finite"):
        scorer(np.zeros(1), np.array([[np.nan, 1.0]]))


def test_rules_of_classes_weigh_and_cut_as_written() -> None:
    assert ClassWeightsRule((1.0, 3.0))(np.array([[0.7, 0.3], [0.8, 0.2]])).tolist() == [1, 0]
    probs = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.0]])
    assert CutPointsRule((0.5, 1.6))(probs).tolist() == [0, 1, 1, 1]  # expected 0, 0.5, 1.5, and the middle


def test_deciding_uses_no_targets_when_trials_are_scored() -> None:
    metric, facts, targets, probs = draw("f1_macro", 200)
    first: Rule = fit_matched_rule(metric, facts, probs)
    Scorer(metric, facts)(1 - targets, probs)
    assert fit_matched_rule(metric, facts, probs) == first


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


def test_a_metric_that_falls_is_decided_the_other_way_round() -> None:
    targets, probs = labels_with_probs(3000, LABEL_PRIOR)
    f1_macro, facts = METRICS["f1_macro"], facts_of(Task.MULTILABEL, LABEL_PRIOR)
    lost = Metric(
        name="mine.py:lost",
        function=lambda truth, labels: 1 - f1_macro.score(truth, labels),
        greater_is_better=False,
        needs="labels",
        tasks=frozenset({Task.MULTILABEL}),
    )
    decision = choose_rule(lost, facts, targets, probs)
    assert decision.rule_source == "matched"  # and never searched, as nothing is known of the function
    assert decision.score < 1 - f1_macro(targets, probs)


@pytest.mark.parametrize("name", ["f1_micro", "f1_samples", "f2_samples", "f2_micro"])
def test_labels_taught_on_balanced_batches_are_restored_before_one_threshold_serves_all(name: str) -> None:
    rng = np.random.default_rng(0)
    prior = 0.5 / np.arange(1, 18)
    targets = (rng.random((4000, 17)) < prior).astype(np.int64)
    logits = 2.0 * (rng.normal(size=targets.shape) + 2.0 * targets - 1.0)
    true, balanced = (1 / (1 + np.exp(-(logits + shift))) for shift in (np.log(prior / (1 - prior)), 0.0))
    metric, facts = get_metric(name), DecisionContext(task=Task.MULTILABEL, prior=tuple(prior), always_labelled=False)
    score = metric.score(targets, fit_matched_rule(metric, facts, true)(true))
    taught_otherwise = metric.score(targets, fit_matched_rule(metric, facts, balanced)(balanced))
    assert taught_otherwise > metric.score(targets, balanced >= 0.5) + 0.03
    assert taught_otherwise == pytest.approx(score, abs=0.01)


def test_pf1_is_handed_in_as_all_or_nothing_because_that_scores_more() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(4000) < 0.1).astype(np.int64)
    positive = 1 / (1 + np.exp(-(2.0 * rng.normal(size=4000) + 4.0 * targets - 2.0 + np.log(0.1 / 0.9))))
    probs = np.column_stack([1 - positive, positive])
    metric, facts = get_metric("pf1"), DecisionContext(task=Task.BINARY, prior=(0.9, 0.1))
    decision = choose_rule(metric, facts, targets, probs)
    assert decision.rule_source != "plain"
    assert decision.score > metric(targets, probs) + 0.05
    assert set(np.unique(decision.rule(probs))) == {0.0, 1.0}
    assert parse_rule(decision.rule.to_json(), metric, facts) == decision.rule


def test_so_few_rows_of_so_many_classes_choose_no_rule() -> None:
    targets = np.random.default_rng(0).integers(50, size=200)
    probs = np.random.default_rng(1).dirichlet(np.ones(50), size=200)
    facts = DecisionContext(task=Task.MULTICLASS, prior=(0.02,) * 50)
    assert choose_rule(get_metric("f1_macro"), facts, targets, probs).rule_source == "plain"


def sure_and_wrong(n: int, q: float, *, sure: float = 1e-9, seed: int = 0) -> Drawn:
    """Classes (n,) of two, and probabilities that are sure of the right one but in a share q of the rows."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(2, size=n)
    wrong = np.zeros(n, dtype=bool)
    wrong[rng.permutation(n)[: round(n * q)]] = True
    second = np.where((targets == 1) ^ wrong, 1 - sure, sure)
    return targets, np.column_stack([1 - second, second])


LOG_LOSS = METRICS["log_loss"]
TWO = facts_of(Task.BINARY, [0.5, 0.5])


@pytest.mark.parametrize("q", [0.001, 0.01, 0.05])
def test_probabilities_are_kept_from_certainty_by_the_share_that_is_wrong(q: float) -> None:
    """Clipping at e costs -q log(e) - (1 - q) log(1 - e), which is least at e = q."""
    targets, probs = sure_and_wrong(4000, q)
    decision = choose_rule(LOG_LOSS, TWO, targets, probs)
    assert isinstance(decision.rule, ClipRule)
    assert decision.rule_source == "searched"
    handed_in = decision.rule(probs)
    assert handed_in.min() == pytest.approx(q, rel=0.3)  # by a bound, by a temperature, or by both
    assert decision.score == pytest.approx(-q * np.log(q) - (1 - q) * np.log(1 - q), rel=0.1)
    assert LOG_LOSS(targets, probs) > 2 * decision.score


def test_a_clip_keeps_rows_summing_to_one_and_the_order_of_classes() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(6) * 0.1, 200)
    rule = ClipRule(1.5, 0.01, Task.MULTICLASS)
    handed_in = rule(probs)
    assert handed_in.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-12)
    assert handed_in.min() >= 0.01 / (0.99 + 5 * 0.01) - 1e-12
    assert np.array_equal(handed_in.argmax(axis=1), probs.argmax(axis=1))
    assert np.array_equal(rule(2 * probs), handed_in)
    alone = np.concatenate([rule(probs[row : row + 1]) for row in range(200)])
    assert np.array_equal(alone, handed_in)
    both = ClipRule(1.0, 0.2, Task.BINARY)(np.array([[0.0, 1.0], [0.5, 0.5]]))
    assert both == pytest.approx(np.array([[0.2, 0.8], [0.5, 0.5]]))
    labels = ClipRule(1.0, 0.2, Task.MULTILABEL)(np.array([[0.0, 1.0, 0.5]]))
    assert labels.tolist() == [[0.2, 0.8, 0.5]]


def test_true_probabilities_are_seldom_clipped_and_then_hardly_changed() -> None:
    """Any gain out of fold suffices, so that chance clips now and then; it costs next to nothing on other rows."""
    costs = []
    for seed in range(12):
        targets, probs = classes_with_probs(4200, [0.4, 0.3, 0.3], seed=seed)
        facts = facts_of(Task.MULTICLASS, [0.4, 0.3, 0.3])
        decision = choose_rule(LOG_LOSS, facts, targets[:200], probs[:200])
        costs.append(LOG_LOSS.score(targets[200:], decision.rule(probs[200:])) - LOG_LOSS(targets[200:], probs[200:]))
    assert np.mean(np.array(costs) == 0.0) >= 0.5
    assert np.mean(costs) < 0.01 * LOG_LOSS(targets, probs)


def test_each_row_is_scored_by_the_kind_of_rule_that_the_other_rows_ask_for() -> None:
    """Otherwise the better of two scores is shown: too good by 0.0023 of 0.5 in the mean of 60 such worlds."""
    facts, n_mixed = facts_of(Task.MULTICLASS, [0.4, 0.3, 0.3]), 0
    for seed in range(6):
        targets, probs = classes_with_probs(200, [0.4, 0.3, 0.3], seed=seed)
        splits = assign_stratified_splits(targets, None, seed=0)
        clipped, expected = probs.copy(), probs.copy()
        for split in range(5):
            others = splits != split
            rule = search_clip(LOG_LOSS, facts, targets[others], probs[others], seed=0)
            clipped[~others] = rule(probs[~others])
        wins = [
            LOG_LOSS(targets[splits != split], clipped[splits != split])
            < LOG_LOSS(targets[splits != split], probs[splits != split])
            for split in range(5)
        ]
        for split in np.flatnonzero(wins):
            expected[splits == split] = clipped[splits == split]
        n_mixed += 0 < sum(wins) < 5
        assert choose_rule(LOG_LOSS, facts, targets, probs).score == pytest.approx(LOG_LOSS(targets, expected))
    assert n_mixed > 0


def test_any_gain_out_of_fold_is_enough_for_a_clip() -> None:
    """A third too sure, on 200 rows: the gain is seldom more than its standard error, and hardly ever a mistake."""
    kinds = []
    for seed in range(12):
        targets, probs = classes_with_probs(200, [0.4, 0.3, 0.3], seed=seed)
        sure = probs**1.3 / (probs**1.3).sum(axis=1, keepdims=True)
        kinds.append(choose_rule(LOG_LOSS, facts_of(Task.MULTICLASS, [0.4, 0.3, 0.3]), targets, sure).rule_source)
    assert kinds.count("searched") >= 7  # 4 of 12 win by a standard error


def test_too_sure_a_network_scores_better_on_other_rows_once_clipped() -> None:
    gains = []
    for seed in range(6):
        targets, probs = classes_with_probs(4300, [0.4, 0.3, 0.3], seed=seed)
        sure = probs**3 / (probs**3).sum(axis=1, keepdims=True)
        facts = facts_of(Task.MULTICLASS, [0.4, 0.3, 0.3])
        decision = choose_rule(LOG_LOSS, facts, targets[:300], sure[:300])
        gains.append(LOG_LOSS(targets[300:], sure[300:]) - LOG_LOSS.score(targets[300:], decision.rule(sure[300:])))
    assert min(gains) > 0.05


def test_labels_side_by_side_are_clipped_column_by_column() -> None:
    targets, truth = labels_with_probs(1000, LABEL_PRIOR)
    sure = np.where(targets > 0, 1 - 1e-6, 1e-6)
    sure[:10] = 1 - sure[:10]
    metric = get_metric("weighted_log_loss", weights=(2.0, 1.0, 1.0))
    decision = choose_rule(metric, facts_of(Task.MULTILABEL, LABEL_PRIOR), targets, sure)
    assert isinstance(decision.rule, ClipRule)
    assert decision.score < 0.1 < metric.score(targets, sure)
    assert decision.rule(truth).shape == truth.shape


def test_trials_are_scored_without_a_clip() -> None:
    targets, probs = sure_and_wrong(400, 0.02)
    assert not is_fitted(LOG_LOSS, TWO)
    assert is_chosen(LOG_LOSS, TWO)
    assert np.array_equal(fit_matched_rule(LOG_LOSS, TWO, probs)(probs), probs)
    assert Scorer(LOG_LOSS, TWO)(targets, probs) == LOG_LOSS(targets, probs)


def test_a_clip_survives_json_and_an_impossible_one_is_an_error() -> None:
    rule = ClipRule(0.8, 0.02, Task.BINARY)
    assert parse_rule(json.loads(json.dumps(rule.to_json())), LOG_LOSS, TWO) == rule
    for document in ({"edge": 0.1}, {"temperature": 0.0, "edge": 0.1}, {"temperature": 1.0, "edge": 0.5}):
        with pytest.raises(StorageError, match="describes no rule"):
            parse_rule({"rule": "clip", **document}, LOG_LOSS, TWO)


def test_few_rows_of_many_classes_are_clipped_all_the_same() -> None:
    """Other rules need rows of each class; one bound for all does not."""
    rng = np.random.default_rng(0)
    targets = rng.integers(60, size=150)
    probs = np.full((150, 60), 1e-9)
    probs[np.arange(150), np.where(np.arange(150) < 15, (targets + 1) % 60, targets)] = 1.0
    decision = choose_rule(LOG_LOSS, facts_of(Task.MULTICLASS, [1 / 60] * 60), targets, probs)
    assert decision.rule_source == "searched"
    assert decision.score < LOG_LOSS(targets, probs) / 2
