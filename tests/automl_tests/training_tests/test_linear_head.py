"""Linear heads against scikit-learn's, and how their regularisation is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn

from automl.errors import DataError
from automl.training import linear_head
from automl.training.linear_head import (
    STRENGTHS,
    HeadTask,
    LinearHead,
    convert_head_targets,
    fit_fold_heads,
    fit_linear_head,
    get_link,
)

N, F = 120, 30
COARSE = STRENGTHS[2::4]  # enough to choose from


def features_of(labels: NDArray[np.int64], *, signal: float = 0.7, seed: int = 0) -> NDArray[np.float32]:
    """Features on scales of their own, some of which know the label."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(labels.max() + 1, F)) * signal
    return ((rng.normal(size=(len(labels), F)) + centres[labels]) * np.geomspace(0.01, 50, F) + 3).astype(np.float32)


LABELS = np.random.default_rng(1).integers(0, 3, N)
FEATURES = features_of(LABELS)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def outputs_of(head: LinearHead, features: NDArray[Any]) -> NDArray[Any]:
    return features.astype(np.float64) @ head.weight.T + head.bias


def probs_of(head: LinearHead) -> NDArray[Any]:
    """Without what is added to all outputs alike."""
    probs: NDArray[Any] = torch.from_numpy(outputs_of(head, FEATURES)).softmax(1).numpy()
    return probs


def fit(task: HeadTask, strength: float, rows: NDArray[np.int64] | None = None) -> LinearHead:
    rows = np.arange(len(task.targets)) if rows is None else rows
    return fit_linear_head(task, rows, inner_folds=np.full(len(task.targets), -1), strengths=[strength])


