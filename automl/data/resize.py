"""Resize cached squares to the images that a model predicts: uint8 in, uint8 out.

Imports nothing that only training needs, as it is part of a kit.
See also: automl.data.transforms augments training images.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from automl.config import TrialConfig

cv2.setNumThreads(0)  # a trial has its own threads; more would fight over the same cores

Images = NDArray[np.uint8]  # (b, height, width, 3)

# Of OpenCV's, those that come closest to one step from the file to the size: measured on photos whose squares have
# 1.14 times the side, root mean square errors of 1.4 to 1.9 of 255, where INTER_LINEAR for bicubic has 2.2 to 3.1.
SHRINKING = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_AREA,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
ENLARGING = {**SHRINKING, "area": cv2.INTER_LINEAR, "bilinear": cv2.INTER_LINEAR}


@dataclass(frozen=True, slots=True)
class EvaluationPixels:
    """How cached squares become the images that a model predicts: for validation, test and frozen features alike.

    The whole square is resized to S / crop_pct, and the middle S x S is cut out of it; where the images have no more
    pixels than the model takes, so that the cached square's side is S, it is taken as it is.
    Source: timm's evaluation transforms (timm.data.transforms_factory, crop mode "squash").

    Attributes:
        image_size: S, in pixels per side.
    """

    image_size: int
    interpolation: str = "area"
    crop_pct: float = 1.0

    @classmethod
    def from_config(cls, config: TrialConfig, image_size: int | None = None) -> EvaluationPixels:
        """Return those of a trial, at one of its image sizes; None is the last."""
        size = config.resize.image_sizes[-1] if image_size is None else image_size
        return cls(size, config.resize.interpolation, config.resize.crop_pct)

    def get_whole(self, side: int) -> EvaluationPixels:
        """Return the same of whole images (b, side, side, 3)."""
        return EvaluationPixels(side, self.interpolation)

    def compute_whole_side(self, cached_side: int) -> int:
        """Return the side to which whole squares are resized before the middle is cut out; S where none is."""
        return self.image_size if cached_side <= self.image_size else round(self.image_size / self.crop_pct)

    def crop_squares(self, images: Images) -> Images:
        """Return of the squares (b, C, C, 3) the middle that the model sees, not resized; a view."""
        cached_side = images.shape[1]
        return _crop_middle(images, round(cached_side * self.image_size / self.compute_whole_side(cached_side)))

    def resize_batch(self, images: Images) -> Images:
        """Return (b, S, S, 3) of the squares (b, C, C, 3); exact where they have that size."""
        if images.shape[1] == self.image_size:
            return np.ascontiguousarray(images)
        resized = np.empty((len(images), self.image_size, self.image_size, 3), dtype=np.uint8)
        self.resize_into(resized, images)
        return resized

    def resize_into(self, resized: Images, images: Images) -> None:
        """Fill (b, S, S, 3) from the squares (b, C, C, 3)."""
        cached_side = images.shape[1]
        whole = self.compute_whole_side(cached_side)
        if whole == cached_side:
            resized[:] = _crop_middle(images, self.image_size)
            return
        interpolation = (SHRINKING if cached_side > whole else ENLARGING)[self.interpolation]
        buffer = np.empty((whole, whole, 3), dtype=np.uint8)
        for target, image in zip(resized, images, strict=True):
            if whole == self.image_size:
                cv2.resize(image, (whole, whole), dst=target, interpolation=interpolation)
            else:
                cv2.resize(image, (whole, whole), dst=buffer, interpolation=interpolation)
                target[:] = _crop_middle(buffer[None], self.image_size)[0]


def _crop_middle(images: Images, side: int) -> Images:
    first = (images.shape[1] - side) // 2
    return images[:, first : first + side, first : first + side]
