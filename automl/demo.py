"""Scikit-learn's handwritten digits as a competition's folder, and the scoring of a submission for it.

    python -m automl.demo build FOLDER      images, train.csv, sample_submission.csv; the answers lie beside the folder
    python -m automl.demo score FOLDER SUBMISSION

Real data that comes with a dependency, so that the whole chain can be tried without a download.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.artifacts import write_table
from automl.errors import DataError, UsageError

N_TEST = 360  # of 1,797
HEADER = ("id", "label")


def build(folder: Path) -> None:
    """Write the competition's folder, and `<folder>-answers.csv` beside it."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    shuffled = np.random.default_rng(0).permutation(len(digits.target))
    test, train = shuffled[:N_TEST], shuffled[N_TEST:]
    _write_images(folder / "train", digits.images[train])
    _write_images(folder / "test", digits.images[test])
    write_table(folder / "train.csv", HEADER, _list_rows(digits.target[train]))
    write_table(folder / "sample_submission.csv", HEADER, _list_rows(np.zeros(N_TEST, dtype=int)))
    write_table(get_answers_path(folder), HEADER, _list_rows(digits.target[test]))


def score(folder: Path, submission: Path) -> float:
    """Return the accuracy of a submission.

    Raises:
        DataError: its header or ids are not the sample's, in its order.
    """
    answers, submitted = _read_table(get_answers_path(folder)), _read_table(submission)
    if [row[0] for row in answers] != [row[0] for row in submitted]:
        raise DataError(f"{submission} does not hold the ids of the sample", hint="write it with automl ensemble")
    return sum(answer == row for answer, row in zip(answers[1:], submitted[1:], strict=True)) / N_TEST


def get_answers_path(folder: Path) -> Path:
    """Return the path of the held-out labels: outside the folder, out of the search's reach."""
    return folder.parent / f"{folder.name}-answers.csv"


def _write_images(folder: Path, images: NDArray[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(folder / f"{number:04d}.png")


def _list_rows(labels: NDArray[Any]) -> list[tuple[str, str]]:
    return [(f"{number:04d}", str(label)) for number, label in enumerate(labels)]


def _read_table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def main(arguments: list[str]) -> None:
    match arguments:
        case ["build", folder]:
            build(Path(folder))
            print(f"wrote {folder}: {1797 - N_TEST} training and {N_TEST} test images of handwritten digits")
        case ["score", folder, submission]:
            print(f"accuracy on the {N_TEST} held-out digits: {score(Path(folder), Path(submission)):.4f}")
        case _:
            raise UsageError(f"unknown words: {' '.join(arguments)}", hint="see the head of automl/demo.py")


if __name__ == "__main__":
    main(sys.argv[1:])
