"""Trim a whole timm model to a backbone, and extract its features.

The model is loaded whole and trimmed then, so that pretrained weights are checked to the last. Which of timm's ways
yields a feature map of a backbone is found out on its skeleton.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from automl.errors import UsageError
from automl.training.network.backbones import REFUSALS, build_skeleton, get_pretrained_size, make_blank_images

N_QUARTERS = 4  # that a backbone whose maps are all of one size is cut into


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureExtractor:
    """Extracts features from a backbone that was trimmed for it.

    Attributes:
        pooled: by the backbone's own pooling, to (B, n_features); otherwise a feature map (B, n_features, H, W).
        tap: which of timm's intermediates the map is, the backbone's last one then; None is what the backbone itself
            gives.
        norm: whether the backbone's last norm acts on the intermediate.
    """

    pooled: bool
    tap: int | None = None
    norm: bool = False
    n_features: int = 0

    def trim(self, model: nn.Module) -> nn.Module:
        """Return the model itself, without its classifier and what lies behind the tap: those weights are gone."""
        if self.pooled:
            _get_method(model, "reset_classifier")(0)
        elif self.tap is None:
            _get_method(model, "reset_classifier")(0, "")
        else:
            _get_method(model, "prune_intermediate_layers")([self.tap], prune_norm=not self.norm, prune_head=True)
        return model

    def __call__(self, backbone_model: nn.Module, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, n_features) or (B, n_features, H, W)."""
        if self.pooled:
            return backbone_model(images)  # type: ignore[no-any-return]
        if self.tap is None:
            return _to_map(backbone_model, backbone_model(images))
        extract = _get_method(backbone_model, "forward_intermediates")
        taps = extract(images, indices=[self.tap], norm=self.norm, output_fmt="NCHW", intermediates_only=True)
        return taps[0]  # type: ignore[no-any-return]


@cache
def find_pooled_extractor(backbone: str) -> FeatureExtractor:
    """Find the extractor of the whole backbone with its own pooling, and all that lies before its classifier.

    Raises:
        UsageError: the backbone does not pool to one vector.
    """
    extractor = _try_extractor(backbone, FeatureExtractor(pooled=True))
    if extractor is None:
        raise UsageError(
            f"'{backbone}' has no pooling of its own that gives one vector",
            hint="name a pooling, or leave this backbone out",
        )
    return extractor[0]


@cache
def find_map_extractor(backbone: str, cut: int) -> FeatureExtractor:
    """Find the extractor of the last feature map of the backbone without its last `cut` stages.

    Uncut, it is what timm gives without pooling: with the backbone's last norm, and without what needs pooled features
    (VGG's fully connected layers). Where that is no map, it is the last of timm's intermediates. Earlier stages are
    less bound to what the backbone was pretrained for.
    Source: Yosinski et al. 2014, How transferable are features in deep neural networks?, section 4.

    Raises:
        UsageError: so many stages cannot be left off, or the backbone has no feature map.
    """
    ends = find_stage_ends(backbone)
    if cut > 0 and cut >= len(ends):
        deepest = max(len(ends) - 1, 0)
        raise UsageError(
            f"cut = {cut}, but '{backbone}' has {max(len(ends), 1)} stages",
            hint=f"ask for cut = {deepest} at most with this backbone",
        )
    whole = _try_extractor(backbone, FeatureExtractor(pooled=False)) if cut == 0 else None
    # A norm fits the maps that it was made for: those of the last stage, or all where they are alike.
    norm = cut == 0 or _is_isotropic(backbone)
    tapped = _try_extractor(backbone, FeatureExtractor(pooled=False, tap=ends[-1 - cut], norm=norm)) if ends else None
    if cut > 0 and tapped is not None and _keeps_idle_weights(backbone, tapped[0]):
        tapped = None
    if whole is not None and (tapped is None or whole[1] >= tapped[1]):
        return whole[0]
    if tapped is not None:
        return tapped[0]
    raise UsageError(
        f"'{backbone}' {'cannot be cut' if cut > 0 else 'has no feature map'}",
        hint="ask for pooling = own, cut = 0 and attention = none with this backbone, or leave it out",
    )


@cache
def find_stage_ends(backbone: str) -> tuple[int, ...]:
    """Return the index among timm's intermediates at which each of the backbone's stages ends.

    Empty if it cannot be cut.
    The stages are timm's. Where those are single blocks, on maps of one size (ViT and its like), a stage is a quarter
    of the blocks. What has no weights (the last pooling of VGG) is no stage.
    """
    model = build_skeleton(backbone)
    if not (hasattr(model, "forward_intermediates") and hasattr(model, "prune_intermediate_layers")):
        return ()
    n_taps = len(model.feature_info)  # type: ignore[arg-type]
    if _is_isotropic(backbone):
        return tuple(math.ceil(n_taps * quarter / N_QUARTERS) - 1 for quarter in range(1, N_QUARTERS + 1))
    sizes = [_count_parameters(backbone, tap) for tap in range(n_taps)]
    return tuple(tap for tap in range(n_taps) if tap == n_taps - 1 or sizes[tap] < sizes[tap + 1])


@cache
def _is_isotropic(backbone: str) -> bool:
    taps = getattr(build_skeleton(backbone), "feature_info", [])
    return len(taps) >= N_QUARTERS and len({tap["reduction"] for tap in taps}) == 1


def _count_parameters(backbone: str, tap: int) -> int:
    model = FeatureExtractor(pooled=False, tap=tap).trim(build_skeleton(backbone))
    return sum(parameter.numel() for parameter in model.parameters())


def _try_extractor(backbone: str, extractor: FeatureExtractor) -> tuple[FeatureExtractor, int] | None:
    """Return the extractor with its n_features, and the side of its map (1 if pooled); None if it gives nothing."""
    try:
        backbone_model = extractor.trim(build_skeleton(backbone))
        with torch.no_grad():
            features = extractor(backbone_model, make_blank_images(get_pretrained_size(backbone_model)))
    except (*REFUSALS, AttributeError):
        return None
    if not isinstance(features, Tensor) or features.ndim != (2 if extractor.pooled else 4):
        return None
    return replace(extractor, n_features=features.shape[1]), 1 if extractor.pooled else features.shape[2]


def _keeps_idle_weights(backbone: str, extractor: FeatureExtractor) -> bool:
    """Whether weights are left that the map does not depend on: branches of what was cut (HRNet's coarser maps)."""
    backbone_model = extractor.trim(build_skeleton(backbone))
    extractor(backbone_model, make_blank_images(get_pretrained_size(backbone_model))).sum().backward()  # type: ignore[no-untyped-call]
    return any(parameter.grad is None for parameter in backbone_model.parameters())


def _to_map(backbone_model: nn.Module, features: Tensor) -> Tensor:
    """Return (B, C, H, W) of a map as it is, of (B, H, W, C), or of tokens (B, prefix + H W, C) of square images."""
    if features.ndim == 4:
        return features.permute(0, 3, 1, 2) if getattr(backbone_model, "output_fmt", "NCHW") == "NHWC" else features
    patches = features[:, int(getattr(backbone_model, "num_prefix_tokens", 0)) :]
    side = math.isqrt(patches.shape[1])
    return patches.mT.reshape(len(patches), patches.shape[2], side, side)


def _get_method(model: nn.Module, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(model, name)
    return method
