"""Networks of several backbones, and images for them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from automl.config import ModelConfig
from automl.training.network.create import build_model
from automl.training.network.network import Network

SMALL = ["test_resnet", "test_byobnet", "test_efficientnet", "test_convnext", "test_vit"]
LARGE = ["vgg11_bn", "inception_v3", "densenet121", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"]
small = pytest.mark.parametrize("backbone", SMALL)
small_and_large = pytest.mark.parametrize(
    "backbone", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)


def network_of(backbone: str, *, seed: int = 1, **model: object) -> Network:
    torch.manual_seed(seed)
    config = ModelConfig(backbone=backbone, pretrained=False, **model)  # type: ignore[arg-type]
    return build_model(config, n_classes=3, weights_dir=None)


def images_of(backbone: str) -> Tensor:
    image_size = {"inception_v3": 96, "test_convnext": 64, "swin_tiny_patch4_window7_224": 64}.get(backbone, 32)
    return torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(5))
