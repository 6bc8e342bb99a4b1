"""Cross-fitting splits and bootstrap resamples of rows; groups stay whole in both.

See also: automl.data.folds makes the folds of a study.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.multi_output import find_rarest_classes
from automl.target_kinds import find_rarest_labels

Rows = NDArray[np.int64]

N_SPLITS = 5
N_RESAMPLES = 200


def assign_stratified_splits(targets: NDArray[Any], groups: NDArray[Any] | None, *, seed: int) -> Rows:
    """Return the split of each row, 0 to N_SPLITS - 1: stratified by class, each group whole.

    Labels (n, n_classes) count as their rarest one, and so do classes (n, n_heads); values (n, n_targets) as their sum.
    """
    unit_of_row = _number_units(len(targets), groups)
    _, first_rows = np.unique(unit_of_row, return_index=True)
    shuffled = np.random.default_rng(seed).permutation(len(first_rows))
    by_class = shuffled[np.argsort(_stratify(targets)[first_rows][shuffled], kind="stable")]
    split_of_unit = np.empty(len(first_rows), dtype=np.int64)
    split_of_unit[by_class] = np.arange(len(first_rows)) % N_SPLITS
    return split_of_unit[unit_of_row]


def draw_resamples(n: int, groups: NDArray[Any] | None, *, seed: int, n_resamples: int = N_RESAMPLES) -> Iterator[Rows]:
    """Draw bootstrap resamples of n rows, with replacement group by group, each ascending."""
    unit_of_row = _number_units(n, groups)
    n_units = int(unit_of_row.max()) + 1
    rng = np.random.default_rng(seed)
    for _ in range(n_resamples):
        times_drawn = np.bincount(rng.integers(n_units, size=n_units), minlength=n_units)
        yield np.repeat(np.arange(n), times_drawn[unit_of_row])


def sample_rows(n: int, groups: NDArray[Any] | None, *, n_rows: int, seed: int) -> Rows:
    """Sample about n_rows of n rows, in whole groups, ascending; all of them where there are no more."""
    if n <= n_rows:
        return np.arange(n)
    unit_of_row = _number_units(n, groups)
    order = np.random.default_rng(seed).permutation(int(unit_of_row.max()) + 1)
    sizes = np.bincount(unit_of_row)[order]
    chosen = order[: max(1, int(np.searchsorted(np.cumsum(sizes), n_rows, side="right")))]
    rows: Rows = np.flatnonzero(np.isin(unit_of_row, chosen))
    return rows


def sample_matrix_rows(matrix: NDArray[Any], max_cells: int) -> NDArray[np.float64]:
    """Sample the rows of a matrix, always the same ones, up to max_cells cells; at least one."""
    rows = sample_rows(len(matrix), None, n_rows=max(1, max_cells // matrix.shape[1]), seed=0)
    sample = matrix if len(rows) == len(matrix) else matrix[rows]
    return np.asarray(sample, dtype=np.float64)


def _number_units(n: int, groups: NDArray[Any] | None) -> Rows:
    if groups is None:
        return np.arange(n)
    units: Rows = np.unique(groups, return_inverse=True)[1]
    return units


def _stratify(targets: NDArray[Any]) -> NDArray[Any]:
    if targets.ndim == 1:
        return targets
    if np.issubdtype(targets.dtype, np.floating):
        sums: NDArray[Any] = targets.sum(axis=1)
        return sums
    are_indices = targets.max(initial=0) > 1  # of the columns of several heads; labels are 0 and 1
    return find_rarest_classes(targets) if are_indices else find_rarest_labels(targets)
