"""Find the image sizes that a backbone takes.

Found out by running its skeleton, so that no list of names has to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from automl.training.network.backbones import (
    REFUSALS,
    build_skeleton,
    get_pretrained_size,
    make_blank_images,
    require_known,
)

# Distances at which the sizes that a backbone takes may lie: patches, windows, and both with the strides before them.
STEPS = (1, 2, 4, 7, 8, 14, 16, 24, 28, 32, 48, 56, 64, 96, 112, 128, 192, 224, 256)


@dataclass(frozen=True, slots=True)
class SizeRule:
    """The sizes smallest, smallest + step, smallest + 2 step, and so on without end; smallest alone if step is 0."""

    smallest: int
    step: int

    def round_size(self, image_size: int) -> int:
        """Return the one nearest to the size; of two, the larger."""
        if self.step == 0 or image_size <= self.smallest:
            return self.smallest
        return self.smallest + (image_size - self.smallest + self.step // 2) // self.step * self.step

    def __str__(self) -> str:
        if self.step == 0:
            return f"{self.smallest} only"
        if self.step == 1:
            return f"{self.smallest} and more"
        first = [str(self.smallest + n * self.step) for n in range(3)]
        return f"{', '.join(first)} and so on in steps of {self.step}"


def fit_sizes(backbone: str, image_sizes: Sequence[int]) -> tuple[int, ...]:
    """Return each size in pixels per side, or the nearest to it that the backbone takes.

    Raises:
        UsageError: timm has no such backbone.
    """
    require_known(backbone)
    model = build_skeleton(backbone)
    if all(_takes(model, image_size) for image_size in set(image_sizes)):  # usual, and cheaper than to find the rule
        return tuple(image_sizes)
    rule = find_size_rule(backbone)
    return tuple(rule.round_size(image_size) for image_size in image_sizes)


@cache
def find_size_rule(backbone: str) -> SizeRule:
    """Find the sizes that the backbone takes.

    Invariant: its own size is among them. It is assumed that one which takes the next size of a step and twice its own
    takes all larger ones of that step, and all smaller ones down to the smallest.

    Raises:
        UsageError: timm has no such backbone.
    """
    require_known(backbone)
    model = build_skeleton(backbone)
    own = get_pretrained_size(model)
    step = next((step for step in STEPS if all(_takes(model, own + n * step) for n in (1, -(-own // step)))), 0)
    if step == 0:
        return SizeRule(own, 0)
    refused, taken = 0, own // step  # in steps from own % step, which may be no image at all
    while taken - refused > 1:
        middle = (refused + taken) // 2
        if _takes(model, own % step + middle * step):
            taken = middle
        else:
            refused = middle
    return SizeRule(own % step + taken * step, step)


def _takes(model: nn.Module, image_size: int) -> bool:
    try:
        with torch.no_grad():
            model(make_blank_images(image_size))
    except REFUSALS:
        return False
    return True
