"""Open a file of many images by its suffix, once in this process until it changes.

    suffix                              images
    ----------------------------------  ---------------------------------------------------------------
    .hdf5 .h5 .hdf                      encoded files under their keys, arrays, or stacks of images
    .npz .npy                           stacks of images; the labels beside them, or in the file beside
    .tfrec .tfrecord .tfrecords         encoded images in tf.train.Example records
    .bson                               encoded images in documents, one or several to a document
    .parquet                            encoded images, or a column for each pixel
    .json .jsonl                        lists of numbers, one for each channel

A new format is one more row of `READERS`. What each has beside its images, such as labels, are columns of text.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.containers.array_files import open_hdf5, open_npy, open_npz
from automl.files.containers.bson import open_bson
from automl.files.containers.container import Container, NoImagesError, make_damaged_error
from automl.files.containers.json_arrays import JsonFile
from automl.files.containers.npy import ARRAY_SUFFIX
from automl.files.containers.parquet import ParquetFile
from automl.files.containers.tfrecord import open_tfrecord
from automl.files.image_formats import CONTAINER_SUFFIXES

JSON_SUFFIXES = (".json", ".jsonl")
READERS: dict[tuple[str, ...], Callable[[Path], Container]] = {
    (".hdf5", ".h5", ".hdf"): open_hdf5,
    (".npz",): open_npz,
    (ARRAY_SUFFIX,): open_npy,
    (".tfrec", ".tfrecord", ".tfrecords"): open_tfrecord,
    (".bson",): open_bson,
    (".parquet",): ParquetFile,
    JSON_SUFFIXES: JsonFile,
}
OPEN_FILES = 512  # kept: the shards of a large set; an index is small beside the images
_READER_OF = {suffix: open_file for suffixes, open_file in READERS.items() for suffix in suffixes}
_OPEN_LOCK = threading.Lock()


def may_hold_images(name: str) -> bool:
    """Whether a file may hold many images, by its name alone; JSON files are known by their content alone."""
    return name.lower().endswith(CONTAINER_SUFFIXES)


def is_container_name(name: str) -> bool:
    """Whether a file of that name may be on the way to an image."""
    return name.lower().endswith((*CONTAINER_SUFFIXES, *JSON_SUFFIXES))


def open_container(path: Path) -> Container:
    """Open a file of many images.

    Raises:
        NoImagesError: it holds something else.
        DataError: it cannot be read, is damaged, or needs a library that is not installed.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{join_names([path.name])} cannot be read: {reason}", hint="restore the file") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{join_names([path.name])} is no file", hint="restore the file")
    with _OPEN_LOCK:
        return _open_cached(path, status.st_size, status.st_mtime_ns, os.getpid())


@lru_cache(maxsize=OPEN_FILES)
def _open_cached(path: Path, size: int, changed_ns: int, pid: int) -> Container:
    """Open a file; a changed one, or in a forked process, which must not share a file position, is opened anew."""
    reader = _READER_OF.get(path.suffix.lower())
    if reader is None:
        raise NoImagesError("it is no file of many images")
    try:
        return reader(path)
    except (NoImagesError, DataError):
        raise
    except Exception as error:  # a damaged file makes a reader trip over anything
        raise make_damaged_error(path, f"{type(error).__name__}: {error}") from error
