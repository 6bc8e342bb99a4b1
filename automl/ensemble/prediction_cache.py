"""An on-disk cache of predictions, keyed by what they depend on; the folder may be deleted at any time.

A file that is damaged, or of another shape, counts as absent.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import read_arrays, write_bytes
from automl.errors import StorageError


@dataclass(frozen=True, slots=True, eq=False)
class CachedPrediction:
    """Probabilities (n, n_classes), float32, and the seconds per image that they took; nan where that is not known."""

    probs: NDArray[np.float32]
    seconds: float


@dataclass(frozen=True, slots=True)
class PredictionCache:
    """Predictions by key.

    Attributes:
        folder: made on first use; None to cache nothing.
    """

    folder: Path | None
    _digests: dict[tuple[Path, int, int], str] = field(default_factory=dict)

    def get(self, key: str, shape: tuple[int, int]) -> CachedPrediction | None:
        """Return what was put under the key, or None where it is not there, damaged, or of another shape."""
        if self.folder is None:
            return None
        try:
            arrays = read_arrays(self._get_path(self.folder, key))  # the archive's checksums show damage
        except StorageError:
            return None
        probs, seconds = arrays.get("probs"), arrays.get("seconds")
        if probs is None or seconds is None or probs.shape != shape or probs.dtype != np.float32 or seconds.shape:
            return None
        return CachedPrediction(probs, float(seconds))

    def put(self, key: str, prediction: CachedPrediction) -> None:
        """Write it under the key, atomically.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        if self.folder is None:
            return
        content = io.BytesIO()
        np.savez(
            content, probs=prediction.probs, seconds=np.array(prediction.seconds)
        )  # probabilities are hardly compressed
        write_bytes(self._get_path(self.folder, key), content.getvalue())

    def compute_file_digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's content, read once as long as its size and time of change stay.

        Raises:
            OSError: it cannot be read.
        """
        status = path.stat()
        known = (path, status.st_size, status.st_mtime_ns)
        if known not in self._digests:
            with path.open("rb") as file:
                self._digests[known] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[known]

    def _get_path(self, folder: Path, key: str) -> Path:
        return folder / f"{key}.npz"
