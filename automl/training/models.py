"""timm backbones with a fresh head, and how each wants its pixels normalised.

Pretrained weights come from timm's hub or from safetensors files in a folder, whole or not at all: a model is never
quietly left untrained. Not responsible for: which parameters train (automl.training.freezing), nor where the weights
of a trained fold lie (automl.artifacts).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.artifacts import TrialFiles
from automl.config import ModelConfig, TrialConfig
from automl.errors import StorageError, UsageError, listed
from automl.training.weights import load_file_weights, load_hub_weights


def build_model(model: ModelConfig, *, n_classes: int, weights_dir: Path | None) -> nn.Module:
    """The backbone with a fresh linear head of n_classes, in training mode on the CPU.

    Raises:
        UsageError: timm has no such backbone, or it has no stochastic depth though drop_path asks for it.
        UnfitEnvironmentError: the pretrained weights cannot be had or do not fit.
    """
    _require_known(model.backbone)
    if not model.pretrained:
        return _create(model, num_classes=n_classes)
    if weights_dir is not None:
        built = load_file_weights(lambda **changes: _create(model, **changes), model.backbone, weights_dir)
    else:
        built = load_hub_weights(lambda **changes: _create(model, **changes), model.backbone)
    if built.num_classes != n_classes:
        built.reset_classifier(n_classes)  # type: ignore[operator]
    return built


def load_trained(config: TrialConfig, files: TrialFiles, fold: int, *, n_classes: int, device: str) -> nn.Module:
    """The model that a trial trained on a fold, in evaluation mode on the device.

    Raises:
        StorageError: its weights are missing, damaged, or of another network.
    """
    path = files.weights(fold)
    _require_known(config.model.backbone)
    model = _create(config.model, num_classes=n_classes)
    try:
        model.load_state_dict(safetensors.torch.load(path.read_bytes()))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"the weights {path} cannot be loaded: {reason}", hint="leave this trial out, or run the search again"
        ) from error
    return placed(model, device).eval()


def placed(model: nn.Module, device: str) -> nn.Module:
    """The model itself on the device, in the memory layout that the device's convolutions prefer."""
    memory_format = torch.channels_last if device.startswith("cuda") else torch.preserve_format
    return model.to(device=torch.device(device), memory_format=memory_format)  # type: ignore[call-overload, no-any-return]


def require_sizes_fit(model: nn.Module, image_sizes: tuple[int, ...], backbone: str) -> None:
    """Try one blank image of each size.

    Raises:
        UsageError: the backbone cannot take images of one of the sizes.
    """
    model.eval()
    for image_size in sorted(set(image_sizes)):
        try:
            with torch.no_grad():
                model(torch.zeros(1, 3, image_size, image_size))
        except (AssertionError, RuntimeError, ValueError, IndexError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"'{backbone}' cannot take images of {image_size} x {image_size} pixels: {reason}",
                hint="narrow the space with --choices resize=... or --choices backbone=...",
            ) from error


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation per channel, of pixels scaled to [0, 1], that a backbone was pretrained with."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, model: nn.Module) -> Normalisation:
        """The one in the backbone's pretrained_cfg."""
        pretrained: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
        return cls(mean=tuple(pretrained["mean"]), std=tuple(pretrained["std"]))

    def __call__(self, images: NDArray[np.uint8], device: str) -> Tensor:
        """(B, S, S, 3) pixels -> (B, 3, S, S) float32 on the device, where the arithmetic is done."""
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
        if not device.startswith("cuda"):
            pixels = pixels.contiguous()
        mean = torch.tensor(self.mean, device=device).view(1, -1, 1, 1) * 255.0
        std = torch.tensor(self.std, device=device).view(1, -1, 1, 1) * 255.0
        return (pixels - mean) / std


def _create(model: ModelConfig, **changes: Any) -> nn.Module:
    """timm's own builder with the config's regularisation; without changes a model of ImageNet's classes."""
    stochastic_depth = {"drop_path_rate": model.drop_path} if model.drop_path > 0 else {}
    try:
        built: nn.Module = timm.create_model(model.backbone, drop_rate=model.dropout, **stochastic_depth, **changes)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise UsageError(
            f"'{model.backbone}' has no stochastic depth, but drop_path = {model.drop_path:g}",
            hint="ask for drop_path only with backbones that have it",
        ) from error
    return built


def _require_known(backbone: str) -> None:
    name, _, tag = backbone.partition(".")
    known = timm.list_models()
    if name in known and (not tag or backbone in timm.list_pretrained(f"{name}.*")):
        return
    candidates = timm.list_pretrained(f"{name}.*") if name in known else known
    near = difflib.get_close_matches(backbone, candidates, n=3) or candidates[:3]
    raise UsageError(f"timm has no backbone '{backbone}'", hint=f"did you mean {listed(near)}?")
