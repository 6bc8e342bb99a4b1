"""Cache decoded pixels: every image once per size, in a file that all trials and processes map into memory.

The files may be deleted at any time; they are then built again.
See also: automl.files.decoding decodes a file.
"""

from __future__ import annotations

import fcntl
import io
import math
import os
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.artifacts import compute_digest
from automl.data.competition import Competition
from automl.errors import DataError, StorageError, join_names
from automl.files.addresses import list_source_files
from automl.files.decoding import decode_image, read_size

Split = Literal["train", "test"]
Progress = Callable[[int, int], None]

RULES = "1"  # raise it when decoding or resizing changes, so that old files are built again
HEADROOM = 1.15  # cached side / trained side, room for random crops
SAMPLED_SIZES = 200
CHUNK = 32  # images per task of a thread
LOCK_POLL_S = 0.2


class PixelCache:
    """Pixels of a competition's images, decoded on first use.

    Args:
        folder: where the files are kept; made on first use.
        short_side: the median of the training images' short sides, where these are not at hand.
    """

    def __init__(self, competition: Competition, folder: Path, short_side: float | None = None) -> None:
        self._competition = competition
        self._short_side = short_side
        self.folder = folder

    @property
    def short_side(self) -> float:
        """Median short side of the training images in pixels; measured once."""
        if self._short_side is None:
            self._short_side = _compute_median_short_side(self._competition.image_paths)
        return self._short_side

    def get_cached_side(self, image_size: int) -> int:
        """Return the side C of the cached squares that serve models of that image size.

        It leaves room for random crops, unless the images have no more pixels than the model asks for.
        """
        if self.short_side <= image_size:
            return image_size
        return math.ceil(HEADROOM * image_size / 8) * 8

    def load_pixels(
        self, split: Split, image_size: int, *, n_threads: int = 1, on_progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """Return read-only pixels (n, C, C, 3) in the competition's order, memory-mapped from the file.

        One process builds the file; others wait for it. Unreadable test images are zeros.

        Args:
            on_progress: called from this thread with (images done, images), now and then; while another process builds,
                with 0 done.

        Raises:
            DataError: images are missing or unreadable; it names all of them at once.
            StorageError: the cache cannot be written.
        """
        paths, side = self._list_paths(split), self.get_cached_side(image_size)
        target = self.folder / f"{split}-{side}-{self.compute_fingerprint(split)}.npy"
        report = on_progress or (lambda done, total: None)
        shape = (len(paths), side, side, 3)
        memmap = _load_memmap(target, shape)
        if memmap is not None:
            return memmap
        with _raise_storage_errors(target), _hold_lock(target, lambda: report(0, len(paths))):
            memmap = _load_memmap(target, shape)
            if memmap is None:
                _build(target, paths, side, n_threads=n_threads, report=report)
                memmap = _load_memmap(target, shape)
        if memmap is None:
            raise StorageError(f"{target} cannot be read back", hint="delete the cache folder and run again")
        return memmap

    def compute_fingerprint(self, split: Split) -> str:
        """Return the fingerprint of the images' names, sizes and modification times.

        Raises:
            DataError: images are missing.
        """
        return compute_images_fingerprint(self._competition.root, self._list_paths(split), rules=RULES)

    def _list_paths(self, split: Split) -> list[Path | None]:
        """Return the path of each image; None for unreadable test images."""
        competition = self._competition
        paths: list[Path | None] = list(competition.image_paths if split == "train" else competition.test_paths)
        for row in competition.unreadable_test if split == "test" else ():
            paths[row] = None
        return paths


def compute_images_fingerprint(root: Path, paths: Sequence[Path | None], *, rules: str) -> str:
    """Return a fingerprint of names, sizes and modification times: a changed image, archive or table has another one.

    Args:
        root: above all paths.
        paths: addresses; None for unreadable images.
        rules: version of what is computed from the images.

    Raises:
        DataError: images are gone; it names some.
    """
    parts, missing = [rules], []
    start = len((root / "x").as_posix()) - 1  # a slice, as Path.relative_to takes seconds for many images
    stamps: dict[Path, str | None] = {}
    for path in paths:
        if path is None:
            parts.append("")
            continue
        files = list_source_files(path)
        for file in files:
            if file not in stamps:
                stamps[file] = _stamp(file)
        stamped = [stamp for file in files if (stamp := stamps[file]) is not None]
        if len(stamped) < len(files):
            missing.append(path)
        parts.append(" ".join([path.as_posix()[start:], *stamped]))
    if missing:
        names = [path.as_posix()[start:] for path in missing]
        raise DataError(
            f"{len(missing)} of {len(paths)} images are gone: {join_names(names)}",
            hint="restore them, or begin another study with --study",
        )
    return compute_digest(parts)


def _stamp(file: Path) -> str | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}"


