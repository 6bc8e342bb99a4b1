"""One split of the training images into folds, the same for every trial of a study.

Not responsible for: where the file lies (automl.artifacts), how images are dealt out evenly
(automl.data.stratification) or which folds a trial trains (automl.training).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl.artifacts import write_table
from automl.data.competition import GROUPED_BY, Competition
from automl.data.stratification import deal_out
from automl.errors import DataError, StorageError, UsageError
from automl.files.tables import read_table
from automl.tasks import Task

N_FOLDS = 5
TRAINING_ONLY = -1  # the fold of an image that is never validated on
HEADER = ("id", "fold")


def make_folds(competition: Competition, *, n_folds: int = N_FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """(n,) folds 0 to n_folds - 1 with equal shares of each class, label or range of values; a group has one fold.

    Where an image has one class, a class with fewer members than folds cannot be in all of them: its images, and with
    groups whatever shares a group with them, are TRAINING_ONLY. A class has as many members as it has groups, or
    images where there are no groups, or none but those of duplicates. The labels of multi-label images are dealt out
    as far as they go, and of values all are validated.

    Raises:
        DataError: there are too few images, or groups, to fill the folds.
    """
    _require_enough(competition, n_folds)
    rows = np.flatnonzero(_splittable(competition, n_folds))
    if len(rows) == 0:
        raise DataError(
            f"no class has {n_folds} {_members(competition)}, one for each fold",
            hint="add images, or leave out rare classes",
        )
    folds = np.full(len(competition.targets), TRAINING_ONLY, dtype=np.int64)
    if competition.groups is None and competition.task.one_class_each:
        # Here, because the process of every trial imports this module, and needs none of scikit-learn.
        from sklearn.model_selection import StratifiedKFold

        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        for fold, (_, validation) in enumerate(splitter.split(rows, competition.targets[rows])):
            folds[rows[validation]] = fold
    else:
        folds[rows] = _dealt(competition, rows, n_folds, seed=seed)
    _require_filled(folds, n_folds)
    return folds


def rare_classes(competition: Competition, folds: NDArray[np.int64]) -> tuple[str, ...]:
    """Classes that are never validated on, because they have too few images to split.

    With MULTILABEL those that some fold has no image of.
    """
    if competition.task is Task.REGRESSION:
        return ()
    if competition.task is Task.MULTILABEL:
        found = [competition.targets[folds == fold].any(axis=0) for fold in range(int(folds.max()) + 1)]
        return tuple(competition.classes[label] for label in np.flatnonzero(~np.all(found, axis=0)))
    validated = set(competition.targets[folds != TRAINING_ONLY].tolist())
    return tuple(name for index, name in enumerate(competition.classes) if index not in validated)


def save_folds(folds: NDArray[np.int64], competition: Competition, path: Path) -> None:
    """Write the folds as CSV with the columns id and fold, atomically."""
    write_table(path, HEADER, zip(competition.image_ids, folds.tolist(), strict=True))


def load_folds(path: Path, competition: Competition) -> NDArray[np.int64]:
    """(n,) the folds that `save_folds` wrote for this competition.

    Raises:
        StorageError: the file is missing or damaged.
        UsageError: it was written for other images.
    """
    try:
        table = read_table(path)
        folds = np.array([int(fold) for _, fold in table.rows], dtype=np.int64)
    except (DataError, ValueError) as error:
        raise StorageError(
            f"{path} cannot be read: {error}", hint="restore the file, or begin another study with --study"
        ) from error
    if table.header != HEADER or table.column(0) != list(competition.image_ids):
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


def _splittable(competition: Competition, n_folds: int) -> NDArray[np.bool_]:
    """(n,) whether an image's class can be in every fold, and that of every image in its group."""
    targets = competition.targets
    kept = np.ones(len(targets), dtype=bool)
    if not competition.task.one_class_each:
        return kept
    groups = np.arange(len(targets)) if competition.groups is None else competition.groups
    while True:
        rare = kept & ~_spread_enough(competition, groups, kept, n_folds)[targets]
        if not rare.any():
            return kept
        # A rare image takes its whole group along, which may make another class rare.
        kept &= ~np.isin(groups, groups[rare])


def _spread_enough(
    competition: Competition, groups: NDArray[np.int64], kept: NDArray[np.bool_], n_folds: int
) -> NDArray[np.bool_]:
    """(n_classes,) whether the kept images of a class suffice for all folds."""
    targets = competition.targets[kept]
    members = np.unique(np.stack([targets, groups[kept]]), axis=1)
    n_groups: NDArray[np.int64] = np.bincount(members[0], minlength=competition.n_classes)
    if competition.grouped_by != GROUPED_BY:
        return n_groups >= n_folds
    # A pair of copies should not cost a small class its validation; but what is validated must also be trained.
    n_images = np.bincount(targets, minlength=competition.n_classes)
    return (n_images >= n_folds) & (n_groups >= 2)


def _dealt(competition: Competition, rows: NDArray[np.int64], n_folds: int, *, seed: int) -> NDArray[np.int64]:
    """(len(rows),) folds of these images."""
    groups = rows if competition.groups is None else competition.groups[rows]
    _, units, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    members = _one_hot(units, len(sizes))
    counts = (members.T @ _labels(competition)[rows]).tocsr()
    counts.sum_duplicates()
    return deal_out(counts, sizes, n_folds, seed=seed)[units]


def _labels(competition: Competition) -> sparse.csr_array:
    """(n, n_labels) 1 where an image has the label, or lies in the range of values."""
    if competition.task is Task.MULTILABEL:
        return sparse.csr_array(competition.targets)
    strata = competition.strata
    return _one_hot(strata, int(strata.max()) + 1)


def _one_hot(numbers: NDArray[np.int64], n_numbers: int) -> sparse.csr_array:
    rows = np.arange(len(numbers))
    return sparse.csr_array((np.ones(len(rows), dtype=np.int64), (rows, numbers)), shape=(len(rows), n_numbers))


def _require_filled(folds: NDArray[np.int64], n_folds: int) -> None:
    empty = n_folds - len(np.unique(folds[folds != TRAINING_ONLY]))
    if empty:
        raise DataError(
            f"the groups are too uneven for {n_folds} folds: {empty} of them would be empty",
            hint="add images of other groups",
        )


def _members(competition: Competition) -> str:
    return "images" if competition.groups is None or competition.grouped_by == GROUPED_BY else "groups"
