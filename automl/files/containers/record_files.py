"""Index a file of records one after the other, each with an image or several and what belongs to it.

The file is read in place: the index holds where each image lies, and nothing but the image is copied. The formats are
automl.files.containers.tfrecord and automl.files.containers.bson.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from automl.files.containers.container import (
    Columns,
    NoImagesError,
    find_names,
    format_value,
    make_damaged_error,
    make_missing_error,
    map_file,
    name_images,
)
from automl.files.encoded_images import is_encoded_image

HEAD_BYTES = 160  # of an image, to know it by
MAX_TEXT_BYTES = 1000  # of a field that may be a label or an id


class BrokenRecordError(Exception):
    """A record is not what its format says; the reason in a few words."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of the file, from `start` up to `end`."""

    start: int
    end: int


Value = str | int | float | bool | None | Span | list["Value"] | dict[str, "Value"]


@dataclass(slots=True)
class _Index:
    """What was found in the records so far: a span for each image, and the fields of its record."""

    spans: list[Span] = field(default_factory=list)
    rows: list[Mapping[str, str]] = field(default_factory=list)
    records: list[int] = field(default_factory=list)  # of each image, the number of its record
    numbers: list[int] = field(default_factory=list)  # of each image, its number in the record
    n_empty: int = 0  # records without an image

    def add(self, spans: Sequence[Span], row: Mapping[str, str], record: int) -> None:
        self.n_empty += not spans
        for number, span in enumerate(spans):
            self.spans.append(span)
            self.rows.append(row)
            self.records.append(record)
            self.numbers.append(number)


class RecordFile:
    """The images of a TFRecord or a BSON file; see `automl.files.containers.container.Container`."""

    def __init__(self, path: Path, index: _Index, data: mmap.mmap, *, are_numbered: bool) -> None:
        self._path, self._data = path, data
        self.remarks = (f"{index.n_empty} records without an image",) if index.n_empty else ()
        self._columns = _to_columns(index.rows)
        names = _find_record_names(self._columns, index)
        if names and are_numbered:
            names = tuple(f"{name}/{number}" for name, number in zip(names, index.numbers, strict=True))
        self.keys, self.is_named = name_images(names, len(index.spans))
        if are_numbered and not self.is_named:
            self.keys = tuple(f"row{record}/{n}" for record, n in zip(index.records, index.numbers, strict=True))
        self._span_of = dict(zip(self.keys, index.spans, strict=True))

    def read(self, key: str) -> bytes:
        """Read one image file."""
        span = self._span_of.get(key)
        if span is None:
            raise make_missing_error(self._path, key)
        return self._data[span.start : span.end]

    def read_columns(self) -> Columns:
        """Return the fields beside the images: (n_images,) texts by name."""
        return self._columns


def open_records(
    path: Path,
    *,
    iterate_records: Callable[[mmap.mmap], Iterator[Span]],
    parse: Callable[[mmap.mmap, Span], dict[str, Value]],
    find_spans: Callable[[mmap.mmap, Mapping[str, Value]], list[Span]],
    are_numbered: bool,
) -> RecordFile:
    """Open a file of records.

    Args:
        iterate_records: over the bytes of each record.
        parse: the fields of a record by name.
        find_spans: where its images lie.
        are_numbered: whether an image is addressed by its record and its number there.

    Raises:
        NoImagesError: its first records hold no encoded image.
        DataError: it cannot be read, or is damaged.
    """
    data, index, number = map_file(path), _Index(), -1
    try:
        for number, record in enumerate(iterate_records(data)):
            fields = parse(data, record)
            spans = find_spans(data, fields)
            if not spans and not index.spans:
                raise NoImagesError("its records hold no encoded image")
            row = {name: text for name, value in fields.items() if (text := _to_text(data, value)) is not None}
            index.add(spans, row, number)
    except BrokenRecordError as error:
        raise make_damaged_error(path, f"record {number + 1}, counted from 0: {error}") from error
    if not index.spans:
        raise NoImagesError("it holds no records")
    return RecordFile(path, index, data, are_numbered=are_numbered)


def _to_columns(rows: Sequence[Mapping[str, str]]) -> Columns:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: tuple(row.get(name, "") for row in rows) for name in names}


def _find_record_names(columns: Columns, index: _Index) -> tuple[str, ...]:
    """Return the name of each image's record; empty where no column names the records."""
    first = [place for place, number in enumerate(index.numbers) if number == 0]
    of_records = {name: tuple(values[place] for place in first) for name, values in columns.items()}
    names = find_names(of_records)
    if not names:
        return ()
    name_of = dict(zip((index.records[place] for place in first), names, strict=True))
    return tuple(name_of[record] for record in index.records)


def _to_text(data: mmap.mmap, value: Value) -> str | None:
    """Return a field as text: a list of several with blanks between; None where it is an image or a document."""
    if isinstance(value, list):
        texts = [_to_text(data, each) for each in value]
        return " ".join(text for text in texts if text is not None) if None not in texts and texts else None
    if isinstance(value, Span):
        short = value.end - value.start <= MAX_TEXT_BYTES
        return format_value(data[value.start : value.end]) if short else None
    return None if isinstance(value, dict) else format_value(value)


def is_image_span(data: mmap.mmap | bytes, span: Span) -> bool:
    """Whether these bytes are the content of an image file."""
    return is_encoded_image(data[span.start : min(span.end, span.start + HEAD_BYTES)])
