"""Files of trained folds: what is written comes back, and folds are joined in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from automl.artifacts import TrialFiles, read_arrays
from automl.errors import StorageError
from automl.training.checkpoints import EpochRecord
from automl.training.fold_outputs import (
    FoldResult,
    average_test_probs,
    delete_fold_arrays,
    join_folds,
    load_fold,
    read_classes_digest,
    save_fold,
)

HISTORY = [
    EpochRecord(
        epoch=epoch, image_size=24, lr=0.1 / 3, train_loss=1 / 7, score=0.5 + epoch, seconds=1.25, images_per_s=48.0
    )
    for epoch in range(2)
]


def result_of(fold: int, *, classes: str | None = "digest") -> FoldResult:
    rng = np.random.default_rng(fold)
    return FoldResult(
        rows=np.arange(fold, 9, 3),
        probs=rng.random((3, 2), dtype=np.float32),
        test_probs=rng.random((4, 2), dtype=np.float32),
        history=HISTORY,
        micro_batch=8,
        n_parameters=6,
        classes=classes,
    )


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    return TrialFiles(tmp_path)


def save(files: TrialFiles, fold: int, result: FoldResult) -> None:
    save_fold(files, fold, nn.Linear(2, 2), result)


@pytest.mark.parametrize("classes", ["digest", None])
def test_a_fold_comes_back_as_it_was(classes: str | None, files: TrialFiles) -> None:
    result = result_of(1, classes=classes)
    save(files, 1, result)
    back = load_fold(files, 1)
    assert back is not None
    assert (back.history, back.micro_batch, back.n_parameters, back.classes) == (HISTORY, 8, 6, classes)
    for name in ("rows", "probs", "test_probs"):
        assert np.array_equal(getattr(back, name), getattr(result, name))
    assert isinstance(back.history[0].epoch, int)
    assert read_classes_digest(read_arrays(files.get_fold_test_path(1))) == classes


def test_a_fold_is_finished_when_its_last_file_is_there(files: TrialFiles) -> None:
    assert load_fold(files, 0) is None
    save(files, 0, result_of(0))
    assert load_fold(files, 1) is None
    files.get_fold_oof_path(0).unlink()
    assert load_fold(files, 0) is None


def test_a_damaged_fold_is_a_storage_error(files: TrialFiles) -> None:
    save(files, 0, result_of(0))
    path = files.get_fold_test_path(0)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StorageError):
        load_fold(files, 0)


def test_joined_folds_follow_each_other_and_their_test_probabilities_are_averaged(files: TrialFiles) -> None:
    folds = [result_of(fold) for fold in range(3)]
    join_folds(files, folds)
    oof, test = read_arrays(files.oof), read_arrays(files.test)
    assert oof["rows"].tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]
    assert oof["folds"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert np.array_equal(oof["probs"][3:6], folds[1].probs)
    assert read_classes_digest(oof) == read_classes_digest(test) == "digest"
    expected = sum(fold.test_probs for fold in folds) / np.float32(3)
    assert np.allclose(test["probs"], expected, rtol=1e-6)
    assert average_test_probs(folds).dtype == np.float32


def test_arrays_of_single_folds_are_deleted_and_weights_stay(files: TrialFiles) -> None:
    for fold in range(2):
        save(files, fold, result_of(fold))
    delete_fold_arrays(files, 3)  # also where a fold has none
    assert {path for path in files.root.iterdir() if path.is_file()} == {
        files.get_weights_path(0),
        files.get_weights_path(1),
    }
