"""Cut points on the expected class number, for classes that have an order.

Not responsible for: applying them (automl.rules.kinds).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.resampling import some_units
from automl.rules.boundaries import boundary
from automl.rules.kinds import CutPointsRule, expected_numbers
from automl.scores.labels import qwk

Floats = NDArray[np.float64]

MAX_ROWS = 20_000  # keeps a search within seconds
FIRST_STEP = 0.2  # classes; QWK is a staircase, on which scipy's own first step of 5 % can stand still


def matched_cut_points(probs: NDArray[Any], prior: Floats) -> CutPointsRule:
    """Cut points under which each class is as frequent in these rows as the prior (n_classes,) says.

    The quantiles of the expected number at the cumulated prior; they depend on the order of the rows alone, so that
    probabilities that are too sure or not sure enough give the same labels.
    """
    numbers = np.sort(expected_numbers(probs))
    n_below = np.cumsum(prior)[:-1] / prior.sum() * len(numbers)
    top = len(prior) - 1.0
    points = [boundary(numbers, wanted, top=top, never=top + 1.0) for wanted in n_below]
    return CutPointsRule(tuple(np.maximum.accumulate(points).tolist()))


def searched_cut_points(
    probs: NDArray[Any], targets: NDArray[Any], start: CutPointsRule, *, seed: int
) -> CutPointsRule:
    """Cut points of the best QWK on these rows, found from others by Nelder and Mead's simplex.

    Source: the "OptimizedRounder" of Kaggle's PetFinder and APTOS 2019 solutions, there from 0.5, 1.5, 2.5, 3.5.
    """
    from scipy.optimize import minimize  # here, because it takes half a second to load

    rows = some_units(len(targets), None, n_rows=MAX_ROWS, seed=seed)
    numbers, truth = expected_numbers(probs)[rows], targets[rows]
    first = np.asarray(start.cut_points)
    simplex = np.vstack([first, first + FIRST_STEP * np.eye(len(first))])
    found = minimize(
        lambda points: -qwk(truth, np.searchsorted(np.sort(points), numbers, side="right")),
        first,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": 100 * len(first), "xatol": 1e-3, "fatol": 1e-6},
    )
    return CutPointsRule(tuple(np.sort(found.x).tolist()))
