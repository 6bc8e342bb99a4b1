"""Results of a trained fold, its weights and its probabilities; and of a trial once all folds are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from automl.artifacts import Arrays, TrialFiles, read_arrays, write_arrays, write_bytes
from automl.training.checkpoints import EpochRecord, serialize_model
from automl.training.network.create import CLASSES_KEY
from automl.training.network.shared_backbone import BACKBONE_KEY, write_backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """What a fold was trained to.

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


def save_fold(
    files: TrialFiles, fold: int, model: nn.Module, finished: FoldResult, *, backbones: Path | None = None
) -> None:
    """Write weights, test and OOF probabilities; the last file to appear makes the fold a finished one.

    Args:
        backbones: the study's folder of backbones, where the training has not changed the network's.
    """
    save_weights(files.get_weights_path(fold), model, classes=finished.classes, backbones=backbones)
    write_arrays(files.get_fold_test_path(fold), probs=finished.test_probs, **_make_classes_array(finished))
    write_arrays(
        files.get_fold_oof_path(fold),
        rows=finished.rows,
        probs=finished.probs,
        history=np.array([astuple(record) for record in finished.history], dtype=np.float64),
        micro_batch=np.array(finished.micro_batch),
        n_parameters=np.array(finished.n_parameters),
        **_make_classes_array(finished),
    )


def save_weights(path: Path, model: nn.Module, *, classes: str | None = None, backbones: Path | None = None) -> None:
    """Write a network's weights into one file, or those of a shared backbone into a folder of such, once for all.

    Args:
        classes: their fingerprint.
        backbones: the folder, where the training has not changed the network's backbone.
    """
    metadata = {} if classes is None else {CLASSES_KEY: classes}
    if backbones is not None:
        metadata[BACKBONE_KEY] = write_backbone(backbones, model)
    write_bytes(path, serialize_model(model, metadata or None, with_backbone=backbones is None))


def load_fold(files: TrialFiles, fold: int) -> FoldResult | None:
    """Return what `save_fold` wrote, or None where the fold is not finished.

    Raises:
        StorageError: one of its files is damaged.
    """
    if not files.get_fold_oof_path(fold).exists():
        return None
    arrays, test = read_arrays(files.get_fold_oof_path(fold)), read_arrays(files.get_fold_test_path(fold))
    return FoldResult(
        rows=arrays["rows"],
        probs=arrays["probs"],
        test_probs=test["probs"],
        history=[_parse_record(row) for row in arrays["history"]],
        micro_batch=int(arrays["micro_batch"]),
        n_parameters=int(arrays["n_parameters"]),
        classes=read_classes_digest(arrays),
    )


def read_classes_digest(arrays: Arrays) -> str | None:
    """Return the fingerprint of the classes that is among the arrays, or None in files of earlier versions."""
    return str(arrays[CLASSES_KEY]) if CLASSES_KEY in arrays else None


def join_folds(files: TrialFiles, folds: Sequence[FoldResult]) -> None:
    """Write the OOF probabilities of all folds, one after the other, and the mean of their test probabilities."""
    write_arrays(
        files.oof,
        rows=np.concatenate([fold.rows for fold in folds]),
        folds=np.concatenate([np.full(len(fold.rows), number) for number, fold in enumerate(folds)]),
        probs=np.concatenate([fold.probs for fold in folds]),
        **_make_classes_array(folds[0]),
    )
    write_arrays(files.test, probs=average_test_probs(folds), **_make_classes_array(folds[0]))


def average_test_probs(folds: Sequence[FoldResult]) -> NDArray[np.float32]:
    """Return (n_test, n_classes), the mean over the folds."""
    return np.asarray(np.stack([fold.test_probs for fold in folds]).mean(axis=0), dtype=np.float32)


def delete_fold_arrays(files: TrialFiles, n_folds: int) -> None:
    """Delete the arrays of single folds, once they are joined."""
    for fold in range(n_folds):
        files.get_fold_oof_path(fold).unlink(missing_ok=True)
        files.get_fold_test_path(fold).unlink(missing_ok=True)


def _make_classes_array(finished: FoldResult) -> Arrays:
    """Return the fingerprint of its classes as an array."""
    return {} if finished.classes is None else {CLASSES_KEY: np.array(finished.classes)}


def _parse_record(row: NDArray[np.float64]) -> EpochRecord:
    values = dict(zip((field.name for field in fields(EpochRecord)), row.tolist(), strict=True))
    return EpochRecord(epoch=int(values.pop("epoch")), image_size=int(values.pop("image_size")), **values)
