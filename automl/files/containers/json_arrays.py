"""Read JSON files of records whose fields hold pixels as lists of numbers, such as the two bands of a radar image.

A list of records, or one record after the other (JSON lines). The file is read in place: the index holds where each
list of numbers lies. Several lists of one length are the channels of an image, in the order of their names.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError
from automl.files.array_images import is_picture_shape
from automl.files.containers.arrays import MIN_FLAT, find_flat_shape, unflatten_image
from automl.files.containers.container import (
    MAX_TEXT,
    Columns,
    NoImagesError,
    find_names,
    format_value,
    make_damaged_error,
    make_missing_error,
    map_file,
    name_images,
)

MIN_SIDE = 8  # pixels; narrower lists of lists are boxes, points and the like
SIGNS = re.compile(rb'["{}\[\]]')
QUOTE, BACKSLASH = ord('"'), ord("\\")
OPENING, CLOSING = b"{[", b"}]"


@dataclass(frozen=True, slots=True)
class _Record:
    """A record: its fields, and where each of its long lists lies."""

    fields: Mapping[str, Any]
    lists: Mapping[str, tuple[int, int]]


class JsonFile:
    """The images of a JSON file; see `automl.files.containers.container.Container`."""

    def __init__(self, path: Path) -> None:
        self._path, self._data = path, map_file(path)
        self.remarks: tuple[str, ...] = ()
        records = list(_iterate_records(self._data, path))
        self._bands = self._find_bands(records[0]) if records else ()
        if not self._bands:
            raise NoImagesError("its records hold no pixels")
        self._columns = _to_columns(records)
        self.keys, self.is_named = name_images(find_names(self._columns), len(records))
        self._lists_of = {key: record.lists for key, record in zip(self.keys, records, strict=True)}

    def read(self, key: str) -> NDArray[Any]:
        """Read one image, (H, W) or with a channel for each band."""
        lists = self._lists_of.get(key)
        if lists is None:
            raise make_missing_error(self._path, key)
        missing = [band for band in self._bands if band not in lists]
        if missing:
            raise make_damaged_error(self._path, f"record {key} has no list of numbers {missing[0]}")
        bands = [self._read_band(lists[band], f"{band} of {key}") for band in self._bands]
        if len({band.shape for band in bands}) > 1:
            raise make_damaged_error(self._path, f"the bands of {key} differ in their number of pixels")
        return bands[0] if len(bands) == 1 else np.stack(bands, axis=-1)

    def read_columns(self) -> Columns:
        """Return the fields beside the pixels: (n_images,) texts by name."""
        return self._columns

    def _find_bands(self, record: _Record) -> tuple[str, ...]:
        """Return the fields that hold an image's pixels, of the shape of the largest."""
        shapes = {}
        for name, place in record.lists.items():
            try:
                shapes[name] = self._read_band(place, name).shape
            except DataError:  # another list
                continue
        largest = max(shapes.values(), key=lambda shape: shape[0] * shape[1], default=None)
        return tuple(sorted(name for name, shape in shapes.items() if shape == largest))

    def _read_band(self, place: tuple[int, int], name: str) -> NDArray[np.float64]:
        try:
            values = np.asarray(json.loads(self._data[place[0] : place[1]]), dtype=np.float64)
            if values.ndim == 1 and len(values) >= MIN_FLAT and find_flat_shape(len(values)) is not None:
                return np.asarray(unflatten_image(values))
        except (ValueError, TypeError, RecursionError) as error:
            raise make_damaged_error(self._path, f"{name} is no list of numbers") from error
        if not is_picture_shape(values.shape) or sorted(values.shape)[-2] < MIN_SIDE:
            raise make_damaged_error(self._path, f"the {values.size} numbers of {name} make no image")
        return values


def _to_columns(records: list[_Record]) -> Columns:
    names = dict.fromkeys(name for record in records for name in record.fields)
    columns = {name: [_to_text(record.fields.get(name)) for record in records] for name in names}
    return {name: tuple(text or "" for text in texts) for name, texts in columns.items() if any(text for text in texts)}


def _to_text(value: Any) -> str | None:
    if isinstance(value, list):
        return " ".join(_to_text(each) or "" for each in value)
    return format_value(value)


def _iterate_records(data: mmap.mmap, path: Path) -> Iterator[_Record]:
    """Iterate over the records, each parsed without its long lists."""
    base = 1 if data[:MAX_TEXT].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[" else 0
    depth, start, list_start, name = 0, 0, 0, ""
    lists: dict[str, tuple[int, int]] = {}
    for at, sign in _iterate_signs(data, path):
        if sign == QUOTE:
            if depth == base + 1:
                name = _parse_text(data, at, path)
        elif sign in OPENING:
            depth += 1
            if depth == base + 1:
                start, lists = at, {}
            elif depth == base + 2:
                list_start = at
        else:
            depth -= 1
            if depth == base + 1 and sign == CLOSING[1] and at + 1 - list_start > MAX_TEXT:
                lists[name] = (list_start, at + 1)
            elif depth == base and sign == CLOSING[0]:
                yield _parse_record(data, start, at + 1, lists, path)
            elif depth < 0:
                break
    if depth:
        raise make_damaged_error(path, f"it is cut after {len(data)} bytes, or a bracket is missing")


def _iterate_signs(data: mmap.mmap, path: Path) -> Iterator[tuple[int, int]]:
    """Iterate over (place, sign) of the brackets and of the texts; of a text, its first quote alone."""
    found = SIGNS.search(data)
    while found is not None:
        at = found.start()
        sign = data[at]
        yield at, sign
        found = SIGNS.search(data, _find_end_of_text(data, at, path) if sign == QUOTE else at + 1)


def _find_end_of_text(data: mmap.mmap, start: int, path: Path) -> int:
    """Return the place after the quote that ends a text."""
    at = start
    while True:
        at = data.find(b'"', at + 1)
        if at < 0:
            raise make_damaged_error(path, f"a text at byte {start} does not end")
        before = at - 1
        while data[before] == BACKSLASH:
            before -= 1
        if (at - before) % 2:
            return at + 1


def _parse_text(data: mmap.mmap, at: int, path: Path) -> str:
    try:
        return str(json.loads(data[at : _find_end_of_text(data, at, path)]))
    except ValueError as error:
        raise make_damaged_error(path, f"the text at byte {at}: {error}") from error


def _parse_record(data: mmap.mmap, start: int, end: int, lists: Mapping[str, tuple[int, int]], path: Path) -> _Record:
    pieces, at = [], start
    for first, last in lists.values():
        pieces += [data[at:first], b"null"]
        at = last
    try:
        fields = json.loads(b"".join([*pieces, data[at:end]]))
    except (ValueError, RecursionError) as error:
        raise make_damaged_error(path, f"the record at byte {start}: {error}") from error
    return _Record({name: value for name, value in fields.items() if name not in lists}, lists)
