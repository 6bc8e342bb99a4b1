"""Images at the side that models take, resized once and shared by all models of that size.

Threads read and resize some batches ahead, so that no device waits for them.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from automl.data.resize import EvaluationPixels, Images

Scalar = TypeVar("Scalar", bound=np.generic)

SMALL = 2**28  # bytes of a set that stays in memory; a larger one goes to a file
IN_MEMORY = 2**30  # bytes of all sets in memory at once
MAPPED = 4  # sets in files at once: two image sizes and their wide ones
KEPT = 24  # sets at once: five folds of two image sizes and their wide ones


@dataclass(slots=True, kw_only=True, eq=False)
class ResizedImages:
    """(n_rows, side, side, 3) of some rows of the pixels, in batches.

    Attributes:
        evaluation: how they come to their side.
        kept: (n_rows, side, side, 3) where resized images stay; None where they are read as they are, or where there is
            no room for them.
        batch_size: no batch that is asked for reaches over a multiple of it.
    """

    pixels: Images
    rows: NDArray[np.int64]
    evaluation: EvaluationPixels
    kept: Images | None
    batch_size: int
    pool: ThreadPoolExecutor
    n_ahead: int
    _resized: set[int] = field(default_factory=set)
    _ahead: dict[int, Future[Images]] = field(default_factory=dict)

    def get_batch(self, start: int, end: int) -> Images:
        """Return the images from the start-th of the rows to before the end-th; the batches after them are begun."""
        number, n_batches = start // self.batch_size, -(-len(self.rows) // self.batch_size)
        wanted = range(number, min(number + 1 + self.n_ahead, n_batches))
        self._cancel(self._ahead.keys() - wanted)
        for later in wanted:
            if later not in self._ahead:
                self._ahead[later] = self.pool.submit(self._resize_batch, later)
        first = number * self.batch_size
        return self._ahead[number].result()[start - first : end - first]

    def cancel(self) -> None:
        """Cancel what was begun ahead."""
        self._cancel(set(self._ahead))

    @property
    def bytes_in_memory(self) -> int:
        """Of the resized images; 0 where they are in a file."""
        return 0 if self.kept is None or self.in_file else self.kept.nbytes

    @property
    def in_file(self) -> bool:
        """Whether the resized images are in a file."""
        return isinstance(self.kept, np.memmap)

    def _cancel(self, numbers: set[int]) -> None:
        for number in numbers:
            self._ahead.pop(number).cancel()

    def _resize_batch(self, number: int) -> Images:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        if self.kept is not None and number in self._resized:
            return np.array(self.kept[part]) if self.in_file else self.kept[part]  # here the disk is waited for
        images = self.pixels[self.rows[part]]
        if self.kept is None:
            return self.evaluation.resize_batch(images)
        resized = self.kept[part]
        self.evaluation.resize_into(resized, images)
        self._resized.add(number)
        return resized


class ResizedImageStore:
    """The resized images that were used lately.

    Args:
        folder: for what does not fit into memory; the files have no name and go with this process.
        n_threads: that read and resize.
    """

    def __init__(self, folder: Path, *, batch_size: int, n_threads: int) -> None:
        self._folder, self._batch_size, self._n_threads = folder, batch_size, n_threads
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="resize")
        self._sets: dict[tuple[str, EvaluationPixels, bytes], ResizedImages] = {}  # the latest used is the last

    def get(self, name: str, pixels: Images, rows: NDArray[np.int64], evaluation: EvaluationPixels) -> ResizedImages:
        """Return the rows of the pixels as they are evaluated.

        Args:
            name: unlike that of any other pixels.
        """
        side = evaluation.image_size
        key = (name, evaluation, rows.tobytes())
        found = self._sets.pop(key, None)
        if found is None:
            shape = (len(rows), side, side, 3)
            found = ResizedImages(
                pixels=pixels,
                rows=rows,
                evaluation=evaluation,
                kept=None if pixels.shape[1] == side else self._allocate(shape),
                batch_size=self._batch_size,
                pool=self._pool,
                n_ahead=self._n_threads + 1,
            )
        self._sets[key] = found
        return found

    def _allocate(self, shape: tuple[int, ...]) -> Images | None:
        """An array for that many images, in memory or in a file; None where neither has room."""
        n_bytes = math.prod(shape)
        self._drop_oldest(lambda kept: len(kept) >= KEPT)
        if n_bytes <= SMALL:
            self._drop_oldest(lambda kept: sum(images.bytes_in_memory for images in kept) + n_bytes > IN_MEMORY)
            return np.empty(shape, np.uint8)
        self._drop_oldest(lambda kept: sum(images.in_file for images in kept) >= MAPPED)
        return map_scratch_file(self._folder, shape, np.uint8)

    def _drop_oldest(self, too_many: Callable[[list[ResizedImages]], bool]) -> None:
        while self._sets and too_many(list(self._sets.values())):
            self._sets.pop(next(iter(self._sets))).cancel()


def map_scratch_file(folder: Path, shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar] | None:
    """Map an array in a new file of the folder, which has no name and goes with the array; None where no room is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
            os.posix_fallocate(file.fileno(), 0, n_bytes)  # a full disk shows here, not as a signal while writing
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError:
        return None
