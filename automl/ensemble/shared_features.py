"""Features that heads on one unchanged backbone share: a backbone sees an image once under a view, whatever the heads.

A probe's folds are such heads, and so are those of a trial whose backbone was frozen to the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.ensemble.resized_images import IN_MEMORY, SMALL, map_scratch_file
from automl.training.inference import BATCH_SIZE
from automl.training.network.create import build_missing_weights_error
from automl.training.network.shared_backbone import read_backbone_digest
from automl.training.optim.amp import autocast

if TYPE_CHECKING:
    from automl.config import ModelConfig

TRAINED_POOLINGS = ("gem", "attention")  # they have parameters, so that each head has its own
KEPT = 24  # sets of features at once: six backbones under four views


@dataclass(slots=True, eq=False)
class FeatureSet:
    """Features (n_rows, F) of some images under a view, as far as they have been computed.

    Attributes:
        kept: in memory, or in a file without a name.
        seconds: by the first row of each block that is there, what an image took.
    """

    kept: NDArray[np.float32]
    seconds: dict[int, float] = field(default_factory=dict)

    @property
    def bytes_in_memory(self) -> int:
        """0 where they are in a file."""
        return 0 if isinstance(self.kept, np.memmap) else self.kept.nbytes


class SharedFeatures:
    """The features that were used lately.

    Args:
        folder: for what does not fit into memory; the files have no name and go with this process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sets: dict[Hashable, FeatureSet] = {}  # the latest used is the last

    def get(self, key: Hashable, bounds: tuple[int, int]) -> tuple[NDArray[np.float32], float] | None:
        """Return the features of the rows between these bounds, and the seconds that an image took; None where none."""
        found = self._sets.pop(key, None)
        if found is None:
            return None
        self._sets[key] = found
        return (np.array(found.kept[slice(*bounds)]), found.seconds[bounds[0]]) if bounds[0] in found.seconds else None

    def put(
        self, key: Hashable, bounds: tuple[int, int], n_rows: int, features: NDArray[np.float32], seconds: float
    ) -> None:
        """Keep features of the rows between these bounds of n_rows, where there is room for all of them."""
        if key not in self._sets:
            kept = self._allocate((n_rows, features.shape[1]))
            if kept is None:
                return
            self._sets[key] = FeatureSet(kept)
        self._sets[key].kept[slice(*bounds)] = features
        self._sets[key].seconds[bounds[0]] = seconds

    def _allocate(self, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        """An array, in memory or in a file; None where neither has room."""
        n_bytes = 4 * shape[0] * shape[1]
        self._drop_oldest(lambda kept: len(kept) >= KEPT)
        if n_bytes > SMALL:
            return map_scratch_file(self._folder, shape, np.float32)
        self._drop_oldest(lambda kept: sum(own.bytes_in_memory for own in kept) + n_bytes > IN_MEMORY)
        return np.empty(shape, np.float32)

    def _drop_oldest(self, too_many: Callable[[list[FeatureSet]], bool]) -> None:
        while self._sets and too_many(list(self._sets.values())):
            del self._sets[next(iter(self._sets))]


class FeatureModel(nn.Module):
    """A network without its head, for `automl.training.inference.predict_views`, which then gives features.

    Attributes:
        output_layer: that lets the features pass.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.output_layer = _Unchanged()

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """The backbone's."""
        pretrained: dict[str, Any] = self.network.pretrained_cfg  # type: ignore[assignment]
        return pretrained

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, F)."""
        features = self.network.extract_features(images)  # type: ignore[operator]
        return self.network.get_submodule("neck")(features)  # type: ignore[no-any-return]


class _Unchanged:
    """An output layer for features."""

    @staticmethod
    def to_probs(features: Tensor) -> Tensor:
        """Return them."""
        return features


def find_shared_backbone(weights: Path, model: ModelConfig) -> str | None:
    """Find the digest of the backbone that a fold's weights name and that gives all its heads the same features.

    None where the weights hold a backbone of their own, or where the pooling was trained.

    Raises:
        StorageError: the weights are missing or damaged.
    """
    if model.attention != "none" or model.pooling in TRAINED_POOLINGS:
        return None
    if not weights.exists():
        raise build_missing_weights_error([weights])
    return read_backbone_digest(weights)


@torch.no_grad()
def predict_by_head(
    network: nn.Module, features: NDArray[np.float32], device: str
) -> tuple[NDArray[np.float32], float]:
    """Predict (n, n_classes) from features (n, F) in the batches of whole predictions, and the seconds per image."""
    network.eval()
    began_s = time.perf_counter()
    done = []
    for start in range(0, len(features), BATCH_SIZE):
        batch = torch.from_numpy(features[start : start + BATCH_SIZE]).to(device)
        with autocast(device):
            outputs = network.get_submodule("head")(batch)
        done.append(network.output_layer.to_probs(outputs.float()))  # type: ignore[union-attr, operator]
    probs: NDArray[np.float32] = torch.cat(done).cpu().numpy()
    return probs, (time.perf_counter() - began_s) / len(features)
