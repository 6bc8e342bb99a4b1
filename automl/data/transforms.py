"""Augment training images in batches: uint8 in, uint8 out.

See also: automl.data.augmentation defines the policies; normalization happens on the device (automl.training).
"""

from __future__ import annotations

import copy
import os
import queue
import random
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # before the import, which looks online otherwise

import albumentations as A  # noqa: N812
import numpy as np
from numpy.typing import NDArray

from automl.config import AugmentConfig
from automl.data.augmentation import WHOLE_POLICIES, Step, build_augmentation_steps
from automl.data.pixels import Pixels
from automl.data.resize import EvaluationPixels, Images

Rows = NDArray[np.int64]
Batch = tuple[Images, Rows]
BatchSlice = Callable[[int], slice]  # images in a batch -> those of them that are wanted

STREAM_DISTANCE = 0x9E3779B97F4A7C15F39CC0605CEDC835  # 2**128 / golden ratio; source: numpy.random.PCG64.jumped


class Transform:
    """Augment a batch of images and resize it to the model's image size; the same images and seed give the same result.

    What happens to an image depends on the seed and on its place in the batch alone, so that several processes can
    augment a batch in parts.

    Args:
        steps: the last of them that changes the size leads to the evaluation's; without any, images are those that are
            evaluated.
        crops_first: whether the steps are given what the model sees in evaluation alone, instead of the whole squares.
    """

    def __init__(self, steps: list[Step], *, evaluation: EvaluationPixels, crops_first: bool = False) -> None:
        self._pipeline = A.Compose(steps)
        self._evaluation = evaluation
        self._crops_first = crops_first

    def __call__(self, images: Images, *, seed: int, first: int = 0) -> Images:
        """Return augmented images (b, S, S, 3) from (b, C, C, 3); one instance serves one thread at a time.

        Args:
            first: the place in its batch of the first of these images.
        """
        if not self._pipeline.transforms:
            return self._evaluation.resize_batch(images)
        if self._crops_first:
            images = self._evaluation.crop_squares(images)
        # Not set_random_seed: that gives every step the same stream, so that all flipped images, say, lose a patch.
        bits, draws = np.random.PCG64(seed), random.Random()
        self._pipeline.set_random_state(np.random.Generator(bits), draws)
        origin = bits.state
        image_size = self._evaluation.image_size
        augmented = np.empty((len(images), image_size, image_size, 3), dtype=np.uint8)
        for index, image in enumerate(images):
            bits.state = origin  # a fifth of the time that a new generator would take
            bits.advance((first + index) * STREAM_DISTANCE)
            draws.seed(seed + first + index)
            augmented[index] = self._pipeline(image=image)["image"]
        return augmented


def build_transform(
    augment: AugmentConfig, *, evaluation: EvaluationPixels, flips: bool, strength: float = 1.0
) -> Transform:
    """Build the transform of an augmentation policy.

    Args:
        evaluation: of the same images, which policy none trains on.
        flips: whether a mirrored image keeps its label.
        strength: in (0, 1], 1 is the whole policy.
    """
    steps = build_augmentation_steps(augment, image_size=evaluation.image_size, flips=flips, strength=strength)
    return Transform(steps, evaluation=evaluation, crops_first=augment.policy in WHOLE_POLICIES)


def iterate_training_batches(
    pixels: Pixels,
    rows: Rows,
    *,
    batch_size: int,
    transform: Transform,
    seed: int,
    n_threads: int,
    share: BatchSlice = slice,
) -> Iterator[Batch]:
    """Iterate over augmented batches (b, S, S, 3) with their rows (b,), in the order of rows, prefetched by threads.

    Batch i depends on (seed, i) alone, not on n_threads. A last batch of one image joins the batch before it, since
    batch norm cannot train on one.

    Args:
        pixels: (n, C, C, 3), perhaps mapped from a file.
        rows: (n_rows,) shuffled rows of pixels.
        share: of which images the pixels are wanted, by default of all; the rows are always those of the whole batch.
    """
    transforms: queue.SimpleQueue[Transform] = queue.SimpleQueue()
    for _ in range(n_threads):
        transforms.put(copy.deepcopy(transform))

    def prepare(number: int, batch_rows: Rows) -> Batch:
        own = transforms.get()  # never waits: there are as many as threads
        wanted = share(len(batch_rows))
        first, _, _ = wanted.indices(len(batch_rows))
        try:
            return own(pixels[batch_rows[wanted]], seed=_derive_batch_seed(seed, number), first=first), batch_rows
        finally:
            transforms.put(own)

    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="augment")
    ahead: deque[Future[Batch]] = deque()
    try:
        for number, batch_rows in enumerate(split_batches(rows, batch_size)):
            ahead.append(pool.submit(prepare, number, batch_rows))
            if len(ahead) > n_threads + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def split_batches(rows: Rows, batch_size: int) -> list[Rows]:
    """Return the rows of each batch in their order; a last batch of one joins the one before it."""
    bounds = [*range(0, len(rows), batch_size), len(rows)]
    if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
        del bounds[-2]
    return [rows[start:end] for start, end in pairwise(bounds)]


def _derive_batch_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
