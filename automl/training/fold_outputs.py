"""What is left of a fold once it is trained: its weights and its probabilities; and of a trial once all folds are.

Not responsible for: the fold's training state (automl.training.checkpoints).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from torch import nn

from automl.artifacts import Arrays, TrialFiles, read_arrays, write_arrays, write_bytes
from automl.training.checkpoints import EpochRecord, model_bytes
from automl.training.network.create import CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedFold:
    """A fold's outcome.

    Attributes:
        rows: (n_valid,) row numbers of its validation images.
        probs: (n_valid, n_classes) out of fold.
        test_probs: (n_test, n_classes).
        micro_batch: how many images passed through the network at once, in the end.
        n_parameters: of the network.
        classes: a fingerprint of the classes in their order; None in files of earlier versions.
    """

    rows: NDArray[np.int64]
    probs: NDArray[np.float32]
    test_probs: NDArray[np.float32]
    history: list[EpochRecord]
    micro_batch: int
    n_parameters: int
    classes: str | None = None


def save_fold(files: TrialFiles, fold: int, model: nn.Module, finished: FinishedFold) -> None:
    """Write weights, test and OOF probabilities; the last file to appear makes the fold a finished one."""
    write_bytes(files.weights(fold), model_bytes(model, {CLASSES: finished.classes} if finished.classes else None))
    write_arrays(files.fold_test(fold), probs=finished.test_probs, **_classes(finished))
    write_arrays(
        files.fold_oof(fold),
        rows=finished.rows,
        probs=finished.probs,
        history=np.array([astuple(record) for record in finished.history], dtype=np.float64),
        micro_batch=np.array(finished.micro_batch),
        n_parameters=np.array(finished.n_parameters),
        **_classes(finished),
    )


def load_fold(files: TrialFiles, fold: int) -> FinishedFold | None:
    """What `save_fold` wrote, or None where the fold is not finished.

    Raises:
        StorageError: one of its files is damaged.
    """
    if not files.fold_oof(fold).exists():
        return None
    arrays, test = read_arrays(files.fold_oof(fold)), read_arrays(files.fold_test(fold))
    return FinishedFold(
        rows=arrays["rows"],
        probs=arrays["probs"],
        test_probs=test["probs"],
        history=[_record(row) for row in arrays["history"]],
        micro_batch=int(arrays["micro_batch"]),
        n_parameters=int(arrays["n_parameters"]),
        classes=classes_in(arrays),
    )


def classes_in(arrays: Arrays) -> str | None:
    """The fingerprint of the classes that was written beside the arrays, or None in files of earlier versions."""
    return str(arrays[CLASSES]) if CLASSES in arrays else None


def join_folds(files: TrialFiles, folds: Sequence[FinishedFold]) -> None:
    """Write the OOF probabilities of all folds, one after the other, and the mean of their test probabilities."""
    write_arrays(
        files.oof,
        rows=np.concatenate([fold.rows for fold in folds]),
        folds=np.concatenate([np.full(len(fold.rows), number) for number, fold in enumerate(folds)]),
        probs=np.concatenate([fold.probs for fold in folds]),
        **_classes(folds[0]),
    )
    write_arrays(files.test, probs=mean_test_probs(folds), **_classes(folds[0]))


def mean_test_probs(folds: Sequence[FinishedFold]) -> NDArray[np.float32]:
    """(n_test, n_classes) over the folds."""
    return np.asarray(np.stack([fold.test_probs for fold in folds]).mean(axis=0), dtype=np.float32)


def delete_fold_arrays(files: TrialFiles, n_folds: int) -> None:
    """Forget the arrays of single folds, once they are joined."""
    for fold in range(n_folds):
        files.fold_oof(fold).unlink(missing_ok=True)
        files.fold_test(fold).unlink(missing_ok=True)


def _classes(finished: FinishedFold) -> Arrays:
    """The fingerprint of its classes, as an array."""
    return {} if finished.classes is None else {CLASSES: np.array(finished.classes)}


def _record(row: NDArray[np.float64]) -> EpochRecord:
    values = dict(zip((field.name for field in fields(EpochRecord)), row.tolist(), strict=True))
    return EpochRecord(epoch=int(values.pop("epoch")), image_size=int(values.pop("image_size")), **values)
