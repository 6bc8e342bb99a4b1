"""Lessons: targets that trials are trained on in place of their labels, or beside them, and what a fold takes of one.

A lesson of pseudo-labels adds test images, each with what an ensemble says of it; a distilled one moves the labels of
the training images towards what an ensemble says of them out of fold. No fold ever trains on a row that it validates.
Not responsible for: what the targets are (automl.distillation.soft_labels), or how they are trained on
(automl.training.batches).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import Arrays, StudyFiles, digest_of, read_arrays, write_arrays
from automl.data.competition import Competition
from automl.errors import StorageError, UsageError
from automl.tasks import Task

KINDS = ("pseudo", "distilled")
EVERY_FOLD = -1
SUM_TOLERANCE = 1e-3  # of shares in float32
VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """Targets by rows; rows from n on are the test images, n + i is test image i.

    Attributes:
        kind: "pseudo" or "distilled".
        rows: (m,) what the targets are for.
        folds: (m,) the one fold that hears of it, or EVERY_FOLD for all that train on the row.
        targets: (m, n_classes) float32, shares in the sense of `Competition.shares`.
    """

    kind: str
    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    targets: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taught:
    """What one fold trains on, by a lesson.

    Attributes:
        rows: (n_train,) ascending; from n on they are test images. None is validated by the fold.
        targets: (n + n_test, n_classes) shares; nan in all other rows, so that hearing of one cannot go unseen.
        labelled: the n + n_test images with what is most probable for each: for class sampling and weights alone.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    labelled: Competition


def taught(lesson: Lesson, fold: int, competition: Competition, folds: NDArray[np.int64]) -> Taught:
    """The fold's own training rows and what the lesson tells this fold; a row that it does not name keeps its label."""
    n = len(folds)
    heard = (lesson.folds == EVERY_FOLD) | (lesson.folds == fold)
    rows, told = lesson.rows[heard], lesson.targets[heard]
    targets = np.full((n + len(competition.test_ids), competition.n_classes), np.nan, dtype=np.float32)
    targets[:n] = competition.shares
    targets[rows] = told
    targets[:n][folds == fold] = np.nan
    trained = np.concatenate([np.flatnonzero(folds != fold), np.sort(rows[rows >= n])])
    labelled = with_test_images(competition, np.nan_to_num(targets))
    return Taught(rows=trained, targets=targets, labelled=labelled)


def with_test_images(competition: Competition, shares: NDArray[np.float32]) -> Competition:
    """The training images, and after them the test images, each with the target that its shares make likeliest.

    It serves to count and to sample images, not to score them. Without groups.

    Args:
        shares: (n + n_test, n_classes) in the sense of `Competition.shares`.
    """
    return replace(
        competition,
        image_ids=(*competition.image_ids, *competition.test_ids),
        image_paths=(*competition.image_paths, *competition.test_paths),
        targets=_likeliest(competition, shares),
        groups=None,
    )


def save_lesson(lesson: Lesson, study: StudyFiles, competition: Competition, folds: NDArray[np.int64]) -> Path:
    """Write the lesson into the study's folder of lessons; a lesson of other content has another name."""
    arrays: Arrays = {"rows": lesson.rows, "folds": lesson.folds, "targets": lesson.targets}
    made_for = _made_for(competition, folds)
    hashed = hashlib.blake2b(made_for.encode(), digest_size=8)
    for array in arrays.values():
        hashed.update(np.ascontiguousarray(array).data)
    path = study.lessons / f"{lesson.kind}-{hashed.hexdigest()}.npz"
    write_arrays(path, kind=np.array(lesson.kind), made_for=np.array(made_for), **arrays)
    return path


def read_lesson(path: Path, competition: Competition, folds: NDArray[np.int64]) -> Lesson:
    """The lesson that `save_lesson` wrote for this competition and split.

    Raises:
        UsageError: it was made for other images, labels or folds.
        StorageError: it is missing or damaged.
    """
    try:
        arrays = read_arrays(path)
    except StorageError as error:
        raise StorageError(error.problem, hint="have it made again: automl refit") from error
    if str(arrays.get("made_for")) != _made_for(competition, folds):
        raise UsageError(
            f"the lesson {path.name} was made for other images, labels or folds than those of this study",
            hint="have one made for this study: automl refit",
        )
    if not _is_whole(arrays, competition, folds):
        raise StorageError(f"the lesson {path} is damaged", hint="remove it, and have it made again: automl refit")
    return Lesson(
        kind=str(arrays["kind"]),
        rows=arrays["rows"].astype(np.int64),
        folds=arrays["folds"].astype(np.int64),
        targets=arrays["targets"],
    )


def _likeliest(competition: Competition, shares: NDArray[np.float32]) -> NDArray[Any]:
    """Targets in the competition's form: the first of the likeliest classes, labels from one half on, or values."""
    if competition.task.one_class_each:
        classes: NDArray[np.int64] = shares.argmax(axis=1)
        return classes
    if competition.task is Task.MULTILABEL:
        return (shares >= 0.5).astype(np.int8)
    low, high = np.asarray(competition.scales, dtype=np.float64).T
    values: NDArray[np.float64] = low + shares * (high - low)
    return values


def _made_for(competition: Competition, folds: NDArray[np.int64]) -> str:
    split = hashlib.blake2b(np.ascontiguousarray(folds, dtype=np.int64).data, digest_size=16).hexdigest()
    return digest_of([VERSION, competition.fingerprint, *competition.classes, split])


def _is_whole(arrays: Arrays, competition: Competition, folds: NDArray[np.int64]) -> bool:
    """Whether the arrays fit each other and the images, and no row is told twice to one fold."""
    if not {"kind", "rows", "folds", "targets"} <= arrays.keys() or str(arrays["kind"]) not in KINDS:
        return False
    rows, heard_by, targets = arrays["rows"], arrays["folds"], arrays["targets"]
    are_numbers = rows.dtype.kind == heard_by.dtype.kind == "i" and rows.ndim == 1 and rows.shape == heard_by.shape
    if not are_numbers or len(rows) == 0 or targets.shape != (len(rows), competition.n_classes):
        return False
    n = len(folds)
    unreadable = n + np.asarray(competition.unreadable_test, dtype=np.int64)
    exist = rows.min() >= 0 and rows.max() < n + len(competition.test_ids) and not np.isin(rows, unreadable).any()
    are_heard = heard_by.min() >= EVERY_FOLD and heard_by.max() <= folds.max()
    once = len(np.unique(np.stack([rows, heard_by]), axis=1).T) == len(rows)
    return bool(exist and are_heard and once and _are_shares(targets, competition))


def _are_shares(targets: NDArray[Any], competition: Competition) -> bool:
    if targets.dtype != np.float32 or not np.isfinite(targets).all() or targets.min() < 0 or targets.max() > 1:
        return False
    return not competition.task.one_class_each or bool((abs(targets.sum(axis=1) - 1) <= SUM_TOLERANCE).all())
