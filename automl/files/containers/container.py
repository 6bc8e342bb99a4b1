"""What a file of many images is, and what its readers share.

An image has an address below its file, such as train-image.hdf5/ISIC_0015670: the file's own name for it, else its
number, as in images.npz/train_images/row17. A bare number would be taken for an id, and the ids of a table need not
count from 0.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from numpy.typing import NDArray

from automl.errors import DataError, join_names

Columns = Mapping[str, tuple[str, ...]]

MAX_IMAGE_BYTES = 2 * 1024**3
MAX_KEY_BYTES = 200  # of a part of an address: longer ones are no names to a file system
MAX_TEXT = 1000  # letters of a value that may be a label or an id
# What the file's own name for an image is called, the likeliest first; in lower case.
NAME_COLUMNS = (
    *("image_id", "imageid", "id", "_id", "image_name", "filename", "file_name", "image/filename"),
    *("name", "image", "path", "key", "img_id", "isic_id"),
)


class Container(Protocol):
    """A file of many images, indexed when it is opened; reading one takes no longer for the number of the others.

    Attributes:
        keys: (n_images,) what follows the file in the image's address; in the file's order, each once.
        is_named: whether the keys are names that the file gives, not mere numbers.
        remarks: what is left out of the file, in a few words each.
    """

    @property
    def keys(self) -> Sequence[str]: ...

    @property
    def is_named(self) -> bool: ...

    @property
    def remarks(self) -> Sequence[str]: ...

    def read(self, key: str) -> bytes | NDArray[Any]:
        """Read one image: the content of an image file, or an array.

        Raises:
            DataError: there is no such image, or the file is damaged there.
        """
        ...

    def read_columns(self) -> Columns:
        """Read what the file says beside each image, such as its label: (n_images,) texts by name, "" where nothing.

        Raises:
            DataError: the file is damaged.
        """
        ...


class NoImagesError(Exception):
    """A file that could hold many images holds something else; the reason in a few words."""


def name_images(names: Sequence[str], n_images: int) -> tuple[tuple[str, ...], bool]:
    """Return the images' keys and whether they are names: the given ones where each is distinct and fit for a path."""
    texts = tuple(name.strip() for name in names)
    if len(texts) == n_images and len(set(texts)) == n_images and all(map(is_key, texts)):
        return texts, True
    return make_row_keys(n_images), False


def make_row_keys(n_images: int) -> tuple[str, ...]:
    """Return the keys of images that have no names."""
    return tuple(f"row{row}" for row in range(n_images))


def is_key(text: str) -> bool:
    """Whether a text may follow a file in an address as it is: a relative path of printable names."""
    path = PurePosixPath(text)
    parts = path.parts
    return (
        bool(parts)
        and str(path) == text
        and not path.is_absolute()
        and text.isprintable()
        and not any(part == ".." or part.startswith(".") or len(part.encode()) > MAX_KEY_BYTES for part in parts)
    )


def find_names(columns: Columns) -> tuple[str, ...]:
    """Return the values of the column that names the images; empty where there is none of distinct names."""
    by_lowered = {name.lower(): name for name in columns}
    for wanted in NAME_COLUMNS:
        values = columns.get(by_lowered.get(wanted, ""), ())
        if values and len(set(values)) == len(values) and all(map(is_key, values)):
            return values
    return ()


def format_value(value: object) -> str | None:
    """Return a value beside an image as text, whole numbers without a point; None where it is no label or id."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return value.strip() if len(value) <= MAX_TEXT and "\0" not in value else None
    return "" if value is None else None


def map_file(path: Path) -> mmap.mmap:
    """Map a file into memory, to be read only.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # a ValueError: the file is empty
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{join_names([path.name])} cannot be read: {reason}", hint="restore the file") from error


def make_damaged_error(path: Path, reason: str) -> DataError:
    """Make the error for a file whose content is not what its format says."""
    return DataError(
        f"{join_names([path.name])} is damaged or of another format: {' '.join(reason.split())}",
        hint="download the file again, or move it away",
    )


def make_missing_error(path: Path, key: str) -> DataError:
    """Make the error for an image that is not in the file."""
    return DataError(
        f"{join_names([path.name])} has no image {join_names([key])}",
        hint="restore the file, or begin another study with --study",
    )
