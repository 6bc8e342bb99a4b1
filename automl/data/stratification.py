"""Units dealt out to folds so that each fold has its share of each label.

A unit is an image, or all images of a group. Not responsible for: what the labels of a competition are, or which
images are not dealt out at all (automl.data.folds).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def deal_out(counts: sparse.csr_array, sizes: NDArray[np.int64], n_folds: int, *, seed: int) -> NDArray[np.int64]:
    """(n_units,) folds 0 to n_folds - 1, as even in each label and in images as one unit at a time can be.

    Groups go first, the largest before the others: each to the fold that lacks most of what it holds, in shares of all
    there is of each label. Single images fill the gaps: always the label with the fewest of them left is dealt next, to
    the folds that lack most of it; images without a label come last.

    Args:
        counts: (n_units, n_labels) how many images of a unit have the label; integers, no cell stored twice.
        sizes: (n_units,) images of each unit.

    Source: single images: iterative stratification, Sechidis, Tsoumakas and Vlahavas 2011, algorithm 1. Groups: largest
    first as in Graham 1969; greatest overlap with what is lacking is least squares, as in scikit-learn's
    StratifiedGroupKFold, without its dense tables.
    """
    rng = np.random.default_rng(seed)
    dealer = _Dealer(counts, sizes, rng.random((len(sizes), n_folds)))
    turns = rng.permutation(len(sizes))
    largest_first = np.lexsort((turns, -sizes))
    for group in largest_first[sizes[largest_first] > 1].tolist():
        dealer.deal_group(group)
    units_of = counts.tocsc()
    while (label := dealer.rarest_label()) is not None:
        units = units_of.indices[units_of.indptr[label] : units_of.indptr[label + 1]]
        dealer.deal(units[np.argsort(turns[units])], dealer.lacking[label])
    dealer.deal(np.argsort(turns), dealer.lacking_images)
    return np.array(dealer.folds, dtype=np.int64)


class _Dealer:
    """What has been dealt, and what each fold still lacks.

    Plain lists and integers: a step touches a handful of numbers, which arrays are slow at, and rounding would break
    ties. So that a fair share is an integer, each image counts n_folds.

    Attributes:
        folds: of each unit; -1 before it is dealt.
        lacking: of each label, by fold.
        lacking_images: by fold.
    """

    def __init__(self, counts: sparse.csr_array, sizes: NDArray[np.int64], whims: NDArray[np.float64]) -> None:
        n_units, n_labels = counts.shape
        self._n_folds = whims.shape[1]
        self._whims: list[list[float]] = whims.tolist()  # decide between folds that lack the same
        self._sizes: list[int] = sizes.tolist()
        self._starts: list[int] = counts.indptr.tolist()
        self._labels: list[int] = counts.indices.tolist()
        self._counts: list[int] = counts.data.tolist()
        self._units_left: NDArray[Any] = np.bincount(counts.indices, minlength=n_labels)
        self._totals: list[int] = counts.sum(axis=0).tolist()
        self._n_images = int(sizes.sum())
        self.folds = [-1] * n_units
        self.lacking = [[total] * self._n_folds for total in self._totals]
        self.lacking_images = [self._n_images] * self._n_folds

    def rarest_label(self) -> int | None:
        """The label with the fewest units left, or None where none has any."""
        left = np.flatnonzero(self._units_left)
        return int(left[self._units_left[left].argmin()]) if len(left) else None

    def deal(self, units: NDArray[np.int64], lacking: list[int]) -> None:
        """Give each of the units that has no fold yet to the fold that lacks most; lacking is updated on the way."""
        images, everywhere = self.lacking_images, range(self._n_folds)
        for unit in units.tolist():
            if self.folds[unit] < 0:
                whims = self._whims[unit]
                self._give(unit, max((lacking[fold], images[fold], whims[fold], fold) for fold in everywhere)[-1])

    def deal_group(self, unit: int) -> None:
        """Give a unit to the fold that lacks most of all that it holds."""
        overlaps = [self._sizes[unit] * lacking / self._n_images for lacking in self.lacking_images]
        for label, count in self._labels_of(unit):
            share = count / self._totals[label]
            for fold, lacking in enumerate(self.lacking[label]):
                overlaps[fold] += share * lacking
        whims = self._whims[unit]
        self._give(unit, max((overlaps[fold], whims[fold], fold) for fold in range(self._n_folds))[-1])

    def _give(self, unit: int, fold: int) -> None:
        self.folds[unit] = fold
        self.lacking_images[fold] -= self._n_folds * self._sizes[unit]
        for label, count in self._labels_of(unit):
            self.lacking[label][fold] -= self._n_folds * count
            self._units_left[label] -= 1

    def _labels_of(self, unit: int) -> zip[tuple[int, int]]:
        cells = slice(self._starts[unit], self._starts[unit + 1])
        return zip(self._labels[cells], self._counts[cells], strict=True)
