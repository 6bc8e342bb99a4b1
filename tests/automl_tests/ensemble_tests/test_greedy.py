"""What greedy selection goes by: the metric itself, or a stand-in that agrees with it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from automl.decisions.bootstrap import bootstrap_scores
from automl.decisions.choose import Scorer
from automl.decisions.rules import DecisionContext
from automl.ensemble import greedy
from automl.ensemble.blending import blend_probs, compute_ranks, fit_blend
from automl.ensemble.greedy import (
    get_objective,
    score_class_log_likelihood,
    score_head_log_likelihood,
    score_label_log_likelihood,
    score_rank_correlation,
    select_greedy_weights,
)
from automl.metrics.registry import get_metric
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.small_studies import predict_out_of_fold, score_out_of_fold, scorer_of


def labels(n: int, n_classes: int, *, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, n_classes)) < 0.2).astype(np.int64)


def simulate_probs(targets: np.ndarray, *, n_models: int, skill: float = 2.0, seed: int = 1) -> np.ndarray:
    """Independent columns (n_models, n, n_classes) of members with noise of their own."""
    noise = np.random.default_rng(seed).normal(size=(n_models, *targets.shape))
    return np.asarray(1 / (1 + np.exp(-(skill * targets - 1.5 + noise))))


def test_the_log_likelihood_of_labels_is_the_log_loss_of_every_column() -> None:
    targets = labels(60, 4)
    probs = simulate_probs(targets, n_models=3)
    pool, scores_of = score_label_log_likelihood(probs, targets)
    expected = [-np.mean([log_loss(targets[:, c], own[:, c]) for c in range(4)]) for own in probs]
    assert scores_of(pool) == pytest.approx(expected)
    mean = np.mean(probs, axis=0)
    assert scores_of(pool.mean(axis=0)[None])[0] == pytest.approx(
        -np.mean([log_loss(targets[:, c], mean[:, c]) for c in range(4)])
    )


def test_the_log_likelihood_of_weighted_columns_is_the_weighted_log_loss() -> None:
    targets = labels(50, 3)
    probs = simulate_probs(targets, n_models=2)
    pool, scores_of = score_label_log_likelihood(probs, targets, column_weights=(2.0, 1.0, 1.0))
    losses = [[log_loss(targets[:, c], own[:, c]) for c in range(3)] for own in probs]
    assert scores_of(pool) == pytest.approx(-np.average(losses, axis=1, weights=[2, 1, 1]))


def test_a_part_of_the_cells_estimates_the_loss_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = labels(3000, 10) * (np.arange(10) == 3)  # one cell in fifty is a label
    probs = simulate_probs(targets, n_models=2)
    _, scores_of_all = score_label_log_likelihood(probs, targets)
    exact = scores_of_all(score_label_log_likelihood(probs, targets)[0])
    monkeypatch.setattr(greedy, "MAX_CELLS", 4_000)
    pool, scores_of = score_label_log_likelihood(probs, targets)
    assert pool.shape == (2, 2_000 + int(targets.sum()))
    assert scores_of(pool) == pytest.approx(exact, rel=0.1)


def test_the_correlation_of_ranks_is_the_area_under_the_curve() -> None:
    targets = labels(200, 3)
    targets[:, 2] = 0  # has no curve
    ranks = compute_ranks(simulate_probs(targets, n_models=4))
    pool, scores_of = score_rank_correlation(ranks, targets)
    areas = [np.mean([roc_auc_score(targets[:, c], own[:, c]) for c in range(2)]) for own in ranks]
    slope = np.sqrt(12 * 200**2 / (200**2 - 1))  # n equally spaced ranks deviate so much less than the interval
    assert scores_of(pool) == pytest.approx((np.array(areas) - 0.5) * slope)


def test_a_blend_of_ranks_is_distinguished_from_a_better_one() -> None:
    """Two members that err differently are better together, and noise does not help."""
    targets = labels(2000, 3)
    probs = np.concatenate([simulate_probs(targets, n_models=2), np.random.default_rng(5).random((1, 2000, 3))])
    pool, scores_of = score_rank_correlation(compute_ranks(probs), targets)
    alone, together, with_noise = scores_of(np.stack([pool[0], pool[:2].mean(axis=0), pool.mean(axis=0)]))
    assert together > with_noise > alone or together > alone > with_noise
    weights = select_greedy_weights(compute_ranks(probs), targets, score_rank_correlation, max_members=3, seed=0)
    assert weights[:2] == pytest.approx([0.5, 0.5], abs=0.15)
    assert weights[2] < 0.1


def test_no_column_with_both_kinds_is_no_reason_to_fail() -> None:
    weights = select_greedy_weights(
        np.random.default_rng(0).random((2, 9, 3)), np.zeros((9, 3)), score_rank_correlation, max_members=2, seed=0
    )
    assert weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("scorer", "n_classes", "expected"),
    [
        (scorer_of("log_loss"), 3, score_class_log_likelihood),
        (scorer_of("accuracy"), 3, None),
        (scorer_of("accuracy"), 11, score_class_log_likelihood),
        (scorer_of("f1_macro"), 3, score_class_log_likelihood),
        (scorer_of("roc_auc"), 2, None),
        (scorer_of("roc_auc"), 3, score_class_log_likelihood),
        (scorer_of("map@5"), 200, score_class_log_likelihood),
        (scorer_of("qwk", task=Task.ORDINAL), 5, None),
        (scorer_of("roc_auc", task=Task.MULTILABEL), 14, score_rank_correlation),
        (scorer_of("rmse", task=Task.REGRESSION, scales=((0.0, 1.0),)), 1, None),
    ],
)
def test_the_metric_itself_is_gone_by_where_that_is_quick(scorer: Scorer, n_classes: int, expected: object) -> None:
    objective = get_objective(scorer, n_rows=10_000, n_classes=n_classes)
    assert (objective is expected) if expected is not None else ("use_metric" in objective.__qualname__)


@pytest.mark.parametrize("name", ["log_loss", "f1_macro", "f2_samples", "roc_auc"])
def test_labels_side_by_side_are_blended_by_the_members_that_know(name: str) -> None:
    targets = labels(400, 4)
    probs = simulate_probs(targets, n_models=4)
    probs[3] = np.random.default_rng(3).permutation(probs[3])
    scorer = scorer_of(name, task=Task.MULTILABEL, prior=tuple(targets.mean(axis=0)))
    fit = fit_blend(probs, targets, scorer, strata=targets.sum(axis=1))
    assert fit.final.weights[3] < 0.05
    assert fit.final.weights.sum() == pytest.approx(1.0)
    oof = predict_out_of_fold(fit, probs, scorer.context.task)
    error = bootstrap_scores([oof], targets, scorer).std()
    margin = 2 * error * (1 if scorer.greater_is_better else -1)
    assert not scorer.is_better(scorer(targets, probs[0]) - margin, scorer(targets, oof))


def test_values_are_blended_by_the_metric_itself() -> None:
    """Two members with the same error, one of them twice as exact: the best weights are one to four."""
    rng = np.random.default_rng(0)
    places = rng.random((4000, 1))
    probs = np.stack([places + scale * rng.normal(size=places.shape) for scale in (0.02, 0.01)])
    scorer = scorer_of("rmse", task=Task.REGRESSION, prior=(0.5,), scales=((10.0, 30.0),))
    fit = fit_blend(probs, 10 + 20 * places, scorer, strata=(10 * places[:, 0]).astype(int))
    assert fit.final.method == "greedy"
    assert fit.final.weights == pytest.approx([0.2, 0.8], abs=0.05)
    score = score_out_of_fold(fit, probs, 10 + 20 * places, scorer)
    assert score == pytest.approx(20 * np.sqrt(0.2**2 * 0.02**2 + 0.8**2 * 0.01**2), rel=0.05)
    assert blend_probs(probs, fit.final.weights).shape == (4000, 1)


def test_the_constant_prediction_is_the_mean_of_what_is_true() -> None:
    one_class, several, values = Task.MULTICLASS.target_kind, Task.MULTILABEL.target_kind, Task.REGRESSION.target_kind
    targets = np.array([0, 1, 1, 1])
    assert one_class.compute_mean_probs(targets, n_classes=3, scales=None).tolist() == [0.25, 0.75, 0.0]
    assert several.compute_mean_probs(np.array([[1, 0], [1, 1]]), n_classes=2, scales=None).tolist() == [1.0, 0.5]
    scales = ((0.0, 10.0), (5.0, 5.0))
    mean = values.compute_mean_probs(np.array([[0.0, 5.0], [5.0, 5.0]]), n_classes=2, scales=scales)
    assert mean.tolist() == [0.25, 0.0]


def test_the_error_of_a_large_table_is_estimated_from_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = labels(4000, 5)
    probs = simulate_probs(targets, n_models=1)
    scorer = scorer_of("log_loss", task=Task.MULTILABEL)
    exact = bootstrap_scores(list(probs), targets, scorer)
    monkeypatch.setattr("automl.decisions.bootstrap.MAX_CELLS", 2_000)
    monkeypatch.setattr("automl.decisions.bootstrap.MAX_CELLS_IN_ALL", 10)
    part = bootstrap_scores(list(probs), targets, scorer)
    assert (len(exact), len(part)) == (200, 50)
    assert part.std() == pytest.approx(exact.std(), rel=0.35)


def test_the_log_likelihood_of_several_heads_is_the_weighted_mean_of_the_log_losses_of_each() -> None:
    rng = np.random.default_rng(0)
    targets = np.stack([rng.integers(0, 3, 40), 3 + rng.integers(0, 2, 40)], axis=1)
    probs = np.concatenate([rng.dirichlet(np.ones(size), (3, 40)) for size in (3, 2)], axis=2)
    pool, scores_of = score_head_log_likelihood(probs, targets, head_sizes=(3, 2), head_weights=(3.0, 1.0))
    expected = [
        -np.average(
            [log_loss(targets[:, 0], own[:, :3], labels=[0, 1, 2]), log_loss(targets[:, 1] - 3, own[:, 3:])],
            weights=[3, 1],
        )
        for own in probs
    ]
    assert scores_of(pool) == pytest.approx(expected)
    metric = get_metric("log_loss", weights=(3.0, 1.0), head_sizes=(3, 2))
    context = DecisionContext(task=Task.MULTIOUTPUT, prior=(1 / 3,) * 3 + (0.5,) * 2, head_sizes=(3, 2))
    own_pool, own_scores = get_objective(Scorer(metric, context), n_rows=40, n_classes=5)(probs, targets)
    assert own_scores(own_pool) == pytest.approx(expected)
    assert -metric(targets, probs[0]) == pytest.approx(expected[0])
