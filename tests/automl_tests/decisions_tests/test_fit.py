"""Rules that are fitted to probabilities whose best decision is known."""

from __future__ import annotations

import numpy as np
import pytest

from automl.decisions.choose import Scorer, choose_rule, fit_matched_rule
from automl.decisions.rules import (
    ClipRule,
    DecisionContext,
    parse_rule,
)
from automl.metrics.registry import get_metric
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


def test_dividing_by_the_prior_is_best_for_balanced_accuracy() -> None:
    metric, context, targets, probs = draw("balanced_accuracy", 20_000)
    rule = fit_matched_rule(metric, context, probs)
    np.testing.assert_array_equal(rule(probs), (probs / GRADE_PRIOR).argmax(axis=1))
    score = metric.score(targets, rule(probs))
    assert score > metric(targets, probs) + 0.05
    assert all(
        score > metric.score(targets, (probs / np.power(GRADE_PRIOR, a)).argmax(axis=1)) - 0.005 for a in (0.7, 1.3)
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["one row", "constant", "zeros", "ones", "ends"])
def test_rules_are_defined_for_odd_probabilities(name: str, kind: str) -> None:
    metric, context, targets, probs = draw(name, 8)
    ends = (probs == probs.max(axis=1, keepdims=True)).astype(float)
    odd = {
        "one row": probs[:1],
        "constant": np.tile(probs[:1], (8, 1)),
        "zeros": np.zeros_like(probs),
        "ones": np.ones_like(probs),
        "ends": ends,
    }[kind]
    labels = fit_matched_rule(metric, context, odd)(odd)
    assert labels.shape == (targets[: len(odd)]).shape
    assert labels.min() >= 0 and labels.max() < odd.shape[1]
    assert np.isfinite(Scorer(metric, context)(targets[: len(odd)], odd))
    assert np.isfinite(choose_rule(metric, context, targets[: len(odd)], odd).score)


@pytest.mark.parametrize("name", CASES)
def test_what_training_never_showed_is_never_predicted_and_what_it_always_showed_always(name: str) -> None:
    task, prior = CASES[name]
    shares = [0.0] * (len(prior) - 1) + [1.0]
    probs = np.full((6, len(prior)), 1.0 / len(prior))
    probs[::2] = np.eye(len(prior))[0]
    labels = fit_matched_rule(get_metric(name), context_of(task, shares), probs)(probs)
    if task is Task.MULTILABEL:
        assert not labels[:, :-1].any()
        assert name != "f1_macro" or labels[:, -1].all()
    else:
        assert (labels == len(prior) - 1).all()


def test_pf1_is_submitted_as_all_or_nothing_because_that_scores_more() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(4000) < 0.1).astype(np.int64)
    positive = 1 / (1 + np.exp(-(2.0 * rng.normal(size=4000) + 4.0 * targets - 2.0 + np.log(0.1 / 0.9))))
    probs = np.column_stack([1 - positive, positive])
    metric, context = get_metric("pf1"), DecisionContext(task=Task.BINARY, prior=(0.9, 0.1))
    decision = choose_rule(metric, context, targets, probs)
    assert decision.rule_source != "plain"
    assert decision.score > metric(targets, probs) + 0.05
    assert set(np.unique(decision.rule(probs))) == {0.0, 1.0}
    assert parse_rule(decision.rule.to_json(), metric, context) == decision.rule


@pytest.mark.parametrize("q", [0.001, 0.01, 0.05])
def test_probabilities_are_kept_from_certainty_by_the_share_that_is_wrong(q: float) -> None:
    """Clipping at e costs -q log(e) - (1 - q) log(1 - e), which is least at e = q."""
    targets, probs = sure_and_wrong(4000, q)
    decision = choose_rule(LOG_LOSS, TWO, targets, probs)
    assert isinstance(decision.rule, ClipRule)
    assert decision.rule_source == "searched"
    submitted = decision.rule(probs)
    assert submitted.min() == pytest.approx(q, rel=0.3)  # by a bound, by a temperature, or by both
    assert decision.score == pytest.approx(-q * np.log(q) - (1 - q) * np.log(1 - q), rel=0.1)
    assert LOG_LOSS(targets, probs) > 2 * decision.score


def test_true_probabilities_are_seldom_clipped_and_then_hardly_changed() -> None:
    """Any gain out of fold suffices, so that chance clips now and then; it costs next to nothing on other rows."""
    costs = []
    for seed in range(12):
        targets, probs = classes_with_probs(4200, [0.4, 0.3, 0.3], seed=seed)
        context = context_of(Task.MULTICLASS, [0.4, 0.3, 0.3])
        decision = choose_rule(LOG_LOSS, context, targets[:200], probs[:200])
        costs.append(LOG_LOSS.score(targets[200:], decision.rule(probs[200:])) - LOG_LOSS(targets[200:], probs[200:]))
    assert np.mean(np.array(costs) == 0.0) >= 0.5
    assert np.mean(costs) < 0.01 * LOG_LOSS(targets, probs)


