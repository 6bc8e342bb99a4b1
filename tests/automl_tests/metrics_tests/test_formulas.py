"""Each formula against scikit-learn, or against numbers worked out by hand in the test."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from automl.metrics.registry import METRICS, get_metric

SEEDS = range(6)


def draw(n_classes: int, seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(n_classes), n).round(2 if seed % 2 else 8)  # odd seeds have ties
    return rng.integers(0, n_classes, n), probs / probs.sum(axis=1, keepdims=True)


def draw_labels(n_classes: int, seed: int, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, n_classes)) < rng.uniform(0.05, 0.7, n_classes)).astype(int)
    return targets, rng.uniform(0.01, 0.99, (n, n_classes)).round(2 if seed % 2 else 8)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_scores_of_one_class_each_are_scikit_learns(n_classes: int, seed: int) -> None:
    targets, probs = draw(n_classes, seed)
    labels = probs.argmax(axis=1)
    expected = {
        "log_loss": reference.log_loss(targets, np.clip(probs, 1e-15, 1 - 1e-15), labels=range(n_classes)),
        "accuracy": reference.accuracy_score(targets, labels),
        "top1_error": 1 - reference.accuracy_score(targets, labels),
        "balanced_accuracy": reference.balanced_accuracy_score(targets, labels),
        "f1_macro": reference.f1_score(targets, labels, average="macro"),
        "f2_macro": reference.fbeta_score(targets, labels, beta=2, average="macro"),
        "f0.5_micro": reference.fbeta_score(targets, labels, beta=0.5, average="micro"),
        "f2_samples": reference.accuracy_score(targets, labels),
        "roc_auc": reference.roc_auc_score(targets, probs[:, 1] if n_classes == 2 else probs, multi_class="ovr"),
        "qwk": reference.cohen_kappa_score(targets, labels, weights="quadratic", labels=range(n_classes)),
        "map@3": by_hand_map(targets, probs, 3),
    }
    if n_classes == 2:
        expected["f1"] = reference.f1_score(targets, labels)
    scores = {name: get_metric(name)(targets, probs) for name in expected}
    assert scores == pytest.approx(expected, abs=1e-9)


def by_hand_map(targets: np.ndarray, probs: np.ndarray, k: int) -> float:
    total = 0.0
    for target, row in zip(targets.tolist(), probs, strict=True):
        best = sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]
        total += 1 / (best.index(target) + 1) if target in best else 0.0
    return total / len(targets)


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_of_labels_are_scikit_learns(seed: int) -> None:
    targets, probs = draw_labels(7, seed)
    labels = (probs >= 0.5).astype(int)
    targets[:, 6] = labels[:, 6] = 0  # a class that is neither true nor predicted
    probs[:, 6] = 0.1
    clipped = np.clip(probs, 1e-15, 1 - 1e-15)
    losses = [reference.log_loss(t, p, labels=[0, 1]) for t, p in zip(targets.T, clipped.T, strict=True)]
    weights = (1.0, 2.0, 1.0, 1.0, 0.0, 3.0, 1.0)
    expected = {
        f"f{beta}_{average}": reference.fbeta_score(targets, labels, beta=beta, average=average, zero_division=0)
        for beta in (0.5, 1, 2)
        for average in ("macro", "micro", "samples")
    }
    expected |= {
        "log_loss": np.mean(losses),
        "roc_auc": reference.roc_auc_score(targets[:, :6], probs[:, :6], average="macro"),
    }
    assert {name: get_metric(name)(targets, probs) for name in expected} == pytest.approx(expected, abs=1e-9)
    weighted = get_metric("weighted_log_loss", weights=weights)(targets, probs)
    assert weighted == pytest.approx(np.average(losses, weights=weights))


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_of_values_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, values = rng.normal(size=(80, 3)) * [1, 5, 20], rng.normal(size=(80, 3)) * [1, 5, 20]
    assert METRICS["rmse"].score(targets, values) == pytest.approx(
        reference.root_mean_squared_error(targets.ravel(), values.ravel())
    )
    assert METRICS["mae"].score(targets, values) == pytest.approx(reference.mean_absolute_error(targets, values))
    assert METRICS["r2"].score(targets, values) == pytest.approx(reference.r2_score(targets, values))
    weights = np.array([0.1, 0.2, 0.5])
    assert get_metric("weighted_r2", weights=weights.tolist()).score(targets, values) == pytest.approx(
        reference.r2_score(targets.ravel(), values.ravel(), sample_weight=np.tile(weights, 80))
    )


def test_values_of_another_shape_are_not_broadcast() -> None:
    with pytest.raises(ValueError, match="shape"):
        METRICS["rmse"].score(np.zeros((3, 1)), np.zeros(3))


def test_a_target_that_does_not_vary_explains_nothing_or_all() -> None:
    targets = np.array([[1.0, 2.0], [1.0, 4.0]])
    assert METRICS["r2"].score(targets, targets) == 1.0
    assert METRICS["r2"].score(targets, targets + np.array([0.5, 0.0])) == 0.5
    assert get_metric("weighted_r2", weights=(1, 0)).score(targets, targets + 1.0) == 0.0


def test_log_loss_divides_rows_by_their_sums_and_clips() -> None:
    targets, log_loss = np.array([0, 1]), METRICS["log_loss"]
    assert log_loss(targets, np.array([[2.0, 2.0], [1.0, 3.0]])) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)
    assert log_loss(targets, np.array([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(-np.log(1e-15) / 2, rel=1e-6)
    assert log_loss(targets, np.zeros((2, 2))) == pytest.approx(np.log(2))
    assert log_loss(np.array([[1, 0]]), np.array([[0.0, 0.0]])) == pytest.approx(-np.log(1e-15) / 2, rel=1e-6)


def test_an_auc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half() -> None:
    probs = np.array([0.1, 0.4, 0.4, 0.8])
    assert METRICS["roc_auc"](np.array([0, 0, 1, 1]), np.column_stack([1 - probs, probs])) == 3.5 / 4


def test_an_auc_leaves_out_what_has_no_curve() -> None:
    roc_auc = METRICS["roc_auc"]
    assert roc_auc(np.zeros(3), np.full((3, 2), 0.5)) == 0.5
    targets = np.array([0, 0, 1, 1])
    probs = np.array([[0.8, 0.2, 0.0], [0.7, 0.3, 0.0], [0.1, 0.9, 0.0], [0.2, 0.8, 0.0]])
    assert roc_auc(targets, probs) == 1.0
    assert roc_auc(np.eye(3, dtype=int)[targets], probs) == 1.0  # and with labels, where the third is never true


def test_an_auc_of_many_columns_is_the_mean_of_each() -> None:
    rng = np.random.default_rng(0)
    targets, probs = (rng.random((30, 70)) < 0.4).astype(int), rng.random((30, 70))
    each = [reference.roc_auc_score(targets[:, column], probs[:, column]) for column in range(70)]
    assert METRICS["roc_auc"](targets, probs) == pytest.approx(np.mean(each))
    classes = np.arange(140) % 70
    probs = rng.dirichlet(np.ones(70), 140)
    assert METRICS["roc_auc"](classes, probs) == pytest.approx(
        reference.roc_auc_score(classes, probs, multi_class="ovr")
    )


def binary(probs: list[float]) -> np.ndarray:
    return np.column_stack([1 - np.array(probs), probs])


@pytest.mark.parametrize("seed", SEEDS)
def test_partial_auc_is_isics(seed: int) -> None:
    """The competition's own page: scikit-learn's partial AUC of the flipped problem, scaled back."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, 60)
    probs = (0.3 * targets + rng.random(60)).round(1 if seed % 2 else 8)
    scaled = reference.roc_auc_score(1 - targets, -probs, max_fpr=0.2)
    expected = 0.5 * 0.2**2 + (0.2 - 0.5 * 0.2**2) / 0.5 * (scaled - 0.5)
    assert METRICS["partial_auc"](targets, binary(probs.tolist())) == pytest.approx(expected)


