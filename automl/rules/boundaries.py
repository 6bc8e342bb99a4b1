"""Where to cut a line of values so that a wanted number of them lies below.

Not responsible for: which number is wanted (automl.rules.thresholds, automl.rules.cut_points).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def boundary(values: Floats, n_below: float, *, top: float, never: float) -> float:
    """A number that as nearly n_below of the ascending values do not reach as their ties allow.

    Midway between two values, or between the outermost one and an end of the range [0, top]; 0 where none is to lie
    below and `never` where all are, whatever the values of other rows may be.
    """
    n = len(values)
    if n_below <= 1e-9 * n:
        return 0.0
    if n_below >= n * (1 - 1e-9):
        return never
    return between(values, _untied(values, n_below), top=top, never=never)


def between(values: Floats, n_below: int, *, top: float, never: float) -> float:
    """A number that exactly n_below of the ascending values do not reach; no tie may go across."""
    lower = float(values[n_below - 1]) if n_below else 0.0
    upper = float(values[n_below]) if n_below < len(values) else top
    middle = (lower + upper) / 2.0
    if n_below and middle <= lower:  # neighbours in floating point, or the last value is the top
        return upper if n_below < len(values) else never
    return middle


def _untied(values: Floats, n_below: float) -> int:
    """The number nearest to n_below at which the values may be cut."""
    nearest = min(max(round(n_below), 0), len(values))
    if nearest in (0, len(values)) or values[nearest - 1] < values[nearest]:
        return nearest
    first = int(np.searchsorted(values, values[nearest], side="left"))
    last = int(np.searchsorted(values, values[nearest], side="right"))
    return first if n_below - first <= last - n_below else last
