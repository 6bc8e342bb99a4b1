"""Which rows an epoch has, and how much an image counts by its class: against scikit-learn and hand-worked numbers."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from automl.config import CLASS_SAMPLINGS
from automl.target_kinds import MULTI_LABEL, VALUES
from automl.training.loss.class_balance import EXPONENTS, compute_class_weights, sample_epoch_rows

COUNTS = (90, 9, 1)
TARGETS = np.repeat(np.arange(3), COUNTS)
EVERY_ROW = np.arange(100)
SEVERAL_COUNTS = st.lists(st.integers(0, 60), min_size=2, max_size=8).filter(lambda counts: sum(counts) > 1)


def drawn(sampling: str, *, seed: int = 0, rows: NDArray[np.int64] = EVERY_ROW) -> NDArray[np.int64]:
    return sample_epoch_rows(rows, TARGETS, sampling, np.random.default_rng(seed))


def count_classes(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(targets, minlength=3)


def test_every_sampling_of_the_vocabulary_is_known() -> None:
    assert tuple(EXPONENTS) == CLASS_SAMPLINGS


def test_natural_rows_are_the_generators_permutation() -> None:
    rows = np.arange(3, 60, 2)
    assert np.array_equal(drawn("natural", seed=7, rows=rows), np.random.default_rng(7).permutation(rows))


def test_balanced_rows_show_each_class_equally_often() -> None:
    assert sorted(count_classes(TARGETS[drawn("balanced")])) == [33, 33, 34]


def test_sqrt_rows_follow_the_square_roots_of_the_counts() -> None:
    sampled = count_classes(TARGETS[drawn("sqrt")])
    expected = 100 * np.sqrt(COUNTS) / np.sqrt(COUNTS).sum()  # 70.3, 22.2, 7.4
    assert (abs(sampled - expected) < 1).all()


@pytest.mark.parametrize("sampling", ["sqrt", "balanced"])
def test_the_mean_over_many_epochs_is_the_classes_chance(sampling: str) -> None:
    rng = np.random.default_rng(1)
    sampled = [count_classes(TARGETS[sample_epoch_rows(EVERY_ROW, TARGETS, sampling, rng)]) for _ in range(2000)]
    chances = np.array(COUNTS) ** EXPONENTS[sampling]
    assert np.allclose(np.mean(sampled, axis=0), 100 * chances / chances.sum(), atol=0.05)


@given(SEVERAL_COUNTS, st.sampled_from(CLASS_SAMPLINGS), st.integers(0, 100))
def test_an_epoch_repeats_no_image_more_often_than_it_must(counts: list[int], sampling: str, seed: int) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(targets))
    sampled = sample_epoch_rows(rows, targets, sampling, np.random.default_rng(seed))
    assert len(sampled) == len(rows)
    assert sampled.dtype == np.int64
    times = np.bincount(sampled, minlength=len(rows))
    for number, count in enumerate(counts):
        if count:
            own = times[targets == number]
            assert own.max() - own.min() <= 1


def test_only_the_rows_given_are_drawn_and_absent_classes_are_left_out() -> None:
    rows = np.arange(80, 99)  # 10 of class 0, 9 of class 1
    sampled = drawn("balanced", rows=rows)
    assert set(sampled) <= set(rows)
    assert sorted(count_classes(TARGETS[sampled])) == [0, 9, 10]


def test_rows_are_shuffled_and_follow_from_the_generator() -> None:
    first, again, other = drawn("balanced"), drawn("balanced"), drawn("balanced", seed=1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert count_classes(TARGETS[first[:33]]).min() > 3  # not one class after the other
    assert set(first[TARGETS[first] == 0]) != set(other[TARGETS[other] == 0])  # another third of the common class


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)
    assert np.allclose(compute_class_weights("balanced", np.array(COUNTS)), expected)


def test_effective_weights_are_the_formula_of_the_paper() -> None:
    beta = 1 - 1 / (100 / 3)
    inverse = np.array([(1 - beta) / (1 - beta**count) for count in COUNTS])
    expected = inverse * 100 / (inverse * COUNTS).sum()
    found = compute_class_weights("effective", np.array(COUNTS))
    assert np.allclose(found, expected)
    assert found[2] / found[0] == pytest.approx(31.19, abs=0.01)  # 90 if balanced


@given(SEVERAL_COUNTS, st.sampled_from(["balanced", "effective"]))
def test_weights_are_finite_with_a_mean_of_one_over_the_images(counts: list[int], kind: str) -> None:
    weights = compute_class_weights(kind, np.array(counts))
    assert np.isfinite(weights).all()
    assert np.average(weights, weights=counts) == pytest.approx(1.0)
    assert ((weights > 0) == (np.array(counts) > 0)).all()


@given(SEVERAL_COUNTS)
def test_a_rarer_class_never_weighs_less_and_effective_weights_lie_nearer_to_one_another(counts: list[int]) -> None:
    present = np.array(sorted(count for count in counts if count))
    balanced, effective = compute_class_weights("balanced", present), compute_class_weights("effective", present)
    assert (np.diff(balanced) <= 1e-9).all()
    assert (np.diff(effective) <= 1e-9).all()
    assert effective[0] / effective[-1] <= balanced[0] / balanced[-1] * (1 + 1e-9)


def test_labels_are_counted_where_an_image_has_several_or_none() -> None:
    labels = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert MULTI_LABEL.count_for_weights(labels, n_classes=3, scales=None).tolist() == [2, 0, 1]


def test_a_tenth_is_where_the_mean_of_the_scaled_targets_lies_and_the_scales_ends_belong_to_it() -> None:
    scaled = np.array([[0.0, 0.0], [0.05, 0.04], [0.1, 0.3], [0.95, 1.0], [1.0, 1.0]])
    scales = ((0.0, 1.0), (0.0, 1.0))
    assert VALUES.compute_sampling_strata(scaled, scales=scales).tolist() == [0, 0, 2, 9, 9]
    assert VALUES.count_for_weights(scaled, n_classes=2, scales=scales).tolist() == [2, 0, 1, 0, 0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("kind", ["balanced", "effective"])
def test_without_any_image_nothing_weighs(kind: str) -> None:
    assert compute_class_weights(kind, np.zeros(3, dtype=np.int64)).tolist() == [0.0, 0.0, 0.0]
