"""Resolve an image's address: a path below the competition's folder that need not be a file.

    train/0.jpg                                 a file
    train.zip/train/0.jpg                       a member of an archive
    train.csv/17                                a row of a table of pixels, from 0; the table may lie in an archive
    train.hdf5/ISIC_0015670                     an image in a file of many, by its name or number there; see
                                                automl.files.containers
    train/x_{red,green,blue,yellow}.png         a gray file for each colour, in an archive or not

What is on the disk goes before what may be read into a name: a file that is called x_{red,green,blue}.png is that file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from automl.errors import DataError, join_names
from automl.files.archives import open_archive
from automl.files.containers.container import NoImagesError
from automl.files.containers.opening import is_container_name, open_container
from automl.files.image_names import ARCHIVE_SUFFIX

COLOUR_SETS = (("red", "green", "blue"), ("red", "green", "blue", "yellow"))
BRACES = re.compile(r"\{([a-z]+(?:,[a-z]+)+)\}")
PIXEL_TABLE_SUFFIXES = tuple(
    text + packed for text in (".csv", ".tsv", ".tab") for packed in ("", ".gz", ".bz2", ".xz")
)


@dataclass(frozen=True, slots=True)
class DiskFile:
    """The address of a file on the disk; a missing file shows when it is read."""

    path: Path

    def read(self, *, at_most: int | None = None) -> bytes:
        """Read the file; its first bytes where at_most is given. Raises: OSError, ValueError."""
        with self.path.open("rb") as file:
            return file.read() if at_most is None else file.read(at_most)


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """The address of a file in an archive."""

    archive: Path
    name: str

    def read(self, *, at_most: int | None = None) -> bytes:
        """Read the member; its first bytes where at_most is given. Raises: DataError."""
        return open_archive(self.archive).read(self.name, at_most=at_most)


@dataclass(frozen=True, slots=True)
class PixelRow:
    """The address of a row in a table of pixels; the table is an address too."""

    table: Path
    index: int


@dataclass(frozen=True, slots=True)
class ContainerMember:
    """The address of an image in a file of many images."""

    file: Path
    key: str

    def read(self) -> bytes | NDArray[Any]:
        """Read the content of an image file, or an array. Raises: DataError."""
        try:
            return open_container(self.file).read(self.key)
        except NoImagesError as error:
            raise DataError(
                f"{join_names([self.file.name])} holds no images: {error}", hint="restore the file"
            ) from error


@dataclass(frozen=True, slots=True)
class ColourFiles:
    """The address of an image that has a gray file for each colour."""

    parts: Mapping[str, Path]


Location = DiskFile | ArchiveMember | ContainerMember | PixelRow | ColourFiles


def resolve_address(path: Path) -> Location:
    """Resolve an address to a file, a member of a file of many, a row of a table of pixels, or a file for each colour.

    Raises:
        DataError: an archive on the way cannot be read, or the address is that of a pipe or a device.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - half the time of Path.stat, for each of many images
    except NotADirectoryError:
        return _resolve_inside_file(path)
    except (OSError, ValueError):
        parts = _find_colour_files(path)
        return DiskFile(path) if parts is None else ColourFiles(parts)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(
            f"{join_names([str(path)])} is neither a file nor a folder", hint="replace it by an ordinary file"
        )
    return DiskFile(path)


def read_bytes(path: Path, *, at_most: int | None = None) -> bytes:
    """Read a file or an archive's member; its first bytes where at_most is given.

    Raises:
        DataError: it cannot be read, or the address leads to no single file.
    """
    location = resolve_address(path)
    if isinstance(location, ContainerMember):
        content = location.read()
        return (content if isinstance(content, bytes) else content.tobytes())[:at_most]
    if isinstance(location, PixelRow | ColourFiles):
        raise DataError(f"{join_names([str(path)])} is no single file", hint="name a file or a member of an archive")
    try:
        return location.read(at_most=at_most)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{join_names([str(path)])} cannot be read: {reason}", hint="check that it is a readable file"
        ) from error


def list_source_files(path: Path) -> tuple[Path, ...]:
    """List the files on the disk whose change changes the image, without opening an archive or a table."""
    try:
        os.stat(path)  # noqa: PTH116 - see resolve_address
    except NotADirectoryError:
        container = _find_container(path)
        return (path if container is None else container,)
    except (OSError, ValueError):
        parts = _find_colour_files(path)
        return (path,) if parts is None else tuple(parts.values())
    return (path,)


def expand_colours(name: str) -> tuple[str, ...]:
    """Return the file names that an address such as x_{red,green,blue}.png stands for; else the name alone."""
    parts = _parse_colours(name)
    return tuple(parts.values()) if parts else (name,)


def build_colour_address(before: str, colours: tuple[str, ...], after: str) -> str:
    """Build the address for files such as x_red.png, given what stands before and after the colour."""
    return f"{before}{{{','.join(colours)}}}{after}"


def _resolve_inside_file(path: Path) -> Location:
    container = _find_container(path)
    if container is None:
        return DiskFile(path)
    inner = path.relative_to(container).as_posix()
    suffix = container.suffix.lower()
    if container.name.lower().endswith(PIXEL_TABLE_SUFFIXES) and _is_index(inner):
        return PixelRow(container, int(inner))
    if is_container_name(container.name):
        return ContainerMember(container, inner)
    return _resolve_inside_archive(container, inner) if suffix == ARCHIVE_SUFFIX else DiskFile(path)


def _resolve_inside_archive(container: Path, inner: str) -> Location:
    archive = open_archive(container)
    if inner in archive:
        return ArchiveMember(container, inner)
    table, _, index = inner.rpartition("/")
    if table.lower().endswith(PIXEL_TABLE_SUFFIXES) and table in archive and _is_index(index):
        return PixelRow(container / table, int(index))
    parts = _parse_colours(inner)
    if parts and all(name in archive for name in parts.values()):
        return ColourFiles({colour: container / name for colour, name in parts.items()})
    return ArchiveMember(container, inner)


def _find_container(path: Path) -> Path | None:
    """Return the file below which an address leads, as if it were a folder."""
    for parent in path.parents:
        try:
            mode = os.stat(parent).st_mode  # noqa: PTH116 - see resolve_address
        except OSError:
            continue
        return parent if stat.S_ISREG(mode) else None
    return None


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _find_colour_files(path: Path) -> dict[str, Path] | None:
    parts = _parse_colours(path.name)
    return {colour: path.with_name(name) for colour, name in parts.items()} if parts else None


def _parse_colours(name: str) -> dict[str, str] | None:
    """Parse braces such as {red,green,blue} to the file name of each colour; None where there are none."""
    matches = list(BRACES.finditer(name)) if "{" in name else []
    if len(matches) != 1:
        return None
    colours = matches[0][1].split(",")
    if not any(sorted(colours) == sorted(known) for known in COLOUR_SETS):
        return None
    before, after = name[: matches[0].start()], name[matches[0].end() :]
    return {colour: f"{before}{colour}{after}" for colour in colours}
