"""A competition as Kaggle ships it with some of its labelled images held out: a test set whose labels are known.

The new folder looks like the old one, so that everything reads it as it would read the real one.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import write_table
from automl.data.competition import Competition
from automl.readers.read import read_competition

HELD_OUT_FRACTION = 0.2


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A derived folder and the labels of its test images.

    Attributes:
        labels: (n_test,) class names in the order of its sample submission.
    """

    root: Path
    labels: tuple[str, ...]

    def targets(self, competition: Competition) -> NDArray[np.int64]:
        """(n_test,) class indices in the order of the competition's test images."""
        label_of = {str(number + 1): label for number, label in enumerate(self.labels)}
        return np.array([competition.classes.index(label_of[test_id]) for test_id in competition.test_ids])


def hold_out(source: Path, root: Path, *, seed: int = 0, limit: int | None = None) -> HeldOut:
    """Copy a competition into root with a fifth of its labelled images as the test set; done once.

    Only for competitions with one label for each image, in a table or in the file name.

    Args:
        limit: how many labelled images to copy at all.
    """
    original = read_competition(source)
    labels = [original.classes[index] for index in original.targets]
    order = np.random.default_rng(seed).permutation(len(labels))[:limit]
    held, kept = np.split(order, [int(HELD_OUT_FRACTION * len(order))])
    held, kept = np.sort(held), np.sort(kept)
    out = HeldOut(root, tuple(labels[row] for row in held))
    if not (root / "sampleSubmission.csv").exists():
        _copy(original, root, kept, held, labels)
    return out


def _copy(
    original: Competition, root: Path, kept: NDArray[np.int64], held: NDArray[np.int64], labels: Sequence[str]
) -> None:
    paths = original.image_paths
    for folder in ("train", "test"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for row in kept:
        shutil.copyfile(paths[row], root / "train" / paths[row].name)
    for number, row in enumerate(held, start=1):
        shutil.copyfile(paths[row], root / "test" / f"{number}{paths[row].suffix}")
    table = original.root / "trainLabels.csv"
    if table.exists():
        write_table(root / table.name, ("id", "label"), [(original.image_ids[row], labels[row]) for row in kept])
    with (original.root / "sampleSubmission.csv").open(newline="") as file:
        header, first = list(csv.reader(file))[:2]
    write_table(root / "sampleSubmission.csv", header, [(number, first[1]) for number in range(1, len(held) + 1)])