@pytest.mark.parametrize("strength", [0.003, 0.3])
def test_softmax_heads_are_those_of_scikit_learn(strength: float) -> None:
    head = fit(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax"), strength)
    scaled = StandardScaler().fit_transform(FEATURES)
    known = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(scaled, LABELS)
    np.testing.assert_allclose(probs_of(head), known.predict_proba(scaled), atol=1e-3)
    assert head.strength == strength


def test_sigmoid_heads_are_one_logistic_regression_for_each_column() -> None:
    targets = (np.random.default_rng(2).random((N, 2)) < [0.2, 0.6]).astype(np.float32)
    weights = np.random.default_rng(3).integers(1, 4, N).astype(np.float64)
    weights /= weights.mean()
    head = fit(HeadTask(views=[FEATURES], targets=targets, link="sigmoid", sample_weights=weights), 0.05)
    scaler = StandardScaler().fit(FEATURES)
    for column in range(2):
        known = LogisticRegression(C=0.05, tol=1e-8, max_iter=5000)
        known.fit(scaler.transform(FEATURES), targets[:, column], sample_weight=weights)
        expected = known.decision_function(scaler.transform(FEATURES))
        np.testing.assert_allclose(outputs_of(head, FEATURES)[:, column], expected, atol=5e-3)


def test_ridge_heads_are_those_of_scikit_learn() -> None:
    values = (LABELS + np.random.default_rng(4).normal(size=N)).astype(np.float32)
    head = fit(HeadTask(views=[FEATURES], targets=values[:, None], link="ridge"), 0.02)
    scaled = StandardScaler().fit_transform(FEATURES)
    known = Ridge(alpha=1 / 0.02).fit(scaled, values)
    np.testing.assert_allclose(outputs_of(head, FEATURES)[:, 0], known.predict(scaled), atol=2e-3)


def test_soft_targets_are_fitted_as_weighted_hard_ones() -> None:
    soft = 0.75 * ONE_HOT + 0.25 * np.roll(ONE_HOT, 1, axis=1)
    head = fit(HeadTask(views=[FEATURES], targets=soft, link="softmax"), 0.1)
    twice = HeadTask(
        views=[np.concatenate([FEATURES, FEATURES])],
        targets=np.concatenate([ONE_HOT, np.roll(ONE_HOT, 1, axis=1)]),
        link="softmax",
        sample_weights=np.repeat([1.5, 0.5], N),
    )
    other = fit(twice, 0.05)  # twice as many rows, so half the prior's variance
    np.testing.assert_allclose(outputs_of(head, FEATURES), outputs_of(other, FEATURES), atol=5e-3)


def test_a_row_counts_once_however_many_views_it_has() -> None:
    one = fit(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax"), 0.1)
    two = fit(HeadTask(views=[FEATURES, FEATURES], targets=ONE_HOT, link="softmax"), 0.1)
    np.testing.assert_allclose(outputs_of(two, FEATURES), outputs_of(one, FEATURES), atol=5e-3)


def test_only_the_rows_count_and_other_targets_may_be_missing() -> None:
    rows = np.arange(0, N, 2)
    targets, features = ONE_HOT.copy(), FEATURES.copy()
    targets[1::2], features[1::2] = np.nan, 1e9
    head = fit(HeadTask(views=[features], targets=targets, link="softmax"), 0.1, rows)
    alone = fit(HeadTask(views=[FEATURES[rows]], targets=ONE_HOT[rows], link="softmax"), 0.1)
    np.testing.assert_array_equal(head.weight, alone.weight)


def test_a_feature_that_never_changes_has_no_weight() -> None:
    features = FEATURES.copy()
    features[:, 4] = 1e4
    head = fit(HeadTask(views=[features], targets=ONE_HOT, link="softmax"), 1.0)
    assert (head.weight[:, 4] == 0.0).all()
    without = fit(HeadTask(views=[np.delete(FEATURES, 4, axis=1)], targets=ONE_HOT, link="softmax"), 1.0)
    expected = outputs_of(without, np.delete(FEATURES, 4, axis=1))
    np.testing.assert_allclose(outputs_of(head, features), expected, atol=1e-2)


def test_features_that_are_read_in_parts_give_the_same_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax"), 0.1)
    np.save(tmp_path / "features.npy", FEATURES.astype(np.float16))
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    monkeypatch.setattr(linear_head, "CPU_LIMIT", 0)
    monkeypatch.setattr(linear_head, "CHUNK_BYTES", 8 * F * 50)
    parts = fit(HeadTask(views=[mapped], targets=ONE_HOT, link="softmax"), 0.1)
    np.testing.assert_allclose(outputs_of(parts, FEATURES), outputs_of(whole, FEATURES), atol=0.05)  # of float16


def test_fits_are_equal_to_the_last_bit() -> None:
    folds = np.arange(N) % 5
    task = HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax")
    first, second = (fit_fold_heads(task, folds, strengths=COARSE) for _ in range(2))
    assert all(first[fold].weight.tobytes() == second[fold].weight.tobytes() for fold in range(5))


def test_noise_is_regularised_more_than_what_is_known_for_sure() -> None:
    folds = np.arange(N) % 5
    rows = np.flatnonzero(folds > 0)
    strengths = {}
    for signal in (0.0, 1.0):
        task = HeadTask(views=[features_of(LABELS, signal=signal)], targets=ONE_HOT, link="softmax")
        strengths[signal] = fit_linear_head(task, rows, inner_folds=folds).strength
    assert strengths[0.0] < 0.1 * strengths[1.0]
    assert set(strengths.values()) <= set(STRENGTHS)


@pytest.mark.parametrize("few", [linear_head.FEW_PRODUCTS, 0])
def test_the_fold_of_a_head_has_no_part_in_it(few: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_head, "FEW_PRODUCTS", few)
    folds = np.arange(N) % 4
    task = HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax")
    heads = fit_fold_heads(task, folds, strengths=COARSE)
    held = folds == 2
    changed = HeadTask(
        views=[np.where(held[:, None], 7.0, FEATURES)],
        targets=np.where(held[:, None], np.eye(3)[0], ONE_HOT),
        link="softmax",
    )
    others = fit_fold_heads(changed, folds, strengths=COARSE)
    np.testing.assert_array_equal(others[2].weight, heads[2].weight)
    assert not np.array_equal(others[1].weight, heads[1].weight)


def test_rows_of_no_fold_are_trained_on_and_never_held_out() -> None:
    folds = np.where(np.arange(N) < 30, -1, np.arange(N) % 3)
    heads = fit_fold_heads(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax"), folds, strengths=COARSE)
    assert sorted(heads) == [0, 1, 2]
    rows = np.flatnonzero(folds != 0)
    alone = fit(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax"), heads[0].strength, rows)
    np.testing.assert_allclose(probs_of(heads[0]), probs_of(alone), atol=0.01)


def test_two_folds_have_an_inner_split_of_their_own() -> None:
    heads = fit_fold_heads(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax"), np.arange(N) % 2)
    assert sorted(heads) == [0, 1]
    correct = outputs_of(heads[0], FEATURES).argmax(1)[::2] == LABELS[::2]
    assert correct.mean() > 0.8
    assert all(np.isfinite(head.inner_loss) for head in heads.values())


def test_many_rows_are_sampled_for_the_choice_and_all_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_head, "MAX_ROWS_FOR_STRENGTH", 40)
    task = HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax")
    head = fit_linear_head(task, np.arange(N), inner_folds=np.arange(N) % 5)
    alone = fit(task, head.strength)
    np.testing.assert_allclose(probs_of(head), probs_of(alone), atol=0.01)


def test_every_pass_is_a_sign_of_life_and_may_end_the_fit() -> None:
    class StopError(Exception):
        pass

    def stop() -> None:
        raise StopError

    n_threads = torch.get_num_threads()
    with pytest.raises(StopError):
        fit(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax", on_step=stop), 0.1)
    assert torch.get_num_threads() == n_threads


def test_features_that_are_not_finite_are_refused() -> None:
    features = FEATURES.astype(np.float16)
    features[3, 3] = np.inf
    with pytest.raises(DataError, match="not finite"):
        fit(HeadTask(views=[features], targets=ONE_HOT, link="softmax"), 0.1)


def test_the_link_is_that_of_the_networks_outputs() -> None:
    soft_targets = np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]], dtype=np.float32)
    assert (get_link("focal"), get_link("one_vs_rest"), get_link("scaled_target")) == ("softmax", "sigmoid", "sigmoid")
    assert convert_head_targets(soft_targets, "cross_entropy").tolist() == soft_targets.tolist()
    assert (get_link("thresholds"), get_link("class_number")) == ("sigmoid", "ridge")
    assert convert_head_targets(soft_targets, "thresholds").tolist() == [[1.0, 0.0], [1.0, 0.5]]
    assert convert_head_targets(soft_targets, "class_number").tolist() == [[1.0], [1.5]]


def test_a_layer_takes_the_weights() -> None:
    head = fit(HeadTask(views=[FEATURES], targets=ONE_HOT, link="softmax"), 0.1)
    layer = nn.Linear(F, 3)
    head.copy_to(layer)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), head.weight)
    np.testing.assert_array_equal(layer.bias.detach().numpy(), head.bias)


def test_a_head_of_several_softmaxes_is_that_of_each_alone() -> None:
    second = np.eye(2, dtype=np.float32)[np.random.default_rng(2).integers(0, 2, N)]
    both = np.concatenate([ONE_HOT, second], axis=1)
    together = fit(HeadTask(views=[FEATURES], targets=both, link="softmax", head_sizes=(3, 2)), 0.03)
    for block, targets in ((slice(0, 3), ONE_HOT), (slice(3, 5), second)):
        alone = fit(HeadTask(views=[FEATURES], targets=targets, link="softmax"), 0.03)
        outputs, expected = outputs_of(together, FEATURES)[:, block], outputs_of(alone, FEATURES)
        centred = [own - own.mean(axis=1, keepdims=True) for own in (outputs, expected)]
        np.testing.assert_allclose(*centred, atol=2e-3)
