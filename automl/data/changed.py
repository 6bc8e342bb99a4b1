"""Detect changes since a study was begun: of image files by their sizes, and of the competition by its contents.

Sizes alone, as unpacking an archive again changes times but no image.
See also: automl.data.cache reports missing images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from automl.artifacts import read_json, write_json
from automl.data.competition import Competition
from automl.errors import StorageError
from automl.files.addresses import list_source_files

Split = Literal["train", "test"]


def record_file_sizes(competition: Competition, split: Split, path: Path) -> None:
    """Write the sizes of the images' files at path, atomically, unless an earlier run of the search has."""
    if not path.exists():
        write_json(path, _get_sizes(competition, split))


def find_changed_images(competition: Competition, split: Split, path: Path) -> list[str]:
    """Return names, below the competition's folder, of images whose files have another size than was written at path.

    Missing images are reported by the decoder. Empty where the sizes were not written, as by an older
    search, or cannot be read.
    """
    try:
        before = read_json(path)
    except StorageError:
        return []
    if not isinstance(before, dict):
        return []
    current = _get_sizes(competition, split)
    return [name for name, size in current.items() if size is not None and before.get(name, size) != size]


def _get_sizes(competition: Competition, split: Split) -> dict[str, int | None]:
    """Return name -> bytes of the files of each readable image; None where one is missing."""
    paths = competition.image_paths if split == "train" else competition.test_paths
    unreadable = set(competition.unreadable_test) if split == "test" else set()
    start = len((competition.root / "x").as_posix()) - 1  # a slice, as in automl.data.cache
    known_sizes: dict[Path, int | None] = {}
    sizes: dict[str, int | None] = {}
    for row, path in enumerate(paths):
        if row in unreadable:
            continue
        total: int | None = 0
        for file in list_source_files(path):
            if file not in known_sizes:
                known_sizes[file] = _get_file_size(file)
            size = known_sizes[file]
            total = None if size is None or total is None else total + size
        sizes[path.as_posix()[start:]] = total
    return sizes


def _get_file_size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def describe_change(original: Competition, current: Competition) -> str | None:
    """Return the first difference for a study's trials, as "metric: rmse, not mae"; None where there is none."""
    settings = (
        ("task", original.task.value, current.task.value),
        ("metric", original.metric.name, current.metric.name),
        ("set of metric weights", _format_weights(original), _format_weights(current)),
        ("origin of groups", original.grouped_by or "none", current.grouped_by or "none"),
        ("fixed fold", original.fixed_fold or "none", current.fixed_fold or "none"),
        ("rule of flips", _format_flips(original), _format_flips(current)),
    )
    for what, before, after in settings:
        if before != after:
            return f"{what}: {before}, not {after}"
    change = _describe_content_change(original, current)
    return None if change is None else f"competition folder: {change}"


def _describe_content_change(original: Competition, current: Competition) -> str | None:
    counts = (
        ("classes", original.n_classes, current.n_classes),
        ("training images", len(original.image_ids), len(current.image_ids)),
        ("test images", len(original.test_ids), len(current.test_ids)),
        ("test images that cannot be read", len(original.unreadable_test), len(current.unreadable_test)),
    )
    for what, before, after in counts:
        if before != after:
            return f"{before} {what}, not {after}"
    if original.image_ids != current.image_ids or original.test_ids != current.test_ids:
        return "its images have other ids"
    if original.classes != current.classes or not np.array_equal(original.targets, current.targets):
        return "its images have other labels"
    return None if original.fingerprint == current.fingerprint else "its images have other names"


def _format_weights(competition: Competition) -> str:
    weights = competition.metric.weights
    return "none" if weights is None else ", ".join(f"{weight:g}" for weight in weights)


def _format_flips(competition: Competition) -> str:
    return "on" if competition.flips else "off"
