"""Class probabilities of cached images: the one path for validation, test-time augmentation and test images.

Not responsible for: the pixels (automl.data.cache) or averaging views and folds (automl.ensemble).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.data.transforms import resize_batch
from automl.training.models import Normalisation
from automl.training.precision import autocast

View = Callable[[Tensor], Tensor]


def predict_probs(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    image_size: int,
    device: str,
    view: View | None = None,
    batch_size: int = 64,
    on_batch: Callable[[], None] | None = None,
) -> NDArray[np.float32]:
    """(len(rows), n_classes) probabilities of pixels[rows], in their order.

    The model is left in evaluation mode.

    Args:
        pixels: (n, C, C, 3) of the cache.
        view: acts on the normalised (B, 3, S, S) batch.
        batch_size: to begin with; where it does not fit into memory it is halved.
    """
    model.eval()
    normalise = Normalisation.of(model)
    done: list[NDArray[np.float32]] = []
    start = 0
    while start < len(rows):
        images = resize_batch(pixels[rows[start : start + batch_size]], image_size)
        try:
            done.append(_probs(model, images, normalise, view, device))
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2
            continue
        start += batch_size
        if on_batch is not None:
            on_batch()
    return np.concatenate(done) if done else np.empty((0, int(model.num_classes)), np.float32)  # type: ignore[arg-type]


@torch.no_grad()  # not inference_mode: what a backbone caches here, its next training step may need
def _probs(
    model: nn.Module, images: NDArray[np.uint8], normalise: Normalisation, view: View | None, device: str
) -> NDArray[np.float32]:
    normalised = normalise(images, device)
    with autocast(device):
        logits = model(normalised if view is None else view(normalised))
    return model.link.probs(logits.float()).cpu().numpy()  # type: ignore[union-attr, operator, no-any-return]
