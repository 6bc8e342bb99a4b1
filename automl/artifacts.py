"""The files of a study and of its trials: their names, written atomically, read without pickle.

The only place that knows a file's name or how it is laid out. Not responsible for: what the arrays mean, the SQLite
file's contents (automl.study.study) or the pixel cache's contents (automl.data.cache).
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import secrets
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError, StorageError

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """Where the files of one study lie."""

    root: Path

    @property
    def study_db(self) -> Path:
        return self.root / "study.db"

    @property
    def lock(self) -> Path:
        return self.root / "study.lock"

    @property
    def competition(self) -> Path:
        return self.root / "competition.json"

    @property
    def folds(self) -> Path:
        return self.root / "folds.csv"

    @property
    def train_sizes(self) -> Path:
        """How large the training images' files were when the study was begun."""
        return self.root / "train_sizes.json"

    @property
    def test_sizes(self) -> Path:
        """As train_sizes, of the test images."""
        return self.root / "test_sizes.json"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def trials(self) -> Path:
        return self.root / "trials"

    @property
    def runner(self) -> Path:
        """A runner's own files, of use only while it runs."""
        return self.root / "runner"

    @property
    def submission(self) -> Path:
        return self.root / "submission.csv"

    @property
    def ensemble(self) -> Path:
        return self.root / "ensemble.json"

    @property
    def predictions(self) -> Path:
        """The prediction cache, a folder keyed by content; may be deleted at any time."""
        return self.root / "predictions"

    @property
    def features(self) -> Path:
        """The feature store, a folder keyed by content; may be deleted at any time."""
        return self.root / "features"

    @property
    def backbones(self) -> Path:
        """Weights of backbones that no trial has changed, each written once."""
        return self.root / "backbones"

    @property
    def probes(self) -> Path:
        return self.root / "probes"

    @property
    def current_submission(self) -> Path:
        """What the current submission is made of, and its score."""
        return self.root / "current_submission.json"

    @property
    def refit(self) -> Path:
        """Which trials were chosen to be trained on their remaining folds, and what came of it."""
        return self.root / "refit.json"

    @property
    def soft_targets(self) -> Path:
        """A folder of soft targets: pseudo-labels and targets of distillation."""
        return self.root / "lessons"

    @property
    def kit(self) -> Path:
        """The inference kit, a self-contained folder."""
        return self.root / "kit"

    @property
    def submissions(self) -> Path:
        """The submissions and their scores."""
        return self.root / "submissions.json"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def inspection(self) -> Path:
        """The inspection of the images, as a page."""
        return self.root / "inspect.html"

    @property
    def find_lr(self) -> Path:
        """The last learning-rate range test."""
        return self.root / "find_lr.json"

    @property
    def find_lr_page(self) -> Path:
        return self.root / "find_lr.html"

    @property
    def find_lr_study(self) -> StudyFiles:
        """Temporary study of a learning-rate range test, in place of the study's own files."""
        return StudyFiles(self.root / "find_lr")

    def get_trial_files(self, number: int) -> TrialFiles:
        """Return the files of the trial with Optuna's number."""
        return TrialFiles(self.trials / f"{number:05d}")

    def get_probe_files(self, number: int) -> TrialFiles:
        """Return the files of the probe with that number in the study of probes, laid out as those of a trial."""
        return TrialFiles(self.probes / f"{number:05d}")