def test_too_sure_a_network_scores_better_on_other_rows_once_clipped() -> None:
    gains = []
    for seed in range(6):
        targets, probs = classes_with_probs(4300, [0.4, 0.3, 0.3], seed=seed)
        sure = probs**3 / (probs**3).sum(axis=1, keepdims=True)
        context = context_of(Task.MULTICLASS, [0.4, 0.3, 0.3])
        decision = choose_rule(LOG_LOSS, context, targets[:300], sure[:300])
        gains.append(LOG_LOSS(targets[300:], sure[300:]) - LOG_LOSS.score(targets[300:], decision.rule(sure[300:])))
    assert min(gains) > 0.05


def test_labels_side_by_side_are_clipped_column_by_column() -> None:
    targets, truth = labels_with_probs(1000, LABEL_PRIOR)
    sure = np.where(targets > 0, 1 - 1e-6, 1e-6)
    sure[:10] = 1 - sure[:10]
    metric = get_metric("weighted_log_loss", weights=(2.0, 1.0, 1.0))
    decision = choose_rule(metric, context_of(Task.MULTILABEL, LABEL_PRIOR), targets, sure)
    assert isinstance(decision.rule, ClipRule)
    assert decision.score < 0.1 < metric.score(targets, sure)
    assert decision.rule(truth).shape == truth.shape


HEADS = DecisionContext(task=Task.MULTIOUTPUT, prior=(*GRADE_PRIOR, 0.9, 0.1), head_sizes=(len(GRADE_PRIOR), 2))


def draw_heads(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets of two heads, the first of which is graded, and their true probabilities."""
    first, first_probs = classes_with_probs(n, GRADE_PRIOR)
    second, second_probs = classes_with_probs(n, [0.9, 0.1], seed=1)
    return np.stack([first, second + len(GRADE_PRIOR)], axis=1), np.concatenate([first_probs, second_probs], axis=1)


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro"])
def test_each_head_is_decided_by_the_rule_that_it_would_have_alone(name: str) -> None:
    n_first, (_, probs) = len(GRADE_PRIOR), draw_heads(3000)
    metric = get_metric(name, head_sizes=HEADS.head_sizes)
    rule = fit_matched_rule(metric, HEADS, probs)
    alone = [
        fit_matched_rule(get_metric(name), context_of(Task.MULTICLASS, list(prior)), block)(block)
        for prior, block in ((GRADE_PRIOR, probs[:, :n_first]), ([0.9, 0.1], probs[:, n_first:]))
    ]
    assert np.array_equal(rule(probs), np.stack([alone[0], alone[1] + n_first], axis=1))
    assert parse_rule(rule.to_json(), metric, HEADS) == rule


def test_the_best_rule_of_several_heads_wins_on_rows_that_it_did_not_see() -> None:
    targets, probs = draw_heads(2000)
    metric = get_metric("balanced_accuracy", weights=(1.0, 2.0), head_sizes=HEADS.head_sizes)
    chosen = choose_rule(metric, HEADS, targets, probs)
    assert chosen.rule_source in ("matched", "searched")
    assert metric.score(targets, chosen.rule(probs)) > metric(targets, probs) + 0.05
    assert chosen.score == pytest.approx(metric.score(targets, chosen.rule(probs)), abs=0.02)


def test_the_log_loss_of_several_heads_is_clipped_and_each_block_sums_to_one() -> None:
    targets, probs = draw_heads(2000)
    metric = get_metric("log_loss", head_sizes=HEADS.head_sizes)
    sure = np.clip(probs**3, 0.0, 1.0)
    rule = choose_rule(metric, HEADS, targets, sure).rule
    assert isinstance(rule, ClipRule)
    assert HEADS.target_kind.has_valid_sums(rule(sure))
    assert metric.score(targets, rule(sure)) < metric.score(targets, sure)
    assert parse_rule(rule.to_json(), metric, HEADS) == rule


def test_accuracy_of_several_heads_needs_no_rule() -> None:
    _, probs = draw_heads(10)
    metric = get_metric("accuracy", head_sizes=HEADS.head_sizes)
    rule = fit_matched_rule(metric, HEADS, probs)
    assert rule.to_json() == {"rule": "plain"}
    assert np.array_equal(rule(probs), HEADS.target_kind.convert_soft_targets(probs, scales=None))
