"""Networks of untrained weights for the tests of the predictor, and one that takes few images at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.ensemble.predictor import (
    TrainedFold,
)
from automl.training.checkpoints import serialize_model
from automl.training.network.create import build_model

N_IMAGES, SIZE = 70, 32


def config_of(backbone: str = "test_byobnet", size: int = SIZE) -> TrialConfig:
    return TrialConfig(model=ModelConfig(backbone=backbone, pretrained=False), resize=ResizeConfig(image_sizes=(size,)))


def put_model(path: Path, config: TrialConfig, seed: int = 0) -> TrainedFold:
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(serialize_model(build_model(config.model, n_classes=2, weights_dir=None)))
    return TrainedFold(config, path)


ROWS = np.random.default_rng(3).permutation(N_IMAGES)


class SmallMemoryNetwork(nn.Module):
    """A network that takes few images at once."""

    def __init__(self, whole: nn.Module, capacity: int) -> None:
        super().__init__()
        self.whole, self.capacity, self.taken = whole, capacity, list[int]()
        self.output_layer, self.pretrained_cfg, self.num_classes = (
            whole.output_layer,
            whole.pretrained_cfg,
            whole.num_classes,
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.taken.append(len(images))
        if len(images) > self.capacity:
            raise torch.OutOfMemoryError(f"no room for {len(images)} images")
        logits: torch.Tensor = self.whole(images)
        return logits
