"""Read pixels from a CSV file: a row for each image, known by its header, read as numbers and never held as text.

    header                          image
    ------------------------------  ---------------------------------------------------------------------
    pixel0 .. pixel783, or from 1   gray: a square, row by row
    pixel0 .. pixel3071             three colours: three squares one after the other, as in CIFAR-10, or
                                    three values for each pixel; whichever makes smoother pictures
    1x1, 1x2 .. 28x28               gray: row x column
    pixels                          the first or the second in one field, with blanks between

See also automl.readers.labels.csv_pixels, which reads the labels beside the pixels.
"""

from __future__ import annotations

import csv
import functools
import io
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError, join_names
from automl.files.addresses import list_source_files
from automl.files.table_formats import read_text
from automl.files.table_text import DELIMITERS
from automl.files.tables import format_count

PIXEL_NAME = re.compile(r"(?:pixel|pix|px)[ _.-]?([0-9]{1,7})")
GRID_NAME = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")
ONE_FIELD_NAME = "pixels"
MIN_PIXELS = 16  # columns; fewer are measurements that happen to be called so
INTERLEAVED_RATIO = 0.8  # of the steps between neighbours; by chance they do not become so much smaller
PROBED_ROWS = 256  # enough to tell the order of colours
TABLES_IN_MEMORY = 4
_LOAD_LOCK = threading.Lock()


