"""Store features of frozen backbones: each computed once, in files that all trials and processes map into memory.

The files may be deleted at any time; they are then computed again. A file is filled in blocks of rows, so that what a
killed process has computed is not computed twice. The folder stays below a limit: what was used least recently goes
first, and where there is no room nothing is stored.
See also: automl.training.feature_cache computes features and names them.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import compute_digest
from automl.data.mapped_files import (
    build_header,
    count_array_bytes,
    hold_lock,
    is_file_at,
    map_array,
    sync_folder,
    try_lock,
    write_at,
)

Features = NDArray[np.float16 | np.float32]  # by rows: (n, F), or maps (n, C, H, W)
Compute = Callable[[int, int], NDArray[np.float32]]  # from the first row to the one after the last -> their features

BLOCK = 256  # rows that are computed, and recorded, together
DEFAULT_LIMIT_GB, DEFAULT_PART = 20.0, 0.5  # the lower of the two, the latter of the disk's free space
FREE_PART, FREE_BYTES = 0.05, 10**9  # of the disk, that the store leaves to others: the larger
LARGEST_HALF = 6e4  # features with larger values are stored in single precision
RECORD_BYTES = 64  # at most, of one block's


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureKey:
    """What features depend on; what differs in any of it is another file.

    Attributes:
        backbone: its name, for whoever looks into the folder.
        weights: fingerprint of its weights.
        extractor: which of its outputs the features are, and how they are pooled.
        image_size, interpolation, crop_pct: of the images that it saw.
        images: fingerprint of their files, and how they are cached.
        view: under which they were seen: "identity" or "mirror".
        precision: kind of device, and the number format in which it computed.
        versions: of the libraries that have a say in the numbers.
    """

    backbone: str
    weights: str
    extractor: str
    image_size: int
    interpolation: str
    crop_pct: float
    images: str
    view: str
    precision: str
    versions: str

    @property
    def digest(self) -> str:
        return compute_digest(map(str, astuple(self)))

    @property
    def file_name(self) -> str:
        """Such as tf_efficientnet_lite0-224-0123456789abcdef.npy."""
        return f"{re.sub(r'[^A-Za-z0-9._]', '_', self.backbone)[:80]}-{self.image_size}-{self.digest}.npy"


class FeatureStore:
    """Features by key, in a folder of bounded size.

    Args:
        folder: made on first use.
        limit_gb: of all its files; None is half of what is free on the disk, and 20 at most; 0 stores nothing.
    """

    def __init__(self, folder: Path, *, limit_gb: float | None = None) -> None:
        self.folder = folder
        self._limit_gb = limit_gb

    def load(
        self,
        key: FeatureKey,
        n_rows: int,
        compute: Compute,
        *,
        half: bool = False,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Features | None:
        """Return read-only features (n_rows, ...), memory-mapped; None where the store has no room for them.

        One process computes them, block after block, from where a killed one stopped; others wait for it. As long as
        the array is there, its file is in use, and makes no room for others.

        Args:
            n_rows: at least 1.
            compute: features of the rows from the first number to the one before the second.
            half: whether half precision is stored, where all values fit into it.
            on_wait: called now and then while another process computes them.
        """
        target = self.folder / key.file_name
        features = _map_file(target, n_rows)
        if features is not None or self._limit_gb == 0:
            return features
        try:
            with _hold_lock(target, on_wait):
                features = _map_file(target, n_rows)
                return self._build(target, n_rows, compute, half=half) if features is None else features
        except _NotStored:
            return None

    def _build(self, target: Path, n_rows: int, compute: Compute, *, half: bool) -> Features:
        """Compute what is missing of the target; the caller holds its lock."""
        partial, first = _PartialFile.resume(target, n_rows), None
        if partial is None:
            first = compute(0, min(BLOCK, n_rows))
            dtype = np.float16 if half and _fits_half(first) else np.float32
            partial = self._begin(target, (n_rows, *first.shape[1:]), np.dtype(dtype))
        try:
            return _fill(partial, compute, first)
        except _OutOfRange:
            return _fill(self._begin(target, partial.shape, np.dtype(np.float32)), compute)

    def _begin(self, target: Path, shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> _PartialFile:
        """Make room for a file, and reserve it.

        Raises:
            _NotStored: there is no room, or the disk cannot be written.
        """
        with _hold_lock(self.folder / "store", lambda: None), _convert_errors():
            _delete(_get_partial_path(target))
            self._make_room(count_array_bytes(shape, dtype) + RECORD_BYTES * (2 + shape[0] // BLOCK))
            return _PartialFile.create(target, shape, dtype)

    def _make_room(self, n_bytes: int) -> None:
        """Delete what was used least recently, as far as it must; nothing where that does not help."""
        files, disk = _list_files(self.folder), shutil.disk_usage(self.folder)
        used = sum(file.st_size for file in files.values())
        reserve = max(FREE_PART * disk.total, FREE_BYTES)
        lacking = max(used + n_bytes - self._compute_limit(used, disk.free), n_bytes + reserve - disk.free)
        removable = [path for path in files if path.suffix in (".npy", ".partial")]
        with ExitStack() as claims:
            claimed: list[Path] = []
            for path in sorted(removable, key=lambda path: files[path].st_mtime):
                if lacking > 0 and (file := _claim(path)) is not None:
                    claims.enter_context(file)
                    claimed.append(path)
                    lacking -= files[path].st_size
            if lacking > 0:
                raise _NotStored
            for path in claimed:
                _delete(path)

    def _compute_limit(self, used: int, free: int) -> float:
        if self._limit_gb is not None:
            return self._limit_gb * 1e9
        return min(DEFAULT_LIMIT_GB * 1e9, DEFAULT_PART * (free + used))


class _NotStored(Exception):  # noqa: N818 - an outcome, not an error
    """The store has no room, or its disk cannot be read or written."""


class _OutOfRange(Exception):  # noqa: N818 - an outcome, not an error
    """Half precision cannot hold the features."""


class _PartialFile:
    """A file of features that is being computed, and beside it the record of its blocks.

    Its header is written last: without it, it is no file of features. A block counts as computed where it has the
    checksum of its record, whatever a crash has left of either.
    """

    def __init__(self, target: Path, shape: tuple[int, ...], dtype: np.dtype[np.floating], *, mode: str) -> None:
        """Open the file, so that nobody else deletes it.

        Raises:
            OSError: it cannot be opened, or somebody is about to delete it.
        """
        self.shape = shape
        self._target, self._path, self._dtype = target, _get_partial_path(target), dtype
        self._header = build_header(shape, dtype)
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._computed: set[int] = set()
        self._file: BinaryIO = self._path.open(f"{mode}+b", buffering=0)  # type: ignore[assignment]
        self._record: BinaryIO | None = None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._record = _get_record_path(target).open("ab", buffering=0)
        except OSError:
            self.close()
            raise

    @classmethod
    def create(cls, target: Path, shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> _PartialFile:
        """Reserve the file's bytes, so that a full disk is known before hours of computing."""
        partial = cls(target, shape, dtype, mode="x")
        try:
            os.posix_fallocate(partial._file.fileno(), 0, count_array_bytes(shape, dtype))
            partial._write_record(json.dumps({"shape": shape, "dtype": dtype.name}))
        except OSError:
            partial.close()
            _delete(_get_partial_path(target))
            raise
        return partial

    @classmethod
    def resume(cls, target: Path, n_rows: int) -> _PartialFile | None:
        """Open what a killed process has left of the file; None where it is of no use."""
        try:
            lines = _get_record_path(target).read_text().splitlines()
            document = json.loads(lines[0])
            shape, dtype = tuple(document["shape"]), np.dtype(document["dtype"])
            partial = cls(target, shape, dtype, mode="r")
            partial._computed = {
                start for start, checksum in map(_parse_line, lines[1:]) if partial._has(start, checksum)
            }
        except (OSError, ValueError, IndexError, KeyError, TypeError):
            return None
        return partial if shape[0] == n_rows else None

    @property
    def missing(self) -> Sequence[int]:
        """The first rows of the blocks that are not computed yet."""
        return [start for start in range(0, self.shape[0], BLOCK) if start not in self._computed]

    def write(self, start: int, block: NDArray[np.float32]) -> None:
        """Keep the features of the rows from start.

        Raises:
            _OutOfRange: half precision cannot hold them.
            _NotStored: the disk cannot be written.
        """
        if self._dtype == np.float16 and not _fits_half(block):
            raise _OutOfRange
        content = np.ascontiguousarray(block, dtype=self._dtype).tobytes()
        with _convert_errors():
            write_at(self._file.fileno(), content, self._get_offset(start))
            self._write_record(f"{start} {_compute_checksum(content)}")

    def finish(self) -> Features:
        """Give the file its header and its name, and map it, even where its folder has been deleted meanwhile."""
        with _convert_errors():
            write_at(self._file.fileno(), self._header, 0)
            os.fsync(self._file.fileno())
            if is_file_at(self._path, self._file):
                self._path.replace(self._target)
                _get_record_path(self._target).unlink(missing_ok=True)
                sync_folder(self._target.parent)
            fcntl.flock(self._file, fcntl.LOCK_SH)
            return map_array(self._file)

    def close(self) -> None:
        """Leave the file as it is, for the next process to go on; what is mapped stays so."""
        self._file.close()
        if self._record is not None:
            self._record.close()

    def _has(self, start: int, checksum: str) -> bool:
        n_rows = min(BLOCK, self.shape[0] - start)
        content = os.pread(self._file.fileno(), max(0, n_rows) * self._row_bytes, self._get_offset(start))
        return _compute_checksum(content) == checksum

    def _get_offset(self, row: int) -> int:
        return len(self._header) + row * self._row_bytes

    def _write_record(self, line: str) -> None:
        assert self._record is not None
        self._record.write(f"{line}\n".encode())


