"""Read parquet files whose rows are images: encoded ones, as Hugging Face's datasets have them, or a column a pixel.

A row is found in its row group, the part of the file that is read at once; the last few are kept in memory. Without a
known shape, pixels in columns are a square, three squares, or the rectangle whose rows resemble each other most.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError
from automl.files.containers.arrays import MIN_FLAT, find_flat_shape, unflatten_image
from automl.files.containers.container import (
    Columns,
    NoImagesError,
    find_names,
    format_value,
    make_damaged_error,
    make_missing_error,
    name_images,
)
from automl.files.encoded_images import is_encoded_image
from automl.files.image_formats import load_library

GROUPS_IN_MEMORY = 2
BYTES_FIELD, PATH_FIELD = "bytes", "path"  # of an image in a dataset of Hugging Face's
PATH_COLUMN = "path"
PIXEL_COLUMN = re.compile(r"(?:pixel|pix|px)?[ _.-]?([0-9]{1,7})", re.IGNORECASE)
MAX_ELONGATION = 4.0  # of a rectangle that is guessed: its longer side by the shorter
PROBED_ROWS = 64  # enough to tell the shape
CLEAR_RATIO = 0.9  # of the steps between rows, the best shape's by the next best's


class ParquetFile:
    """The images of a parquet file; see `automl.files.containers.container.Container`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        pyarrow, self._parquet = load_library("pyarrow", "parquet"), load_library("pyarrow.parquet", "parquet")
        self._types = pyarrow.types
        self._lock = threading.Lock()
        self._groups: OrderedDict[int, Any] = OrderedDict()
        self.remarks: tuple[str, ...] = ()
        with name_damage(path):
            self._file = self._parquet.ParquetFile(path, memory_map=True)
        self._schema = self._file.schema_arrow
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        n_rows = int(self._starts[-1])
        if not n_rows:
            raise NoImagesError("it has no rows")
        self._image_column = self._find_encoded_column()
        self._pixels = () if self._image_column else self._find_pixel_columns()
        if not self._image_column and not self._pixels:
            raise NoImagesError("it has no column of images, and no columns of pixels")
        self._shape = self._find_shape() if self._pixels else ()
        with name_damage(path):
            self._columns = self._read_other_columns()
        self.keys, self.is_named = name_images(find_names(self._columns), n_rows)
        self._row_of = {key: row for row, key in enumerate(self.keys)}

    def read(self, key: str) -> bytes | NDArray[Any]:
        """Read one image."""
        row = self._row_of.get(key)
        if row is None:
            raise make_missing_error(self._path, key)
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        place = row - int(self._starts[group])
        loaded = self._load_group(group)
        if self._pixels:
            values = loaded[:, place]
            return values.reshape(self._shape) if len(self._shape) == 2 else unflatten_image(values)
        content = loaded[place].as_py()
        if not isinstance(content, bytes):
            raise make_damaged_error(self._path, f"row {row}, counted from 0, holds no image, perhaps a path alone")
        return content

    def read_columns(self) -> Columns:
        """Return the columns beside the images: (n_images,) texts by name."""
        return self._columns

    def _find_encoded_column(self) -> str | None:
        """Return the column of encoded images: binary, or with a field `bytes`; by the first value that is there."""
        for field in self._schema:
            is_struct = self._types.is_struct(field.type) and field.type.get_field_index(BYTES_FIELD) >= 0
            if is_struct or self._types.is_binary(field.type) or self._types.is_large_binary(field.type):
                name = f"{field.name}.{BYTES_FIELD}" if is_struct else str(field.name)
                first = self._read_first(name)
                if first is not None and is_encoded_image(first):
                    return name
        return None

    def _read_first(self, name: str) -> bytes | None:
        with name_damage(self._path):
            batch = next(self._file.iter_batches(batch_size=PROBED_ROWS, columns=[name]), None)
            values = [] if batch is None else _flatten(batch.column(0)).to_pylist()
        return next((value for value in values if isinstance(value, bytes) and value), None)

    def _find_pixel_columns(self) -> tuple[str, ...]:
        """Return the columns of pixels in their order: many numbered ones, whose numbers leave nothing out."""
        numbered = {
            int(match[1]): str(field.name)
            for field in self._schema
            if (match := PIXEL_COLUMN.fullmatch(field.name)) and _is_number(self._types, field.type)
        }
        if len(numbered) < MIN_FLAT or max(numbered) - min(numbered) + 1 != len(numbered):
            return ()
        return tuple(numbered[number] for number in sorted(numbered))

    def _find_shape(self) -> tuple[int, ...]:
        """Return the shape of an image in columns of pixels."""
        known = find_flat_shape(len(self._pixels))
        if known is not None:
            return known
        with name_damage(self._path):
            batch = next(self._file.iter_batches(batch_size=PROBED_ROWS, columns=list(self._pixels)))
            probed = np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=1)
        return infer_shape(probed.astype(np.float64))

    def _load_group(self, group: int) -> Any:
        """Read a row group: a column of encoded images, or pixels (n_pixels, n_rows)."""
        with self._lock:
            if group not in self._groups:
                with name_damage(self._path):
                    self._groups[group] = self._read_group(group)
                while len(self._groups) > GROUPS_IN_MEMORY:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(group)
            return self._groups[group]

    def _read_group(self, group: int) -> Any:
        if self._image_column is not None:
            return _flatten(self._file.read_row_group(group, columns=[self._image_column]).column(0))
        n_rows = int(self._starts[group + 1] - self._starts[group])
        table = self._file.read_row_group(group, columns=list(self._pixels))
        pixels = np.empty((len(self._pixels), n_rows), dtype=table.column(0).to_numpy().dtype)
        for place, name in enumerate(self._pixels):
            pixels[place] = table.column(name).to_numpy()
        return pixels

    def _read_other_columns(self) -> Columns:
        """Read what is beside the images as text, class numbers by their names where the file has these."""
        image = (self._image_column or "").removesuffix(f".{BYTES_FIELD}")
        taken = {image, *self._pixels}
        others = [field for field in self._schema if field.name not in taken]
        wanted = [str(field.name) for field in others if not self._types.is_struct(field.type)]
        has_paths = image and self._types.is_struct(self._schema.field(image).type)
        if has_paths and self._schema.field(image).type.get_field_index(PATH_FIELD) >= 0:
            wanted.append(f"{image}.{PATH_FIELD}")
        names_of = _read_class_names(self._schema.metadata or {})
        table = self._file.read(columns=wanted)
        columns = {}
        for field in table.schema:
            values = _flatten(table.column(field.name)).to_pylist()
            texts = [_to_text(value, names_of.get(field.name, ())) for value in values]
            if any(texts) and None not in texts:
                name = PATH_COLUMN if self._types.is_struct(field.type) else str(field.name)
                columns[name] = tuple(text or "" for text in texts)
        return columns


