"""Mixup and CutMix: images blended with others of their batch, and their targets in the same proportion.

A mix is drawn on the processor and applied where the images are; it fits any part of the batch that it was drawn for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from automl.config import AugmentConfig

Box = tuple[int, int, int, int]

CUTMIX_CHANCE = 0.5  # of a batch, where mixup is on too; source: timm.data.mixup.Mixup, switch_prob


@dataclass(frozen=True, slots=True)
class Mix:
    """How the images of one batch are mixed.

    Attributes:
        partners: (B,) position in the batch of the image that each one is mixed with; a permutation.
        own_weight: of each image in its mixture and of its label in the mixture's, in [0, 1].
        box: (top, bottom, left, right) in pixels, half open, which shows the partner; None for mixup.
    """

    partners: NDArray[np.int64]
    own_weight: float
    box: Box | None


def is_mixed(augment: AugmentConfig, epoch: int, epochs: int) -> bool:
    """Whether batches of epoch (0-based) may be mixed: not in the last mix_off_fraction of the epochs, rounded.

    The last 2 of 10 epochs with 0.2, the last one of 3, none of 2.
    Source: Ge et al. 2021, YOLOX, section 2.1, which ends mixing 15 epochs early; timm's mixup_off_epoch.
    """
    n_plain = round(augment.mix_off_fraction * epochs)
    return max(augment.mixup_alpha, augment.cutmix_alpha) > 0.0 and epoch < epochs - n_plain


def draw_mix(augment: AugmentConfig, n_images: int, image_size: int, rng: np.random.Generator) -> Mix | None:
    """Draw one weight and one box for a batch, and each image's partner; None where the batch stays as it is.

    Source: Zhang et al. 2018, mixup, section 2; Yun et al. 2019, CutMix, section 3.1.
    """
    method = _draw_method(augment, rng)
    if method is None:
        return None
    partners = rng.permutation(n_images)
    if method == "mixup":
        return Mix(partners, float(rng.beta(augment.mixup_alpha, augment.mixup_alpha)), None)
    box = _draw_box(float(rng.beta(augment.cutmix_alpha, augment.cutmix_alpha)), image_size, rng)
    top, bottom, left, right = box
    return Mix(partners, 1.0 - (bottom - top) * (right - left) / image_size**2, box)


def mix_images(images: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    """Return (b, 3, S, S) the mixtures of images and their partners' images, any part of the batch.

    The inputs stay whole.
    """
    if mix.box is None:
        return images * mix.own_weight + partners * (1.0 - mix.own_weight)
    top, bottom, left, right = mix.box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    return mixed


def mix_targets(soft_targets: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    """Return (b, n_classes) the soft targets of the mixtures, from those of the images and of their partners.

    Labels are present by their weight, and values lie between those of the two in the same proportion.
    """
    return soft_targets * mix.own_weight + partners * (1.0 - mix.own_weight)


def to_soft_targets(targets: Tensor, n_classes: int) -> Tensor:
    """Return (B, n_classes) float32: 1 for the class of each image by (B,) class indices.

    Soft targets stay as they are.
    """
    return F.one_hot(targets, n_classes).float() if targets.ndim == 1 else targets.float()


def _draw_method(augment: AugmentConfig, rng: np.random.Generator) -> str | None:
    mixup, cutmix = augment.mixup_alpha > 0.0, augment.cutmix_alpha > 0.0
    if not (mixup or cutmix) or rng.random() >= augment.mix_probability:
        return None
    if mixup and cutmix:
        return "cutmix" if rng.random() < CUTMIX_CHANCE else "mixup"
    return "cutmix" if cutmix else "mixup"


def _draw_box(own_weight: float, image_size: int, rng: np.random.Generator) -> Box:
    """Draw a square with the rest of the area around a point anywhere in the image; what lies outside is cut off."""
    side = int(image_size * math.sqrt(1.0 - own_weight))
    centre_row, centre_column = (int(centre) for centre in rng.integers(0, image_size, size=2))
    return *_bounds(centre_row, side, image_size), *_bounds(centre_column, side, image_size)


def _bounds(centre: int, side: int, image_size: int) -> tuple[int, int]:
    return max(0, centre - side // 2), min(image_size, centre + (side + 1) // 2)