def _fill(partial: _PartialFile, compute: Compute, first: NDArray[np.float32] | None = None) -> Features:
    """Compute the blocks that are missing, but the first where it is known; what is computed when it fails is kept."""
    with closing(partial):
        for start in partial.missing:
            known = first if start == 0 else None
            partial.write(start, compute(start, min(start + BLOCK, partial.shape[0])) if known is None else known)
        return partial.finish()


def _fits_half(block: NDArray[np.float32]) -> bool:
    return bool(np.abs(block).max() <= LARGEST_HALF)  # False for nan


def _map_file(path: Path, n_rows: int) -> Features | None:
    """Return the features of a whole file, which is in use now; None where it is absent or not what it should be."""
    try:
        with path.open("rb") as file:
            features = map_array(file)
            if len(features) != n_rows or features.dtype not in (np.float16, np.float32):
                return None
            with suppress(OSError):
                os.utime(path)
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return features
    except (OSError, ValueError, EOFError):
        return None


def _compute_checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _parse_line(line: str) -> tuple[int, str]:
    """Return the first row of a block and its checksum, such as no block has where the line was cut short."""
    start, _, checksum = line.partition(" ")
    return int(start), checksum


def _get_partial_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _get_record_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.record")


def _list_files(folder: Path) -> dict[Path, os.stat_result]:
    files = {}
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            files[path] = path.stat()
    return files


def _claim(path: Path) -> BinaryIO | None:
    """Open a file that nobody uses or computes, and let nobody begin to; None where somebody does."""
    with suppress(OSError), ExitStack() as opened:
        file = opened.enter_context(path.open("rb"))
        if try_lock(file):
            opened.pop_all()
            return file
    return None


def _delete(path: Path) -> None:
    """Delete a file of features, and where it is a partial one its record."""
    path.unlink(missing_ok=True)
    if path.suffix == ".partial":
        path.with_suffix(".record").unlink(missing_ok=True)


@contextmanager
def _hold_lock(target: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the target's lock.

    Raises:
        _NotStored: there can be none.
    """
    with ExitStack() as held:
        with _convert_errors():
            held.enter_context(hold_lock(target.with_name(f".{target.name}.lock"), on_wait))
        yield


@contextmanager
def _convert_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _NotStored from error
