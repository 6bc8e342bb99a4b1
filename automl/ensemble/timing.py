"""Predicting with a stopwatch, on a fixed number of threads.

Not responsible for: what is predicted (automl.ensemble.looking) or what the time is for (automl.ensemble.budget).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl.errors import UnfitEnvironmentError
from automl.training.inference import BATCH_SIZE, Sights, predict_views


def timed_probs(
    model: nn.Module,
    sights: Sequence[Sights],
    n_images: int,
    *,
    device: str,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[], None] = lambda: None,
) -> tuple[NDArray[np.float32], float]:
    """As `predict_views`, and the seconds per image and view that it took.

    Raises:
        UnfitEnvironmentError: not even one image fits into memory beside the model.
    """
    ends = [time.perf_counter()]

    def note_end() -> None:
        ends.append(time.perf_counter())
        on_batch()

    try:
        probs = predict_views(model, sights, n_images, device=device, batch_size=batch_size, on_batch=note_end)
    except torch.OutOfMemoryError as error:
        raise UnfitEnvironmentError(
            f"the memory of {device} does not hold a network and one image",
            hint="free the device's memory, or leave out that trial",
        ) from error
    return probs, _pace(np.diff(ends), n_images, batch_size) / len(probs)


@contextmanager
def on_threads(n_threads: int) -> Iterator[None]:
    """Torch shares its arithmetic among exactly that many, and afterwards among as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pace(seconds: NDArray[np.float64], n_images: int, batch_size: int) -> float:
    """Seconds per image: the median of the batches, the first of several not among them, as it warms the device up."""
    n_batches = len(seconds)
    sizes = np.full(n_batches, n_images / n_batches)  # where memory ran out
    if n_batches == -(-n_images // batch_size):
        sizes = np.minimum(batch_size, n_images - batch_size * np.arange(n_batches))
    return float(np.median((seconds / sizes)[1 if n_batches > 1 else 0 :]))
