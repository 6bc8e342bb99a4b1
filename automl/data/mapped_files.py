"""Files of arrays that one process builds and others wait for, to map them into memory."""

from __future__ import annotations

import fcntl
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

LOCK_POLL_S = 0.2


@contextmanager
def hold_lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at path, which the kernel frees when its holder dies; its folder is made.

    Args:
        on_wait: called now and then while another process holds it.

    Raises:
        OSError: there can be no lock.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if not try_lock(file):
                on_wait()
                time.sleep(LOCK_POLL_S)
            elif is_file_at(path, file):  # otherwise it was deleted while another process held it
                yield
                return


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file against all others, or return False where another process has it locked.

    Raises:
        OSError: it cannot be locked.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_file_at(path: Path, file: BinaryIO) -> bool:
    """Whether the open file is still the one at path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def build_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the beginning of a .npy file of that shape, before its numbers."""
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def count_array_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Count the bytes of a .npy file of that shape, its header with them."""
    return len(build_header(shape, dtype)) + math.prod(shape) * dtype.itemsize


def map_array(file: BinaryIO) -> NDArray[Any]:
    """Map the array of an open .npy file, read-only; its lock, if any, is held as long as the array is there.

    Raises:
        ValueError, EOFError: it is no such file, or its length is another.
        OSError: it cannot be read.
    """
    file.seek(0)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("a .npy file of another version")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran or dtype.hasobject or os.fstat(file.fileno()).st_size != count_array_bytes(shape, dtype):
        raise ValueError("not a whole file of such an array")
    return np.asarray(np.memmap(file, dtype=dtype, mode="r", offset=file.tell(), shape=shape))


def write_at(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of the content at an offset of an open file, whatever part of it a single call writes."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on the disk when it returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
