"""A plain competition of cats and dogs, for tests that put one trap into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.cache import PixelCache
from automl.data.competition import Competition
from tests.automl_tests.competitions.miniatures import Folder

TRAIN = [f"a{number:02d}" for number in range(12)]
TEST = ["t1", "t2", "t3"]


def fill(
    folder: Folder,
    *,
    train: Sequence[str] = TRAIN,
    test: Sequence[str] = TEST,
    labels: Sequence[str] | None = None,
    header: tuple[str, str] = ("id", "label"),
    in_table: Sequence[str] | None = None,
) -> list[str]:
    """Images of cats and dogs, a train.csv and a sample submission; the labels."""
    marks = list(labels or (folder.classes * len(train))[: len(train)])
    for place, names in (("train", train), ("test", test)):
        for index, name in enumerate(names):
            folder.paint(f"{place}/{name}.png", folder.classes[index % 2])
    folder.csv("train.csv", header, zip(in_table or train, marks, strict=True))
    folder.csv("sample_submission.csv", header, [[name, marks[0]] for name in test])
    return marks


def pixels_of(competition: Competition) -> NDArray[Any]:
    """The decoded training images, at their own size."""
    return np.asarray(
        PixelCache(competition, competition.root.parent / f"cache-{competition.root.name}").load_pixels("train", 32)
    )
