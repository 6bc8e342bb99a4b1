"""Soft targets that replace or complement the labels: pseudo-labels and distillation, and the part that a fold uses.

Pseudo-labels add test images, each with the ensemble's prediction; distilled targets move the labels of the training
images towards the ensemble's predictions out of fold. No fold ever trains on a row that it validates.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import Arrays, StudyFiles, compute_digest, read_arrays, write_arrays
from automl.data.competition import Competition
from automl.errors import StorageError, UsageError

TARGET_KINDS = ("pseudo", "distilled")
EVERY_FOLD = -1
VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoftTargets:
    """Targets by rows; rows from n on are the test images, n + i is test image i.

    Attributes:
        target_kind: "pseudo" or "distilled".
        rows: (m,) what the targets are for.
        folds: (m,) the one fold that uses it, or EVERY_FOLD for all that train on the row.
        targets: (m, n_classes) float32, in the sense of `Competition.soft_targets`.
    """

    target_kind: str
    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    targets: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldTargets:
    """What one fold trains on where there are soft targets.

    Attributes:
        rows: (n_train,) ascending; from n on they are test images. None is validated by the fold.
        targets: (n + n_test, n_classes); nan in all other rows, so that a leak cannot go unseen.
        labelled: the n + n_test images with what is most probable for each: for class sampling and weights alone.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    labelled: Competition


def select_fold_targets(
    soft_targets: SoftTargets, fold: int, competition: Competition, folds: NDArray[np.int64]
) -> FoldTargets:
    """Select the fold's training rows and soft targets; a row without one keeps its label."""
    n = len(folds)
    is_used = (soft_targets.folds == EVERY_FOLD) | (soft_targets.folds == fold)
    rows, values = soft_targets.rows[is_used], soft_targets.targets[is_used]
    targets = np.full((n + len(competition.test_ids), competition.n_classes), np.nan, dtype=np.float32)
    targets[:n] = competition.soft_targets
    targets[rows] = values
    targets[:n][folds == fold] = np.nan
    trained = np.concatenate([np.flatnonzero(folds != fold), np.sort(rows[rows >= n])])
    labelled = append_test_images(competition, np.nan_to_num(targets))
    return FoldTargets(rows=trained, targets=targets, labelled=labelled)


def append_test_images(competition: Competition, soft_targets: NDArray[np.float32]) -> Competition:
    """Return the training images, and after them the test images, each with its likeliest target.

    It serves to count and to sample images, not to score them. Without groups.

    Args:
        soft_targets: (n + n_test, n_classes) in the sense of `Competition.soft_targets`.
    """
    return replace(
        competition,
        image_ids=(*competition.image_ids, *competition.test_ids),
        image_paths=(*competition.image_paths, *competition.test_paths),
        targets=competition.target_kind.convert_soft_targets(soft_targets, scales=competition.scales),
        groups=None,
    )


def save_soft_targets(
    soft_targets: SoftTargets, study: StudyFiles, competition: Competition, folds: NDArray[np.int64]
) -> Path:
    """Write the soft targets into the study's folder of them; other content has another name."""
    arrays: Arrays = {"rows": soft_targets.rows, "folds": soft_targets.folds, "targets": soft_targets.targets}
    fingerprint = _compute_fingerprint(competition, folds)
    hashed = hashlib.blake2b(fingerprint.encode(), digest_size=8)
    for array in arrays.values():
        hashed.update(np.ascontiguousarray(array).data)
    path = study.soft_targets / f"{soft_targets.target_kind}-{hashed.hexdigest()}.npz"
    write_arrays(path, kind=np.array(soft_targets.target_kind), made_for=np.array(fingerprint), **arrays)
    return path


def load_soft_targets(path: Path, competition: Competition, folds: NDArray[np.int64]) -> SoftTargets:
    """Load the soft targets that `save_soft_targets` wrote for this competition and split.

    Raises:
        UsageError: it was made for other images, labels or folds.
        StorageError: it is missing or damaged.
    """
    try:
        arrays = read_arrays(path)
    except StorageError as error:
        raise StorageError(error.problem, hint="have it made again: automl refit") from error
    if str(arrays.get("made_for")) != _compute_fingerprint(competition, folds):
        raise UsageError(
            f"the soft targets {path.name} were made for other images, labels or folds than those of this study",
            hint="have them made for this study: automl refit",
        )
    if not _is_valid(arrays, competition, folds):
        raise StorageError(
            f"the soft targets {path} are damaged", hint="remove the file, and have it made again: automl refit"
        )
    return SoftTargets(
        target_kind=str(arrays["kind"]),
        rows=arrays["rows"].astype(np.int64),
        folds=arrays["folds"].astype(np.int64),
        targets=arrays["targets"],
    )


def _compute_fingerprint(competition: Competition, folds: NDArray[np.int64]) -> str:
    split = hashlib.blake2b(np.ascontiguousarray(folds, dtype=np.int64).data, digest_size=16).hexdigest()
    return compute_digest([VERSION, competition.fingerprint, *competition.classes, split])


def _is_valid(arrays: Arrays, competition: Competition, folds: NDArray[np.int64]) -> bool:
    """Whether the arrays fit each other and the images, and no fold has two targets for one row."""
    if not {"kind", "rows", "folds", "targets"} <= arrays.keys() or str(arrays["kind"]) not in TARGET_KINDS:
        return False
    rows, used_by, targets = arrays["rows"], arrays["folds"], arrays["targets"]
    are_numbers = rows.dtype.kind == used_by.dtype.kind == "i" and rows.ndim == 1 and rows.shape == used_by.shape
    if not are_numbers or len(rows) == 0 or targets.shape != (len(rows), competition.n_classes):
        return False
    n = len(folds)
    unreadable = n + np.asarray(competition.unreadable_test, dtype=np.int64)
    exist = rows.min() >= 0 and rows.max() < n + len(competition.test_ids) and not np.isin(rows, unreadable).any()
    are_folds = used_by.min() >= EVERY_FOLD and used_by.max() <= folds.max()
    once = len(np.unique(np.stack([rows, used_by]), axis=1).T) == len(rows)
    return bool(exist and are_folds and once and _are_soft_targets(targets, competition))


def _are_soft_targets(targets: NDArray[Any], competition: Competition) -> bool:
    if targets.dtype != np.float32 or not np.isfinite(targets).all() or targets.min() < 0 or targets.max() > 1:
        return False
    return competition.target_kind.has_valid_sums(targets)
