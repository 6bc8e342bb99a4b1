"""Blending and its weights: algebra, honest scores, and simulations with a known answer."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from automl.decisions.bootstrap import bootstrap_scores
from automl.decisions.choose import Scorer
from automl.decisions.resampling import assign_stratified_splits
from automl.decisions.temperature import apply_temperature
from automl.ensemble.blending import BlendFitter, blend_probs, compute_ranks, fit_blend, rank_diverse_first
from automl.ensemble.greedy import get_objective, score_class_log_likelihood, select_greedy_weights, use_metric
from tests.automl_tests.ensemble_tests.small_studies import (
    one_family_probs,
    predict_out_of_fold,
    score_out_of_fold,
    scorer_of,
    stack_splits,
)

LOG_LOSS, ACCURACY, AUC = (scorer_of(name) for name in ("log_loss", "accuracy", "roc_auc"))


def test_a_blend_averages_probabilities_and_not_logits() -> None:
    probs = np.array([[[0.5, 0.5]], [[0.01, 0.99]]])
    blended = blend_probs(probs, np.array([0.5, 0.5]))
    assert blended[0, 1] == pytest.approx(0.745)  # the mean of the logits would give 0.909
    assert blended[0].sum() == pytest.approx(1.0)


def test_a_blend_of_one_model_is_that_model() -> None:
    probs = one_family_probs(np.arange(20) % 3, 3, np.random.default_rng(0), n_models=1)
    fit = fit_blend(probs, np.arange(20) % 3, ACCURACY)
    assert fit.final.weights.tolist() == fit.final.temperatures.tolist() == [1.0]
    assert np.array_equal(blend_probs(probs, fit.final.weights), probs[0])
    targets = np.arange(20) % 3
    assert score_out_of_fold(fit, probs, targets, ACCURACY) == ACCURACY(targets, probs[0])
    assert fit_blend(probs, np.arange(20) % 3, LOG_LOSS).final.temperatures.tolist() == [1.0]  # the rule's is enough


def test_a_member_without_weight_is_not_read() -> None:
    probs = np.array([[[0.2, 0.8]], [[np.nan, np.nan]]])
    assert blend_probs(probs, np.array([1.0, 0.0])).tolist() == [[0.2, 0.8]]


def test_ranks_are_average_ranks_of_each_column_scaled_to_one() -> None:
    probs = np.random.default_rng(0).integers(0, 9, size=(3, 40, 2)) / 10
    expected = (rankdata(probs, axis=1) - 1) / 39
    assert compute_ranks(probs) == pytest.approx(expected)
    assert compute_ranks(np.array([[[0.3, 0.7]]])).tolist() == [[[0.0, 0.0]]]


def test_a_rank_blend_does_not_see_monotone_changes_of_a_member() -> None:
    probs = np.random.default_rng(0).random((2, 50, 2))
    changed = np.stack([probs[0] ** 5, np.sqrt(probs[1])])
    weights = np.array([0.3, 0.7])
    assert np.array_equal(blend_probs(probs, weights, by_rank=True), blend_probs(changed, weights, by_rank=True))
    assert not np.allclose(blend_probs(probs, weights), blend_probs(changed, weights))


def test_ranks_of_two_classes_sum_to_one_in_each_row() -> None:
    second = np.random.default_rng(0).random((2, 30))
    ranks = blend_probs(np.stack([1 - second, second], axis=2), np.array([0.5, 0.5]), by_rank=True)
    assert ranks.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.slow
@given(
    seed=st.integers(0, 10_000),
    n_models=st.integers(1, 7),
    n_rows=st.integers(1, 60),
    max_members=st.integers(1, 6),
    metric=st.sampled_from([LOG_LOSS, ACCURACY, AUC, scorer_of("balanced_accuracy"), scorer_of("f1_macro")]),
)
@settings(max_examples=10, deadline=None)
def test_weights_are_not_negative_sum_to_one_and_few(
    seed: int, n_models: int, n_rows: int, max_members: int, metric: Scorer
) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(2, size=n_rows)
    probs = rng.dirichlet(np.ones(2), (n_models, n_rows))
    fit = fit_blend(probs, targets, metric, max_members=max_members)
    for weights in (fit.final.weights, *stack_splits(fit, "weights")[: 1 if n_rows > 1 else 0]):
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1.0)
        assert np.count_nonzero(weights) <= max_members
    assert np.isfinite(score_out_of_fold(fit, probs, targets, metric))


@pytest.mark.parametrize("metric", [LOG_LOSS, ACCURACY, AUC], ids=lambda metric: metric.name)
@pytest.mark.parametrize("n_models", [2, 4, 12])
def test_a_member_whose_rows_are_shuffled_gets_no_weight(metric: Scorer, n_models: int) -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(3, size=600)
    probs = one_family_probs(targets, 3, rng, n_models=n_models, skill=2.0)
    probs[0] = rng.permutation(probs[0])
    fit = fit_blend(probs, targets, metric, traits=[("other", 64), *[("resnet", 32)] * (n_models - 1)])
    assert fit.final.weights[0] == 0.0
    assert not stack_splits(fit, "weights")[:, 0].any()


def test_identical_members_count_once() -> None:
    rng = np.random.default_rng(2)
    targets = rng.integers(2, size=300)
    probs = one_family_probs(targets, 2, rng, n_models=3)
    fit = fit_blend(np.concatenate([probs, probs]), targets, LOG_LOSS, max_members=3)
    assert fit.final.weights[3:].tolist() == [0.0, 0.0, 0.0]
    assert np.array_equal(fit.final.weights[:3], fit_blend(probs, targets, LOG_LOSS, max_members=3).final.weights)


def test_the_plain_mean_is_mostly_kept_among_equally_good_members() -> None:
    methods = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        targets = rng.integers(3, size=200)
        fit = fit_blend(one_family_probs(targets, 3, rng, n_models=5), targets, ACCURACY)
        methods.append(fit.final.method)
        if fit.final.method == "mean":
            assert fit.final.weights.tolist() == [0.2] * 5
    assert methods.count("mean") >= 8


def test_a_member_that_learned_next_to_nothing_is_no_part_of_the_mean() -> None:
    """With 40 rows the greedy weights hardly ever win by more than the noise."""
    kept = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        targets = rng.permutation(np.arange(40) % 2)
        probs = one_family_probs(targets, 2, rng, n_models=4, skill=2.5)
        probs[1] = rng.permutation(probs[1])
        fit = fit_blend(probs, targets, ACCURACY)
        kept.append(fit.final.method)
        assert fit.final.weights[1] == 0.0
    assert "mean" in kept


@pytest.mark.slow
def test_greedy_weights_are_kept_where_they_win_out_of_sample() -> None:
    """The best five are of one family; a slightly worse one errs elsewhere."""
    rng = np.random.default_rng(4)
    targets = rng.integers(3, size=1000)
    families = [one_family_probs(targets, 3, rng, n_models=5, skill=skill) for skill in (1.2, 1.0)]
    fit = fit_blend(np.concatenate(families), targets, LOG_LOSS)
    assert fit.final.method == "greedy"
    assert 0.2 < fit.final.weights[5:].sum() < 0.8


def test_the_best_members_by_their_own_score_make_the_mean() -> None:
    targets = np.arange(40) % 2
    skills = np.array([0.6, 0.9, 0.55, 0.8, 0.7])
    true_probs = np.where(targets == 1, skills[:, None], 1 - skills[:, None])
    probs = np.stack([1 - true_probs, true_probs], axis=2)
    fit = fit_blend(probs, targets, ACCURACY, max_members=2)  # all are right everywhere: the first two
    assert fit.final.weights.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("metric", [LOG_LOSS, ACCURACY, AUC], ids=lambda metric: metric.name)
def test_every_row_is_blended_with_what_never_saw_it(metric: Scorer) -> None:
    """The targets and the members of one split change: what blends that split stays, and the others' is another."""
    rng = np.random.default_rng(4)
    targets = np.arange(600) % 3
    probs = np.concatenate([one_family_probs(targets, 3, rng, n_models=4, skill=skill) for skill in (1.2, 1.0)])
    arguments = {"strata": targets, "groups": np.arange(600) // 4}
    before = fit_blend(probs, targets, metric, **arguments)
    for split in (0, 3):
        rows = np.flatnonzero(before.splits == split)
        changed, moved = targets.copy(), probs.copy()
        changed[rows] = (changed[rows] + 1) % 3
        moved[:4, rows] = probs[:4, rows[::-1]]
        after = fit_blend(moved, changed, metric, **arguments)
        assert np.array_equal(before.splits, after.splits)
        assert np.array_equal(before.per_split[split].weights, after.per_split[split].weights)
        assert np.array_equal(before.per_split[split].temperatures, after.per_split[split].temperatures)
        assert not np.array_equal(stack_splits(before, "weights"), stack_splits(after, "weights"))
    assert (stack_splits(before, "temperatures") == 1.0).all() == (metric is not LOG_LOSS)


def test_groups_stay_in_one_split_whatever_is_blended() -> None:
    rng = np.random.default_rng(0)
    targets, groups = np.arange(300) % 3, rng.integers(70, size=300)
    fit = fit_blend(one_family_probs(targets, 3, rng, n_models=4), targets, LOG_LOSS, groups=groups)
    assert all(len(np.unique(fit.splits[groups == group])) == 1 for group in np.unique(groups))
    assert len(np.unique(fit.splits)) == 5


def test_members_of_another_kind_go_before_as_good_ones_of_the_same() -> None:
    kinds = [("vit", 224), ("vit", 224), ("vit", 384), ("resnet", 224), ("resnet", 224), ("swin", 224)]
    gains = np.array([1.0, 0.999, 0.998, 0.99, 0.985, 0.5])
    assert rank_diverse_first(gains, kinds).tolist() == [0, 3, 2, 1, 4, 5]  # a backbone, then a size, then the ranking
    assert rank_diverse_first(gains, ()).tolist() == [0, 1, 2, 3, 4, 5]
    assert rank_diverse_first(np.array([1.0, 0.999, 0.97]), kinds[1:4]).tolist() == [
        0,
        1,
        2,
    ]  # 0.97 is not nearly as much
    assert rank_diverse_first(np.array([-1.0, -2.0, -3.0]), kinds[:3]).tolist() == [
        0,
        1,
        2,
    ]  # nobody has learned anything


def test_the_mean_takes_members_that_differ_where_scores_allow() -> None:
    rng = np.random.default_rng(3)
    targets = rng.permutation(np.arange(400) % 2)
    right = rng.random((4, 400)) < np.array([0.9, 0.9, 0.9, 0.9])[:, None]
    right[3, :4] = ~right[3, :4]
    second = np.where(right, targets, 1 - targets) * 0.8 + 0.1
    probs = np.stack([1 - second, second], axis=2)
    ranking = np.argsort(-right.mean(axis=1), kind="stable")
    kinds = [("resnet", 32)] * 4
    kinds[ranking[3]] = ("vit", 32)
    fitter = BlendFitter(probs=probs, targets=targets, scorer=ACCURACY, max_members=2, traits=kinds)
    weights = fitter.fit("mean", np.arange(400), np.ones(4)).weights
    gain = 2 * right.mean(axis=1) - 1
    near = gain[ranking[3]] >= 0.98 * gain[ranking[1]]
    assert (weights[ranking[3]] > 0) == near
    assert np.count_nonzero(weights) == 2


def test_an_overconfident_member_is_tempered_and_a_true_one_is_not() -> None:
    """Probabilities that are true, and the same skill three times as sure as it is right."""
    rng = np.random.default_rng(0)
    targets = rng.integers(3, size=2000)
    signals = 1.2 * np.eye(3)[targets] + rng.normal(size=(2, 2000, 3))
    powers = np.exp(1.2 * signals * np.array([1.0, 3.0])[:, None, None])
    probs = powers / powers.sum(axis=2, keepdims=True)
    fit = fit_blend(probs, targets, LOG_LOSS)
    assert fit.final.temperatures == pytest.approx([1.0, 3.0], rel=0.1)
    temperatures = stack_splits(fit, "temperatures")
    assert temperatures == pytest.approx(np.tile([1.0, 3.0], (5, 1)), rel=0.15)
    tempered = [probs[0], apply_temperature(probs[1], temperatures[0, 1], LOG_LOSS.context.task)]
    rows = fit.splits == 0
    assert temperatures[0, 0] == 1.0
    expected = blend_probs(np.stack(tempered), fit.per_split[0].weights)[rows]
    predicted = predict_out_of_fold(fit, probs, LOG_LOSS.context.task)
    assert predicted[rows] == pytest.approx(expected)
    assert (fit_blend(probs, targets, ACCURACY).final.temperatures == 1.0).all()


@pytest.mark.slow
@pytest.mark.parametrize("metric", [LOG_LOSS, ACCURACY], ids=lambda metric: metric.name)
def test_a_pool_of_noise_does_not_look_better_than_noise(metric: Scorer) -> None:
    """Greedy weights flatter themselves on the rows they were fitted on; the score shown does not."""
    shown, flattered = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        targets = rng.permutation(np.arange(100) % 2)
        probs = rng.dirichlet(np.ones(2) * 5, (10, 100))
        shown.append(score_out_of_fold(fit_blend(probs, targets, metric), probs, targets, metric))
        weights = select_greedy_weights(
            probs, targets, get_objective(metric, n_rows=10_000, n_classes=2), max_members=5, seed=0
        )
        flattered.append(metric(targets, blend_probs(probs, weights)))
    honest = np.log(2) if metric is LOG_LOSS else 0.5
    towards_better = 1 if metric.greater_is_better else -1
    shown_error, flattered_error = (np.std(scores) / np.sqrt(len(scores)) for scores in (shown, flattered))
    assert towards_better * (np.mean(shown) - honest) < 2 * shown_error
    assert towards_better * (np.mean(flattered) - honest) > 2.5 * flattered_error


def test_greedy_selection_with_replacement_finds_uneven_weights() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(3, size=2000)
    poor = one_family_probs(targets, 3, rng, n_models=1, skill=0.7)
    good = one_family_probs(targets, 3, rng, n_models=1, skill=1.2)
    probs = np.concatenate([poor, good])
    weights = select_greedy_weights(probs, targets, score_class_log_likelihood, max_members=2, seed=0)
    shares = np.linspace(0, 1, 101)
    best_share = shares[
        np.argmin([LOG_LOSS(targets, blend_probs(probs, np.array([1 - share, share]))) for share in shares])
    ]
    assert 0.55 < best_share < 0.95
    assert weights[1] == pytest.approx(best_share, abs=1 / 25)


def test_a_selection_ends_where_it_was_best() -> None:
    """Two members that mirror each other: equal weights are best, and 25 picks cannot be shared equally."""
    targets = np.zeros(100, dtype=np.int64)
    true_probs = np.repeat([[0.6, 0.9], [0.9, 0.6]], 50, axis=1)
    probs = np.stack([true_probs, 1 - true_probs], axis=2)
    assert select_greedy_weights(probs, targets, score_class_log_likelihood, max_members=2, seed=0).tolist() == [
        0.5,
        0.5,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("n_rows", "objective"), [(1200, LOG_LOSS), (3600, ACCURACY)], ids=["few", "many"])
def test_selection_by_labels_goes_by_log_loss_on_few_rows(n_rows: int, objective: Scorer) -> None:
    rng = np.random.default_rng(4)
    targets = rng.integers(3, size=n_rows)
    probs = np.concatenate([one_family_probs(targets, 3, rng, n_models=5, skill=skill) for skill in (1.2, 1.0)])
    fit = fit_blend(probs, targets, ACCURACY)
    assert fit.final.method == "greedy"
    goes_by = score_class_log_likelihood if objective is LOG_LOSS else use_metric(objective)
    assert np.array_equal(fit.final.weights, select_greedy_weights(probs, targets, goes_by, max_members=5, seed=0))


def test_splits_deal_out_each_class_evenly_and_each_group_whole() -> None:
    targets = np.repeat([0, 1], [70, 30])
    splits = assign_stratified_splits(targets, None, seed=0)
    assert np.bincount(splits[targets == 0]).tolist() == [14] * 5
    assert np.bincount(splits[targets == 1]).tolist() == [6] * 5
    groups = np.arange(100) // 4
    grouped = assign_stratified_splits(targets, groups, seed=0)
    assert all(len(np.unique(grouped[groups == group])) == 1 for group in range(25))
    assert len(np.unique(grouped)) == 5


def test_the_bootstrap_error_of_accuracy_is_the_binomial_one_and_grows_with_groups() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(rng.integers(2, size=100), 5)
    right = np.repeat(rng.random(100) < 0.8, 5)  # a group is right or wrong as a whole
    second = np.where(right, targets, 1 - targets).astype(float)
    probs = np.stack([1 - second, second], axis=1)
    alone = bootstrap_scores([probs], targets, ACCURACY).std()
    grouped = bootstrap_scores([probs], targets, ACCURACY, groups=np.arange(500) // 5).std()
    assert alone == pytest.approx(np.sqrt(0.8 * 0.2 / 500), rel=0.2)
    assert grouped == pytest.approx(np.sqrt(0.8 * 0.2 / 100), rel=0.2)


def test_the_same_predictions_give_the_same_weights() -> None:
    rng = np.random.default_rng(6)
    targets = rng.integers(3, size=300)
    probs = one_family_probs(targets, 3, rng)
    first, second = (fit_blend(probs, targets, AUC) for _ in range(2))
    assert np.array_equal(first.final.weights, second.final.weights)
    assert np.array_equal(stack_splits(first, "weights"), stack_splits(second, "weights"))


def test_weights_and_the_submission_can_be_had_without_torch() -> None:
    names = "automl.ensemble.blending, automl.submission.write, automl.ensemble.tta"
    code = f"import {names}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
