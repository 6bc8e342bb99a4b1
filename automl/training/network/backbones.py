"""timm's backbones by name, each built so that it takes as many image sizes as it can.

A skeleton has everything but numbers: it costs no memory and no arithmetic, and answers what shapes come out of what
image size.
"""

from __future__ import annotations

import copy
import difflib
from functools import cache
from typing import Any

import timm
import torch
from torch import Tensor, nn

import automl.training.network.classics  # noqa: F401 - registers its models with timm
from automl.errors import UsageError, join_names

# What a backbone says to images of a size that it does not take.
REFUSALS = (AssertionError, RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError)


def require_known(backbone: str) -> None:
    """Raises:
    UsageError: timm has no backbone of this name, or no weights by its tag.
    """
    name, _, tag = backbone.partition(".")
    known = timm.list_models()
    if name in known and (not tag or backbone in timm.list_pretrained(f"{name}.*")):
        return
    raise UsageError(f"timm has no backbone '{backbone}'", hint=f"did you mean {join_names(_suggest_names(backbone))}?")


def create_backbone(backbone: str, **arguments: Any) -> nn.Module:
    """Create timm's model, whose positions are interpolated where it has a way to take other image sizes than its own.

    The parameters are those of timm's model for its own image size, in names and shapes, and so are its outputs there.
    Source: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, section 3.2 (interpolated position embeddings).
    """
    if _interpolates(backbone):
        arguments["dynamic_img_size"] = True
    model: nn.Module = timm.create_model(backbone, **arguments)
    return model


def build_skeleton(backbone: str) -> nn.Module:
    """Return the model that `create_backbone` builds, in evaluation mode and without numbers in it.

    The caller's own.
    """
    return copy.deepcopy(_build_skeleton(backbone))


def make_blank_images(image_size: int) -> Tensor:
    """Return (2, 3, S, S) for skeletons."""
    return torch.empty(2, 3, image_size, image_size, device="meta")


def count_multiply_adds(backbone: str, image_size: int) -> float:
    """Count about how many multiplications, each with an addition, the backbone takes for one image.

    Those of convolutions and linear layers, at its own size; others' are proportional to the number of pixels.
    """
    return _count_multiply_adds(backbone) * (image_size / get_pretrained_size(_build_skeleton(backbone))) ** 2


def get_pretrained_size(model: nn.Module) -> int:
    """Return the size that the backbone was pretrained with."""
    pretrained: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return int(pretrained["input_size"][-1])


def get_pretrained_crop(backbone: str, image_size: int) -> tuple[str, float]:
    """Return interpolation (a name of timm's) and crop_pct that the backbone's weights are evaluated with at that size.

    Some are evaluated on more of the image at a larger size than that of their training.
    Source: Touvron et al. 2019, Fixing the train-test resolution discrepancy, arXiv 1906.06423.
    """
    pretrained = timm.get_pretrained_cfg(backbone)
    if pretrained is None:
        return "bicubic", 1.0
    larger = pretrained.test_input_size
    is_larger = larger is not None and image_size >= larger[-1]
    crop_pct = pretrained.test_crop_pct if is_larger and pretrained.test_crop_pct else pretrained.crop_pct
    return pretrained.interpolation, min(1.0, crop_pct)  # above 1, a border is laid around the image


@cache
def _build_skeleton(backbone: str) -> nn.Module:
    """Builds leave the random numbers as they were, should one of them draw some."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return create_backbone(backbone).eval()


@cache
def _count_multiply_adds(backbone: str) -> float:
    model, counts = build_skeleton(backbone), list[int]()

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        counts.append(output.numel() * module.get_parameter("weight")[0].numel())

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    images = make_blank_images(get_pretrained_size(model))
    with torch.no_grad():
        model(images)
    return sum(counts) / len(images)


@cache
def _interpolates(backbone: str) -> bool:
    """Whether timm's builder of this family knows the argument for it."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            timm.create_model(backbone, dynamic_img_size=True)
    except TypeError as error:
        if "dynamic_img_size" not in str(error):
            raise
        return False
    return True


def _suggest_names(backbone: str) -> list[str]:
    """Suggest names that may have been meant, the likeliest first."""
    written = backbone.rpartition("/")[2].lower().replace("-", "_")
    name, _, tag = written.partition(".")
    known = timm.list_models()
    renamed = getattr(timm.models._registry, "_deprecated_models", {}).get(written)
    if renamed:
        return [renamed]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or known[:3]
        if not tag:
            return near
        return [model for known_name in near for model in _list_tagged(known_name, tag)[:1]]
    if not tag or f"{name}.{tag}" in timm.list_pretrained(f"{name}.*"):
        return [written]
    return _list_tagged(name, tag)[:3]


def _list_tagged(name: str, tag: str) -> list[str]:
    """List the model's names with the tags of its weights, the likest first, or its bare name where it has none."""
    tags = [model.partition(".")[2] for model in timm.list_pretrained(f"{name}.*")]
    near = difflib.get_close_matches(tag, tags, n=len(tags) or 1, cutoff=0.0)
    return [f"{name}.{known}" for known in near] or [name]
