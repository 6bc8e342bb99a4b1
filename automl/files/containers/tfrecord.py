"""Read TFRecord files of tf.train.Example messages, without TensorFlow.

The checksum of each length is checked, which tells damage from another format; that of the data is not, as an image
that is cut does not decode.

Source: tensorflow/core/lib/io/record_writer.h; tensorflow/core/example/example.proto and feature.proto.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from automl.files.containers.record_files import (
    BrokenRecordError,
    RecordFile,
    Span,
    Value,
    is_image_span,
    open_records,
)

FRAME_HEAD, FRAME_TAIL = 12, 4
MAX_VARINT_BITS = 64
IMAGE_FEATURES = ("image", "image_raw", "image/encoded", "img", "picture", "jpeg", "png", "encoded")
GZIP_MAGIC = b"\x1f\x8b"
CRC_POLYNOMIAL, CRC_DELTA = 0x82F63B78, 0xA282EAD8  # Castagnoli's, reflected; and what masks it in the file


def open_tfrecord(path: Path) -> RecordFile:
    """Open a TFRecord file of tf.train.Example records.

    Raises:
        NoImagesError: its records hold no encoded image.
        DataError: it cannot be read, or is damaged.
    """
    return open_records(
        path,
        iterate_records=iterate_frames,
        parse=parse_example,
        find_spans=_find_feature_spans,
        are_numbered=False,
    )


def iterate_frames(data: mmap.mmap | bytes) -> Iterator[Span]:
    """Iterate over the data of each record of a TFRecord file.

    Raises:
        BrokenRecordError: the file is cut, or is none.
    """
    if data[:2] == GZIP_MAGIC:
        raise BrokenRecordError("it is compressed by gzip; unpack it first")
    at, size = 0, len(data)
    while at < size:
        if size - at < FRAME_HEAD:
            raise BrokenRecordError(f"it is cut after {size} bytes")
        length, checksum = struct.unpack("<QI", data[at : at + FRAME_HEAD])
        if compute_masked_crc(data[at : at + 8]) != checksum:
            raise BrokenRecordError(f"the checksum of its length at byte {at} is another one")
        start, end = at + FRAME_HEAD, at + FRAME_HEAD + length
        if end + FRAME_TAIL > size:
            raise BrokenRecordError(f"it is cut after {size} bytes")
        yield Span(start, end)
        at = end + FRAME_TAIL


def compute_crc(content: bytes) -> int:
    """Compute the CRC-32C of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def compute_masked_crc(content: bytes) -> int:
    """Compute the checksum of a few bytes as TFRecord stores it."""
    crc = compute_crc(content)
    return (((crc >> 15) | (crc << 17)) + CRC_DELTA) & 0xFFFFFFFF


def _make_crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ CRC_POLYNOMIAL if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _make_crc_table()


def parse_example(data: mmap.mmap | bytes, record: Span) -> dict[str, Value]:
    """Parse a tf.train.Example: each feature's value by name, a list where it has several; bytes as their span.

    Raises:
        BrokenRecordError: it is no such message.
    """
    features: dict[str, Value] = {}
    for number, outer in _iterate_fields(data, record):
        if number == 1 and isinstance(outer, Span):
            for entry_number, entry in _iterate_fields(data, outer):
                if entry_number == 1 and isinstance(entry, Span):
                    name, value = _parse_feature(data, entry)
                    features[name] = value
    return features


def _parse_feature(data: mmap.mmap | bytes, entry: Span) -> tuple[str, Value]:
    name, values = "", list[Value]()
    for number, part in _iterate_fields(data, entry):
        if number == 1 and isinstance(part, Span):
            name = _decode_text(data, part)
        elif number == 2 and isinstance(part, Span):
            for list_number, listed in _iterate_fields(data, part):
                if isinstance(listed, Span):
                    values = _parse_list(data, listed, list_number)
    return name, values[0] if len(values) == 1 else values


def _parse_list(data: mmap.mmap | bytes, listed: Span, list_number: int) -> list[Value]:
    """Parse a BytesList (1), a FloatList (2) or an Int64List (3), packed or not."""
    values: list[Value] = []
    for number, value in _iterate_fields(data, listed):
        if number != 1:
            continue
        if list_number == 1 and isinstance(value, Span):
            values.append(value)
        elif list_number == 2:
            values += _parse_floats(data, value)
        elif list_number == 3 and isinstance(value, Span):
            at = value.start
            while at < value.end:
                integer, at = _read_varint(data, at, value.end)
                values.append(_to_signed(integer))
        elif list_number == 3 and isinstance(value, int):
            values.append(_to_signed(value))
    return values


def _parse_floats(data: mmap.mmap | bytes, value: Span | int) -> list[Value]:
    if isinstance(value, int):
        return [_to_short_float(value.to_bytes(4, "little"))] if value < 1 << 32 else []
    if (value.end - value.start) % 4:
        raise BrokenRecordError(f"{value.end - value.start} bytes are no list of floats")
    return [_to_short_float(data[at : at + 4]) for at in range(value.start, value.end, 4)]


def _to_short_float(four: bytes) -> float:
    """Return a float of 4 bytes by the fewest digits that name it."""
    (value,) = struct.unpack("<f", four)
    return float(f"{value:.7g}") if struct.pack("<f", float(f"{value:.7g}")) == four else float(value)


def _to_signed(integer: int) -> int:
    return integer - (1 << 64) if integer >= 1 << 63 else integer


def _iterate_fields(data: mmap.mmap | bytes, message: Span) -> Iterator[tuple[int, Span | int]]:
    """Iterate over (number, value) of the fields of a protobuf message; a value of any length as its span."""
    at = message.start
    while at < message.end:
        key, at = _read_varint(data, at, message.end)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _read_varint(data, at, message.end)
            yield number, value
            continue
        length = {1: 8, 5: 4}.get(wire)
        if length is None and wire == 2:
            length, at = _read_varint(data, at, message.end)
        if length is None or at + length > message.end:
            raise BrokenRecordError(f"a field at byte {at} does not fit")
        yield number, Span(at, at + length) if wire == 2 else int.from_bytes(data[at : at + length], "little")
        at += length


def _read_varint(data: mmap.mmap | bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < MAX_VARINT_BITS:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise BrokenRecordError(f"a number at byte {at} does not end")


def _decode_text(data: mmap.mmap | bytes, span: Span) -> str:
    try:
        return data[span.start : span.end].decode()
    except UnicodeDecodeError as error:
        raise BrokenRecordError(f"a name at byte {span.start} is not UTF-8") from error


def _find_feature_spans(data: mmap.mmap, fields: Mapping[str, Value]) -> list[Span]:
    """Return the encoded image, by the name of its feature where there are several."""
    found = [name for name, value in fields.items() if isinstance(value, Span) and is_image_span(data, value)]
    chosen = next((name for name in IMAGE_FEATURES if name in found), found[0] if found else None)
    value = fields.get(chosen) if chosen is not None else None
    return [value] if isinstance(value, Span) else []
