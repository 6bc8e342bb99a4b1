"""Small images whose classes are easy to learn and which are no duplicates of one another.

Each class has a cell of a grid that is lit in its own colour where the image has the class; the rest is random clouds.
"""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

CLOUDS_AT_MOST = 110  # of 255; a lit cell is brighter than that in every colour
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}


def painted(levels: Sequence[float], rng: np.random.Generator, *, width: int = 32, height: int = 32) -> Image.Image:
    """An RGB image; levels (n_classes,) say how strongly each cell is lit, from 0 to 1."""
    clouds = rng.integers(0, CLOUDS_AT_MOST, (4, 4, 3), dtype=np.uint8)
    canvas = np.asarray(Image.fromarray(clouds).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float64)
    side = math.ceil(math.sqrt(len(levels)))
    tops, lefts = np.linspace(0, height, side + 1).astype(int), np.linspace(0, width, side + 1).astype(int)
    for index, level in enumerate(levels):
        row, column = divmod(index, side)
        cell = canvas[tops[row] : tops[row + 1], lefts[column] : lefts[column + 1]]
        colour = 255 * np.array(colorsys.hsv_to_rgb(index / len(levels), 0.5, 1.0))
        cell += level * (colour - cell)
    return Image.fromarray(np.clip(canvas + rng.normal(0, 4, canvas.shape), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, suffix: str) -> bytes:
    """The file's content in the format of that suffix."""
    content = io.BytesIO()
    image.save(content, FORMATS[suffix], **({"quality": 92} if FORMATS[suffix] == "JPEG" else {}))
    return content.getvalue()