def _compute_median_short_side(paths: Sequence[Path]) -> float:
    """Return the median of an evenly spaced sample; unreadable images are reported when they are decoded."""
    sides = []
    for path in paths[:: max(1, len(paths) // SAMPLED_SIZES)]:
        with suppress(DataError):
            sides.append(min(read_size(path)))
    return statistics.median(sides) if sides else 0.0


def _load_memmap(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Return the file's array, or None where it is absent or not what it should be."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


@contextmanager
def _hold_lock(target: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the target's lock, which the kernel frees when its holder dies."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(LOCK_POLL_S)
        yield


@contextmanager
def _raise_storage_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="free some space or fix the permissions, then run the same command again",
        ) from error


def _build(target: Path, paths: Sequence[Path | None], side: int, *, n_threads: int, report: Progress) -> None:
    """Decode all images into the target, whole or not at all."""
    for leftover in target.parent.glob(f".{target.name}.tmp.*"):  # of a builder that was killed; we hold its lock
        leftover.unlink(missing_ok=True)
    temporary = target.parent / f".{target.name}.tmp.{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file:
            offset = _allocate(file.fileno(), (len(paths), side, side, 3))
            _decode_all(file.fileno(), offset, paths, side, n_threads=n_threads, report=report)
            os.fsync(file.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _allocate(descriptor: int, shape: tuple[int, ...]) -> int:
    """Write the header and reserve the rest, so that a full disk is known before hours of decoding; return its end."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    os.posix_fallocate(descriptor, 0, header.tell() + math.prod(shape))
    _write_at(descriptor, header.getvalue(), 0)
    return header.tell()


def _decode_all(
    descriptor: int, offset: int, paths: Sequence[Path | None], side: int, *, n_threads: int, report: Progress
) -> None:
    row_bytes = side * side * 3

    def decode_chunk(start: int) -> list[tuple[Path, DataError]]:
        problems = []
        for row, path in enumerate(paths[start : start + CHUNK], start):
            if path is None:  # the file is zeros where nothing is written
                continue
            try:
                square = _decode_square(path, side)
            except DataError as error:
                problems.append((path, error))
                continue
            _write_at(descriptor, square.tobytes(), offset + row * row_bytes)
        return problems

    unreadable: list[tuple[Path, DataError]] = []
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="decode")
    try:
        starts = range(0, len(paths), CHUNK)
        for start, problems in zip(starts, pool.map(decode_chunk, starts), strict=True):
            unreadable += problems
            report(min(start + CHUNK, len(paths)), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    _require_all_readable(unreadable, len(paths))


def _decode_square(path: Path, side: int) -> Image.Image:
    image = decode_image(path, min_side=side)
    if image.size == (side, side):
        return image
    # Pillow's resize averages over the pixels that it leaves out, unlike OpenCV's linear one.
    return image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _require_all_readable(problems: list[tuple[Path, DataError]], n_images: int) -> None:
    if len(problems) == 1:
        raise problems[0][1]
    if problems:
        names = [f"{path.parent.name}/{path.name}" for path, _ in problems]
        raise DataError(
            f"{len(problems)} of {n_images} images cannot be decoded: {join_names(names)}",
            hint="replace these images by whole ones, or remove them and their labels",
        )


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
