"""Predictions of a trial's folds, as the search and a refit leave them in files, and whether they fit together.

Not responsible for: the member that they add up to (automl.ensemble.predict).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import Arrays, TrialFiles, read_arrays
from automl.data.competition import Competition
from automl.errors import StorageError
from automl.training.finished import classes_in
from automl.training.models import classes_digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Some folds of a member, from one place.

    Attributes:
        weights: of each fold, whether they are there or not.
        oof: the arrays rows, folds, probs, and perhaps classes.
    """

    oof_file: Path
    test_file: Path
    weights: Mapping[int, Path]
    oof: Arrays
    test: Arrays


def searched_part(files: TrialFiles) -> Part:
    """What the search left of a complete trial.

    Raises:
        StorageError: files are missing or damaged.
    """
    oof, test = read_arrays(files.oof), read_arrays(files.test)
    trained = np.unique(oof["folds"]).tolist() if "folds" in oof else []
    return Part(
        oof_file=files.oof,
        test_file=files.test,
        weights={int(fold): files.weights(int(fold)) for fold in trained},
        oof=oof,
        test=test,
    )


def finished_parts(files: TrialFiles, folds: NDArray[np.int64]) -> list[Part]:
    """The folds that were trained after the search and are finished.

    Raises:
        StorageError: one of their files is damaged.
    """
    parts = []
    for fold in range(int(folds.max()) + 1):
        if not files.fold_oof(fold).exists():
            continue
        oof = read_arrays(files.fold_oof(fold))
        if "rows" in oof:
            oof["folds"] = np.full(oof["rows"].shape, fold)
        part = Part(
            oof_file=files.fold_oof(fold),
            test_file=files.fold_test(fold),
            weights={fold: files.weights(fold)},
            oof=oof,
            test=read_arrays(files.fold_test(fold)),
        )
        parts.append(part)
    return parts


def require_fits(part: Part, competition: Competition, folds: NDArray[np.int64]) -> None:
    """Let a part pass whose rows, folds, classes and test images are those of the competition and the split.

    Raises:
        StorageError: it names the file that is of others.
    """
    classes = classes_digest(competition)
    for path, arrays in ((part.oof_file, part.oof), (part.test_file, part.test)):
        same = classes_in(arrays) in (None, classes)
        _require(same, f"{path} is of other classes, or of another order of them")
    _require(_is_oof_of(part.oof, competition, folds), f"{part.oof_file} is not of this competition and split")
    _require(
        _are_probs(part.test.get("probs"), len(competition.test_ids), competition.n_classes),
        f"{part.test_file} is not of this competition",
    )


def mean_test(parts: Sequence[Part]) -> NDArray[np.float32]:
    """(n_test, n_classes) over the folds of all parts; a fold of several counts in the first."""
    if len(parts) == 1:
        return np.asarray(parts[0].test["probs"], np.float32)
    counted: set[int] = set()
    total: NDArray[np.float64] = np.zeros(parts[0].test["probs"].shape)
    for part in parts:
        total += len(part.weights.keys() - counted) * part.test["probs"].astype(np.float64)
        counted |= part.weights.keys()
    return np.asarray(total / len(counted), np.float32)


def _is_oof_of(oof: Arrays, competition: Competition, folds: NDArray[np.int64]) -> bool:
    rows, own_folds = oof.get("rows"), oof.get("folds")
    if rows is None or own_folds is None or rows.ndim != 1 or rows.dtype.kind != "i" or len(rows) == 0:
        return False
    if rows.min() < 0 or rows.max() >= len(folds) or len(np.unique(rows)) < len(rows):
        return False
    return np.array_equal(folds[rows], own_folds) and _are_probs(oof.get("probs"), len(rows), competition.n_classes)


def _are_probs(probs: NDArray[Any] | None, n_rows: int, n_classes: int) -> bool:
    if probs is None or probs.shape != (n_rows, n_classes) or probs.dtype.kind != "f":
        return False
    return bool(np.isfinite(probs).all() and (probs >= 0).all() and (probs <= 1).all())


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise StorageError(problem, hint="leave this trial out, or run the search again")