def infer_shape(probed: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the height and width that (n, n_pixels) numbers have: those by which rows resemble each other most.

    Raises:
        NoImagesError: no rectangle is clearly the best.
    """
    n_pixels = probed.shape[1]
    widths = [
        width
        for width in range(MIN_FLAT // 16, n_pixels // 2)
        if not n_pixels % width and 1 / MAX_ELONGATION <= n_pixels / width / width <= MAX_ELONGATION
    ]
    steps = sorted((float(np.abs(probed[:, width:] - probed[:, :-width]).mean()), width) for width in widths)
    if not steps or (len(steps) > 1 and steps[0][0] >= CLEAR_RATIO * steps[1][0]):
        raise NoImagesError(f"{n_pixels} pixels to a row make no square, and no rectangle that is clear")
    width = steps[0][1]
    return n_pixels // width, width


@contextmanager
def name_damage(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes pyarrow trip over into an error that names the file."""
    try:
        yield
    except (NoImagesError, DataError):
        raise
    except Exception as error:
        raise make_damaged_error(path, str(error) or type(error).__name__) from error


def _flatten(column: Any) -> Any:
    """Return a column of structures with one field as a column of that field."""
    if not hasattr(column, "chunks"):
        return column.field(0) if hasattr(column, "field") else column
    while str(column.type).startswith("struct<"):
        column = column.combine_chunks()
        column = column.flatten()[0] if not hasattr(column, "chunks") else column.chunk(0).flatten()[0]
    return column


def _is_number(types: Any, column_type: Any) -> bool:
    return bool(types.is_integer(column_type) or types.is_floating(column_type))


def _read_class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes that numbers stand for, by column.

    Source: huggingface/datasets, features/features.py: ClassLabel, and Sequence of it.
    """
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        inner = {name: feature.get("feature", feature) for name, feature in features.items()}
        return {name: tuple(map(str, each["names"])) for name, each in inner.items() if "names" in each}
    except (ValueError, KeyError, TypeError, AttributeError):  # written by another program
        return {}


def _to_text(value: Any, names: Sequence[str]) -> str | None:
    if isinstance(value, list):
        texts = [_to_text(each, names) for each in value]
        return " ".join(text for text in texts if text) if None not in texts else None
    if names and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return str(value) if isinstance(value, date) else format_value(value)
