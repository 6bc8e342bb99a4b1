"""Features of a frozen backbone, computed once and cached for the epochs in which the head alone trains."""

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
    """The features of some images, in the precision in which the backbone gave them.

    They hold as long as the backbone's weights do.

    Attributes:
        image_size: at which the backbone saw the images.
        features: (m, F) or (m, C, H, W) in main memory.
        positions: (n,) where in them a row of the pixels is; -1 is nowhere.
        are_pooled: whether the pooling has been applied too.
    """

    image_size: int
    device: str
    features: Tensor
    positions: NDArray[np.int64]
    are_pooled: bool

    def compute_logits(self, model: nn.Module, rows: NDArray[np.int64]) -> Tensor:
        """Compute (len(rows), n_outputs) by pooling and head from the rows' features, in the model's present mode."""
        return self._run_head(model, self._get_positions(rows))

    def predict_probs(self, model: nn.Module, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Predict (len(rows), n_classes) probabilities; the model is left in evaluation mode.

        They equal those of `automl.training.inference.predict_probs` without a view.
        """
        model.eval()
        positions = self._get_positions(rows)
        done = [
            self._predict_batch(model, positions[start : start + BATCH_SIZE])
            for start in range(0, len(positions), BATCH_SIZE)
        ]
        return np.concatenate(done) if done else np.empty((0, int(model.num_classes)), np.float32)  # type: ignore[arg-type]

    def _get_positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        positions = self.positions[rows]
        if (positions < 0).any():
            raise KeyError(f"row {rows[positions < 0][0]} has no cached features")
        return positions

    @torch.no_grad()
    def _predict_batch(self, model: nn.Module, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        logits = self._run_head(model, positions)
        return model.output_layer.to_probs(logits.float()).cpu().numpy()  # type: ignore[union-attr, operator, no-any-return]

    def _run_head(self, model: nn.Module, positions: NDArray[np.int64]) -> Tensor:
        features = self.features[torch.from_numpy(positions)].to(self.device)
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
    """Compute the features of pixels[rows], resized alone, or None where they would take more than MEMORY_LIMIT.

    The backbone computes them in evaluation mode, and is left in it. A pooling without parameters is applied too, so
    that pooled vectors are kept instead of maps.
    Source: Chollet 2017, Deep Learning with Python, section 5.3.1 (fast feature extraction without augmentation).

    Args:
        pixels: (n, C, C, 3) of the cache.
        on_batch: called after each batch.
    """
    rows = np.unique(rows)
    pooling = model.get_submodule("neck")
    are_pooled = not [*pooling.parameters(), *pooling.buffers()]
    model.get_submodule("body").eval()
    features = _fill_features(
        lambda batch: _compute_features(model, resize_batch(pixels[batch], image_size), device, pooled=are_pooled),
        rows,
        on_batch,
    )
    if features is None:
        return None
    positions = np.full(len(pixels), -1, dtype=np.int64)
    positions[rows] = np.arange(len(rows))
    return FeatureCache(
        image_size=image_size, device=device, features=features, positions=positions, are_pooled=are_pooled
    )


def _fill_features(
    compute: Callable[[NDArray[np.int64]], Tensor], rows: NDArray[np.int64], on_batch: Callable[[], None] | None
) -> Tensor | None:
    """Compute all rows, a batch at a time; a batch that does not fit into memory is halved."""
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
def _compute_features(model: nn.Module, images: NDArray[np.uint8], device: str, *, pooled: bool) -> Tensor:
    normalised = Normalisation.from_model(model)(images, device)
    with autocast(device):
        features: Tensor = model.extract_features(normalised)  # type: ignore[operator]
        kept: Tensor = model.get_submodule("neck")(features) if pooled else features
    return kept.cpu()
