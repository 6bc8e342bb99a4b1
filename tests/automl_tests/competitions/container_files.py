"""Writers of files of many images and of DICOM, from the formats' own descriptions; nothing of the product is imported.

TFRecord and BSON are written here byte by byte; what has a library of its own is written by that.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from tests.automl_tests.competitions.painting import encoded

Feature = bytes | str | int | float | Sequence[int] | Sequence[float] | Sequence[bytes]
Document = Mapping[str, object]

CASTAGNOLI = 0x82F63B78


class Int64(int):
    """A whole number that BSON keeps in 8 bytes."""


class ObjectId(bytes):
    """Twelve bytes that name a document."""


def jpeg(image: Image.Image) -> bytes:
    return encoded(image.convert("RGB"), ".jpg")


# TFRecord


def tfrecord(examples: Iterable[Mapping[str, Feature]], *, packed: bool = True) -> bytes:
    """A file of tf.train.Example records."""
    return b"".join(frame(example(features, packed=packed)) for features in examples)


def frame(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + masked_crc(length) + record + masked_crc(record)


def masked_crc(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (CASTAGNOLI if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def example(features: Mapping[str, Feature], *, packed: bool = True) -> bytes:
    entries = [
        delimited(1, delimited(1, name.encode()) + delimited(2, feature(value, packed=packed)))
        for name, value in features.items()
    ]
    return delimited(1, b"".join(entries))


def feature(value: Feature, *, packed: bool) -> bytes:
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, bytes | str) else [value]
    if all(isinstance(each, bytes | str) for each in values):
        texts = [each.encode() if isinstance(each, str) else each for each in values]
        return delimited(1, b"".join(delimited(1, text) for text in texts))
    if any(isinstance(each, float) for each in values):
        floats = [struct.pack("<f", each) for each in values]
        return delimited(2, delimited(1, b"".join(floats)) if packed else b"".join(b"\x0d" + four for four in floats))
    integers = [varint(each & (1 << 64) - 1) for each in values]
    return delimited(3, delimited(1, b"".join(integers)) if packed else b"".join(b"\x08" + each for each in integers))


def delimited(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


# BSON


def bson(documents: Iterable[Document]) -> bytes:
    """A file of documents one after the other, as mongodump writes it."""
    return b"".join(map(document, documents))


def document(fields: Document) -> bytes:
    body = b"".join(element(name, value) for name, value in fields.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def element(name: str, value: object) -> bytes:
    code, content = bson_value(value)
    return bytes([code]) + name.encode() + b"\0" + content


def bson_value(value: object) -> tuple[int, bytes]:
    match value:
        case bool():
            return 0x08, bytes([value])
        case ObjectId():
            return 0x07, bytes(value)
        case Int64():
            return 0x12, struct.pack("<q", value)
        case int() if -(1 << 31) <= value < 1 << 31:
            return 0x10, struct.pack("<i", value)
        case int():
            return 0x12, struct.pack("<q", value)
        case float():
            return 0x01, struct.pack("<d", value)
        case str():
            return 0x02, struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
        case bytes():
            return 0x05, struct.pack("<i", len(value)) + b"\0" + value
        case None:
            return 0x0A, b""
        case list():
            return 0x04, document({str(place): each for place, each in enumerate(value)})
        case dict():
            return 0x03, document(value)
    raise TypeError(type(value))


# HDF5, NumPy, JSON, parquet


def put_hdf5(path: Path, datasets: Mapping[str, bytes | NDArray[np.generic]]) -> None:
    """Write arrays, and encoded images as bytes of one dataset each; a slash in a name makes groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, content in datasets.items():
            file.create_dataset(name, data=np.void(content) if isinstance(content, bytes) else content)


def npy(values: NDArray[np.generic]) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def npz(*, compressed: bool = True, **arrays: NDArray[np.generic]) -> bytes:
    content = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def parquet(
    columns: Mapping[str, Sequence[object]], *, class_names: Mapping[str, Sequence[str]] | None = None, rows: int = 4
) -> bytes:
    """A parquet file in row groups; class_names are those of Hugging Face's ClassLabel columns."""
    table = pa.table({name: pa.array(list(values)) for name, values in columns.items()})
    if class_names is not None:
        features = {name: {"names": list(names), "_type": "ClassLabel"} for name, names in class_names.items()}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=rows)
    return sink.getvalue()


# DICOM


def dicom(values: NDArray[np.generic], *, preamble: bool = True, **elements: object) -> bytes:
    """A DICOM file of gray (H, W) or (frames, H, W) values, or of colours (H, W, 3)."""
    is_colour = values.ndim == 3 and values.shape[-1] == 3
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128 if preamble else None)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Modality, file.PatientID = "OT", "p1"
    file.SamplesPerPixel = 3 if is_colour else 1
    if is_colour:
        file.PlanarConfiguration = 0
    elif values.ndim == 3:
        file.NumberOfFrames = values.shape[0]
    file.Rows, file.Columns = values.shape[-3:-1] if is_colour else values.shape[-2:]
    file.BitsAllocated = file.BitsStored = 8 * values.dtype.itemsize
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(values.dtype.kind == "i")
    file.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    for name, value in elements.items():
        setattr(file, name, value)
    file.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    file["PixelData"].VR = "OW" if values.dtype.itemsize > 1 else "OB"
    content = io.BytesIO()
    file.save_as(content, enforce_file_format=preamble)
    return content.getvalue()
