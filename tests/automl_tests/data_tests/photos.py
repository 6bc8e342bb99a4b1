"""Drawn pictures, encoded images, and surveys of thumbnails."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from automl.data.survey import ImageFacts


def photo(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """A picture of its own for each seed, smooth as photos are, with some grain."""
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height), 3)
    grain = rng.normal(0, 6, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", quality: int = 90) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, quality=quality)
    return content.getvalue()


def facts(thumbnails: np.ndarray, content: Sequence[str] | None = None) -> ImageFacts:
    n = len(thumbnails)
    return ImageFacts(
        widths=np.full(n, 32, dtype=np.int32),
        heights=np.full(n, 32, dtype=np.int32),
        n_bytes=np.full(n, 9, dtype=np.int64),
        thumbnails=thumbnails,
        content=tuple(content if content is not None else [f"{id(thumbnails)}-{row}" for row in range(n)]),
        problems={},
        formats={},
    )
