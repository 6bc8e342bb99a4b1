"""Two arrays of pixels as one."""

from __future__ import annotations

import numpy as np
import pytest

from automl.data.pixels import ConcatenatedRows

RNG = np.random.default_rng(0)
FIRST = RNG.integers(0, 255, (5, 4, 4, 3), dtype=np.uint8)
SECOND = RNG.integers(0, 255, (3, 4, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("rows", [[7, 0, 5, 4, 0], [1, 2], [6, 5], []])
def test_rows_of_both_come_in_the_requested_order(rows: list[int]) -> None:
    joined, positions = ConcatenatedRows(FIRST, SECOND), np.array(rows, dtype=np.int64)
    assert len(joined) == 8
    assert joined[positions].dtype == np.uint8
    assert np.array_equal(joined[positions], np.concatenate([FIRST, SECOND])[positions])


def test_what_is_given_is_a_copy() -> None:
    first = FIRST.copy()
    ConcatenatedRows(first, SECOND)[np.array([0])][:] = 0
    assert np.array_equal(first, FIRST)


def test_rows_beyond_both_are_an_error() -> None:
    with pytest.raises(IndexError):
        ConcatenatedRows(FIRST, SECOND)[np.array([8])]


def test_images_of_two_sizes_are_not_joined() -> None:
    with pytest.raises(ValueError, match="cannot be joined"):
        ConcatenatedRows(FIRST, SECOND[:, :2])
