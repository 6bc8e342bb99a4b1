"""What a frozen body makes of the images, computed once and kept for the epochs in which the head alone trains.

Not responsible for: when the body is frozen (automl.training.optim.freezing), nor the steps that train the head
(automl.training.training_loop).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.data.pixels import Pixels
from automl.data.resize import resize_batch
from automl.training.network.create import Normalisation
from automl.training.optim.amp import autocast

MEMORY_LIMIT = 2 * 2**30  # bytes of main memory; a laptop has them to spare, and 250 000 vectors of 2048 need them
BATCH_SIZE = 64  # of images, to begin with; as in automl.training.inference


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCache:
    """The features of some images, in the precision in which the body gave them.

    They hold as long as the body's weights do.

    Attributes:
        image_size: at which the body saw the images.
        features: (m, F) or (m, C, H, W) in main memory.
        places: (n,) where in them a row of the pixels is; -1 is nowhere.
        are_pooled: whether the neck has been applied too.
    """

    image_size: int
    device: str
    features: Tensor
    places: NDArray[np.int64]
    are_pooled: bool

    def logits(self, model: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """(len(rows), n_outputs) what neck and head make of the rows' features, in the model's present mode."""
        return self._outputs(model, self._places_of(rows))

    def probs(self, model: nn.Module, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(rows), n_classes) probabilities; the model is left in evaluation mode.

        They equal those of `automl.training.inference.predict_probs` without a view.
        """
        model.eval()
        places = self._places_of(rows)
        done = [self._probs(model, places[start : start + BATCH_SIZE]) for start in range(0, len(places), BATCH_SIZE)]
        return np.concatenate(done) if done else np.empty((0, int(model.num_classes)), np.float32)  # type: ignore[arg-type]

    def _places_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        places = self.places[rows]
        if (places < 0).any():
            raise KeyError(f"row {rows[places < 0][0]} has no cached features")
        return places

    @torch.no_grad()
    def _probs(self, model: nn.Module, places: NDArray[np.int64]) -> NDArray[np.float32]:
        logits = self._outputs(model, places)
        return model.link.probs(logits.float()).cpu().numpy()  # type: ignore[union-attr, operator, no-any-return]

    def _outputs(self, model: nn.Module, places: NDArray[np.int64]) -> Tensor:
        features = self.features[torch.from_numpy(places)].to(self.device)
        with autocast(self.device):
            pooled = features if self.are_pooled else model.get_submodule("neck")(features)
            outputs: Tensor = model.get_submodule("head")(pooled)
        return outputs


def cache_features(
    model: nn.Module,
    pixels: Pixels,
    rows: NDArray[np.int64],
    *,
    image_size: int,
    device: str,
    on_batch: Callable[[], None] | None = None,
) -> FeatureCache | None:
    """The features of pixels[rows], resized alone, or None where they would take more than MEMORY_LIMIT.

    The body computes them in evaluation mode, and is left in it. A neck without parameters is applied too, so that
    pooled vectors are kept instead of maps.
    Source: Chollet 2017, Deep Learning with Python, section 5.3.1 (fast feature extraction without augmentation).

    Args:
        pixels: (n, C, C, 3) of the cache.
        on_batch: called after each batch.
    """
    rows = np.unique(rows)
    neck = model.get_submodule("neck")
    are_pooled = not [*neck.parameters(), *neck.buffers()]
    model.get_submodule("body").eval()
    features = _filled(
        lambda batch: _computed(model, resize_batch(pixels[batch], image_size), device, pooled=are_pooled),
        rows,
        on_batch,
    )
    if features is None:
        return None
    places = np.full(len(pixels), -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    return FeatureCache(image_size=image_size, device=device, features=features, places=places, are_pooled=are_pooled)


def _filled(
    compute: Callable[[NDArray[np.int64]], Tensor], rows: NDArray[np.int64], on_batch: Callable[[], None] | None
) -> Tensor | None:
    """What compute makes of all rows, a batch at a time; a batch that does not fit into memory is halved."""
    features: Tensor | None = None
    start, batch_size = 0, BATCH_SIZE
    while start < len(rows):
        try:
            computed = compute(rows[start : start + batch_size])
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2
            continue
        if features is None:
            if computed[0].numel() * computed.element_size() * len(rows) > MEMORY_LIMIT:
                return None
            features = torch.empty((len(rows), *computed.shape[1:]), dtype=computed.dtype)
        features[start : start + batch_size] = computed
        start += batch_size
        if on_batch is not None:
            on_batch()
    return features


@torch.no_grad()
def _computed(model: nn.Module, images: NDArray[np.uint8], device: str, *, pooled: bool) -> Tensor:
    normalised = Normalisation.of(model)(images, device)
    with autocast(device):
        features: Tensor = model.features(normalised)  # type: ignore[operator]
        kept: Tensor = model.get_submodule("neck")(features) if pooled else features
    return kept.cpu()
