"""Predict class probabilities of cached images: for validation, test-time augmentation and test images alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.data.pixels import Pixels
from automl.data.resize import EvaluationPixels
from automl.training.network.create import Normalisation
from automl.training.optim.amp import autocast

ViewTransform = Callable[[Tensor], Tensor]
LoadImages = Callable[[int, int], NDArray[np.uint8]]  # from the first image to the one after the last -> (b, S, S, 3)
BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class ImageViews:
    """Images at one size, and the views in which a model predicts them.

    Attributes:
        load: gives the (b, side, side, 3) of a batch.
        views: each acts on the normalised (B, 3, side, side) batch.
    """

    load: LoadImages
    views: Sequence[ViewTransform]


def predict_probs(
    model: nn.Module,
    pixels: Pixels,
    rows: NDArray[np.int64],
    *,
    evaluation: EvaluationPixels,
    device: str,
    view: ViewTransform | None = None,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[], None] | None = None,
) -> NDArray[np.float32]:
    """Predict (len(rows), n_classes) probabilities of pixels[rows], in their order.

    The model is left in evaluation mode.

    Args:
        pixels: (n, C, C, 3) of the cache.
        view: acts on the normalised (B, 3, S, S) batch.
        batch_size: to begin with; where it does not fit into memory it is halved.
    """

    def load(start: int, end: int) -> NDArray[np.uint8]:
        return evaluation.resize_batch(pixels[rows[start:end]])

    image_views = ImageViews(load, [_return_batch if view is None else view])
    probs = predict_views(model, [image_views], len(rows), device=device, batch_size=batch_size, on_batch=on_batch)
    return np.asarray(probs[0], dtype=np.float32)


def predict_views(
    model: nn.Module,
    image_views: Sequence[ImageViews],
    n_images: int,
    *,
    device: str,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[], None] | None = None,
) -> NDArray[np.float32]:
    """Predict (n_views, n_images, n_classes) probabilities of images that are normalised once for all their views.

    What a view gives does not depend on the others. The model is left in evaluation mode.

    Args:
        image_views: the same images at several sizes; the views are theirs, one after the other.
        batch_size: to begin with; where it does not fit into memory it is halved.
    """
    model.eval()
    normalise = Normalisation.from_model(model)
    done: list[NDArray[np.float32]] = []
    start = 0
    while start < n_images:
        end = min(start + batch_size, n_images)
        try:
            done.append(_predict_batch(model, image_views, (start, end), normalise, device))
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2
            continue
        start = end
        if on_batch is not None:
            on_batch()
    if done:
        return np.concatenate(done, axis=1)
    n_views = sum(len(images.views) for images in image_views)
    return np.empty((n_views, 0, int(model.num_classes)), np.float32)  # type: ignore[arg-type]


def _return_batch(batch: Tensor) -> Tensor:
    return batch


@torch.no_grad()  # not inference_mode: what a backbone caches here, its next training step may need
def _predict_batch(
    model: nn.Module, image_views: Sequence[ImageViews], bounds: tuple[int, int], normalise: Normalisation, device: str
) -> NDArray[np.float32]:
    """Predict (n_views, b, n_classes); the device is waited for once."""
    seen = []
    for images in image_views:
        normalised = normalise(images.load(*bounds), device)
        for view in images.views:
            with autocast(device):
                logits = model(view(normalised))
            seen.append(model.output_layer.to_probs(logits.float()))  # type: ignore[union-attr, operator]
    probs: NDArray[np.float32] = torch.stack(seen).cpu().numpy()
    return probs
