"""Open the files of named arrays: HDF5, .npz and .npy.

Which of their arrays are images tells automl.files.containers.arrays.

Links, virtual datasets and data kept in further files are never followed: an HDF5 file is read alone. Nothing is ever
unpickled.
"""

from __future__ import annotations

import io
import math
import re
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError
from automl.files.archives import open_archive
from automl.files.containers.arrays import ArrayFile, NamedArray
from automl.files.containers.container import MAX_IMAGE_BYTES, NoImagesError, make_damaged_error, map_file
from automl.files.containers.npy import (
    ARRAY_SUFFIX,
    MAX_HEADER_BYTES,
    ArrayHeader,
    NotAnArrayError,
    parse_array,
    read_header,
)
from automl.files.encoded_images import is_encoded_image
from automl.files.image_formats import load_library

HEAD_BYTES = 2 * MAX_HEADER_BYTES  # of a .npy file
MAX_DEPTH = 16  # of groups in groups
MANY, PROBED = 256, 16  # datasets of one group: of so many, some are looked at, and the others taken for alike
LOCAL_HEADER, LOCAL_LENGTHS = 30, slice(26, 30)
LABEL_FILES = ("y", "labels", "label", "targets", "target", "classes")
STACK_FILE = re.compile(r"(?<![A-Za-z])(x|images?|imgs?|data|pixels|features|inputs)(?![A-Za-z])", re.IGNORECASE)


def open_hdf5(path: Path) -> ArrayFile:
    """Open an HDF5 file.

    Raises:
        NoImagesError: it holds no images.
        DataError: h5py is not installed, or the file cannot be read.
    """
    return ArrayFile(path, _list_with_labels(path, _list_datasets))


def open_npz(path: Path) -> ArrayFile:
    """Open a .npz file; its arrays are read in place where they are not compressed.

    Raises:
        NoImagesError: it holds no images.
        DataError: it cannot be read.
    """
    return ArrayFile(path, list(_iterate_members(path)))


def open_npy(path: Path) -> ArrayFile:
    """Open a .npy file that holds a stack of images, with the labels of a file beside it: X.npy and y.npy.

    Raises:
        NoImagesError: its array is no stack.
        DataError: it cannot be read.
    """
    opened = ArrayFile(path, _list_with_labels(path, _list_array))
    if not opened.has_stacks:
        raise NoImagesError("its array is one image, or none")
    return opened


def _list_with_labels(path: Path, list_arrays: Callable[[Path], list[NamedArray]]) -> list[NamedArray]:
    """List the arrays of a file and those of the file of labels beside it, such as train_y.h5 beside train_x.h5."""
    arrays = list_arrays(path)
    for beside in _find_label_files(path):
        arrays += list_arrays(beside)
    return arrays


def _find_label_files(path: Path) -> list[Path]:
    word = STACK_FILE.search(path.stem)
    if word is None:
        return []
    before, after = path.stem[: word.start()], path.stem[word.end() :]
    spellings = [each for label in LABEL_FILES for each in (label, label.upper(), label.capitalize())]
    named = [path.with_name(f"{before}{spelling}{after}{path.suffix}") for spelling in dict.fromkeys(spellings)]
    return [each for each in named if each.is_file()][:1]


# .npy and .npz


def _list_array(path: Path) -> list[NamedArray]:
    data = map_file(path)
    try:
        header = read_header(io.BytesIO(data[:HEAD_BYTES]))
        values = header.map_numbers(data)
    except NotAnArrayError as error:
        raise make_damaged_error(path, str(error)) from error
    return [_to_named_array(path.stem, values)]


def _to_named_array(name: str, values: NDArray[Any]) -> NamedArray:
    return NamedArray(
        name=name,
        shape=values.shape,
        dtype=values.dtype,
        is_encoded=False,
        read_row=lambda row: np.array(values[row]),
        read=lambda: values,
    )


def _iterate_members(path: Path) -> Iterator[NamedArray]:
    """Iterate over the arrays of a .npz file; those that hold objects are passed over."""
    archive = open_archive(path)
    for member in archive.names:
        if not member.endswith(ARRAY_SUFFIX):
            continue
        try:
            stored = _find_stored(path, member)
            if stored is not None:
                yield _to_named_array(member.removesuffix(ARRAY_SUFFIX), stored)
                continue
            head = archive.read(member, at_most=HEAD_BYTES)
            header = read_header(io.BytesIO(head))
        except NotAnArrayError:
            continue
        load = _LoadOnce(path, partial(archive.read, member))
        yield NamedArray(
            name=member.removesuffix(ARRAY_SUFFIX),
            shape=header.shape,
            dtype=header.dtype,
            is_encoded=False,
            read_row=load.read_row,
            read=load.read,
        )


class _LoadOnce:
    """An array that is compressed as a whole: it is kept in memory once it was read."""

    def __init__(self, path: Path, read_bytes: Callable[[], bytes]) -> None:
        self._path, self._read_bytes = path, read_bytes
        self._lock = threading.Lock()
        self._values: NDArray[Any] | None = None

    def read(self) -> NDArray[Any]:
        with self._lock:
            if self._values is None:
                try:
                    self._values = parse_array(self._read_bytes())
                except NotAnArrayError as error:
                    raise make_damaged_error(self._path, str(error)) from error
            return self._values

    def read_row(self, row: int) -> NDArray[Any]:
        return np.array(self.read()[row])


