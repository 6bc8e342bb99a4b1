"""The table of file formats: which files are read as images or hold some, and what to convert or unpack the others to.

What an image is called, what Pillow may open, which of two files is preferred, which files hold many images, and the
advice on files that cannot be read are all derived from `FORMATS`; a new format is one more row.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl.errors import DataError

JSON_ARRAYS, JSON_URLS = ".json of numbers", ".json of URLs"
AS_PNG = "convert each one to a .png of the same name, such as {stem}.png"
PIXELS_OF_ROWS = "write the pixels of each row to train/<id>.png, those of test rows to test/<id>.png"


class Content(enum.Enum):
    """What a file of a format is to us."""

    IMAGE = enum.auto()  # one image
    CONTAINER = enum.auto()  # images among other things; whether it holds any tells its content
    OTHER = enum.auto()  # perhaps images, which are not read


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A format of files that hold images, or may hold them.

    Attributes:
        name: in words, as messages and evidence call it.
        suffixes: in lower case; for JSON files what they hold, as there is no suffix for it.
        content: whether it is read, and how.
        pillow_format: the name by which Pillow opens it; None where another library does.
        pillow_aliases: further names that Pillow gives to an opened file of the format.
        pillow_module: the part of Pillow that reads it, without which it was built in some places.
        library: the module that reads it, where that is not installed with automl.
        extra: what brings the library: pip install 'automl[EXTRA]'.
        conversion: what to make of a file that is not read, one line in the imperative; {file} is one of them, {stem}
            its path without extension, {folder} the path of its folder with a slash.
    """

    name: str
    suffixes: tuple[str, ...]
    content: Content = Content.OTHER
    pillow_format: str | None = None
    pillow_aliases: tuple[str, ...] = ()
    pillow_module: str | None = None
    library: str | None = None
    extra: str = ""
    conversion: str = ""
    is_archive: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether this installation has what reads the format."""
        if self.pillow_module is not None and not _has_pillow(self.pillow_module):
            return False
        return self.library is None or find_spec(self.library) is not None

    @property
    def is_read(self) -> bool:
        """Whether each file of the format is read as one image."""
        return self.content is Content.IMAGE and self.is_installed

    @property
    def advice(self) -> str:
        """What to do so that a file can be read, one line as `conversion`: install what reads it, or convert it."""
        if not self.is_installed and self.library is not None:
            return get_install_line(self.extra)
        return self.conversion


def _has_pillow(module: str) -> bool:
    """Whether Pillow has such a part, without importing it."""
    spec = find_spec("PIL")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    return any(file.name.partition(".")[0] == module for folder in folders for file in Path(folder).glob(f"{module}.*"))


def get_install_line(extra: str) -> str:
    """Return the command that installs an optional library: pip install 'automl[EXTRA]'."""
    return f"pip install 'automl[{extra}]', which reads such files"


def load_library(library: str, extra: str) -> Any:
    """Import an optional library when it is first needed.

    Raises:
        DataError: it is not installed; the hint installs it.
    """
    try:
        return import_module(library)
    except ImportError as error:
        raise DataError(f"{library} is needed and cannot be imported: {error}", hint=get_install_line(extra)) from error


# Images first, the format that is preferred where a name has several: what is read fastest and most surely.
# No other format of Pillow's is read: some start programs or read other files.
FORMATS = (
    # MPO is a JPEG with further pictures behind it, as phones write it.
    FileFormat(
        name="JPEG",
        suffixes=(".jpg", ".jpeg", ".jfif", ".jpe"),
        content=Content.IMAGE,
        pillow_format="JPEG",
        pillow_aliases=("MPO",),
    ),
    FileFormat(name="PNG", suffixes=(".png",), content=Content.IMAGE, pillow_format="PNG"),
    FileFormat(name="WebP", suffixes=(".webp",), content=Content.IMAGE, pillow_format="WEBP"),
    FileFormat(name="BMP", suffixes=(".bmp",), content=Content.IMAGE, pillow_format="BMP"),
    FileFormat(name="GIF", suffixes=(".gif",), content=Content.IMAGE, pillow_format="GIF"),
    FileFormat(name="TIFF", suffixes=(".tif", ".tiff"), content=Content.IMAGE, pillow_format="TIFF"),
    FileFormat(name="PPM", suffixes=(".ppm", ".pgm", ".pbm", ".pnm"), content=Content.IMAGE, pillow_format="PPM"),
    FileFormat(name="TGA", suffixes=(".tga",), content=Content.IMAGE, pillow_format="TGA"),
    FileFormat(
        name="JPEG 2000",
        suffixes=(".jp2", ".j2k"),
        content=Content.IMAGE,
        pillow_format="JPEG2000",
    ),
    FileFormat(
        name="AVIF",
        suffixes=(".avif",),
        content=Content.IMAGE,
        pillow_format="AVIF",
        pillow_module="_avif",
        conversion=AS_PNG + " (or install Pillow 11.3 or newer, which reads AVIF)",
    ),
    FileFormat(
        name="HEIC",
        suffixes=(".heic", ".heif"),
        content=Content.IMAGE,
        pillow_format="HEIF",
        library="pillow_heif",
        extra="heic",
        conversion=AS_PNG,
    ),
    FileFormat(
        name="DICOM",
        suffixes=(".dcm", ".dicom"),
        content=Content.IMAGE,
        library="pydicom",
        extra="dicom",
        conversion=AS_PNG + " (pydicom reads them)",
    ),
    FileFormat(
        name="image of another format",
        suffixes=(".jxl", ".psd", ".exr", ".hdr", ".dng", ".cr2", ".nef", ".arw"),
        conversion=AS_PNG,
    ),
    FileFormat(
        name="whole-slide image",
        suffixes=(".svs", ".ndpi", ".mrxs"),
        conversion="save a reduced level of each as {stem}.png (openslide reads {file})",
    ),
    FileFormat(
        name="NIfTI volume",
        suffixes=(".nii", ".nii.gz"),
        conversion="save slices as images, such as {stem}.png (nibabel reads {file})",
    ),
    FileFormat(
        name="NumPy array",
        suffixes=(".npy", ".npz"),
        content=Content.CONTAINER,
        conversion="save the array as an image of the same name, such as {stem}.png",
    ),
    FileFormat(
        name="MATLAB array",
        suffixes=(".mat",),
        conversion="save the array as an image of the same name, such as {stem}.png",
    ),
    FileFormat(
        name="HDF5",
        suffixes=(".hdf5", ".h5", ".hdf"),
        content=Content.CONTAINER,
        library="h5py",
        extra="hdf5",
        conversion="write the image under each key to {stem}/<key>.jpg (h5py reads {file})",
    ),
    FileFormat(
        name="TFRecord",
        suffixes=(".tfrec", ".tfrecord", ".tfrecords"),
        content=Content.CONTAINER,
        conversion="write the image of each record to {folder}<id>.jpg, and ids and classes to train.csv (id,label)",
    ),
    FileFormat(
        name="BSON",
        suffixes=(".bson",),
        content=Content.CONTAINER,
        conversion="write the images of each record to {stem}/<_id>.jpg, and ids and labels to train.csv (id,label)",
    ),
    FileFormat(
        name="Parquet table",
        suffixes=(".parquet",),
        content=Content.CONTAINER,
        library="pyarrow",
        extra="parquet",
        conversion=PIXELS_OF_ROWS,
    ),
    FileFormat(
        name="Feather table",
        suffixes=(".feather",),
        conversion=PIXELS_OF_ROWS,
    ),
    FileFormat(
        name="pixels as numbers",
        suffixes=(JSON_ARRAYS,),
        conversion="write the numbers of each record to {stem}/<id>.png, and ids and labels to train.csv",
    ),
    FileFormat(
        name="links to images",
        suffixes=(JSON_URLS,),
        conversion="download the images to {stem}/<id>.jpg, and write ids and labels to train.csv (id,label)",
    ),
    FileFormat(
        name="video",
        suffixes=(".mp4", ".avi", ".mov"),
        conversion="save frames as images, such as {stem}.jpg; only images are read",
    ),
    FileFormat(
        name="sound",
        suffixes=(".wav", ".mp3", ".ogg", ".flac"),
        conversion="save spectrograms as images, such as {stem}.png; only images are read",
    ),
    FileFormat(
        name="7-Zip archive",
        suffixes=(".7z",),
        conversion="unpack {file} there: 7z x {file}",
        is_archive=True,
    ),
    FileFormat(
        name="RAR archive",
        suffixes=(".rar",),
        conversion="unpack {file} there: unrar x {file}",
        is_archive=True,
    ),
    FileFormat(
        name="archive not at the top of the folder",
        suffixes=(".zip",),
        conversion="unpack {file}, and any archive that it lies in",
        is_archive=True,
    ),
    FileFormat(
        name="tar archive",
        suffixes=(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"),
        conversion="unpack {file} there: tar -xf {file}",
        is_archive=True,
    ),
    FileFormat(
        name="gzip file",
        suffixes=(".gz",),
        conversion="unpack {file} there: gunzip -k {file}",
        is_archive=True,
    ),
    FileFormat(
        name="part of a split archive",
        suffixes=(".zip.001", ".7z.001", ".rar.001", ".tar.001"),
        conversion="join the parts to {stem}, unpack it there, and move the parts away",
        is_archive=True,
    ),
    FileFormat(
        name="part of a split archive",
        suffixes=(".z01",),
        conversion="join the parts: zip -s 0 {stem}.zip --out whole.zip; then unpack whole.zip there",
        is_archive=True,
    ),
)

IMAGE_SUFFIXES = tuple(suffix for each in FORMATS if each.is_read for suffix in each.suffixes)  # the preferred first
TGA, HEIF = "TGA", "HEIF"
# What Pillow may open by its content: a TGA has no mark to know it by, and HEIF is another library's.
PILLOW_FORMATS = tuple(
    each.pillow_format
    for each in FORMATS
    if each.is_read and each.pillow_format is not None and each.pillow_format not in (TGA, HEIF)
)
DICOM_SUFFIXES = next(each.suffixes for each in FORMATS if each.name == "DICOM")
FORMAT_OF_PILLOW_NAME: Mapping[str, FileFormat] = {
    name: each
    for each in FORMATS
    if each.pillow_format is not None
    for name in (each.pillow_format, *each.pillow_aliases)
}
UNREAD_FORMATS: Mapping[str, FileFormat] = {
    suffix: each for each in FORMATS if not each.is_read for suffix in each.suffixes
}
CONTAINER_SUFFIXES = tuple(
    suffix for each in FORMATS if each.content is Content.CONTAINER for suffix in each.suffixes
)  # of files that may hold many images; those of pixels in JSON are known by their content alone
SPLIT_ARCHIVE, SPLIT_ZIP = re.compile(r"\.(zip|7z|rar|tar)\.[0-9]{3}$"), re.compile(r"\.z[0-9]{2}$")
DOUBLE_SUFFIXES = tuple(
    suffix for suffix in UNREAD_FORMATS if suffix.count(".") == 2 and not SPLIT_ARCHIVE.search(suffix)
)


def find_unread_format(name: str) -> str | None:
    """Return the suffix in UNREAD_FORMATS that a file's name ends in; the parts of a split archive share one."""
    lowered = name.lower()
    if split := SPLIT_ARCHIVE.search(lowered):
        return f".{split[1]}.001"
    if SPLIT_ZIP.search(lowered):
        return ".z01"
    double = next((suffix for suffix in DOUBLE_SUFFIXES if lowered.endswith(suffix)), None)
    suffix = double or lowered[lowered.rfind(".") :]
    return suffix if suffix in UNREAD_FORMATS else None
