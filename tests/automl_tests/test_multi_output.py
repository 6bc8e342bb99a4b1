"""One class for each of several heads: each computes as its block alone would, and the blocks stand side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.decisions.temperature import apply_temperature, fit_temperature
from automl.multi_output import (
    MULTI_OUTPUT,
    Head,
    choose_likeliest_classes,
    find_rarest_classes,
    iterate_head_targets,
    list_head_slices,
    split_by_head,
)
from automl.target_kinds import SINGLE_CLASS

SIZES = (3, 2)
BOTH = MULTI_OUTPUT.with_heads(SIZES)
TARGETS = np.array([[2, 3], [0, 3], [0, 4], [1, 3]])
PROBS = np.array([[0.7, 0.2, 0.1, 0.4, 0.6], [0.1, 0.1, 0.8, 0.9, 0.1], [0.2, 0.5, 0.3, 0.5, 0.5], [1, 0, 0, 0, 1.0]])


def blocks_of(matrix: np.ndarray) -> list[np.ndarray]:
    return [matrix[:, :3], matrix[:, 3:]]


def test_a_head_owns_a_block_of_columns() -> None:
    assert list_head_slices((3, 2, 1)) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert [block.tolist() for block in split_by_head(PROBS, SIZES)] == [block.tolist() for block in blocks_of(PROBS)]
    with pytest.raises(ValueError, match=r"5 columns, but heads of \(3, 3\) classes"):
        split_by_head(PROBS, (3, 3))
    assert [own.tolist() for own in iterate_head_targets(TARGETS, SIZES)] == [[2, 0, 0, 1], [0, 0, 1, 0]]


def test_a_class_is_called_by_its_head_and_its_label() -> None:
    head = Head("vowel=sign", 2)
    assert head.name_class("a=b") == "vowel=sign=a=b"
    assert head.to_label("vowel=sign=a=b") == "a=b"


def test_the_likeliest_class_of_each_head_is_its_column() -> None:
    assert choose_likeliest_classes(PROBS, SIZES).tolist() == [[0, 4], [2, 3], [1, 3], [0, 4]]


def test_soft_targets_become_the_targets_again() -> None:
    soft_targets = BOTH.compute_soft_targets(TARGETS, n_classes=5, scales=None)
    assert (soft_targets.dtype, soft_targets.sum(axis=1).tolist()) == (np.float32, [2.0] * 4)
    assert BOTH.convert_soft_targets(soft_targets, scales=None).tolist() == TARGETS.tolist()


def test_images_are_counted_and_found_by_class_and_the_prior_of_each_head_sums_to_one() -> None:
    assert BOTH.count_images(TARGETS, n_classes=5).tolist() == [2, 1, 1, 3, 1]
    assert BOTH.find_rows(TARGETS, 3).tolist() == [0, 1, 3]
    assert BOTH.compute_prior(TARGETS, n_classes=5, scales=None).tolist() == [0.5, 0.25, 0.25, 0.75, 0.25]
    assert BOTH.count_for_weights(TARGETS, n_classes=5, scales=None).tolist() == [2, 1, 1, 3, 1]


def test_the_stratum_of_an_image_is_the_rarest_of_its_classes() -> None:
    assert find_rarest_classes(TARGETS).tolist() == [2, 0, 4, 1]
    assert BOTH.compute_strata(TARGETS, scales=None).tolist() == [2, 0, 4, 1]
    assert BOTH.compute_sampling_strata(TARGETS, scales=None).tolist() == [2, 0, 4, 1]


def test_a_target_is_written_in_words() -> None:
    classes = ("root=a", "root=b", "root=c", "vowel=0", "vowel=1")
    assert BOTH.format_label(TARGETS[2], classes) == "root=a, vowel=1"


def test_classes_are_unbalanced_within_a_head_and_not_between_heads() -> None:
    assert BOTH.compute_imbalance([50, 50, 25, 10, 10]) == 2.0


def test_an_image_is_known_only_once_each_of_its_heads_is() -> None:
    assert BOTH.compute_confidence(PROBS, always_labelled=True).tolist() == [0.6, 0.8, 0.5, 1.0]


def test_labels_are_smoothed_over_the_classes_of_the_head() -> None:
    assert np.asarray(BOTH.count_choices(5)).tolist() == [3, 3, 3, 2, 2]
    assert BOTH.compute_initial_logit(5) == pytest.approx((-np.log(2),) * 3 + (0.0,) * 2)


def test_sums_are_those_of_blocks() -> None:
    assert BOTH.has_valid_sums(PROBS)
    assert not BOTH.has_valid_sums(PROBS * [1, 1, 1, 0.5, 0.5])
    assert not BOTH.has_valid_sums(np.full((1, 5), 0.4))  # the row sums to 2


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 4.0))
def test_rows_and_logits_are_those_of_each_block_alone(seed: int, temperature: float) -> None:
    matrix = np.random.default_rng(seed).random((6, 5)) + 0.01
    probs = BOTH.normalize_rows(matrix)
    alone = np.concatenate([SINGLE_CLASS.normalize_rows(block) for block in blocks_of(matrix)], axis=1)
    assert np.array_equal(probs, alone)
    scaled = apply_temperature(probs, temperature, BOTH)
    each = [apply_temperature(block, temperature, SINGLE_CLASS) for block in blocks_of(probs)]
    np.testing.assert_allclose(scaled, np.concatenate(each, axis=1), rtol=1e-12)
    assert BOTH.has_valid_sums(scaled)


def test_the_temperature_is_the_best_for_the_weighted_mean_of_the_heads_losses() -> None:
    rng = np.random.default_rng(0)
    targets = np.stack([rng.integers(0, 3, 400), 3 + rng.integers(0, 2, 400)], axis=1)
    probs = np.full((400, 5), 0.02)
    np.put_along_axis(probs, np.where(rng.random((400, 2)) < (0.6, 0.95), targets, [[0, 3]]), 0.97, axis=1)
    probs = BOTH.normalize_rows(probs)

    def fitted(**weights: Any) -> float:
        return fit_temperature(probs, targets, BOTH, **weights)

    own = [
        fit_temperature(block, truth, SINGLE_CLASS)
        for block, truth in zip(blocks_of(probs), iterate_head_targets(targets, SIZES), strict=True)
    ]
    assert own[0] > fitted() > own[1]
    assert fitted(column_weights=(1.0, 0.0)) == pytest.approx(own[0], rel=1e-2)


def test_without_heads_nothing_is_computed() -> None:
    assert (MULTI_OUTPUT.has_classes, MULTI_OUTPUT.is_single_class, MULTI_OUTPUT.is_multi_label) == (True, False, False)
    with pytest.raises(ValueError, match="without heads"):
        MULTI_OUTPUT.with_heads(())
    with pytest.raises(ValueError, match="5 columns"):
        MULTI_OUTPUT.normalize_rows(PROBS)
    assert SINGLE_CLASS.with_heads(()) is SINGLE_CLASS.target_kind
