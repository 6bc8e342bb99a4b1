"""One split of the training images into folds, the same for every trial of a study.

Not responsible for: where the file lies (automl.artifacts) or which folds a trial trains (automl.training).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from automl.artifacts import write_table
from automl.data.competition import Competition
from automl.data.tables import read_table
from automl.errors import DataError, StorageError, UsageError

N_FOLDS = 5
TRAINING_ONLY = -1  # the fold of an image that is never validated on
HEADER = ("id", "fold")


def make_folds(competition: Competition, *, n_folds: int = N_FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """(n,) folds 0 to n_folds - 1 with equal shares of each class; images of one group have one fold.

    A class with fewer members than folds cannot be in all of them: its images, and with groups whatever shares a group
    with them, are TRAINING_ONLY. With groups a class has as many members as it has groups.

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
    groups = None if competition.groups is None else competition.groups[rows]
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    for fold, (_, validation) in enumerate(splitter.split(rows, competition.targets[rows], groups)):
        folds[rows[validation]] = fold
    _require_filled(folds, n_folds)
    return folds


def rare_classes(competition: Competition, folds: NDArray[np.int64]) -> tuple[str, ...]:
    """Classes that are never validated on, because they have too few images to split."""
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
    members = competition.image_ids if competition.groups is None else np.unique(competition.groups)
    if len(members) < n_folds:
        raise DataError(
            f"there are {len(members)} {_members(competition)} for {n_folds} folds",
            hint=f"give at least {n_folds} training {_members(competition)}",
        )


def _splittable(competition: Competition, n_folds: int) -> NDArray[np.bool_]:
    """(n,) whether an image's class can be in every fold, and that of every image in its group."""
    targets = competition.targets
    groups = np.arange(len(targets)) if competition.groups is None else competition.groups
    kept = np.ones(len(targets), dtype=bool)
    while True:
        members = np.unique(np.stack([targets[kept], groups[kept]]), axis=1)
        counts = np.bincount(members[0], minlength=competition.n_classes)
        rare = kept & (counts[targets] < n_folds)
        if not rare.any():
            return kept
        # A rare image takes its whole group along, which may make another class rare.
        kept &= ~np.isin(groups, groups[rare])


def _require_filled(folds: NDArray[np.int64], n_folds: int) -> None:
    empty = n_folds - len(np.unique(folds[folds != TRAINING_ONLY]))
    if empty:
        raise DataError(
            f"the groups are too uneven for {n_folds} folds: {empty} of them would be empty",
            hint="add images of other groups",
        )


def _members(competition: Competition) -> str:
    return "images" if competition.groups is None else "groups"
