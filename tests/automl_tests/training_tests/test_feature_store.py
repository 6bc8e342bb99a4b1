"""The store of features: computed once, whole or not there, below its limit, and deletable at any time."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.training import feature_store
from automl.training.feature_store import BLOCK, FeatureKey, FeatureStore

KEY = FeatureKey(
    backbone="test_resnet.r160_in1k",
    weights="w",
    extractor="own 0",
    image_size=32,
    interpolation="area",
    crop_pct=1.0,
    images="i",
    view="identity",
    precision="cpu None",
    versions="1",
)
N, WIDTH = 2 * BLOCK + 7, 5
FILE_BYTES = 128 + N * WIDTH * 4


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "FREE_PART", 0.0)
    monkeypatch.setattr(feature_store, "FREE_BYTES", 0)


def feature_rows(start: int, end: int) -> NDArray[np.float32]:
    rows = np.arange(start, end, dtype=np.float32)
    return rows[:, None] + np.arange(WIDTH, dtype=np.float32) / 8


class Counted:
    """Computes features, and remembers of which blocks."""

    def __init__(self, *, fail_at: int | None = None, scale: float = 1.0) -> None:
        self.starts: list[int] = []
        self._fail_at, self._scale = fail_at, scale

    def __call__(self, start: int, end: int) -> NDArray[np.float32]:
        assert end - start <= BLOCK
        if start == self._fail_at:
            raise RuntimeError("stopped")
        self.starts.append(start)
        return feature_rows(start, end) * np.float32(self._scale)


def key_of(number: int) -> FeatureKey:
    return replace(KEY, images=str(number))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def count_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_features_are_computed_once_and_mapped_from_then_on(tmp_path: Path) -> None:
    compute = Counted()
    found = FeatureStore(tmp_path / "made").load(KEY, N, compute)
    again = FeatureStore(tmp_path / "made").load(KEY, N, compute)
    assert found is not None
    assert again is not None
    assert compute.starts == [0, BLOCK, 2 * BLOCK]
    np.testing.assert_array_equal(found, feature_rows(0, N))
    np.testing.assert_array_equal(again, found)
    assert isinstance(again.base, np.memmap)
    assert not again.flags.writeable
    assert names_in(tmp_path / "made") == [KEY.file_name]


def test_the_name_of_a_file_says_what_it_is_and_differs_with_every_part_of_the_key() -> None:
    assert KEY.file_name == f"test_resnet.r160_in1k-32-{KEY.digest}.npy"
    assert replace(KEY, backbone="hf-hub:a/b").file_name.startswith("hf_hub_a_b-32-")
    changes = [{field.name: 7 if field.name in ("image_size", "crop_pct") else "other"} for field in fields(KEY)]
    assert len({replace(KEY, **change).digest for change in changes} | {KEY.digest}) == len(changes) + 1


def test_what_was_computed_before_a_failure_is_not_computed_again(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        FeatureStore(tmp_path).load(KEY, N, Counted(fail_at=2 * BLOCK))
    rest = Counted()
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(KEY, N, rest), feature_rows(0, N))
    assert rest.starts == [2 * BLOCK]


BUILDER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, os.getcwd())
from automl.training import feature_store
from tests.automl_tests.training_tests.test_feature_store import KEY, N, Counted
feature_store.FREE_PART, feature_store.FREE_BYTES = 0.0, 0
wait_at, counted = int(sys.argv[2]), Counted()

def compute(start, end):
    print(start, flush=True)
    if start == wait_at:
        time.sleep(float(sys.argv[3]))
    return counted(start, end)

features = feature_store.FeatureStore(Path(sys.argv[1])).load(KEY, N, compute)
print("sum", float(features.sum()), flush=True)
"""


