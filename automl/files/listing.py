"""List a competition's folder: its files in one pass, and the archives at its top.

Only names are read, and links never lead out of the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.archives import Archive, open_archive
from automl.files.image_names import ARCHIVE_SUFFIX, is_junk

NameFilter = Callable[[str], bool]
FIRST_OF_SPLIT = ".z01"  # beside a .zip that cannot be opened without it


def walk(root: Path, wanted: NameFilter) -> Iterator[str]:
    """Iterate over the paths below root of the files that are wanted by name, with slashes, in no order.

    Raises:
        DataError: a folder cannot be read, or a link to a wanted file or to a folder leads out of root.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        for entry in _list_entries(root / below):
            if is_junk(entry.name):
                continue
            if entry.is_symlink():
                if _is_file_inside(root, below + entry.name, wanted(entry.name)):
                    yield below + entry.name
            elif entry.is_dir():
                waiting.append(f"{below}{entry.name}/")
            elif wanted(entry.name) and entry.is_file():
                yield below + entry.name


def list_top_files(root: Path, suffixes: tuple[str, ...]) -> list[str]:
    """List the files at the top of root that end in one of the suffixes, in any case, sorted.

    Raises:
        DataError: the folder cannot be read, or one of these files is a link that leads out of it.
    """
    entries = (
        entry for entry in _list_entries(root) if not is_junk(entry.name) and entry.name.lower().endswith(suffixes)
    )
    return sorted(
        entry.name
        for entry in entries
        if (_is_file_inside(root, entry.name, True) if entry.is_symlink() else entry.is_file())
    )


def open_top_archives(root: Path) -> list[Archive]:
    """Open the .zip archives at the top of root; parts of split ones, and damaged but unpacked ones, are left out.

    Raises:
        DataError: an archive cannot be read, and nothing by its name without .zip lies beside it.
    """
    names = list_top_files(root, (ARCHIVE_SUFFIX,))
    split = {name[: -len(FIRST_OF_SPLIT)].lower() for name in list_top_files(root, (FIRST_OF_SPLIT,))}
    opened = (_open_unless_unpacked(root, name) for name in names if name[: -len(ARCHIVE_SUFFIX)].lower() not in split)
    return [archive for archive in opened if archive is not None]


def _open_unless_unpacked(root: Path, name: str) -> Archive | None:
    try:
        return open_archive(root / name)
    except DataError:
        if (root / name[: -len(ARCHIVE_SUFFIX)]).exists():
            return None
        raise


def _list_entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read: {error.strerror or error}", hint="give the competition's folder"
        ) from error


def _is_file_inside(root: Path, relative: str, is_wanted: bool) -> bool:
    """Whether a link leads to a wanted file inside root; what a linked folder holds is found under its own name."""
    try:
        target = (root / relative).resolve(strict=True)
    except (OSError, RuntimeError):  # dangling or looping: RuntimeError is pathlib's word for a loop
        return False
    is_file = is_wanted and target.is_file()
    if (is_file or target.is_dir()) and not target.is_relative_to(root):
        raise DataError(
            f"{join_names([relative])} is a link that leads out of {root}, to {target}",
            hint="put the files themselves into the folder",
        )
    return is_file
