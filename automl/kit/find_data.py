"""Find a competition's data on a machine of Kaggle's: by its slug, or by its sample submission."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.tables import find_tables, read_header
from automl.kit.manifest import KitFiles
from automl.readers.submission_template import is_sample_name

# Source: datasets are mounted at the former, and since 2025 competitions at competitions/SLUG below it.
INPUTS = Path("/kaggle/input")
DEEPEST = 3  # folders below the inputs: competitions/slug/files, datasets/owner/name


def find_competition(slug: str, header: tuple[str, ...], *, inputs: Path = INPUTS) -> Path:
    """Find the folder below the inputs that holds the competition's data.

    It is called by the slug, or else it is the only one whose sample submission has the header. A kit is none,
    whatever it is called.

    Raises:
        DataError: there is none, or several would do.
    """
    for folder in (inputs / "competitions" / slug, inputs / slug):
        if folder.is_dir() and not KitFiles(folder).manifest.exists():
            return folder
    fitting = [folder for folder in _walk_folders(inputs) if _has_sample(folder, header)]
    columns = ", ".join(header)
    if not fitting:
        raise DataError(
            f"no folder below {inputs} is called {slug} or has a sample submission with the columns {columns}",
            hint="attach the competition's data to the notebook, or name its folder: --input DIR",
        )
    if len(fitting) > 1:
        names = join_names([str(folder) for folder in fitting])
        raise DataError(
            f"{len(fitting)} folders have a sample submission with the columns {columns}: {names}",
            hint="name the one that is meant: --input DIR",
        )
    return fitting[0]


def _walk_folders(inputs: Path) -> Iterator[Path]:
    """Yield the folders below the inputs, the nearer first, and none inside a kit."""
    level = [inputs]
    for _ in range(DEEPEST):
        level = [folder for above in level for folder in _list_folders(above)]
        yield from level


def _list_folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            folders = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [folder for folder in folders if not KitFiles(folder).manifest.exists()]


def _has_sample(folder: Path, header: tuple[str, ...]) -> bool:
    try:
        tables = find_tables(folder, top_only=True)
        return any(is_sample_name(name) and read_header(path) == header for name, path in tables.items())
    except DataError:  # a folder of something else
        return False