def test_partial_auc_of_a_worked_curve() -> None:
    """Of 5 positives the last stands below 1 of 2 negatives: 80 % are free of cost, the last fifth costs half."""
    targets = np.array([1, 1, 1, 1, 0, 1, 0])
    probs = binary([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    assert METRICS["partial_auc"](targets, probs) == pytest.approx(0.2 * 0.5)
    assert METRICS["partial_auc"](targets, binary(targets.tolist())) == pytest.approx(0.2)
    assert METRICS["partial_auc"](targets, binary((1 - targets).tolist())) == pytest.approx(0.0)
    assert METRICS["partial_auc"](np.zeros(3), binary([0.1, 0.2, 0.3])) == pytest.approx(0.02)


def test_weighted_auc_of_a_worked_curve() -> None:
    """One threshold gives tpr 0.8 at fpr 0.5: lines (0, 0) - (0.5, 0.8) - (1, 1), cut at tpr 0.4, where fpr is 0.25.

    Below 0.4, right of the first line: 0.4 * (1 - 0.125). Above: 0.4 * (1 - 0.375) to 0.8, then 0.2 * (1 - 0.75).
    """
    targets = np.array([1, 1, 1, 1, 1, 0, 0])
    probs = binary([0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.1])
    expected = (2 * 0.4 * 0.875 + 0.4 * 0.625 + 0.2 * 0.25) / 1.4
    assert METRICS["weighted_auc"](targets, probs) == pytest.approx(expected)
    assert METRICS["weighted_auc"](targets, binary(targets.tolist())) == pytest.approx(1.0)
    assert METRICS["weighted_auc"](np.ones(2), binary([0.1, 0.2])) == pytest.approx((2 * 0.32 + 0.18) / 1.4)


@pytest.mark.parametrize("seed", SEEDS)
def test_weighted_auc_is_alaskas(seed: int) -> None:
    """By another way: the inverse of the curve at many heights, those below 0.4 counted twice."""
    targets, probs = draw(2, seed)
    fpr, tpr, _ = reference.roc_curve(targets, probs[:, 1], drop_intermediate=False)
    heights = (np.arange(100_000) + 0.5) / 100_000
    weights = np.where(heights < 0.4, 2.0, 1.0)
    expected = np.average(1.0 - np.interp(heights, tpr + np.arange(len(tpr)) * 1e-12, fpr), weights=weights)
    assert METRICS["weighted_auc"](targets, probs) == pytest.approx(expected, abs=1e-4)


def test_map_counts_a_class_once_and_stops_at_k() -> None:
    metric = get_metric("map@3")
    ranking = np.array([[4, 4, 1], [1, 2, 3], [5, 6, 7]])
    assert metric.score(np.array([4, 3, 0]), ranking) == pytest.approx((1 + 1 / 3 + 0) / 3)
    labels = np.zeros((4, 8), dtype=int)
    labels[0, [4, 1]] = labels[1, [1, 2, 3, 4]] = 1  # the second row has more labels than places
    labels[2, 6] = 1
    wanted = [(1 + 2 / 3) / 2, 3 / 3, 1 / 2, 0.0]
    assert metric.score(labels, np.vstack([ranking, [[0, 1, 2]]])) == pytest.approx(np.mean(wanted))


def test_pf1_of_a_worked_table() -> None:
    """pTP = 0.8 + 0.4 = 1.2, pFP = 0.3, two positives: precision 0.8, recall 0.6."""
    targets = np.array([1, 1, 0])
    assert METRICS["pf1"](targets, binary([0.8, 0.4, 0.3])) == pytest.approx(2 * 0.8 * 0.6 / 1.4)
    assert METRICS["pf1"].score(targets, binary([1.8, 0.4, -0.3])) == pytest.approx(2 * 1.0 * 0.7 / 1.7)
    assert METRICS["pf1"](np.zeros(2), binary([0.0, 0.0])) == 0.0
