"""Resize images to a model's input size for validation and test: uint8 in, uint8 out.

Imports nothing that only training needs, as it is part of a kit.
See also: automl.data.transforms augments training images.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(0)  # a trial has its own threads; more would fight over the same cores

Images = NDArray[np.uint8]  # (b, height, width, 3)


def resize_batch(images: Images, image_size: int) -> Images:
    """Return the images (b, S, S, 3) at that size; exact where they have it."""
    if images.shape[1:3] == (image_size, image_size):
        return np.ascontiguousarray(images)
    resized = np.empty((len(images), image_size, image_size, 3), dtype=np.uint8)
    resize_into(resized, images)
    return resized


def resize_into(resized: Images, images: Images) -> None:
    """Fill (b, S, S, 3) with the images at that size."""
    image_size = resized.shape[1]
    shrinks = images.shape[1] > image_size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    for index, image in enumerate(images):
        cv2.resize(image, (image_size, image_size), dst=resized[index], interpolation=interpolation)
