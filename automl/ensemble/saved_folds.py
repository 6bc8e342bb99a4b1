"""The files of an ensemble's members: folds of trials, of their refits and of probes, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import Arrays, StudyFiles, TrialFiles, read_arrays
from automl.data.competition import Competition
from automl.ensemble.ensemble_recipe import PROBE
from automl.errors import StorageError
from automl.training.fold_outputs import read_classes_digest
from automl.training.network.create import compute_classes_digest

REFIT = "refit"  # the folder of the folds that complete a searched trial


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedFolds:
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


def get_member_files(files: StudyFiles, number: int, member_kind: str) -> TrialFiles:
    """Return the files of the trial or the probe that a member of that kind comes from."""
    return files.get_probe_files(number) if member_kind == PROBE else files.get_trial_files(number)


def read_search_folds(files: TrialFiles) -> SavedFolds:
    """Read what the search left of a complete trial, or of a finished probe.

    Raises:
        StorageError: files are missing or damaged.
    """
    oof, test = read_arrays(files.oof), read_arrays(files.test)
    trained = np.unique(oof["folds"]).tolist() if "folds" in oof else []
    return SavedFolds(
        oof_file=files.oof,
        test_file=files.test,
        weights={int(fold): files.get_weights_path(int(fold)) for fold in trained},
        oof=oof,
        test=test,
    )


def read_finished_folds(files: TrialFiles, folds: NDArray[np.int64]) -> list[SavedFolds]:
    """Read the folds that were trained after the search and are finished.

    Raises:
        StorageError: one of their files is damaged.
    """
    sources = []
    for fold in range(int(folds.max()) + 1):
        if not files.get_fold_oof_path(fold).exists():
            continue
        oof = read_arrays(files.get_fold_oof_path(fold))
        if "rows" in oof:
            oof["folds"] = np.full(oof["rows"].shape, fold)
        source = SavedFolds(
            oof_file=files.get_fold_oof_path(fold),
            test_file=files.get_fold_test_path(fold),
            weights={fold: files.get_weights_path(fold)},
            oof=oof,
            test=read_arrays(files.get_fold_test_path(fold)),
        )
        sources.append(source)
    return sources


def require_same_competition(source: SavedFolds, competition: Competition, folds: NDArray[np.int64]) -> None:
    """Require rows, folds, classes and test images to be those of the competition and the split.

    Raises:
        StorageError: it names the file that is of others.
    """
    classes = compute_classes_digest(competition)
    for path, arrays in ((source.oof_file, source.oof), (source.test_file, source.test)):
        same = read_classes_digest(arrays) in (None, classes)
        _require(same, f"{path} is of other classes, or of another order of them")
    _require(_is_oof_of(source.oof, competition, folds), f"{source.oof_file} is not of this competition and split")
    _require(
        _are_probs(source.test.get("probs"), len(competition.test_ids), competition.n_classes),
        f"{source.test_file} is not of this competition",
    )


def average_test_probs(sources: Sequence[SavedFolds]) -> NDArray[np.float32]:
    """Average (n_test, n_classes) over the folds of all sources; a fold of several counts in the first."""
    if len(sources) == 1:
        return np.asarray(sources[0].test["probs"], np.float32)
    counted: set[int] = set()
    total: NDArray[np.float64] = np.zeros(sources[0].test["probs"].shape)
    for source in sources:
        total += len(source.weights.keys() - counted) * source.test["probs"].astype(np.float64)
        counted |= source.weights.keys()
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
