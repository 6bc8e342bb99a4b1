"""Read files of BSON documents, as mongodump writes them, without MongoDB.

Source: bsonspec.org, version 1.1.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from automl.files.containers.record_files import (
    BrokenRecordError,
    RecordFile,
    Span,
    Value,
    is_image_span,
    open_records,
)

MIN_DOCUMENT_BYTES = 5  # its length, and the zero that ends it
MAX_DEPTH = 32  # of documents in documents
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DOUBLE, TEXT, DOCUMENT, ARRAY, BINARY, OBJECT_ID, BOOLEAN, DATE, INT32, INT64 = (
    *(0x01, 0x02, 0x03, 0x04, 0x05, 0x07),
    *(0x08, 0x09, 0x10, 0x12),
)
OLD_BINARY = 0x02  # a subtype with its length once more in the data
CODE, SYMBOL, CODE_WITH_SCOPE, REGEX, POINTER = 0x0D, 0x0E, 0x0F, 0x0B, 0x0C
# Undefined, null, timestamp, 128-bit decimal, the least and the greatest key: passed over.
SKIPPED_BYTES = {0x06: 0, 0x0A: 0, 0x11: 8, 0x13: 16, 0xFF: 0, 0x7F: 0}


def open_bson(path: Path) -> RecordFile:
    """Open a file of BSON documents; an image is addressed by its document and its number there.

    Raises:
        NoImagesError: its documents hold no encoded image.
        DataError: it cannot be read, or is damaged.
    """
    return open_records(
        path,
        iterate_records=iterate_documents,
        parse=parse_document,
        find_spans=_find_binary_spans,
        are_numbered=True,
    )


def iterate_documents(data: mmap.mmap | bytes) -> Iterator[Span]:
    """Iterate over the documents of a file.

    Raises:
        BrokenRecordError: the file is cut, or is none.
    """
    at, size = 0, len(data)
    while at < size:
        if size - at < MIN_DOCUMENT_BYTES:
            raise BrokenRecordError(f"it is cut after {size} bytes")
        (length,) = struct.unpack("<i", data[at : at + 4])
        if length < MIN_DOCUMENT_BYTES or at + length > size or data[at + length - 1]:
            raise BrokenRecordError(f"a document of {length} bytes at byte {at} does not fit")
        yield Span(at, at + length)
        at += length


def parse_document(data: mmap.mmap | bytes, record: Span, depth: int = 0) -> dict[str, Value]:
    """Parse a document: its values by name; binary ones as the span of their bytes.

    Raises:
        BrokenRecordError: it is damaged.
    """
    if depth > MAX_DEPTH:
        raise BrokenRecordError("it is nested too deeply")
    values: dict[str, Value] = {}
    at, end = record.start + 4, record.end - 1
    while at < end:
        code = data[at]
        name, at = _read_name(data, at + 1, end)
        value, at = _parse_value(data, code, at, end, depth)
        if at > end:
            raise BrokenRecordError(f"value {name!r} ends after its document")
        values[name] = value
    return values


def _parse_value(data: mmap.mmap | bytes, code: int, at: int, end: int, depth: int) -> tuple[Value, int]:
    """Parse a value of the type `code`; return it and where the next one begins."""
    if code in (DOCUMENT, ARRAY):
        inner = _read_span(data, at, at, end, least=MIN_DOCUMENT_BYTES)
        document = parse_document(data, inner, depth + 1)
        return (list(document.values()) if code == ARRAY else document), inner.end
    if code == BINARY:
        return _parse_binary(data, at, end)
    if code in (TEXT, CODE, SYMBOL):
        span = _read_span(data, at, at + 4, end, least=1)
        return _decode(data, span.start, span.end - 1), span.end
    if code in _PLAIN_VALUES:
        layout, convert = _PLAIN_VALUES[code]
        size = struct.calcsize(layout)
        return convert(*struct.unpack(layout, _read_bytes(data, at, at + size, end))), at + size
    if code in SKIPPED_BYTES:
        return None, at + SKIPPED_BYTES[code]
    return None, _skip_rare_value(data, code, at, end)


def _parse_binary(data: mmap.mmap | bytes, at: int, end: int) -> tuple[Span, int]:
    span = _read_span(data, at, at + 5, end, least=0)
    is_old = data[at + 4] == OLD_BINARY and span.end - span.start >= 4
    return Span(span.start + 4 if is_old else span.start, span.end), span.end


def _skip_rare_value(data: mmap.mmap | bytes, code: int, at: int, end: int) -> int:
    if code == REGEX:
        return _read_name(data, _read_name(data, at, end)[1], end)[1]
    if code == POINTER:
        return _read_span(data, at, at + 4, end, least=1).end + 12
    if code == CODE_WITH_SCOPE:
        return _read_span(data, at, at, end, least=MIN_DOCUMENT_BYTES).end
    raise BrokenRecordError(f"there is no type 0x{code:02x} of values")


def _read_span(data: mmap.mmap | bytes, at: int, start: int, end: int, *, least: int) -> Span:
    """Return the bytes from `start` on, as many as the number at `at` says."""
    (length,) = struct.unpack("<i", _read_bytes(data, at, at + 4, end))
    if length < least or start + length > end:
        raise BrokenRecordError(f"{length} bytes at byte {at} do not fit")
    return Span(start, start + length)


def _read_bytes(data: mmap.mmap | bytes, start: int, stop: int, end: int) -> bytes:
    if stop > end:
        raise BrokenRecordError(f"it is cut at byte {start}")
    return data[start:stop]


def _read_name(data: mmap.mmap | bytes, at: int, end: int) -> tuple[str, int]:
    """Return the text up to a zero, and where the bytes after it begin."""
    zero = data.find(b"\0", at, end)
    if zero < 0:
        raise BrokenRecordError(f"a name at byte {at} does not end")
    return _decode(data, at, zero), zero + 1


def _decode(data: mmap.mmap | bytes, start: int, stop: int) -> str:
    try:
        return data[start:stop].decode()
    except UnicodeDecodeError as error:
        raise BrokenRecordError(f"text at byte {start} is not UTF-8") from error


def _to_date(milliseconds: int) -> str:
    try:
        return (EPOCH + timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:  # years that no calendar has
        return str(milliseconds)


_PLAIN_VALUES: Mapping[int, tuple[str, Callable[..., Value]]] = {
    DOUBLE: ("<d", float),
    OBJECT_ID: ("12s", bytes.hex),
    BOOLEAN: ("?", bool),
    DATE: ("<q", _to_date),
    INT32: ("<i", int),
    INT64: ("<q", int),
}


def _find_binary_spans(data: mmap.mmap, fields: Mapping[str, Value]) -> list[Span]:
    """Return the images anywhere in a document, in its order."""
    found: list[Span] = []
    waiting: list[Value] = list(fields.values())[::-1]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Span):
            found += [value] if is_image_span(data, value) else []
        elif isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, dict):
            waiting += list(value.values())[::-1]
    return found
