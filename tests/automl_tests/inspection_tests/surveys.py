"""Surveys of drawn thumbnails, and their inspection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.data.survey import THUMBNAIL_SIDE, ImageFacts, Survey
from automl.inspection.inspection import Inspection, inspect_competition
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of

N = 300


Draw = Callable[[np.random.Generator], NDArray[np.float64]]


def facts_of(thumbnails: NDArray[Any], **changes: Any) -> ImageFacts:
    n_images = len(thumbnails)
    values = {
        "widths": np.full(n_images, 320, dtype=np.int32),
        "heights": np.full(n_images, 240, dtype=np.int32),
        "n_bytes": np.full(n_images, 20_000, dtype=np.int64),
        "thumbnails": thumbnails.astype(np.uint8),
        "content": tuple(f"{row}" for row in range(n_images)),
        "problems": {},
        "formats": {"JPEG": n_images},
    }
    return ImageFacts(**{**values, **changes})  # type: ignore[arg-type]


def make_competition(root: Path, targets: NDArray[Any], **changes: Any) -> Competition:
    n_classes = 1 if targets.ndim == 2 else int(targets.max()) + 1
    values = {
        "task": Task.BINARY if n_classes == 2 else Task.MULTICLASS,
        "classes": tuple(f"class {index}" for index in range(n_classes)),
        "targets": targets,
    }
    names = [f"train/{row}.jpg" for row in range(len(targets))]
    return competition_of(root, names, names, **{**values, **changes})


def noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Blobs without up or side."""
    coarse = rng.uniform(60, 200, (4, 4, 3))
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def landscape(rng: np.random.Generator) -> NDArray[np.float64]:
    """A bright sky above, and blobs."""
    return np.clip(noise(rng) + np.linspace(60, -60, THUMBNAIL_SIDE)[:, None, None], 0, 255)


def drawn(draw: Draw, n_images: int = N, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.stack([draw(rng) for _ in range(n_images)])


def inspected(train: ImageFacts, test: ImageFacts | None = None, **changes: Any) -> Inspection:
    n_images = len(train.widths)
    competition = make_competition(Path("/nowhere"), np.arange(n_images) % 2, **changes)
    test = test or facts_of(train.thumbnails[::-1])
    return inspect_competition(competition, Survey(train=train, test=test))
