"""The cache of predictions gives back what was put, and counts what is damaged or of another shape as absent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import write_arrays
from automl.ensemble.prediction_cache import CachedPrediction, PredictionCache

PROBS = np.random.default_rng(0).dirichlet(np.ones(3), 5).astype(np.float32)


def test_what_was_put_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    PredictionCache(tmp_path / "predictions").put("key", CachedPrediction(PROBS, 0.125))
    found = PredictionCache(tmp_path / "predictions").get("key", (5, 3))
    assert found is not None
    assert np.array_equal(found.probs, PROBS) and found.probs.dtype == np.float32
    assert found.seconds == 0.125


def test_other_keys_and_shapes_are_absent(tmp_path: Path) -> None:
    cache = PredictionCache(tmp_path)
    assert cache.get("key", (5, 3)) is None
    cache.put("key", CachedPrediction(PROBS, 0.125))
    assert cache.get("other", (5, 3)) is None
    assert cache.get("key", (5, 2)) is None
    assert cache.get("key", (4, 3)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-30],
        lambda content: content[:150] + bytes([content[150] ^ 1]) + content[151:],
    ],
)
def test_a_damaged_file_is_absent_and_can_be_put_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cache = PredictionCache(tmp_path)
    cache.put("key", CachedPrediction(PROBS, 0.125))
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("key", (5, 3)) is None
    cache.put("key", CachedPrediction(PROBS, 0.25))
    found = cache.get("key", (5, 3))
    assert found is not None
    assert found.seconds == 0.25


@pytest.mark.parametrize(
    "arrays",
    [
        {"probs": PROBS},
        {"seconds": np.array(0.1)},
        {"probs": PROBS.astype(np.float64), "seconds": np.array(0.1)},
        {"probs": PROBS, "seconds": np.array([0.1])},
    ],
)
def test_a_file_of_another_form_is_absent(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    write_arrays(tmp_path / "key.npz", **arrays)
    assert PredictionCache(tmp_path).get("key", (5, 3)) is None


def test_without_a_folder_nothing_is_cached(tmp_path: Path) -> None:
    cache = PredictionCache(None)
    cache.put("key", CachedPrediction(PROBS, 0.125))
    assert cache.get("key", (5, 3)) is None


def test_a_files_digest_is_computed_again_only_once_the_file_has_changed(tmp_path: Path) -> None:
    path, cache = tmp_path / "fold0.safetensors", PredictionCache(None)
    path.write_bytes(b"weights")
    time_ns = path.stat().st_mtime_ns
    assert cache.compute_file_digest(path) == hashlib.sha256(b"weights").hexdigest()
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(time_ns, time_ns))
    assert cache.compute_file_digest(path) == hashlib.sha256(b"weights").hexdigest()  # the same size and time
    os.utime(path, ns=(time_ns + 1, time_ns + 1))
    assert cache.compute_file_digest(path) == hashlib.sha256(b"WEIGHTS").hexdigest()
    with pytest.raises(FileNotFoundError):
        cache.compute_file_digest(tmp_path / "fold1.safetensors")
