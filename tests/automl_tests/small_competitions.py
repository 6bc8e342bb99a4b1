"""Builders of small competition folders, and of the files in them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from automl.data.competition import Competition, SubmissionKind, SubmissionTemplate
from automl.metrics.registry import get_metric
from automl.tasks import Task


def put_images(root: Path, names: Iterable[str], *, size: tuple[int, int] = (4, 4)) -> None:
    """An image of one colour of its own at each relative name."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number % 256, 40, 90)).save(path, format="PNG")


def put_csv(path: Path, *lines: str) -> None:
    """A CSV file of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def put_table(root: Path, name: str, header: str, rows: Iterable[Sequence[object]]) -> None:
    """A CSV file of these rows below a header."""
    put_csv(root / name, header, *(",".join(str(field) for field in row) for row in rows))


def put_empty(root: Path, names: Iterable[str]) -> None:
    """An empty file at each relative name, where names alone matter."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def put_zip(path: Path, members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive of these members; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def put_table_competition(
    root: Path, labels: Sequence[str] = ("cat", "dog", "cat", "owl"), sample: str = "cat"
) -> None:
    """train.csv (id,label) for train/t0.png and so on, and test/s0.png, test/s1.png with a sample submission."""
    put_images(root, [f"train/t{number}.png" for number in range(len(labels))])
    put_images(root, ["test/s0.png", "test/s1.png"])
    put_csv(root / "train.csv", "id,label", *(f"t{number},{label}" for number, label in enumerate(labels)))
    put_csv(root / "sample_submission.csv", "id,label", f"s0,{sample}", f"s1,{sample}")


def competition_of(root: Path, train: Sequence[str], test: Sequence[str], **changes: object) -> Competition:
    """A competition over files that need not exist, of two classes in turn unless targets are given."""
    values: dict[str, object] = {
        "root": root,
        "task": Task.BINARY,
        "classes": ("cat", "dog"),
        "image_ids": tuple(train),
        "image_paths": tuple(root / name for name in train),
        "targets": np.arange(len(train), dtype=np.int64) % 2,
        "groups": None,
        "test_ids": tuple(test),
        "test_paths": tuple(root / name for name in test),
        "metric": get_metric("accuracy"),
        "metric_given": False,
        "submission": SubmissionTemplate(
            header=("id", "label"), id_column=0, submission_kind=SubmissionKind.LABEL, ids=tuple(test)
        ),
    }
    return Competition(**{**values, **changes})  # type: ignore[arg-type]
