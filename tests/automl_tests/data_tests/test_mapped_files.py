"""Files of arrays: locked by one process at a time, and mapped only where they are whole."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from automl.data.mapped_files import (
    build_header,
    count_array_bytes,
    hold_lock,
    is_file_at,
    map_array,
    try_lock,
    write_at,
)

ARRAY = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def write(path: Path) -> None:
    with path.open("xb") as file:
        header = build_header(ARRAY.shape, ARRAY.dtype)
        write_at(file.fileno(), ARRAY.tobytes(), len(header))
        write_at(file.fileno(), header, 0)


def test_an_array_comes_back_read_only_and_as_numpy_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "a.npy")
    with (tmp_path / "a.npy").open("rb") as file:
        mapped = map_array(file)
    np.testing.assert_array_equal(mapped, ARRAY)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), ARRAY)
    assert not mapped.flags.writeable
    assert (tmp_path / "a.npy").stat().st_size == count_array_bytes(ARRAY.shape, ARRAY.dtype)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_length_is_not_mapped(tmp_path: Path, change: int) -> None:
    write(tmp_path / "a.npy")
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(count_array_bytes(ARRAY.shape, ARRAY.dtype) + change)
        with pytest.raises(ValueError, match="not a whole file"):
            map_array(file)


def test_an_array_of_objects_is_not_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with (tmp_path / "a.npy").open("rb") as file, pytest.raises(ValueError, match="not a whole file"):
        map_array(file)


def test_a_mapped_array_keeps_the_lock_of_its_file(tmp_path: Path) -> None:
    write(tmp_path / "a.npy")
    with (tmp_path / "a.npy").open("rb") as file:
        assert try_lock(file)
        mapped = map_array(file)
    with (tmp_path / "a.npy").open("rb") as other:
        assert not try_lock(other)
        del mapped
        assert try_lock(other)


def test_who_waits_for_a_lock_is_heard_and_gets_it(tmp_path: Path) -> None:
    path, waits, held = tmp_path / "new" / ".lock", list[int](), threading.Event()

    def hold() -> None:
        with hold_lock(path, lambda: waits.append(1)):
            held.set()

    with hold_lock(path, lambda: None):
        other = threading.Thread(target=hold)
        other.start()
        while not waits:
            held.wait(0.01)
        assert not held.is_set()
    other.join(30)
    assert held.is_set()


def test_a_lock_that_was_deleted_is_nobodys(tmp_path: Path) -> None:
    path, again = tmp_path / ".lock", False
    with hold_lock(path, lambda: None), path.open("rb") as file:
        assert is_file_at(path, file)
        path.unlink()
        assert not is_file_at(path, file)
        with hold_lock(path, lambda: None):
            again = True
    assert again
