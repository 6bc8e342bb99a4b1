"""What reading a folder of 100,000 images costs: python -m tests.benchmarks.reading [folder]

Both sides run in turn, several times; medians are printed, and their ratio. The plain side is what a notebook does: a
walk, two tables, and a dictionary from ids to paths. It checks nothing. A folder that is named is built once and kept.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings

N_TRAIN, N_TEST, N_CLASSES = 70_000, 30_000, 10
LINKS_PER_FILE = 20_000  # file systems allow some 65,000
REPEATS = 5


def build(root: Path) -> None:
    """train.csv, sample_submission.csv, and images that are links to a few files."""
    for part, n_images in (("train", N_TRAIN), ("test", N_TEST)):
        (root / part).mkdir(parents=True)
        for number in range(n_images):
            target = root / part / f"{_id_of(part, number)}.jpg"
            first = number - number % LINKS_PER_FILE
            if number == first:
                target.write_bytes(_jpeg(first // LINKS_PER_FILE))
            else:
                os.link(root / part / f"{_id_of(part, first)}.jpg", target)
    rows = [f"{_id_of('train', number)},class{number % N_CLASSES}" for number in range(N_TRAIN)]
    (root / "train.csv").write_text("\n".join(["id,label", *rows, ""]))
    rows = [f"{_id_of('test', number)},class0" for number in range(N_TEST)]
    (root / "sample_submission.csv").write_text("\n".join(["id,label", *rows, ""]))


def read_plainly(root: Path) -> int:
    """How many rows have an image."""
    paths = {}
    for folder, _, names in os.walk(root):
        for name in names:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - what is fastest, not what is nicest
            if suffix.lower() in (".jpg", ".png"):
                paths[stem] = f"{folder}/{name}"
    labels = pd.read_csv(root / "train.csv", dtype=str)
    sample = pd.read_csv(root / "sample_submission.csv", dtype=str)
    train = [paths[image_id] for image_id in labels["id"]]
    test = [paths[image_id] for image_id in sample["id"]]
    classes = sorted(labels["label"].unique())
    targets = labels["label"].map({label: index for index, label in enumerate(classes)}).to_numpy()
    return len(train) + len(test) if len(targets) == len(train) else 0


def read_with_automl(root: Path) -> int:
    """How many rows have an image."""
    competition = read_competition(root, CompetitionSettings())
    return len(competition.image_paths) + len(competition.test_paths)


def main(folder: Path) -> None:
    root = folder / "reading"
    if not root.exists():
        build(root)
    plain, ours = compared(root, read_plainly, read_with_automl)
    print(f"{N_TRAIN + N_TEST} images: plain {plain:.2f} s, automl {ours:.2f} s, ratio {ours / plain:.2f}")


def compared(root: Path, *readers: Callable[[Path], int]) -> list[float]:
    """The median seconds of each, run in turn."""
    seconds: list[list[float]] = [[] for _ in readers]
    for _ in range(REPEATS):
        for reader, spent in zip(readers, seconds, strict=True):
            start = time.perf_counter()
            n_found = reader(root)
            spent.append(time.perf_counter() - start)
            assert n_found == N_TRAIN + N_TEST, (reader, n_found)
    return [statistics.median(spent) for spent in seconds]


def _id_of(part: str, number: int) -> str:
    return f"{part}_{number * 7919 % 1_000_003:07d}"


def _jpeg(shade: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), (20 * shade, 90, 160)).save(content, format="JPEG")
    return content.getvalue()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
