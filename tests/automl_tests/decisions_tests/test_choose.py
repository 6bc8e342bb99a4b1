"""The choice among rules is made on rows they did not see, and its score is that of other rows."""

from __future__ import annotations

import numpy as np
import pytest

from automl.decisions.choose import Scorer, choose_rule, fit_matched_rule, is_chosen, is_fitted
from automl.decisions.fit import search_clip
from automl.decisions.resampling import assign_stratified_splits
from automl.decisions.rules import (
    DecisionContext,
    Rule,
    ThresholdsRule,
)
from automl.metrics.metric import Metric
from automl.metrics.registry import METRICS, get_metric
from automl.tasks import Task
from tests.automl_tests.decisions_tests.drawn_probs import (
    CASES,
    GRADE_PRIOR,
    LABEL_PRIOR,
    LOG_LOSS,
    TWO,
    classes_with_probs,
    context_of,
    draw,
    labels_with_probs,
    sure_and_wrong,
)


@pytest.mark.parametrize("name", CASES)
def test_a_row_alone_gets_the_label_it_gets_among_others(name: str) -> None:
    """Also for single precision, in which probabilities are kept, and for memory laid out by columns."""
    metric, context, targets, probs = draw(name, 300)
    probs = probs.astype(np.float32)
    for rule in (fit_matched_rule(metric, context, probs), choose_rule(metric, context, targets, probs).rule):
        together = rule(probs)
        alone = np.concatenate([rule(probs[row : row + 1]) for row in range(len(probs))])
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(together, rule(np.asfortranarray(probs.astype(np.float64))))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f2_macro", "f1_micro", "f1_samples", "f2_samples", "f3_macro", "f1", "qwk"])
def test_a_decision_beats_the_plain_one_on_other_rows(name: str) -> None:
    metric, context, targets, probs = draw(name, 3000)
    decision = choose_rule(metric, context, targets, probs)
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
        metric, context, targets, probs = draw(name, 250, seed=10 + seed)
        kinds.append(choose_rule(metric, context, targets, probs, seed=seed).rule_source)
    assert kinds.count("searched") <= 2


@pytest.mark.parametrize("name", ["f3_macro", "balanced_accuracy", "qwk"])
def test_a_search_seldom_wins_on_pure_noise(name: str) -> None:
    metric, context, targets, probs = draw(name, 250)
    noises = [np.random.default_rng(seed).permutation(probs) for seed in range(8)]
    kinds = [choose_rule(metric, context, targets, noise).rule_source for noise in noises]
    assert kinds.count("searched") <= 2


@pytest.mark.parametrize("name", CASES)
def test_a_search_on_noise_claims_no_more_than_other_rows_give(name: str) -> None:
    """F-scores of noise do gain by saying yes more often; what counts is that the score shown is true."""
    metric, context, targets, probs = draw(name, 250)
    _, _, new_targets, new_probs = draw(name, 5000, seed=1)
    surplus = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        decision = choose_rule(metric, context, targets, rng.permutation(probs), seed=seed)
        truth = metric.score(new_targets, decision.rule(rng.permutation(new_probs)))
        surplus.append((decision.score - truth) / decision.score_error)
    assert np.mean(surplus) < 2.5


def test_a_searched_rule_wins_where_probabilities_mislead() -> None:
    """One class's probabilities hold next to no information, so that its best threshold is far from its share."""
    targets, probs = labels_with_probs(3000, [0.3, 0.3])
    probs[:, 1] = np.random.default_rng(1).random(3000)
    decision = choose_rule(METRICS["f1_macro"], context_of(Task.MULTILABEL, [0.3, 0.3]), targets, probs)
    assert decision.rule_source == "searched"
    assert isinstance(decision.rule, ThresholdsRule)
    assert decision.rule.thresholds[1] < 0.1  # all of them: F1 of 0.46 in place of 0.3
    assert decision.score > METRICS["f1_macro"](targets, probs)


def test_metrics_that_need_no_decision_get_the_plain_rule_and_score() -> None:
    targets, probs = classes_with_probs(300, GRADE_PRIOR)
    context = context_of(Task.MULTICLASS, GRADE_PRIOR)
    for name in ("roc_auc", "accuracy", "f1_micro", "f1_samples", "map@5", "top1_error"):
        decision = choose_rule(METRICS[name], context, targets, probs)
        assert decision.rule_source == "plain"
        assert decision.score == pytest.approx(METRICS[name](targets, probs))
        assert Scorer(METRICS[name], context)(targets, probs) == decision.score


def test_values_are_put_on_their_scales() -> None:
    context = DecisionContext(task=Task.REGRESSION, prior=(0.5, 0.5), scales=((0.0, 10.0), (-1.0, 1.0)))
    probs, targets = np.array([[0.1, 0.5], [0.9, 1.0]]), np.array([[1.0, 0.0], [9.0, 1.0]])
    assert Scorer(METRICS["rmse"], context)(targets, probs) == pytest.approx(0.0)
    assert choose_rule(METRICS["mae"], context, targets, probs).rule(probs) == pytest.approx(targets)


