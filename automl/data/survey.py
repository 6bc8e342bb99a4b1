"""One look at every image: whether it can be decoded, its size, its colours, and marks to tell duplicates by.

Made once and kept in a file. Not responsible for: what follows from it (automl.data.refining, automl.inspection).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THUMBNAIL_SIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFacts:
    """Of the images of one split, in the competition's order; zeros where an image cannot be decoded.

    Attributes:
        widths, heights: (n,) pixels, int32, upright.
        n_bytes: (n,) int64, of the file or archive member.
        thumbnails: (n, 32, 32, 3) uint8 RGB, the whole image squeezed into a square.
        content: (n,) digest of the file's bytes, as text; "" where it cannot be read.
        problems: row -> why the image cannot be decoded, in a line that names it.
        formats: what kinds of files there are, with counts: "JPEG", "16-bit gray PNG", "animated GIF", ...
    """

    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    n_bytes: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]
    content: tuple[str, ...]
    problems: Mapping[int, str]
    formats: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What was seen of all images."""

    train: ImageFacts
    test: ImageFacts
