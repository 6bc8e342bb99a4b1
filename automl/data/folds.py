"""Split the training images into stratified, grouped folds, the same for every trial of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl.artifacts import write_table
from automl.data.competition import GROUPED_BY, Competition
from automl.errors import DataError, StorageError, UsageError
from automl.files.tables import read_table
from automl.tasks import Task

N_FOLDS = 5
TRAINING_ONLY = -1  # the fold of an image that is never validated on
HEADER = ("id", "fold")


def make_folds(competition: Competition, *, n_folds: int = N_FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """Return folds (n,), 0 to n_folds - 1, stratified by class, label or range of values; a group has one fold.

    Where an image has one class, a class with fewer members than folds cannot be in all of them: its images, and with
    groups whatever shares a group with them, are TRAINING_ONLY. A class has as many members as it has groups, or
    images where there are no groups, or none but those of duplicates. The labels of multi-label images are spread
    as far as they go, and of values all are validated. The images of a fixed fold are fold 0, and no others.

    Raises:
        DataError: there are too few images, or groups, to fill the folds.
    """
    if competition.fixed_fold is not None:
        return _make_folds_beside_fixed(competition, n_folds, seed)
    _require_enough(competition, n_folds)
    rows = np.flatnonzero(_find_splittable(competition, n_folds))
    if len(rows) == 0:
        raise DataError(
            f"no class has {n_folds} {_name_members(competition)}, one for each fold",
            hint="add images, or leave out rare classes",
        )
    folds = np.full(len(competition.targets), TRAINING_ONLY, dtype=np.int64)
    if competition.groups is None and competition.target_kind.is_single_class:
        # Here, because the process of every trial imports this module, and needs none of scikit-learn.
        from sklearn.model_selection import StratifiedKFold

        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        for fold, (_, validation) in enumerate(splitter.split(rows, competition.targets[rows])):
            folds[rows[validation]] = fold
    else:
        folds[rows] = _stratify(competition, rows, n_folds, seed=seed)
    _require_filled(folds, n_folds)
    return folds


def _make_folds_beside_fixed(competition: Competition, n_folds: int, seed: int) -> NDArray[np.int64]:
    """Return folds (n,) of which 0 are the images of the fixed fold; the others are split into the rest."""
    is_fixed = competition.is_in_fixed_fold
    if is_fixed.all() or not is_fixed.any():
        raise DataError(
            f"the fixed fold {competition.fixed_fold} has {'all' if is_fixed.all() else 'none'} of the images",
            hint="leave --fixed-fold out, or name another folder",
        )
    rows = np.flatnonzero(~is_fixed)
    folds = np.zeros(len(is_fixed), dtype=np.int64)
    if n_folds == 2:
        folds[rows] = 1
        return folds
    others = replace(
        competition,
        image_ids=tuple(competition.image_ids[row] for row in rows),
        image_paths=tuple(competition.image_paths[row] for row in rows),
        targets=competition.targets[rows],
        groups=None if competition.groups is None else competition.groups[rows],
        fixed_fold=None,
    )
    split = make_folds(others, n_folds=n_folds - 1, seed=seed)
    folds[rows] = np.where(split == TRAINING_ONLY, TRAINING_ONLY, split + 1)
    return folds


def find_rare_classes(competition: Competition, folds: NDArray[np.int64]) -> tuple[str, ...]:
    """Return the classes that are never validated on, because they have too few images to split.

    Where an image may have several, those that some fold has no image of.
    """
    if competition.task is Task.REGRESSION:
        return ()
    labels = _get_label_matrix(competition)
    if labels is not None:
        found = [labels[folds == fold].any(axis=0) for fold in range(int(folds.max()) + 1)]
        return tuple(competition.classes[label] for label in np.flatnonzero(~np.all(found, axis=0)))
    validated = set(competition.targets[folds != TRAINING_ONLY].tolist())
    return tuple(name for index, name in enumerate(competition.classes) if index not in validated)


def save_folds(folds: NDArray[np.int64], competition: Competition, path: Path) -> None:
    """Write the folds as CSV with the columns id and fold, atomically."""
    write_table(path, HEADER, zip(competition.image_ids, folds.tolist(), strict=True))


def load_folds(path: Path, competition: Competition) -> NDArray[np.int64]:
    """Return the folds (n,) that `save_folds` wrote for this competition.

    Raises:
        StorageError: the file is missing or damaged.
        UsageError: it was written for other images.
    """
    try:
        table = read_table(path, strict=True)
        folds = np.array([int(fold) for _, fold in table.rows], dtype=np.int64)
    except (DataError, ValueError) as error:
        raise StorageError(
            f"{path} cannot be read: {error}", hint="restore the file, or begin another study with --study"
        ) from error
    if table.header != HEADER or table.get_column(0) != list(competition.image_ids):
        raise UsageError(
            f"the folds are of another competition: {path} has other ids than {competition.root}",
            hint="begin another study with --study",
        )
    return folds


def _require_enough(competition: Competition, n_folds: int) -> None:
    n_members, members = len(competition.image_ids), "images"
    if competition.groups is not None:
        n_members, members = len(np.unique(competition.groups)), "groups"
    if n_members < n_folds:
        raise DataError(
            f"there are {n_members} {members} for {n_folds} folds", hint=f"give at least {n_folds} training {members}"
        )


def _find_splittable(competition: Competition, n_folds: int) -> NDArray[np.bool_]:
    """Return (n,) whether an image's class can be in every fold, and that of every image in its group."""
    targets = competition.targets
    splittable = np.ones(len(targets), dtype=bool)
    if not competition.target_kind.is_single_class:
        return splittable
    groups = np.arange(len(targets)) if competition.groups is None else competition.groups
    while True:
        rare = splittable & ~_has_enough_members(competition, groups, splittable, n_folds)[targets]
        if not rare.any():
            return splittable
        # A rare image takes its whole group along, which may make another class rare.
        splittable &= ~np.isin(groups, groups[rare])


