"""Files that may hold the images and cannot be read: what they are, and what to make of them.

Not responsible for: reading anything; two kinds of JSON files are told apart by their first bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from automl.errors import DataError, listed
from automl.files.addresses import read_bytes
from automl.files.image_names import IMAGE_SUFFIXES, folder_of

JSON_ARRAYS, JSON_URLS = ".json of numbers", ".json of URLs"
PEEKED_BYTES = 65_536
URL = re.compile(rb'"url"\s*:\s*\[?\s*"https?://')
FILE_NAME = b'"file_name"'  # then the links are those of licences
NUMBERS = re.compile(
    rb"\[\s*-?[0-9][0-9.eE+-]*\s*(,\s*-?[0-9][0-9.eE+-]*\s*){63}"
)  # 64 in a row: no box, no list of ids
SPLIT = re.compile(r"\.(zip|7z|rar|tar)\.[0-9]{3}$")
SPLIT_ZIP = re.compile(r"\.z[0-9]{2}$")
DOUBLE_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".nii.gz")


@dataclass(frozen=True, slots=True)
class UnreadKind:
    """A kind of file.

    Attributes:
        name: what such a file is.
        advice: one line in the imperative; {file} is one of them, {stem} its path without extension, {folder} the path
            of its folder with a slash.
    """

    name: str
    advice: str
    is_archive: bool = False


def _archive(name: str, advice: str) -> UnreadKind:
    return UnreadKind(name, advice, is_archive=True)


_DICOM = UnreadKind("DICOM", "convert each one to a .png of the same name, such as {stem}.png (pydicom reads them)")
_TFRECORD = UnreadKind(
    "TFRecord", "write the image of each record to {folder}<id>.jpg, and ids and classes to train.csv (id,label)"
)
_HDF5 = UnreadKind("HDF5", "write the image under each key to {stem}/<key>.jpg (h5py reads {file})")
_NUMPY = UnreadKind("NumPy array", "save the array as an image of the same name, such as {stem}.png")
_SLIDE = UnreadKind("whole-slide image", "save a reduced level of each as {stem}.png (openslide reads {file})")
_FOREIGN = UnreadKind("image of another format", "convert each one to a .png of the same name, such as {stem}.png")
_VOLUME = UnreadKind("NIfTI volume", "save slices as images, such as {stem}.png (nibabel reads {file})")
_MOVING = UnreadKind("video", "save frames as images, such as {stem}.jpg; only images are read")
_SOUND = UnreadKind("sound", "save spectrograms as images, such as {stem}.png; only images are read")
_PIXELS_OF_ROWS = "write the pixels of each row to train/<id>.png, those of test rows to test/<id>.png"
_TAR = _archive("tar archive", "unpack {file} there: tar -xf {file}")
_SPLIT = _archive("part of a split archive", "join the parts to {stem}, unpack it there, and move the parts away")

KINDS: Mapping[str, UnreadKind] = {
    ".7z": _archive("7-Zip archive", "unpack {file} there: 7z x {file}"),
    ".rar": _archive("RAR archive", "unpack {file} there: unrar x {file}"),
    ".zip": _archive("archive not at the top of the folder", "unpack {file}, and any archive that it lies in"),
    ".zip.001": _SPLIT,
    ".7z.001": _SPLIT,
    ".rar.001": _SPLIT,
    ".tar.001": _SPLIT,
    ".z01": _archive(
        "part of a split archive", "join the parts: zip -s 0 {stem}.zip --out whole.zip; then unpack whole.zip there"
    ),
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), _TAR),
    ".gz": _archive("gzip file", "unpack {file} there: gunzip -k {file}"),
    **dict.fromkeys((".dcm", ".dicom"), _DICOM),
    **dict.fromkeys((".tfrec", ".tfrecord", ".tfrecords"), _TFRECORD),
    **dict.fromkeys((".hdf5", ".h5", ".hdf"), _HDF5),
    **dict.fromkeys((".npy", ".npz", ".mat"), _NUMPY),
    ".parquet": UnreadKind("Parquet table", _PIXELS_OF_ROWS),
    ".feather": UnreadKind("Feather table", _PIXELS_OF_ROWS),
    ".bson": UnreadKind(
        "BSON", "write the images of each record to {stem}/<_id>.jpg, and ids and categories to train.csv (id,label)"
    ),
    **dict.fromkeys((".nii", ".nii.gz"), _VOLUME),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs"), _SLIDE),
    **dict.fromkeys((".avif", ".heic", ".jp2", ".jxl", ".ppm", ".pgm"), _FOREIGN),
    **dict.fromkeys((".mp4", ".avi", ".mov"), _MOVING),
    **dict.fromkeys((".wav", ".mp3", ".ogg", ".flac"), _SOUND),
    JSON_ARRAYS: UnreadKind(
        "pixels as numbers",
        "write the numbers of each record to {stem}/<id>.png, and ids and labels to train.csv",
    ),
    JSON_URLS: UnreadKind(
        "links to images", "download the images to {stem}/<id>.jpg, and write ids and labels to train.csv (id,label)"
    ),
}


def kind_of(name: str) -> str | None:
    """The key in KINDS of a file by its name, or None where it is of no such kind."""
    lowered = name.lower()
    if split := SPLIT.search(lowered):
        return f".{split[1]}.001"
    if SPLIT_ZIP.search(lowered):
        return ".z01"
    double = next((suffix for suffix in DOUBLE_SUFFIXES if lowered.endswith(suffix)), None)
    suffix = double or lowered[lowered.rfind(".") :]
    return suffix if suffix in KINDS else None


def json_kind(path: Path) -> str | None:
    """The key in KINDS of a JSON file whose records hold links or pixels; None for any other."""
    head = read_bytes(path, at_most=PEEKED_BYTES)
    if URL.search(head) and FILE_NAME not in head:
        return JSON_URLS
    return JSON_ARRAYS if NUMBERS.search(head) else None


def described(unread: Mapping[str, int]) -> str:
    """What was seen, in words: "3 .dcm (DICOM), 1 .7z (7-Zip archive)"."""
    return ", ".join(f"{unread[kind]} {kind} ({KINDS[kind].name})" for kind in _by_weight(unread))


def advice(unread: Mapping[str, int], examples: Mapping[str, str]) -> str:
    """What to do so that these files can be read, in one line; archives first, as they may hold the rest."""
    kind = _by_weight(unread)[0]
    file = examples[kind]
    stem = file[: -len(kind)] if kind in DOUBLE_SUFFIXES else str(PurePosixPath(file).with_suffix(""))
    shown = {"file": file, "stem": stem, "folder": folder_of(file)}
    return KINDS[kind].advice.format(**{key: listed([text]) for key, text in shown.items()})


def refusal(root: Path, unread: Mapping[str, int], examples: Mapping[str, str]) -> DataError:
    """Why no image was found in a folder, and what to do about it."""
    if not unread:
        return DataError(
            f"{root} holds no images ({', '.join(IMAGE_SUFFIXES)})",
            hint="give the competition's folder, with its archives unpacked",
        )
    return DataError(f"{root} holds no images that can be read, but {described(unread)}", hint=advice(unread, examples))


def counted_kinds(names: Iterable[str]) -> tuple[dict[str, int], dict[str, str]]:
    """How many of the files are of each kind, and the first of each by name."""
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for name in names:
        kind = kind_of(name)
        if kind is not None:
            counts[kind] = counts.get(kind, 0) + 1
            examples[kind] = min(name, examples.get(kind, name))
    return counts, examples


def _by_weight(unread: Mapping[str, int]) -> Sequence[str]:
    return sorted(unread, key=lambda kind: (not KINDS[kind].is_archive, -unread[kind], kind))