def _find_stored(path: Path, member: str) -> NDArray[Any] | None:
    """Return a member that is not compressed as it lies in the file; None where it is compressed.

    Source: APPNOTE.TXT 6.3.10, 4.3.7: the data follow the local header, the name and the extra field.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.NameToInfo.get(member)
        if info is None or info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            return None
    data = map_file(path)
    head = data[info.header_offset : info.header_offset + LOCAL_HEADER]
    if len(head) < LOCAL_HEADER:
        raise make_damaged_error(path, f"member {member} lies beyond its end")
    start = info.header_offset + LOCAL_HEADER + sum(struct.unpack("<HH", head[LOCAL_LENGTHS]))
    header = read_header(io.BytesIO(data[start : start + min(info.file_size, HEAD_BYTES)]))
    whole = ArrayHeader(header.shape, header.is_fortran, header.dtype, start + header.start)
    if header.start + header.n_bytes > info.file_size:
        raise make_damaged_error(path, f"member {member} is cut")
    return whole.map_numbers(data)


# HDF5


def _list_datasets(path: Path) -> list[NamedArray]:
    h5py = load_library("h5py", "hdf5")
    try:
        file = h5py.File(path, "r", locking=False)
    except Exception as error:  # a damaged file makes it trip over anything
        raise make_damaged_error(path, str(error)) from error
    try:
        return list(_iterate_datasets(h5py, path, file, "", 0))
    except DataError:
        raise
    except Exception as error:
        raise make_damaged_error(path, str(error) or type(error).__name__) from error


def _iterate_datasets(h5py: Any, path: Path, group: Any, prefix: str, depth: int) -> Iterator[NamedArray]:
    """Iterate over the datasets of a group and of the groups in it; of very many that are alike, some are opened."""
    if depth > MAX_DEPTH:
        raise make_damaged_error(path, "its groups are nested too deeply")
    names = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
    alike = _find_alike(h5py, group, names)
    for name in names:
        if alike is not None:
            yield _describe_dataset(path, group, name, prefix, alike)
            continue
        kind_of_object = group.get(name, getclass=True)
        if issubclass(kind_of_object, h5py.Group):
            yield from _iterate_datasets(h5py, path, group[name], f"{prefix}{name}/", depth + 1)
        elif issubclass(kind_of_object, h5py.Dataset):
            yield _describe_dataset(path, group, name, prefix, group[name])


def _find_alike(h5py: Any, group: Any, names: list[str]) -> Any | None:
    """Return one of the datasets where there are very many that are all of one kind, as far as some of them tell."""
    if len(names) < MANY:
        return None
    probed = [group[name] for name in names[:: len(names) // PROBED]]
    kinds_seen = {(type(each), getattr(each, "ndim", None), getattr(each, "dtype", None)) for each in probed}
    return probed[0] if len(kinds_seen) == 1 and isinstance(probed[0], h5py.Dataset) else None


def _describe_dataset(path: Path, group: Any, name: str, prefix: str, dataset: Any) -> NamedArray:
    """Describe a dataset by itself, or by one that is alike, without reading it."""
    shape, dtype = tuple(dataset.shape or ()), dataset.dtype
    is_encoded = _is_encoded(dataset)
    if is_encoded and dtype.kind == "u" and dataset.ndim == 1:
        shape = ()  # the bytes of one file
    read = partial(_read_dataset, path, group, name)
    return NamedArray(name=f"{prefix}{name}", shape=shape, dtype=dtype, is_encoded=is_encoded, read_row=read, read=read)


def _is_encoded(dataset: Any) -> bool:
    """Whether a dataset is the content of an image file, or holds one in each of its items."""
    if dataset.is_virtual or dataset.external or dataset.shape is None:
        return False
    if dataset.dtype.kind in "VSO":
        if dataset.ndim > 1 or 0 in dataset.shape:
            return False
        return is_encoded_image(_to_bytes(dataset[(0,) if dataset.ndim else ()]))
    return dataset.dtype == np.uint8 and dataset.ndim == 1 and is_encoded_image(dataset[:160].tobytes())


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.tobytes() if isinstance(value, np.ndarray | np.generic) else b""


def _read_dataset(path: Path, group: Any, name: str, row: int | None = None) -> Any:
    """Read a dataset, or one item of it."""
    try:
        dataset = group[name]
        if dataset.is_virtual or dataset.external:
            raise make_damaged_error(path, f"{name} lies in other files")
        item = dataset.shape if row is None else dataset.shape[1:]
        if math.prod(item) * dataset.dtype.itemsize > MAX_IMAGE_BYTES:
            raise make_damaged_error(path, f"{name} has more than {MAX_IMAGE_BYTES // 1024**3} GB")
        return dataset[()] if row is None else dataset[row]
    except DataError:
        raise
    except Exception as error:  # a damaged chunk makes it trip over anything
        raise make_damaged_error(path, f"{name}: {error}") from error
