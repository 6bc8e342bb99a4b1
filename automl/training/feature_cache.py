"""Features of a frozen backbone: computed once for all trials, folds and epochs in which the head alone trains.

They come from a file of the store that all processes map, or where it has no room from main memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import cv2
import numpy as np
import PIL
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.config import TrialConfig
from automl.data.cache import PixelCache, Progress, Split
from automl.data.pixels import ConcatenatedRows, Pixels
from automl.data.resize import EvaluationPixels
from automl.training.feature_store import FeatureKey, Features, FeatureStore
from automl.training.network.create import Normalisation
from automl.training.network.shared_backbone import compute_backbone_digest
from automl.training.optim.amp import autocast, get_autocast_dtype

MEMORY_LIMIT = 2 * 2**30  # bytes of main memory; a laptop has them to spare, and 250 000 vectors of 2048 need them
BATCH_SIZE = 64  # of images, to begin with; as in automl.training.inference

View = Literal["identity", "mirror"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitImages:
    """Images of one split, loaded only where something has to be computed of them.

    Attributes:
        fingerprint: of their files, and of how they are cached.
        load: gives their pixels (n_images, C, C, 3).
    """

    n_images: int
    fingerprint: str
    load: Callable[[], Pixels]

    @classmethod
    def from_cache(
        cls,
        pixel_cache: PixelCache,
        split: Split,
        evaluation: EvaluationPixels,
        *,
        n_threads: int = 1,
        on_progress: Progress | None = None,
    ) -> SplitImages:
        """Return those of a competition's cache.

        Raises:
            DataError: images are missing.
        """
        size, interpolation, crop_pct = evaluation.image_size, evaluation.interpolation, evaluation.crop_pct
        side = pixel_cache.get_cached_side(size, interpolation=interpolation, crop_pct=crop_pct)
        fingerprint = pixel_cache.compute_fingerprint(split)
        load = partial(
            pixel_cache.load_pixels,
            split,
            size,
            interpolation=interpolation,
            crop_pct=crop_pct,
            n_threads=n_threads,
            on_progress=on_progress,
        )
        return cls(n_images=pixel_cache.count_images(split), fingerprint=f"{fingerprint} {side}", load=load)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCache:
    """The features of some images.

    They hold as long as the backbone's weights do.

    Attributes:
        image_size: at which the backbone saw the images.
        features: (m, F) or (m, C, H, W) by rows: mapped from the store's files, or in main memory.
        positions: (n,) where in them a row of the pixels is, -1 is nowhere; None is where it is in the pixels.
        are_pooled: whether the pooling has been applied too.
    """

    image_size: int
    device: str
    features: Features | ConcatenatedRows
    positions: NDArray[np.int64] | None
    are_pooled: bool

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """Return the features (len(rows), ...) of the rows."""
        return self.features[self._get_positions(rows)]

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
        if self.positions is None:
            return rows
        positions = self.positions[rows]
        if (positions < 0).any():
            raise KeyError(f"row {rows[positions < 0][0]} has no cached features")
        return positions

    @torch.no_grad()
    def _predict_batch(self, model: nn.Module, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        logits = self._run_head(model, positions)
        return model.output_layer.to_probs(logits.float()).cpu().numpy()  # type: ignore[union-attr, operator, no-any-return]

    def _run_head(self, model: nn.Module, positions: NDArray[np.int64]) -> Tensor:
        features = torch.from_numpy(self.features[positions]).to(self.device).float()
        with autocast(self.device):
            pooled = features if self.are_pooled else model.get_submodule("neck")(features)
            outputs: Tensor = model.get_submodule("head")(pooled)
        return outputs


def load_features(
    network: nn.Module,
    config: TrialConfig,
    images: SplitImages,
    *,
    image_size: int,
    device: str,
    store: FeatureStore | None,
    view: View = "identity",
    backbone_digest: str | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> Features | None:
    """Load the features of a split's images, computed now if nobody has needed them before.

    The backbone computes them in evaluation mode, and is left in it. A pooling without parameters is applied too, so
    that vectors (n, F) are kept instead of maps (n, C, H, W).
    Source: Chollet 2017, Deep Learning with Python, section 5.3.1 (fast feature extraction without augmentation).

    Args:
        network: of the configuration, on the device.
        view: of the normalised images: as they are, or mirrored.
        backbone_digest: of the network, where it is known.
        on_batch: called after each batch, and while another process computes them.

    Returns:
        read-only, mapped from the store's file or, where the store has no room, in main memory; None where they would
        take more of it than MEMORY_LIMIT.
    """
    evaluation = EvaluationPixels.from_config(config, image_size)
    extraction = _Extraction(network, evaluation, device, view=view, on_batch=on_batch)
    if images.n_images == 0:
        return extraction.compute_none()
    if store is not None:
        digest = backbone_digest or compute_backbone_digest(network)
        stored = _load_stored(extraction, config, images, store, digest)
        if stored is not None:
            return stored
    return _compute_in_memory(extraction, images.load(), np.arange(images.n_images))


def find_stored_features(
    network: nn.Module,
    config: TrialConfig,
    images: SplitImages,
    *,
    image_size: int,
    device: str,
    store: FeatureStore,
    view: View,
    backbone_digest: str,
) -> Features | None:
    """Find the features of a split's images that `load_features` has left in the store; None where it has not.

    Nothing is computed.
    """
    evaluation = EvaluationPixels.from_config(config, image_size)
    extraction = _Extraction(network, evaluation, device, view=view, on_batch=lambda: None)
    return _load_stored(extraction, config, images, FeatureStore(store.folder, limit_gb=0), backbone_digest)


def cache_features(
    network: nn.Module,
    config: TrialConfig,
    splits: Sequence[SplitImages],
    rows: NDArray[np.int64],
    *,
    load_pixels: Callable[[], Pixels] | None,
    image_size: int,
    device: str,
    store: FeatureStore | None = None,
    backbone_digest: str | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> FeatureCache | None:
    """Load the features of these rows, of whole splits from the store or else in memory as `load_features` has them.

    Args:
        splits: one, or two whose rows follow each other; none where the store is not to be asked.
        load_pixels: gives the pixels (n, C, C, 3) of all splits, for what the store has no room for; None where it
            alone is to be asked.

    Returns:
        None where the features would take more than MEMORY_LIMIT, or the store alone was asked and has no room.
    """
    evaluation = EvaluationPixels.from_config(config, image_size)
    extraction = _Extraction(network, evaluation, device, view="identity", on_batch=on_batch)
    complete = partial(FeatureCache, image_size=image_size, device=device, are_pooled=extraction.are_pooled)
    if store is not None and splits and all(split.n_images > 0 for split in splits):
        digest = backbone_digest or compute_backbone_digest(network)
        stored: list[Features] = []
        for split in splits:
            features = _load_stored(extraction, config, split, store, digest)
            if features is None:
                break
            stored.append(features)
        if len(stored) == len(splits):
            return complete(features=stored[0] if len(stored) == 1 else ConcatenatedRows(*stored), positions=None)
    if load_pixels is None:
        return None
    rows, pixels = np.unique(rows), load_pixels()
    computed = _compute_in_memory(extraction, pixels, rows)
    if computed is None:
        return None
    positions = np.full(len(pixels), -1, dtype=np.int64)
    positions[rows] = np.arange(len(rows))
    return complete(features=computed, positions=positions)


class _Extraction:
    """Computes features of images, a batch at a time; a batch that does not fit into memory is halved for good.

    Attributes:
        are_pooled: whether it applies the pooling too, which has nothing to be trained then.
    """

    def __init__(
        self,
        network: nn.Module,
        evaluation: EvaluationPixels,
        device: str,
        *,
        view: View,
        on_batch: Callable[[], None],
    ) -> None:
        network.get_submodule("body").eval()
        pooling = network.get_submodule("neck")
        self.are_pooled = not [*pooling.parameters(), *pooling.buffers()]
        self.evaluation, self.device, self.view, self.on_batch = evaluation, device, view, on_batch
        self._network = network
        self._batch_size = BATCH_SIZE

    def iterate(self, pixels: Pixels, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the features of batch after batch of rows, and where in rows each begins."""
        start = 0
        while start < len(rows):
            try:
                computed = self._compute(pixels[rows[start : start + self._batch_size]])
            except torch.OutOfMemoryError:
                if self._batch_size == 1:
                    raise
                self._batch_size //= 2
                continue
            yield start, computed
            start += len(computed)
            self.on_batch()

    def compute_none(self) -> NDArray[np.float32]:
        """Return the features of no image."""
        side = self.evaluation.image_size
        return self._compute(np.zeros((1, side, side, 3), np.uint8))[:0]

    @torch.no_grad()
    def _compute(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        normalised = Normalisation.from_model(self._network)(self.evaluation.resize_batch(squares), self.device)
        seen = normalised.flip(-1) if self.view == "mirror" else normalised
        with autocast(self.device):
            features: Tensor = self._network.extract_features(seen)  # type: ignore[operator]
            kept: Tensor = self._network.get_submodule("neck")(features) if self.are_pooled else features
        computed: NDArray[np.float32] = kept.float().cpu().numpy()
        return computed


def _load_stored(
    extraction: _Extraction, config: TrialConfig, images: SplitImages, store: FeatureStore, backbone_digest: str
) -> Features | None:
    load = cache(images.load)

    def compute(start: int, end: int) -> NDArray[np.float32]:
        return np.concatenate([computed for _, computed in extraction.iterate(load(), np.arange(start, end))])

    key = _build_key(extraction, config, images, backbone_digest)
    half = extraction.device.startswith("cuda")
    return store.load(key, images.n_images, compute, half=half, on_wait=extraction.on_batch)


def _build_key(extraction: _Extraction, config: TrialConfig, images: SplitImages, backbone_digest: str) -> FeatureKey:
    model, evaluation, device = config.model, extraction.evaluation, extraction.device
    return FeatureKey(
        backbone=model.backbone,
        weights=backbone_digest,
        extractor=f"{model.pooling if extraction.are_pooled else 'map'} {model.cut}",
        image_size=evaluation.image_size,
        interpolation=evaluation.interpolation,
        crop_pct=evaluation.crop_pct,
        images=images.fingerprint,
        view=extraction.view,
        precision=f"{torch.device(device).type} {get_autocast_dtype(device)}",
        versions=" ".join(library.__version__ for library in (torch, timm, PIL, cv2)),
    )


def _compute_in_memory(extraction: _Extraction, pixels: Pixels, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """Compute the features of the rows, or return None where they would take more than MEMORY_LIMIT."""
    features: NDArray[np.float32] | None = None
    for start, computed in extraction.iterate(pixels, rows):
        if features is None:
            if computed[0].nbytes * len(rows) > MEMORY_LIMIT:
                return None
            features = np.empty((len(rows), *computed.shape[1:]), dtype=computed.dtype)
        features[start : start + len(computed)] = computed
    return features