def start_builder(folder: Path, *, wait_at: int, wait_s: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", BUILDER, str(folder), str(wait_at), str(wait_s)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_builder_that_was_killed_leaves_its_blocks_to_the_next(tmp_path: Path) -> None:
    builder = start_builder(tmp_path, wait_at=BLOCK, wait_s=60)
    assert builder.stdout is not None
    assert [builder.stdout.readline().strip() for _ in range(2)] == ["0", str(BLOCK)]
    os.kill(builder.pid, signal.SIGKILL)
    builder.wait()
    assert not (tmp_path / KEY.file_name).exists()
    rest = Counted()
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(KEY, N, rest), feature_rows(0, N))
    assert rest.starts == [BLOCK, 2 * BLOCK]


@pytest.mark.slow
def test_of_two_processes_one_computes_and_the_other_waits(tmp_path: Path) -> None:
    builder = start_builder(tmp_path, wait_at=BLOCK, wait_s=1.0)
    assert builder.stdout is not None
    assert builder.stdout.readline().strip() == "0"
    compute, waits = Counted(), list[int]()
    np.testing.assert_array_equal(
        FeatureStore(tmp_path).load(KEY, N, compute, on_wait=lambda: waits.append(1)), feature_rows(0, N)
    )
    assert compute.starts == []
    assert len(waits) >= 2
    assert f"sum {float(feature_rows(0, N).sum())}" in builder.communicate()[0]


def test_who_waits_may_be_stopped(tmp_path: Path) -> None:
    begun, done = threading.Event(), threading.Event()

    def compute(start: int, end: int) -> NDArray[np.float32]:
        begun.set()
        done.wait(30)
        return feature_rows(start, end)

    builder = threading.Thread(target=lambda: FeatureStore(tmp_path).load(KEY, N, compute))
    builder.start()
    begun.wait(30)

    class StoppedError(Exception):
        pass

    def stop() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        FeatureStore(tmp_path).load(KEY, N, Counted(), on_wait=stop)
    done.set()
    builder.join()


@pytest.mark.parametrize("damage", ["short", "long", "empty", "no header", "other rows"])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, damage: str) -> None:
    assert FeatureStore(tmp_path).load(KEY, N, Counted()) is not None
    path = tmp_path / KEY.file_name
    content = path.read_bytes()
    path.unlink()
    damaged = {"short": content[:-1], "long": content + b"x", "empty": b"", "no header": b"\0" * len(content)}
    if damage == "other rows":
        np.save(path, feature_rows(0, N - 1))
    else:
        path.write_bytes(damaged[damage])
    again = Counted()
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(KEY, N, again), feature_rows(0, N))
    assert again.starts == [0, BLOCK, 2 * BLOCK]


@pytest.mark.parametrize("damage", ["block", "record", "cut", "no record", "other rows"])
def test_blocks_that_are_not_what_was_recorded_are_computed_again(tmp_path: Path, damage: str) -> None:
    store = FeatureStore(tmp_path)
    with pytest.raises(RuntimeError):
        store.load(KEY, N, Counted(fail_at=2 * BLOCK))
    (part,) = tmp_path.glob(".*.partial")
    record = part.with_suffix(".record")
    lines = record.read_text().splitlines()
    if damage == "block":
        with part.open("r+b") as file:
            file.seek(128 + (BLOCK + 3) * WIDTH * 4)
            file.write(b"\xff")
    elif damage == "record":
        record.write_text("\n".join([*lines[:-1], f"{BLOCK} 00000000", ""]))
    elif damage == "cut":
        record.write_text("\n".join([*lines[:-1], lines[-1][:-4]]))
    elif damage == "no record":
        record.unlink()
    n_rows = N + 1 if damage == "other rows" else N
    again = Counted()
    np.testing.assert_array_equal(store.load(KEY, n_rows, again), feature_rows(0, n_rows))
    assert again.starts == ([0, BLOCK, 2 * BLOCK] if damage in ("no record", "other rows") else [BLOCK, 2 * BLOCK])