def find_pixel_columns(header: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the columns that hold pixels, in the order of the pixels; empty where there are none."""
    names = [name.strip().lower() for name in header]
    numbered = [(int(match[1]), column) for column, name in enumerate(names) if (match := PIXEL_NAME.fullmatch(name))]
    if len(numbered) >= MIN_PIXELS:
        return tuple(column for _, column in sorted(numbered))
    grid = [(*_parse_grid_name(name), column) for column, name in enumerate(names) if GRID_NAME.fullmatch(name)]
    if len(grid) >= MIN_PIXELS:
        return tuple(column for _, _, column in sorted(grid))
    return (names.index(ONE_FIELD_NAME),) if ONE_FIELD_NAME in names else ()


def load_pixel_table(path: Path) -> NDArray[np.uint8]:
    """Load (n, H, W) or (n, H, W, 3) pixels of all rows, read-only and kept in memory once for the process.

    Args:
        path: a CSV file, or a member of an archive.

    Raises:
        DataError: the table cannot be read, a cell is no whole number from 0 to 255, a row is of another length, or
            the pixels make no square.
    """
    stamps = tuple(_get_stamp(file) for file in list_source_files(path))
    with _LOAD_LOCK:  # else each thread that decodes would read it
        return _load_cached(path, stamps)


def read_other_columns(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read the columns that hold no pixels, by name: (n_rows,) of text each, without surrounding blanks.

    Raises:
        DataError: the table cannot be read, or a row is of another length than the header.
    """
    table = _open_table(path)
    others = [column for column in range(len(table.header)) if column not in set(table.pixels)]
    rows = [tuple(fields[column].strip() for column in others) for _, fields in table.iterate_rows()] if others else []
    columns = zip(*rows, strict=True) if rows else ((),) * len(others)
    return {table.header[column].strip(): values for column, values in zip(others, columns, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _PixelTable:
    """A table of pixels before its numbers are parsed."""

    name: str
    content: bytes
    delimiter: str
    header: tuple[str, ...]
    pixels: tuple[int, ...]

    @property
    def in_one_field(self) -> bool:
        return len(self.pixels) == 1

    def iterate_lines(self) -> Iterator[tuple[int, str]]:
        """Iterate over (line number from 1, text) of every row, each with as many fields as the header."""
        numbered = enumerate(_iterate_lines(self.content, self.name), start=1)
        rows = ((number, line) for number, line in numbered if line.strip())
        next(rows)  # the header
        for number, line in rows:
            n_fields = line.count(self.delimiter) + 1 if '"' not in line else len(self._parse_quoted(line, number))
            if n_fields != len(self.header):
                raise DataError(
                    f"{self.name}: the header has {format_count(len(self.header), 'field')}, "
                    f"but line {number} has {n_fields}",
                    hint="fix the line, or restore the file",
                )
            yield number, line

    def iterate_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Iterate over (line number, fields) of every row."""
        for number, line in self.iterate_lines():
            yield number, self._parse_quoted(line, number) if '"' in line else line.split(self.delimiter)

    def _parse_quoted(self, line: str, number: int) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=self.delimiter, strict=True))
        except csv.Error as error:
            raise DataError(
                f"{self.name} is damaged in line {number}: {error}", hint="fix the quotes in that line"
            ) from error


def _parse_grid_name(name: str) -> tuple[int, int]:
    row, _, column = name.partition("x")
    return int(row), int(column)


def _get_stamp(file: Path) -> tuple[Path, int, int]:
    try:
        stat = file.stat()
    except OSError as error:
        raise DataError(
            f"{join_names([str(file)])} cannot be read: {error.strerror or error}", hint="restore the file"
        ) from error
    return file, stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=TABLES_IN_MEMORY)
def _load_cached(path: Path, _stamps: tuple[tuple[Path, int, int], ...]) -> NDArray[np.uint8]:
    table = _open_table(path)
    pictures = _to_images(_read_pixels(table), table)
    pictures.setflags(write=False)
    return pictures


def _open_table(path: Path) -> _PixelTable:
    content, _ = read_text(path, path.name, strict=True)
    first = next((line for line in _iterate_lines(content, path.name) if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    try:
        header = tuple(next(csv.reader([first], delimiter=delimiter, strict=True), []))
    except csv.Error as error:
        raise DataError(f"{path.name} has a damaged header: {error}", hint="restore the file") from error
    pixels = find_pixel_columns(header)
    if not pixels:
        raise DataError(
            f"{path.name} is no table of pixels: {join_names(header)}", hint="name its columns pixel0, pixel1 and so on"
        )
    return _PixelTable(name=path.name, content=content, delimiter=delimiter, header=header, pixels=pixels)


def _iterate_lines(content: bytes, name: str) -> Iterator[str]:
    try:
        for line in io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig"):
            yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 text: it holds the byte 0x{error.object[error.start]:02x}",
            hint="save the file as CSV with encoding UTF-8",
        ) from error


def _read_pixels(table: _PixelTable) -> NDArray[np.uint8]:
    """Read the pixels as an array of (n, n_pixels)."""
    if next(table.iterate_lines(), None) is None:
        raise DataError(f"{table.name} has a header, but no rows", hint="restore the file")
    try:
        if table.in_one_field:
            return np.loadtxt(_iterate_single_fields(table), dtype=np.uint8, comments=None, ndmin=2)
        return np.loadtxt(
            (line for _, line in table.iterate_lines()),
            dtype=np.uint8,
            comments=None,
            delimiter=table.delimiter,
            usecols=table.pixels,
            quotechar='"',
            ndmin=2,
        )
    except ValueError:  # numbers such as 12.0, or a fault to be named
        return _read_by_row(table)


def _iterate_single_fields(table: _PixelTable) -> Iterator[str]:
    length = 0
    for number, fields in table.iterate_rows():
        text = fields[table.pixels[0]]
        n_pixels = len(text.split())
        length = length or n_pixels
        if n_pixels != length or not n_pixels:
            raise DataError(
                f"{table.name}: line {number} has {format_count(n_pixels, 'pixel')}, "
                f"but the rows before it have {length}",
                hint="fix the line, or remove it",
            )
        yield text


def _read_by_row(table: _PixelTable) -> NDArray[np.uint8]:
    """Read the pixels row by row, so that a faulty cell can be named."""
    return np.stack([_parse_pixels(table, number, fields) for number, fields in table.iterate_rows()])


def _parse_pixels(table: _PixelTable, number: int, fields: Sequence[str]) -> NDArray[np.uint8]:
    cells = fields[table.pixels[0]].split() if table.in_one_field else [fields[column] for column in table.pixels]
    values = np.array([_parse_number(cell) for cell in cells])
    fitting = (values >= 0) & (values <= 255) & (values == np.rint(values))
    if not fitting.all():
        place = int(np.argmin(fitting))
        column = table.header[table.pixels[0 if table.in_one_field else place]].strip()
        raise DataError(
            f"{table.name}: line {number} holds {join_names([cells[place]]) or 'nothing'} "
            f"in column {join_names([column])}, but a pixel is a whole number from 0 to 255",
            hint="fix the line, or remove it",
        )
    return values.astype(np.uint8)


def _parse_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _to_images(pixels: NDArray[np.uint8], table: _PixelTable) -> NDArray[np.uint8]:
    """Reshape pixels to (n, H, W) or (n, H, W, 3)."""
    n_images, n_pixels = pixels.shape
    places = [
        _parse_grid_name(name) for column in table.pixels if GRID_NAME.fullmatch(name := table.header[column].strip())
    ]
    height, width = (len({place[axis] for place in places}) for axis in (0, 1))
    if places and len(set(places)) == n_pixels == height * width:
        return pixels.reshape(n_images, height, width)
    side, colour_side = math.isqrt(n_pixels), math.isqrt(n_pixels // 3)
    if side * side == n_pixels and not places:
        return pixels.reshape(n_images, side, side)
    if 3 * colour_side * colour_side == n_pixels and not places:  # never a square itself: 3 is none
        return _to_colour_images(pixels, colour_side)
    line = f" in line {next(table.iterate_lines())[0]}" if table.in_one_field else ""
    raise DataError(
        f"{table.name} has {format_count(n_pixels, 'pixel')} to an image{line}, "
        "which make no square, gray or of 3 colours",
        hint="restore the columns that are missing, or give the images as files",
    )


def _to_colour_images(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Reshape to (n, side, side, 3), by the order of colours in which neighbours are more alike."""
    planar = pixels.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
    interleaved = pixels.reshape(-1, side, side, 3)
    smoother = _compute_mean_step(interleaved) < INTERLEAVED_RATIO * _compute_mean_step(planar)
    return np.ascontiguousarray(interleaved if smoother else planar)


def _compute_mean_step(pictures: NDArray[np.uint8]) -> float:
    """Compute the mean difference between horizontal neighbours."""
    probed = pictures[:: max(1, len(pictures) // PROBED_ROWS)].astype(np.int16)
    return float(np.abs(np.diff(probed, axis=2)).mean()) if probed.shape[2] > 1 else 0.0