def test_rows_of_a_group_are_never_decided_by_a_rule_that_saw_the_group() -> None:
    """Every image five times: without groups the copies would reveal their labels to the search."""
    targets, probs = labels_with_probs(40, [0.3, 0.3], skill=0.3)
    targets, probs = np.repeat(targets, 5, axis=0), np.repeat(probs, 5, axis=0)
    context, groups = context_of(Task.MULTILABEL, [0.3, 0.3]), np.repeat(np.arange(40), 5)
    grouped = choose_rule(METRICS["f1_macro"], context, targets, probs, groups=groups)
    ungrouped = choose_rule(METRICS["f1_macro"], context, targets, probs)
    assert grouped.score_error > 1.5 * ungrouped.score_error


def test_scores_of_what_is_not_finite_are_refused() -> None:
    scorer = Scorer(METRICS["accuracy"], context_of(Task.BINARY, [0.5, 0.5]))
    with pytest.raises(ValueError, match="finite"):
        scorer(np.zeros(1), np.array([[np.nan, 1.0]]))


def test_deciding_uses_no_targets_when_trials_are_scored() -> None:
    metric, context, targets, probs = draw("f1_macro", 200)
    first: Rule = fit_matched_rule(metric, context, probs)
    Scorer(metric, context)(1 - targets, probs)
    assert fit_matched_rule(metric, context, probs) == first


def test_a_metric_that_falls_is_decided_the_other_way_round() -> None:
    targets, probs = labels_with_probs(3000, LABEL_PRIOR)
    f1_macro, context = METRICS["f1_macro"], context_of(Task.MULTILABEL, LABEL_PRIOR)
    lost = Metric(
        name="mine.py:lost",
        function=lambda truth, labels: 1 - f1_macro.score(truth, labels),
        greater_is_better=False,
        needs="labels",
        tasks=frozenset({Task.MULTILABEL}),
    )
    decision = choose_rule(lost, context, targets, probs)
    assert decision.rule_source == "matched"  # and never searched, as nothing is known of the function
    assert decision.score < 1 - f1_macro(targets, probs)


def test_so_few_rows_of_so_many_classes_choose_no_rule() -> None:
    targets = np.random.default_rng(0).integers(50, size=200)
    probs = np.random.default_rng(1).dirichlet(np.ones(50), size=200)
    context = DecisionContext(task=Task.MULTICLASS, prior=(0.02,) * 50)
    assert choose_rule(get_metric("f1_macro"), context, targets, probs).rule_source == "plain"


def test_each_row_is_scored_by_the_kind_of_rule_that_the_other_rows_ask_for() -> None:
    """Otherwise the better of two scores is shown: too good by 0.0023 of 0.5 in the mean of 60 such draws."""
    context, n_mixed = context_of(Task.MULTICLASS, [0.4, 0.3, 0.3]), 0
    for seed in range(6):
        targets, probs = classes_with_probs(200, [0.4, 0.3, 0.3], seed=seed)
        splits = assign_stratified_splits(targets, None, seed=0)
        clipped, expected = probs.copy(), probs.copy()
        for split in range(5):
            others = splits != split
            rule = search_clip(LOG_LOSS, context, targets[others], probs[others], seed=0)
            clipped[~others] = rule(probs[~others])
        wins = [
            LOG_LOSS(targets[splits != split], clipped[splits != split])
            < LOG_LOSS(targets[splits != split], probs[splits != split])
            for split in range(5)
        ]
        for split in np.flatnonzero(wins):
            expected[splits == split] = clipped[splits == split]
        n_mixed += 0 < sum(wins) < 5
        assert choose_rule(LOG_LOSS, context, targets, probs).score == pytest.approx(LOG_LOSS(targets, expected))
    assert n_mixed > 0


def test_any_gain_out_of_fold_is_enough_for_a_clip() -> None:
    """A third too sure, on 200 rows: the gain is seldom more than its standard error, and hardly ever a mistake."""
    kinds = []
    for seed in range(12):
        targets, probs = classes_with_probs(200, [0.4, 0.3, 0.3], seed=seed)
        sure = probs**1.3 / (probs**1.3).sum(axis=1, keepdims=True)
        kinds.append(choose_rule(LOG_LOSS, context_of(Task.MULTICLASS, [0.4, 0.3, 0.3]), targets, sure).rule_source)
    assert kinds.count("searched") >= 7  # 4 of 12 win by a standard error


def test_trials_are_scored_without_a_clip() -> None:
    targets, probs = sure_and_wrong(400, 0.02)
    assert not is_fitted(LOG_LOSS, TWO)
    assert is_chosen(LOG_LOSS, TWO)
    assert np.array_equal(fit_matched_rule(LOG_LOSS, TWO, probs)(probs), probs)
    assert Scorer(LOG_LOSS, TWO)(targets, probs) == LOG_LOSS(targets, probs)


def test_few_rows_of_many_classes_are_clipped_all_the_same() -> None:
    """Other rules need rows of each class; one bound for all does not."""
    rng = np.random.default_rng(0)
    targets = rng.integers(60, size=150)
    probs = np.full((150, 60), 1e-9)
    probs[np.arange(150), np.where(np.arange(150) < 15, (targets + 1) % 60, targets)] = 1.0
    decision = choose_rule(LOG_LOSS, context_of(Task.MULTICLASS, [1 / 60] * 60), targets, probs)
    assert decision.rule_source == "searched"
    assert decision.score < LOG_LOSS(targets, probs) / 2