def test_half_precision_is_stored_where_it_is_asked_for_and_holds_the_values(tmp_path: Path) -> None:
    store, small, large = FeatureStore(tmp_path), Counted(), Counted(scale=200.0)
    half = store.load(KEY, N, small, half=True)
    assert half is not None
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, feature_rows(0, N).astype(np.float16))
    single = store.load(key_of(1), N, large, half=True)  # the first block would fit, the second does not
    assert single is not None
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, feature_rows(0, N) * np.float32(200.0))
    assert large.starts == [0, BLOCK, 0, BLOCK, 2 * BLOCK]
    assert names_in(tmp_path) == sorted([KEY.file_name, key_of(1).file_name])


@pytest.mark.parametrize("value", [np.nan, np.inf, 6.1e4])
def test_what_half_precision_cannot_hold_is_stored_in_single(tmp_path: Path, value: float) -> None:
    found = FeatureStore(tmp_path).load(KEY, 3, lambda start, end: np.full((3, 2), value, np.float32), half=True)
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.full((3, 2), value, np.float32))


def test_maps_keep_their_shape(tmp_path: Path) -> None:
    maps = np.arange(4 * 2 * 3 * 3, dtype=np.float32).reshape(4, 2, 3, 3)
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(KEY, 4, lambda start, end: maps[start:end]), maps)


def limit_of(n_files: float) -> float:
    """In GB: room for so many files, and for one record."""
    return (n_files * FILE_BYTES + 1000) / 1e9


def test_what_was_used_least_recently_makes_room(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, limit_gb=limit_of(2))
    for number in (0, 1):
        assert store.load(key_of(number), N, Counted()) is not None
        os.utime(tmp_path / key_of(number).file_name, (number, number))
    assert store.load(key_of(0), N, Counted()) is not None  # so that 1 is the oldest now
    assert store.load(key_of(2), N, Counted()) is not None
    assert names_in(tmp_path) == sorted(key_of(number).file_name for number in (0, 2))
    assert count_bytes(tmp_path) <= limit_of(2) * 1e9


def test_what_is_in_use_or_being_computed_does_not_make_room(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, limit_gb=limit_of(1))
    used = store.load(KEY, N, Counted())
    assert used is not None
    compute = Counted()
    assert store.load(key_of(1), N, compute) is None
    assert compute.starts == [0]  # how large a row is, is known after the first block
    assert names_in(tmp_path) == [KEY.file_name]
    np.testing.assert_array_equal(used, feature_rows(0, N))
    del used
    gc.collect()
    assert store.load(key_of(1), N, Counted()) is not None
    assert names_in(tmp_path) == [key_of(1).file_name]

    def compute_both(start: int, end: int) -> NDArray[np.float32]:
        if start == BLOCK:
            assert FeatureStore(tmp_path, limit_gb=limit_of(1)).load(key_of(3), N, Counted()) is None
        return feature_rows(start, end)

    assert store.load(key_of(2), N, compute_both) is not None
    assert names_in(tmp_path) == [key_of(2).file_name]


def test_what_was_left_half_computed_makes_room_too(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, limit_gb=limit_of(1))
    with pytest.raises(RuntimeError):
        store.load(KEY, N, Counted(fail_at=BLOCK))
    gc.collect()
    assert store.load(key_of(1), N, Counted()) is not None
    assert names_in(tmp_path) == [key_of(1).file_name]


def test_what_can_never_fit_makes_no_room(tmp_path: Path) -> None:
    assert FeatureStore(tmp_path).load(KEY, N, Counted()) is not None
    assert FeatureStore(tmp_path, limit_gb=limit_of(0.5)).load(key_of(1), N, Counted()) is None
    assert names_in(tmp_path) == [KEY.file_name]


def test_a_limit_of_nothing_stores_and_computes_nothing_and_reads_what_is_there(tmp_path: Path) -> None:
    compute = Counted()
    assert FeatureStore(tmp_path / "none", limit_gb=0).load(KEY, N, compute) is None
    assert compute.starts == []
    assert not (tmp_path / "none").exists()
    assert FeatureStore(tmp_path).load(KEY, N, compute) is not None
    assert FeatureStore(tmp_path, limit_gb=0).load(KEY, N, compute) is not None


