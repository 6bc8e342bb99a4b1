"""Which images are no longer those that a search has seen, going by the sizes of the files behind them.

Sizes alone, as unpacking an archive again changes times but no image. Not responsible for: images that are gone
(automl.data.cache names them) or what a change means (automl.ensemble.build, automl.refit.plan).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from automl.artifacts import read_json, write_json
from automl.data.competition import Competition
from automl.errors import StorageError
from automl.files.addresses import files_behind

Split = Literal["train", "test"]


def note_sizes(competition: Competition, split: Split, path: Path) -> None:
    """Write the sizes of the images' files at path, atomically, unless an earlier run of the search has."""
    if not path.exists():
        write_json(path, _sizes(competition, split))


def changed_images(competition: Competition, split: Split, path: Path) -> list[str]:
    """Names, below the competition's folder, of images whose files have another size than was written at path.

    Images that are gone are left to those who decode them. None where the sizes were not written, as by an older
    search, or cannot be read.
    """
    try:
        before = read_json(path)
    except StorageError:
        return []
    if not isinstance(before, dict):
        return []
    now = _sizes(competition, split)
    return [name for name, size in now.items() if size is not None and before.get(name, size) != size]


def _sizes(competition: Competition, split: Split) -> dict[str, int | None]:
    """By name of an image that could be read, the bytes of the files behind it; None where one is gone."""
    paths = competition.image_paths if split == "train" else competition.test_paths
    unreadable = set(competition.unreadable_test) if split == "test" else set()
    start = len((competition.root / "x").as_posix()) - 1  # a slice, as in automl.data.cache
    known: dict[Path, int | None] = {}
    sizes: dict[str, int | None] = {}
    for row, path in enumerate(paths):
        if row in unreadable:
            continue
        total: int | None = 0
        for file in files_behind(path):
            if file not in known:
                known[file] = _size(file)
            size = known[file]
            total = None if size is None or total is None else total + size
        sizes[path.as_posix()[start:]] = total
    return sizes


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def change_since(begun: Competition, now: Competition) -> str | None:
    """The first difference that a study's trials would notice, as "metric: rmse, not mae"; None where there is none."""
    settings = (
        ("task", begun.task.value, now.task.value),
        ("metric", begun.metric.name, now.metric.name),
        ("set of metric weights", _weights(begun), _weights(now)),
        ("origin of groups", begun.grouped_by or "none", now.grouped_by or "none"),
        ("rule of flips", _flips(begun), _flips(now)),
    )
    for what, before, after in settings:
        if before != after:
            return f"{what}: {before}, not {after}"
    change = _change_of_content(begun, now)
    return None if change is None else f"competition folder: {change}"


def _change_of_content(begun: Competition, now: Competition) -> str | None:
    counts = (
        ("classes", begun.n_classes, now.n_classes),
        ("training images", len(begun.image_ids), len(now.image_ids)),
        ("test images", len(begun.test_ids), len(now.test_ids)),
        ("test images that cannot be read", len(begun.unreadable_test), len(now.unreadable_test)),
    )
    for what, before, after in counts:
        if before != after:
            return f"{before} {what}, not {after}"
    if begun.image_ids != now.image_ids or begun.test_ids != now.test_ids:
        return "its images have other ids"
    if begun.classes != now.classes or not np.array_equal(begun.targets, now.targets):
        return "its images have other labels"
    return None if begun.fingerprint == now.fingerprint else "its images have other names"


def _weights(competition: Competition) -> str:
    weights = competition.metric.weights
    return "none" if weights is None else ", ".join(f"{weight:g}" for weight in weights)


def _flips(competition: Competition) -> str:
    return "on" if competition.flips else "off"
