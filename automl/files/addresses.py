"""The address of an image: a path below the competition's folder that need not be a file.

    train/0.jpg                                 a file
    train.zip/train/0.jpg                       a member of an archive
    train.csv/17                                a row of a table of pixels, from 0; the table may lie in an archive
    train/x_{red,green,blue,yellow}.png         a gray file for each colour, in an archive or not

What is on the disk goes before what may be read into a name: a file that is called x_{red,green,blue}.png is that file.
Not responsible for: pixels (automl.files.decoding) or which addresses a competition has (automl.files.images).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from automl.errors import DataError, listed
from automl.files.archives import open_archive
from automl.files.image_names import ARCHIVE_SUFFIX

COLOUR_SETS = (("red", "green", "blue"), ("red", "green", "blue", "yellow"))
BRACES = re.compile(r"\{([a-z]+(?:,[a-z]+)+)\}")
TABLE_SUFFIX = ".csv"


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file, or nothing at all: that shows when it is read."""

    path: Path

    def read(self, *, at_most: int | None = None) -> bytes:
        """Its bytes; the first ones where at_most is given. Raises: OSError, ValueError."""
        with self.path.open("rb") as file:
            return file.read() if at_most is None else file.read(at_most)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive."""

    archive: Path
    name: str

    def read(self, *, at_most: int | None = None) -> bytes:
        """Its bytes; the first ones where at_most is given. Raises: DataError."""
        return open_archive(self.archive).read(self.name, at_most=at_most)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table of pixels; the table is an address too."""

    table: Path
    index: int


@dataclass(frozen=True, slots=True)
class Colours:
    """The address of a gray image for each colour."""

    parts: Mapping[str, Path]


Place = OnDisk | Member | Row | Colours


def place_of(path: Path) -> Place:
    """What an address leads to.

    Raises:
        DataError: an archive on the way cannot be read, or the address is that of a pipe or a device.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - half the time of Path.stat, for each of many images
    except NotADirectoryError:
        return _inside_a_file(path)
    except (OSError, ValueError):
        parts = _parts_on_disk(path)
        return OnDisk(path) if parts is None else Colours(parts)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{listed([str(path)])} is neither a file nor a folder", hint="replace it by an ordinary file")
    return OnDisk(path)


def read_bytes(path: Path, *, at_most: int | None = None) -> bytes:
    """The content of a file or of a member of an archive; its first bytes where at_most is given.

    Raises:
        DataError: it cannot be read, or the address leads to no single file.
    """
    place = place_of(path)
    if isinstance(place, Row | Colours):
        raise DataError(f"{listed([str(path)])} is no single file", hint="name a file or a member of an archive")
    try:
        return place.read(at_most=at_most)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{listed([str(path)])} cannot be read: {reason}", hint="check that it is a readable file"
        ) from error


def files_behind(path: Path) -> tuple[Path, ...]:
    """The files on the disk whose change changes the image; no archive or table is opened for it."""
    try:
        os.stat(path)  # noqa: PTH116 - see place_of
    except NotADirectoryError:
        container = _file_on_the_way(path)
        return (path if container is None else container,)
    except (OSError, ValueError):
        parts = _parts_on_disk(path)
        return (path,) if parts is None else tuple(parts.values())
    return (path,)


def expanded(name: str) -> tuple[str, ...]:
    """The names of the files that an address such as x_{red,green,blue}.png stands for; else the name alone."""
    parts = _colour_names(name)
    return tuple(parts.values()) if parts else (name,)


def colours_address(before: str, colours: tuple[str, ...], after: str) -> str:
    """The address for files such as x_red.png, given what stands before and after the colour."""
    return f"{before}{{{','.join(colours)}}}{after}"


def _inside_a_file(path: Path) -> Place:
    container = _file_on_the_way(path)
    if container is None:
        return OnDisk(path)
    inner = path.relative_to(container).as_posix()
    suffix = container.suffix.lower()
    if suffix == TABLE_SUFFIX and _is_index(inner):
        return Row(container, int(inner))
    return _inside_an_archive(container, inner) if suffix == ARCHIVE_SUFFIX else OnDisk(path)


def _inside_an_archive(container: Path, inner: str) -> Place:
    archive = open_archive(container)
    if inner in archive:
        return Member(container, inner)
    table, _, index = inner.rpartition("/")
    if table.lower().endswith(TABLE_SUFFIX) and table in archive and _is_index(index):
        return Row(container / table, int(index))
    parts = _colour_names(inner)
    if parts and all(name in archive for name in parts.values()):
        return Colours({colour: container / name for colour, name in parts.items()})
    return Member(container, inner)


def _file_on_the_way(path: Path) -> Path | None:
    """The file below which an address leads, as if it were a folder."""
    for parent in path.parents:
        try:
            mode = os.stat(parent).st_mode  # noqa: PTH116 - see place_of
        except OSError:
            continue
        return parent if stat.S_ISREG(mode) else None
    return None


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _parts_on_disk(path: Path) -> dict[str, Path] | None:
    parts = _colour_names(path.name)
    return {colour: path.with_name(name) for colour, name in parts.items()} if parts else None


def _colour_names(name: str) -> dict[str, str] | None:
    """The file name of each colour, or None where the name has no such braces."""
    matches = list(BRACES.finditer(name)) if "{" in name else []
    if len(matches) != 1:
        return None
    colours = matches[0][1].split(",")
    if not any(sorted(colours) == sorted(known) for known in COLOUR_SETS):
        return None
    before, after = name[: matches[0].start()], name[matches[0].end() :]
    return {colour: f"{before}{colour}{after}" for colour in colours}