def disk_of(free: float, total: float = 1e12) -> Callable[[Path], SimpleNamespace]:
    return lambda path: SimpleNamespace(total=total, free=free)


@pytest.mark.parametrize(
    ("free", "fits"),
    [(1e9 + FILE_BYTES + 1e3, False), (5e10 + FILE_BYTES - 1, False), (5e10 + FILE_BYTES + 1e3, True)],
)
def test_the_disk_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, fits: bool) -> None:
    monkeypatch.setattr(feature_store, "FREE_PART", 0.05)
    monkeypatch.setattr(feature_store, "FREE_BYTES", 10**9)
    monkeypatch.setattr(feature_store.shutil, "disk_usage", disk_of(free))
    assert (FeatureStore(tmp_path).load(KEY, N, Counted()) is not None) == fits


def test_by_default_the_store_takes_half_of_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store.shutil, "disk_usage", disk_of(2 * FILE_BYTES - 2000))
    assert FeatureStore(tmp_path).load(KEY, N, Counted()) is None
    monkeypatch.setattr(feature_store.shutil, "disk_usage", disk_of(2 * FILE_BYTES + 2000))
    assert FeatureStore(tmp_path).load(KEY, N, Counted()) is not None


def test_a_folder_that_cannot_be_written_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    compute = Counted()
    assert FeatureStore(tmp_path / "file" / "features").load(KEY, N, compute) is None
    assert compute.starts == []


def test_a_full_disk_stores_nothing_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_store.os, "posix_fallocate", refuse)
    assert FeatureStore(tmp_path).load(KEY, N, Counted()) is None
    assert names_in(tmp_path) == []


def test_an_error_of_the_computation_is_not_taken_for_one_of_the_disk(tmp_path: Path) -> None:
    def fail(start: int, end: int) -> NDArray[np.float32]:
        raise OSError("an image is gone")

    with pytest.raises(OSError, match="an image is gone"):
        FeatureStore(tmp_path).load(KEY, N, fail)


def test_the_folder_may_be_deleted_while_it_is_used_and_while_it_is_filled(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    store = FeatureStore(folder)
    used = store.load(KEY, N, Counted())
    shutil.rmtree(folder)
    np.testing.assert_array_equal(used, feature_rows(0, N))

    def delete(start: int, end: int) -> NDArray[np.float32]:
        if start == BLOCK:
            shutil.rmtree(folder)
        return feature_rows(start, end)

    np.testing.assert_array_equal(store.load(KEY, N, delete), feature_rows(0, N))
    assert not folder.exists()
    again = Counted()
    np.testing.assert_array_equal(store.load(KEY, N, again), feature_rows(0, N))
    assert again.starts == [0, BLOCK, 2 * BLOCK]


def test_a_file_that_another_process_computes_anew_is_not_renamed_by_the_one_whose_folder_was_deleted(
    tmp_path: Path,
) -> None:
    folder, begun, done = tmp_path / "features", threading.Event(), threading.Event()

    def wait(start: int, end: int) -> NDArray[np.float32]:
        if start == BLOCK:
            begun.set()
            done.wait(30)
        return feature_rows(start, end)

    def delete(start: int, end: int) -> NDArray[np.float32]:
        if start == 2 * BLOCK:
            shutil.rmtree(folder)
            other.start()
            begun.wait(30)
        return feature_rows(start, end)

    other = threading.Thread(target=lambda: FeatureStore(folder).load(KEY, N, wait))
    np.testing.assert_array_equal(FeatureStore(folder).load(KEY, N, delete), feature_rows(0, N))
    assert not (folder / KEY.file_name).exists()
    done.set()
    other.join()
    assert (folder / KEY.file_name).exists()


def test_rows_are_copied_out_of_the_map(tmp_path: Path) -> None:
    features = FeatureStore(tmp_path).load(KEY, N, Counted())
    assert features is not None
    rows = features[np.array([5, 1, 5])]
    assert rows.flags.owndata
    assert rows.flags.writeable
    np.testing.assert_array_equal(rows, feature_rows(0, N)[[5, 1, 5]])