def _has_enough_members(
    competition: Competition, groups: NDArray[np.int64], kept: NDArray[np.bool_], n_folds: int
) -> NDArray[np.bool_]:
    """Return (n_classes,) whether the kept images of a class suffice for all folds."""
    targets = competition.targets[kept]
    members = np.unique(np.stack([targets, groups[kept]]), axis=1)
    n_groups: NDArray[np.int64] = np.bincount(members[0], minlength=competition.n_classes)
    if competition.grouped_by != GROUPED_BY:
        return n_groups >= n_folds
    # A pair of copies should not cost a small class its validation; but what is validated must also be trained.
    n_images = np.bincount(targets, minlength=competition.n_classes)
    return (n_images >= n_folds) & (n_groups >= 2)


def _stratify(competition: Competition, rows: NDArray[np.int64], n_folds: int, *, seed: int) -> NDArray[np.int64]:
    """Return the folds (len(rows),) of these images."""
    groups = rows if competition.groups is None else competition.groups[rows]
    _, units, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    members = _encode_one_hot(units, len(sizes))
    counts = (members.T @ _encode_labels(competition)[rows]).tocsr()
    counts.sum_duplicates()
    return stratify_iteratively(counts, sizes, n_folds, seed=seed)[units]


def _encode_labels(competition: Competition) -> sparse.csr_array:
    """Return (n, n_labels), 1 where an image has the label, or lies in the range of values."""
    labels = _get_label_matrix(competition)
    if labels is not None:
        return sparse.csr_array(labels)
    strata = competition.strata
    return _encode_one_hot(strata, int(strata.max()) + 1)


def _get_label_matrix(competition: Competition) -> NDArray[np.int8] | None:
    """Return (n, n_classes) of 0 and 1 where an image may have several classes, of one head or of several."""
    if competition.task is Task.MULTIOUTPUT:
        return competition.soft_targets.astype(np.int8)
    return competition.targets if competition.task is Task.MULTILABEL else None


def _encode_one_hot(numbers: NDArray[np.int64], n_numbers: int) -> sparse.csr_array:
    rows = np.arange(len(numbers))
    return sparse.csr_array((np.ones(len(rows), dtype=np.int64), (rows, numbers)), shape=(len(rows), n_numbers))


def _require_filled(folds: NDArray[np.int64], n_folds: int) -> None:
    empty = n_folds - len(np.unique(folds[folds != TRAINING_ONLY]))
    if empty:
        raise DataError(
            f"the groups are too uneven for {n_folds} folds: {empty} of them would be empty",
            hint="add images of other groups",
        )


def _name_members(competition: Competition) -> str:
    return "images" if competition.groups is None or competition.grouped_by == GROUPED_BY else "groups"


