"""Turn arrays of numbers into images, by their shape and the range of their values.

shape                               image
----------------------------------  ---------------------------------------------------------------
H x W                               gray
H x W x C or C x H x W, C up to 4   C = 1 gray; C = 2 red, green, and their mean as blue; C = 3 RGB;
                                    C = 4 the first three
C x H x W, C from 5 to 16           the C planes one below the other, gray
axes of length 1                    passed over
anything else                       refused

values                              brightness
----------------------------------  ---------------------------------------------------------------
8-bit, unsigned                     as they are
true and false                      255 and 0
16-bit, unsigned                    the high byte
other whole numbers from 0 to 255   as they are
0 to 1                              0 to 255
any other range                     stretched from the least to the greatest of the image; what is not
                                    finite as 0
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_CHANNELS = 4
MAX_PLANES = 16  # of one image, one below the other; more are a volume


class NoPictureError(Exception):
    """An array is no image by its shape or its kind of numbers; caught where the file's name is known."""


def convert_array(values: NDArray[Any]) -> Image.Image:
    """Convert an array to a gray or RGB image.

    Raises:
        NoPictureError: it is none by its shape, or holds no numbers.
    """
    if values.dtype.kind not in "buif":
        raise NoPictureError(f"it holds no numbers, but {values.dtype}")
    return Image.fromarray(scale_to_bytes(order_channels(values)))


def order_channels(values: NDArray[Any]) -> NDArray[Any]:
    """Return the array as (H, W) or (H, W, 3); see the table above.

    Raises:
        NoPictureError: the shape is none of an image.
    """
    if not is_picture_shape(values.shape):
        raise NoPictureError(f"its shape {_format_shape(values.shape)} is none of an image")
    values = values.reshape(tuple(side for side in values.shape if side != 1) if values.ndim > 2 else values.shape)
    if values.ndim == 2:
        return values
    if values.shape[2] > MAX_CHANNELS and values.shape[0] <= MAX_CHANNELS:
        values = values.transpose(1, 2, 0)
    elif values.shape[2] > MAX_CHANNELS:
        return values.reshape(values.shape[0] * values.shape[1], values.shape[2])
    if values.shape[2] == 2:
        mean = values.mean(axis=2, keepdims=True, dtype=np.float64)
        rounded = mean if values.dtype.kind == "f" else np.rint(mean)
        return np.concatenate([values, rounded.astype(values.dtype)], axis=2)
    return values[:, :, :3]


def is_picture_shape(shape: tuple[int, ...]) -> bool:
    """Whether an array of that shape is an image."""
    if 0 in shape or len(shape) < 2:
        return False
    sides = tuple(side for side in shape if side != 1) if len(shape) > 2 else shape
    if len(sides) == 2:
        return True
    return len(sides) == 3 and (sides[2] <= MAX_CHANNELS or sides[0] <= MAX_PLANES)


def scale_to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the brightness of each value, 0 to 255; see the table above."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    if values.dtype.kind in "iu" and values.min() >= 0 and 1 < values.max() <= 255:
        return values.astype(np.uint8)
    return normalize_to_bytes(values.astype(np.float64))


def normalize_to_bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return 0..1 as 0..255, and any other range stretched from its least to its greatest value."""
    values = np.where(np.isfinite(values), values, 0.0)
    least, greatest = float(values.min()), float(values.max())
    if least < 0.0 or greatest > 1.0:
        values = (values - least) / (greatest - least if greatest > least else 1.0)
    return np.rint(values * 255.0).astype(np.uint8)


def _format_shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "of a single number"
