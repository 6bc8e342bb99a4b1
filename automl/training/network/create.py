"""Build a config's network with pretrained or with trained weights, and normalise its input pixels.

Pretrained weights come from timm's hub or from safetensors files in a folder, whole or not at all: a model is never
quietly left untrained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.artifacts import compute_digest
from automl.config import ModelConfig, TrialConfig
from automl.data.competition import Competition
from automl.errors import StorageError, UsageError, join_names
from automl.training.network.backbones import REFUSALS, create_backbone, require_known
from automl.training.network.feature_extractor import FeatureExtractor, find_map_extractor, find_pooled_extractor
from automl.training.network.heads import build_head, build_pooling
from automl.training.network.input_sizes import find_size_rule
from automl.training.network.network import Network
from automl.training.network.outputs import OutputLayer, build_output_layer, softmax
from automl.training.network.pretrained import load_file_weights, load_hub_weights
from automl.training.network.shared_backbone import REFIT_HINT, read_metadata, read_weights

Model = TypeVar("Model", bound=nn.Module)

CLASSES_KEY = "classes"  # under which a file of trained weights names the classes that they are of


def build_model(
    model: ModelConfig, *, n_classes: int, weights_dir: Path | None, output_layer: OutputLayer | None = None
) -> Network:
    """Build the config's network with a fresh head, in training mode on the CPU.

    Args:
        weights_dir: folder of pretrained weights, or None for the hub.
        output_layer: what the outputs mean; None is a softmax over n_classes.

    Raises:
        UsageError: timm has no such backbone, or it has not what the config asks of it.
        UnfitEnvironmentError: the pretrained weights cannot be had or do not fit.
    """
    require_known(model.backbone)
    extractor = _find_extractor(model)
    if not model.pretrained:
        whole = _create(model)
    elif weights_dir is not None:
        whole = load_file_weights(lambda **changes: _create(model, **changes), model.backbone, weights_dir)
    else:
        whole = load_hub_weights(lambda **changes: _create(model, **changes), model.backbone)
    if output_layer is None:
        output_layer = OutputLayer(n_classes, n_classes, softmax)
    return _assemble(model, whole, extractor, output_layer)


def load_trained(config: TrialConfig, weights: Path, *, competition: Competition, device: str) -> Network:
    """Load the network that was trained on a fold, in evaluation mode on the device.

    Args:
        weights: a file that `automl.training.fold_outputs.save_fold` wrote; it may hold half precision, and name a
            backbone that lies elsewhere.

    Raises:
        StorageError: it is missing, damaged, of another network, of one that this timm has not, or of other classes.
    """
    try:
        require_known(config.model.backbone)
    except UsageError as error:
        raise StorageError(f"the weights {weights} cannot be loaded: {error.problem}", hint=REFIT_HINT) from error
    output_layer = build_output_layer(
        config.loss, competition.task, competition.n_classes, head_sizes=competition.head_sizes
    )
    network = _assemble(config.model, _create(config.model), _find_extractor(config.model), output_layer)
    if not weights.exists():
        raise build_missing_weights_error([weights])
    _fill_weights(network, read_weights(weights), weights, competition)
    return move_to_device(network, device).eval()


def load_head(network: Network, weights: Path, *, competition: Competition) -> None:
    """Load the pooling and the head of another fold into a network that has the backbone which that fold names.

    Raises:
        StorageError: the weights are missing, damaged, of another network, or of other classes.
    """
    if not weights.exists():
        raise build_missing_weights_error([weights])
    tensors = read_weights(weights, with_backbone=False)
    _fill_weights(network, network.state_dict() | tensors, weights, competition)


def build_missing_weights_error(paths: Sequence[Path]) -> StorageError:
    """Build the error to raise where trained weights are gone."""
    names = join_names([str(path) for path in paths])
    return StorageError(f"weights are missing: {names}", hint=REFIT_HINT)


def compute_classes_digest(competition: Competition) -> str:
    """Compute a short fingerprint of the classes in their order."""
    return compute_digest(competition.classes)


def move_to_device(model: Model, device: str) -> Model:
    """Move the model itself to the device, in the memory layout that the device's convolutions prefer."""
    memory_format = torch.channels_last if device.startswith("cuda") else torch.preserve_format
    return model.to(device=torch.device(device), memory_format=memory_format)  # type: ignore[call-overload, no-any-return]