@dataclass(frozen=True, slots=True)
class TrialFiles:
    """Where the files of one trial lie; the folder is made by the first write."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def origin(self) -> Path:
        """The initial weights of its training, so that further folds can start from the same."""
        return self.root / "origin.json"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def lock(self) -> Path:
        return self.root / "trial.lock"

    def get_fold_lock_path(self, fold: int) -> Path:
        """Return the path of the lock of a fold that is trained by itself."""
        return self.root / f"fold{fold}.lock"

    @property
    def history(self) -> Path:
        return self.root / "history.csv"

    @property
    def oof(self) -> Path:
        """Arrays rows (n_oof,), folds (n_oof,) and probs (n_oof, n_classes)."""
        return self.root / "oof.npz"

    @property
    def test(self) -> Path:
        """Array probs (n_test, n_classes), the mean over the trained folds."""
        return self.root / "test.npz"

    @property
    def result(self) -> Path:
        """The result of the complete trial; written after everything else."""
        return self.root / "result.json"

    def get_refit_files(self, training_kind: str) -> TrialFiles:
        """Return the files of the folds trained after the search: training kind refit, pseudo or distilled."""
        return TrialFiles(self.root / training_kind)

    def get_weights_path(self, fold: int) -> Path:
        return self.root / f"fold{fold}.safetensors"

    def get_stage_weights_path(self, fold: int, stage: int) -> Path:
        """The weights at the end of a stage (0-based) of the resize schedule that was not the last."""
        return self.root / f"fold{fold}.stage{stage}.safetensors"

    def get_checkpoint_path(self, fold: int) -> Path:
        return self.root / f"fold{fold}.checkpoint"

    def get_previous_checkpoint_path(self, fold: int) -> Path:
        return self.root / f"fold{fold}.checkpoint.previous"

    def get_fold_oof_path(self, fold: int) -> Path:
        """One finished fold's rows and probs, before they are joined in `oof`."""
        return self.root / f"fold{fold}.oof.npz"

    def get_fold_test_path(self, fold: int) -> Path:
        """One finished fold's test probs, before they are joined in `test`."""
        return self.root / f"fold{fold}.test.npz"


def write_bytes(path: Path, content: bytes) -> None:
    """Put content at path, whole or not at all: temporary file, fsync, rename, fsync of the folder.

    Raises:
        StorageError: the disk is full or cannot be written; what was at path before is intact.
    """
    temporary = path.parent / f".{path.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="free some space or fix the permissions, then run the same command again",
        ) from error


def remove_leftovers(files: StudyFiles) -> None:
    """Delete the temporary files that killed processes of this machine left in the study's and its trials' folders."""
    below = (found for part in (files.trials, files.probes) for found in part.rglob("*/"))
    for path in (path for folder in (files.root, files.backbones, *below) for path in folder.glob(".*.tmp.*")):
        pid = path.name.rsplit(".", 2)[-2]
        if pid.isdigit() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def write_json(path: Path, document: object) -> None:
    """Put a JSON document at path, atomically."""
    write_bytes(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the JSON document at path.

    Raises:
        StorageError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _build_unreadable_error(path, error) from error


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Put named arrays at path as .npz, atomically."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def read_arrays(path: Path) -> Arrays:
    """Return the named arrays at path.

    Raises:
        StorageError: the file is missing, damaged, or would need pickle.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _build_unreadable_error(path, error) from error


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Put a CSV file at path, atomically: UTF-8, LF, quoted where needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def delete_checkpoints(files: TrialFiles, fold: int) -> None:
    """Delete a fold's training state; its weights stay."""
    files.get_checkpoint_path(fold).unlink(missing_ok=True)
    files.get_previous_checkpoint_path(fold).unlink(missing_ok=True)


def delete_training_state(files: TrialFiles) -> None:
    """Delete the checkpoints of all folds of a trial that has ended."""
    for path in files.root.glob("fold*.checkpoint*"):
        path.unlink(missing_ok=True)


def delete_weights(files: TrialFiles) -> None:
    """Delete the weights of all folds; scores, history and probabilities stay."""
    for path in files.root.glob("fold*.safetensors"):
        path.unlink(missing_ok=True)


def count_bytes_below(folder: Path) -> int:
    """Return the total size in bytes of the files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def compute_digest(parts: Iterable[str]) -> str:
    """Return a short fingerprint (16 hexadecimal digits) of some texts in order."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return hasher.hexdigest()[:16]


def require_plain_name(name: str, what: str) -> str:
    """Return the name if it is fit to be a folder's name.

    Raises:
        DataError: it is empty, has a slash, or begins with a dot.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise DataError(f"'{name}' cannot name a {what}", hint="use letters, digits, '-', '_' and '.' alone")
    return name


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it belongs to another user
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _build_unreadable_error(path: Path, error: Exception) -> StorageError:
    reason = "it is missing" if isinstance(error, FileNotFoundError) else f"it is damaged ({type(error).__name__})"
    return StorageError(
        f"{path} cannot be read: {reason}", hint="restore the file, or begin another study with --study"
    )
