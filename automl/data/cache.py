"""Cache decoded pixels: every image once per size, in a file that all trials and processes map into memory.

The files may be deleted at any time; they are then built again.
See also: automl.files.decoding decodes a file.
"""

from __future__ import annotations

import math
import os
import secrets
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.artifacts import compute_digest
from automl.data.competition import Competition
from automl.data.mapped_files import build_header, count_array_bytes, hold_lock, sync_folder, write_at
from automl.errors import DataError, StorageError, join_names
from automl.files.addresses import list_source_files
from automl.files.decoding import decode_image, read_size

Split = Literal["train", "test"]
Progress = Callable[[int, int], None]

RULES = "1"  # raise it when decoding or resizing changes, so that old files are built again
HEADROOM = 1.15  # cached side / trained side, room for random crops
USUAL_CROP_PCT = 0.875  # trained side / cached side where images are not averaged; of most of timm's backbones
SAMPLED_SIZES = 200
SHARP_DRAFT = 2  # a JPEG is decoded at half its size or less where that leaves so many times the side
CHUNK = 32  # images per task of a thread

AREA, BICUBIC = "area", "bicubic"  # squares for images that are averaged over areas, and squares for all others


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

    def get_cached_side(self, image_size: int, *, interpolation: str = AREA, crop_pct: float = 1.0) -> int:
        """Return the side C of the cached squares that serve models of that image size.

        It leaves room for random crops, and for a middle of that part of the side, unless the images have no more
        pixels than the model asks for. The middle that most backbones are evaluated on needs no second resize.
        """
        if self.short_side <= image_size:
            return image_size
        if interpolation == AREA:
            return math.ceil(max(HEADROOM * image_size, round(image_size / crop_pct)) / 8) * 8
        return round(image_size / min(crop_pct, USUAL_CROP_PCT))

    def load_pixels(
        self,
        split: Split,
        image_size: int,
        *,
        interpolation: str = AREA,
        crop_pct: float = 1.0,
        n_threads: int = 1,
        on_progress: Progress | None = None,
    ) -> NDArray[np.uint8]:
        """Return read-only pixels (n, C, C, 3) in the competition's order, memory-mapped from the file.

        One process builds the file; others wait for it. Unreadable test images are zeros.

        Args:
            interpolation, crop_pct: of the images that are predicted; one file serves all interpolations but "area".
            on_progress: called from this thread with (images done, images), now and then; while another process builds,
                with 0 done.

        Raises:
            DataError: images are missing or unreadable; it names all of them at once.
            StorageError: the cache cannot be written.
        """
        paths = self._list_paths(split)
        side = self.get_cached_side(image_size, interpolation=interpolation, crop_pct=crop_pct)
        decoded = AREA if interpolation == AREA else BICUBIC
        name = f"{split}-{side}-" if decoded == AREA else f"{split}-{side}-{decoded}-"
        target = self.folder / f"{name}{self.compute_fingerprint(split)}.npy"
        report = on_progress or (lambda done, total: None)
        shape = (len(paths), side, side, 3)
        memmap = _load_memmap(target, shape)
        if memmap is not None:
            return memmap
        with _raise_storage_errors(target), hold_lock(target.with_suffix(".lock"), lambda: report(0, len(paths))):
            memmap = _load_memmap(target, shape)
            if memmap is None:
                _build(target, paths, _Squares(side, decoded), n_threads=n_threads, report=report)
                memmap = _load_memmap(target, shape)
        if memmap is None:
            raise StorageError(f"{target} cannot be read back", hint="delete the cache folder and run again")
        return memmap

    def count_images(self, split: Split) -> int:
        """Count the images of a split, unreadable test images with them."""
        return len(self._list_paths(split))

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
def _raise_storage_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="free some space or fix the permissions, then run the same command again",
        ) from error


@dataclass(frozen=True, slots=True)
class _Squares:
    """Squares of one side in pixels, and how images come to it."""

    side: int
    decoded: str

    def decode(self, path: Path) -> Image.Image:
        """Decode the whole image into a square.

        Pillow's resize averages over the pixels that it leaves out, unlike OpenCV's.
        """
        if self.decoded == AREA:
            return self._resize(decode_image(path, min_side=self.side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        image = decode_image(path, min_side=SHARP_DRAFT * self.side)
        return self._resize(image, Image.Resampling.BICUBIC, reducing_gap=3.0)

    def _resize(self, image: Image.Image, resampling: Image.Resampling, *, reducing_gap: float) -> Image.Image:
        size = (self.side, self.side)
        return image if image.size == size else image.resize(size, resampling, reducing_gap=reducing_gap)


def _build(target: Path, paths: Sequence[Path | None], squares: _Squares, *, n_threads: int, report: Progress) -> None:
    """Decode all images into the target, whole or not at all."""
    for leftover in target.parent.glob(f".{target.name}.tmp.*"):  # of a builder that was killed; we hold its lock
        leftover.unlink(missing_ok=True)
    temporary = target.parent / f".{target.name}.tmp.{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file:
            offset = _allocate(file.fileno(), (len(paths), squares.side, squares.side, 3))
            _decode_all(file.fileno(), offset, paths, squares, n_threads=n_threads, report=report)
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _allocate(descriptor: int, shape: tuple[int, ...]) -> int:
    """Write the header and reserve the rest, so that a full disk is known before hours of decoding; return its end."""
    dtype = np.dtype(np.uint8)
    os.posix_fallocate(descriptor, 0, count_array_bytes(shape, dtype))
    header = build_header(shape, dtype)
    write_at(descriptor, header, 0)
    return len(header)


def _decode_all(
    descriptor: int, offset: int, paths: Sequence[Path | None], squares: _Squares, *, n_threads: int, report: Progress
) -> None:
    row_bytes = squares.side**2 * 3

    def decode_chunk(start: int) -> list[tuple[Path, DataError]]:
        problems = []
        for row, path in enumerate(paths[start : start + CHUNK], start):
            if path is None:  # the file is zeros where nothing is written
                continue
            try:
                square = squares.decode(path)
            except DataError as error:
                problems.append((path, error))
                continue
            write_at(descriptor, square.tobytes(), offset + row * row_bytes)
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


def _require_all_readable(problems: list[tuple[Path, DataError]], n_images: int) -> None:
    if len(problems) == 1:
        raise problems[0][1]
    if problems:
        names = [f"{path.parent.name}/{path.name}" for path, _ in problems]
        raise DataError(
            f"{len(problems)} of {n_images} images cannot be decoded: {join_names(names)}",
            hint="replace these images by whole ones, or remove them and their labels",
        )