def stratify_iteratively(
    counts: sparse.csr_array, sizes: NDArray[np.int64], n_folds: int, *, seed: int
) -> NDArray[np.int64]:
    """Return folds (n_units,), 0 to n_folds - 1, as even in each label and in images as one unit at a time can be.

    Groups go first, the largest before the others: each to the fold that lacks most of what it holds, in shares of all
    there is of each label. Single images fill the gaps: always the label with the fewest of them left is next, to
    the folds that lack most of it; images without a label come last.

    Args:
        counts: (n_units, n_labels) how many images of a unit have the label; integers, no cell stored twice.
        sizes: (n_units,) images of each unit.

    Source: single images: iterative stratification, Sechidis, Tsoumakas and Vlahavas 2011, algorithm 1. Groups: largest
    first as in Graham 1969; greatest overlap with what is lacking is least squares, as in scikit-learn's
    StratifiedGroupKFold, without its dense tables.
    """
    rng = np.random.default_rng(seed)
    assigner = _FoldAssigner(counts, sizes, rng.random((len(sizes), n_folds)))
    order_of_units = rng.permutation(len(sizes))
    largest_first = np.lexsort((order_of_units, -sizes))
    for group in largest_first[sizes[largest_first] > 1].tolist():
        assigner.assign_group(group)
    units_of = counts.tocsc()
    while (label := assigner.find_rarest_label()) is not None:
        units = units_of.indices[units_of.indptr[label] : units_of.indptr[label + 1]]
        assigner.assign(units[np.argsort(order_of_units[units])], assigner.lacking[label])
    assigner.assign(np.argsort(order_of_units), assigner.lacking_images)
    return np.array(assigner.folds, dtype=np.int64)


class _FoldAssigner:
    """Assign units to folds, tracking what each fold still lacks.

    Plain lists and integers: a step touches a handful of numbers, which arrays are slow at, and rounding would break
    ties. So that a fair share is an integer, each image counts n_folds.

    Attributes:
        folds: of each unit; -1 before it is assigned.
        lacking: of each label, by fold.
        lacking_images: by fold.
    """

    def __init__(self, counts: sparse.csr_array, sizes: NDArray[np.int64], tie_breakers: NDArray[np.float64]) -> None:
        n_units, n_labels = counts.shape
        self._n_folds = tie_breakers.shape[1]
        self._tie_breakers: list[list[float]] = tie_breakers.tolist()  # decide between folds that lack the same
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

    def find_rarest_label(self) -> int | None:
        """Return the label with the fewest units left, or None where none has any."""
        left = np.flatnonzero(self._units_left)
        return int(left[self._units_left[left].argmin()]) if len(left) else None

    def assign(self, units: NDArray[np.int64], lacking: list[int]) -> None:
        """Assign each unit without a fold to the fold that lacks most; lacking is updated on the way."""
        images, folds = self.lacking_images, range(self._n_folds)
        for unit in units.tolist():
            if self.folds[unit] < 0:
                tie_breakers = self._tie_breakers[unit]
                self._assign_unit(
                    unit, max((lacking[fold], images[fold], tie_breakers[fold], fold) for fold in folds)[-1]
                )

    def assign_group(self, unit: int) -> None:
        """Assign a unit to the fold that lacks most of all that it holds."""
        overlaps = [self._sizes[unit] * lacking / self._n_images for lacking in self.lacking_images]
        for label, count in self._iterate_labels(unit):
            share = count / self._totals[label]
            for fold, lacking in enumerate(self.lacking[label]):
                overlaps[fold] += share * lacking
        tie_breakers = self._tie_breakers[unit]
        self._assign_unit(unit, max((overlaps[fold], tie_breakers[fold], fold) for fold in range(self._n_folds))[-1])

    def _assign_unit(self, unit: int, fold: int) -> None:
        self.folds[unit] = fold
        self.lacking_images[fold] -= self._n_folds * self._sizes[unit]
        for label, count in self._iterate_labels(unit):
            self.lacking[label][fold] -= self._n_folds * count
            self._units_left[label] -= 1

    def _iterate_labels(self, unit: int) -> zip[tuple[int, int]]:
        cells = slice(self._starts[unit], self._starts[unit + 1])
        return zip(self._labels[cells], self._counts[cells], strict=True)
