"""What the images of the small competitions show, one competition for each kind of target; all can be learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import SubmissionKind
from automl.multi_output import Head
from automl.tasks import Task

SIDE = 24
CLASSES = ("disc", "frame", "stripes")
Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyCompetition:
    """A competition without its images.

    Attributes:
        targets: how many, and what draws them -> targets in the competition's form.
        image: of one target.
    """

    task: Task
    classes: tuple[str, ...]
    metric: str
    kind: SubmissionKind
    targets: Callable[[int, np.random.Generator], NDArray[Any]]
    image: Callable[[Any, np.random.Generator], Image]
    scales: tuple[tuple[float, float], ...] | None = None
    heads: tuple[Head, ...] = ()


def shape_image(label: int, rng: np.random.Generator) -> Image:
    """A disc, a frame or stripes in a random colour on a noisy ground."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + rng.uniform(-2, 2, size=(2, 1, 1))
    mask = (
        rows**2 + columns**2 < 50,
        (np.maximum(abs(rows), abs(columns)) < 9) & (np.maximum(abs(rows), abs(columns)) > 6),
        rows % 6 < 3,
    )[label]
    image = rng.integers(0, 60, size=(SIDE, SIDE, 3))
    image[mask] = rng.integers(120, 255, size=3)
    return image.astype(np.uint8)


def patches_image(label: NDArray[np.int64], rng: np.random.Generator) -> Image:
    """A patch of each colour that is there, on a noisy ground; several may be, or none."""
    image = rng.integers(0, 60, size=(SIDE, SIDE, 3))
    for colour, place in enumerate(rng.permutation(4)[:3]):
        if label[colour]:
            top, left = 12 * np.array(divmod(int(place), 2)) + rng.integers(0, 4, size=2)
            image[top : top + 8, left : left + 8, colour] = rng.integers(180, 255)
    return image.astype(np.uint8)


def glow_image(values: NDArray[np.float64], rng: np.random.Generator) -> Image:
    """A noisy ground that is as red as the first value says, from 0 to 100, and as blue as the second, from -1 to 1."""
    image = rng.integers(0, 60, size=(SIDE, SIDE, 3))
    image[..., 0] += int(1.9 * values[0])
    image[..., 2] += int(95 * (values[1] + 1))
    return image.astype(np.uint8)


def mark_image(classes: NDArray[np.int64], rng: np.random.Generator) -> Image:
    """A disc, a frame or stripes, as the first head says, in red or blue, as the second does."""
    shape = shape_image(int(classes[0]), rng)
    image = rng.integers(0, 60, size=shape.shape)
    image[shape.max(axis=2) >= 100, 0 if classes[1] == 3 else 2] = rng.integers(180, 255)
    return image.astype(np.uint8)


def _shapes_and_colours(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    shapes = np.arange(n) % 3
    return np.stack([shapes, 3 + (rng.random(n) < 0.4)], axis=1).astype(np.int64)


def _rare_and_common_labels(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    labels: NDArray[np.int64] = (rng.random((n, 3)) < (0.5, 0.35, 0.2)).astype(np.int64)
    return labels


def _low_and_any_values(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.stack([100 * rng.random(n) ** 2, rng.uniform(-1, 1, n)], axis=1).round(2)


SHAPES = ToyCompetition(
    task=Task.MULTICLASS,
    classes=CLASSES,
    metric="accuracy",
    kind=SubmissionKind.LABEL,
    targets=lambda n, rng: np.arange(n) % len(CLASSES),
    image=shape_image,
)
PATCHES = ToyCompetition(
    task=Task.MULTILABEL,
    classes=("red", "green", "blue"),
    metric="roc_auc",
    kind=SubmissionKind.PROBABILITIES,
    targets=_rare_and_common_labels,
    image=patches_image,
)
GLOWS = ToyCompetition(
    task=Task.REGRESSION,
    classes=("red", "blue"),
    metric="rmse",
    kind=SubmissionKind.VALUES,
    targets=_low_and_any_values,
    image=glow_image,
    scales=((0.0, 100.0), (-1.0, 1.0)),
)
MARKS = ToyCompetition(
    task=Task.MULTIOUTPUT,
    classes=("shape=disc", "shape=frame", "shape=stripes", "colour=red", "colour=blue"),
    metric="balanced_accuracy",
    kind=SubmissionKind.LABEL,
    targets=_shapes_and_colours,
    image=mark_image,
    heads=(Head("shape", 3), Head("colour", 2)),
)
