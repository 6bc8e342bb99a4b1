"""A competition's folder as somebody reads it who writes a script for it alone, for the baselines of first_minute.

Knows two layouts: the label before the first dot of the file's name (dogs-vs-cats, where the answer is the probability
of a dog), and trainLabels.csv (cifar-10, where the answer is the class).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PlainFolder:
    """Training images with their labels, and test images in the order of the sample submission.

    Attributes:
        labels: class indices of the training images.
        asks_probability: whether the answer is the probability of the last class, and not the name of the likeliest.
    """

    train_paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    test_paths: tuple[Path, ...]
    header: tuple[str, ...]
    asks_probability: bool


def read_folder(root: Path) -> PlainFolder:
    """Read train/, the labels, and the test images that sampleSubmission.csv names."""
    table = root / "trainLabels.csv"
    paths = sorted((root / "train").iterdir())
    if table.exists():
        with table.open(newline="") as file:
            label_of = {row["id"]: row["label"] for row in csv.DictReader(file)}
        names = [label_of[path.stem] for path in paths]
    else:
        names = [path.name.split(".")[0] for path in paths]
    classes = tuple(sorted(set(names)))
    test = next(root / name for name in ("test", "test1") if (root / name).is_dir())
    test_of = {path.stem: path for path in test.iterdir()}
    with (root / "sampleSubmission.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return PlainFolder(
        train_paths=tuple(paths),
        labels=tuple(classes.index(name) for name in names),
        classes=classes,
        test_paths=tuple(test_of[row[0]] for row in rows),
        header=tuple(header),
        asks_probability=not table.exists(),
    )


def split_rows(n_rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and a fifth to validate on."""
    order = np.random.default_rng(seed).permutation(n_rows)
    return np.sort(order[n_rows // 5 :]), np.sort(order[: n_rows // 5])


def write_submission(folder: PlainFolder, probs: NDArray[np.float64], path: Path) -> None:
    """Write the answers of probabilities (n_test, n_classes)."""
    answers: Sequence[object] = (
        [float(row[-1]) for row in probs]
        if folder.asks_probability
        else [folder.classes[index] for index in probs.argmax(axis=1)]
    )
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(folder.header)
        writer.writerows((image.stem, answer) for image, answer in zip(folder.test_paths, answers, strict=True))