def require_sizes_fit(model: nn.Module, image_sizes: tuple[int, ...], backbone: str) -> None:
    """Run the model on one blank image of each size.

    Raises:
        UsageError: the backbone cannot take images of one of the sizes.
    """
    model.eval()
    for image_size in sorted(set(image_sizes)):
        try:
            with torch.no_grad():
                model(torch.zeros(1, 3, image_size, image_size))
        except REFUSALS as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"'{backbone}' cannot take images of {image_size} x {image_size} pixels: {reason}",
                hint=f"choose sizes that it takes ({find_size_rule(backbone)}): --choices resize=... or backbone=...",
            ) from error


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation per channel, of pixels scaled to [0, 1], that a backbone was pretrained with."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_model(cls, model: nn.Module) -> Normalisation:
        """Read it from the backbone's pretrained_cfg."""
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


def _fill_weights(network: Network, tensors: dict[str, Tensor], weights: Path, competition: Competition) -> None:
    """Load the tensors that were read from a file of weights."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise StorageError(f"the weights {weights} cannot be loaded: {reason}", hint=REFIT_HINT) from error
    if read_metadata(weights).get(CLASSES_KEY) not in (None, compute_classes_digest(competition)):
        raise StorageError(f"the weights {weights} are of other classes, or of another order of them", hint=REFIT_HINT)


def _find_extractor(model: ModelConfig) -> FeatureExtractor:
    return (
        find_pooled_extractor(model.backbone)
        if model.pooling == "own"
        else find_map_extractor(model.backbone, model.cut)
    )


def _assemble(model: ModelConfig, whole: nn.Module, extractor: FeatureExtractor, output_layer: OutputLayer) -> Network:
    """Build the network around what the extractor leaves of timm's whole model."""
    pooling: nn.Module
    if extractor.pooled:
        pooling, n_features = nn.Identity(), extractor.n_features
    else:
        pooling, n_features = build_pooling(extractor.n_features, attention=model.attention, pooling=model.pooling)
    head = build_head(n_features, output_layer.n_outputs, hidden=model.hidden, dropout=model.dropout)
    last = head.get_submodule("fc")
    if output_layer.initial_std is not None:
        nn.init.normal_(last.get_parameter("weight"), std=output_layer.initial_std)
    if output_layer.initial_bias is not None:
        with torch.no_grad():
            last.get_parameter("bias").copy_(torch.tensor(output_layer.initial_bias))
    backbone = extractor.trim(whole)
    return Network(backbone=backbone, extractor=extractor, pooling=pooling, head=head, output_layer=output_layer)


def _create(model: ModelConfig, **changes: Any) -> nn.Module:
    """Create timm's whole model with the config's regularisation; without changes a model of ImageNet's classes.

    Source: Huang et al. 2016, Deep Networks with Stochastic Depth, section 3 (drop_path).
    """
    if model.drop_path > 0:
        changes["drop_path_rate"] = model.drop_path
    changes["drop_rate"] = model.dropout if model.pooling == "own" else 0.0
    try:
        built = create_backbone(model.backbone, **changes)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise UsageError(
            f"'{model.backbone}' has no stochastic depth, but drop_path = {model.drop_path:g}",
            hint="ask for drop_path only with backbones that have it",
        ) from error
    _leave_dropout_to_head(built, model.dropout)
    return built


def _leave_dropout_to_head(model: nn.Module, dropout: float) -> None:
    """Take away the dropout before the classifier, and leave those between fully connected layers before it (VGG).

    timm has it as a module, the last of those with this rate, or as a function that reads `drop_rate`.
    """
    model.drop_rate = 0.0  # type: ignore[assignment]
    drops = [part for part in model.modules() if isinstance(part, nn.Dropout) and part.p == dropout > 0]
    if drops:
        drops[-1].p = 0.0
