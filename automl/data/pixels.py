"""Concatenate arrays of training and test images, such as their pixels, without a copy of either."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Pixels(Protocol):
    """Pixels (n, C, C, 3) indexed by rows: an array, or two concatenated."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]: ...


class ConcatenatedRows:
    """Two arrays of pixels or of features, perhaps mapped from files; the rows of the second follow those of the first.

    Raises:
        ValueError: their images are of different sizes.
    """

    def __init__(self, first: NDArray[Any], second: NDArray[Any]) -> None:
        if first.shape[1:] != second.shape[1:]:
            raise ValueError(f"images of shape {first.shape[1:]} cannot be joined with those of {second.shape[1:]}")
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """Return (len(rows), ...) a copy of these rows, in their order."""
        n = len(self._first)
        is_second = rows >= n
        joined = np.empty((len(rows), *self._first.shape[1:]), dtype=np.result_type(self._first, self._second))
        joined[~is_second] = self._first[rows[~is_second]]
        joined[is_second] = self._second[rows[is_second] - n]
        return joined
