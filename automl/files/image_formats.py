"""The table of file formats: which files are read as images, and what to convert or unpack the others to.

What an image is called, what Pillow may open, which of two files is preferred, and the advice on files that cannot be
read are all derived from `FORMATS`; a new format is one more row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

JSON_ARRAYS, JSON_URLS = ".json of numbers", ".json of URLs"
AS_PNG = "convert each one to a .png of the same name, such as {stem}.png"
PIXELS_OF_ROWS = "write the pixels of each row to train/<id>.png, those of test rows to test/<id>.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A format of files that hold images, or may hold them.

    Attributes:
        name: in words, as messages and evidence call it.
        suffixes: in lower case; for JSON files what they hold, as there is no suffix for it.
        pillow_format: the name by which Pillow opens it; None where it is not read.
        pillow_aliases: further names that Pillow gives to an opened file of the format.
        advice: what to make of a file that is not read, one line in the imperative; {file} is one of them, {stem} its
            path without extension, {folder} the path of its folder with a slash.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow_format: str | None = None
    pillow_aliases: tuple[str, ...] = ()
    advice: str = ""
    is_archive: bool = False

    @property
    def is_read(self) -> bool:
        return self.pillow_format is not None


# Images first, the format that is preferred where a name has several: what is read fastest and most surely.
# No other format of Pillow's is read: some start programs or read other files.
FORMATS = (
    # MPO is a JPEG with further pictures behind it, as phones write it.
    FileFormat(name="JPEG", suffixes=(".jpg", ".jpeg"), pillow_format="JPEG", pillow_aliases=("MPO",)),
    FileFormat(name="PNG", suffixes=(".png",), pillow_format="PNG"),
    FileFormat(name="WebP", suffixes=(".webp",), pillow_format="WEBP"),
    FileFormat(name="BMP", suffixes=(".bmp",), pillow_format="BMP"),
    FileFormat(name="GIF", suffixes=(".gif",), pillow_format="GIF"),
    FileFormat(name="TIFF", suffixes=(".tif", ".tiff"), pillow_format="TIFF"),
    FileFormat(
        name="image of another format",
        suffixes=(".avif", ".heic", ".jp2", ".jxl", ".ppm", ".pgm"),
        advice=AS_PNG,
    ),
    FileFormat(
        name="DICOM",
        suffixes=(".dcm", ".dicom"),
        advice=AS_PNG + " (pydicom reads them)",
    ),
    FileFormat(
        name="whole-slide image",
        suffixes=(".svs", ".ndpi", ".mrxs"),
        advice="save a reduced level of each as {stem}.png (openslide reads {file})",
    ),
    FileFormat(
        name="NIfTI volume",
        suffixes=(".nii", ".nii.gz"),
        advice="save slices as images, such as {stem}.png (nibabel reads {file})",
    ),
    FileFormat(
        name="NumPy array",
        suffixes=(".npy", ".npz", ".mat"),
        advice="save the array as an image of the same name, such as {stem}.png",
    ),
    FileFormat(
        name="HDF5",
        suffixes=(".hdf5", ".h5", ".hdf"),
        advice="write the image under each key to {stem}/<key>.jpg (h5py reads {file})",
    ),
    FileFormat(
        name="TFRecord",
        suffixes=(".tfrec", ".tfrecord", ".tfrecords"),
        advice="write the image of each record to {folder}<id>.jpg, and ids and classes to train.csv (id,label)",
    ),
    FileFormat(
        name="BSON",
        suffixes=(".bson",),
        advice="write the images of each record to {stem}/<_id>.jpg, and ids and categories to train.csv (id,label)",
    ),
    FileFormat(
        name="Parquet table",
        suffixes=(".parquet",),
        advice=PIXELS_OF_ROWS,
    ),
    FileFormat(
        name="Feather table",
        suffixes=(".feather",),
        advice=PIXELS_OF_ROWS,
    ),
    FileFormat(
        name="pixels as numbers",
        suffixes=(JSON_ARRAYS,),
        advice="write the numbers of each record to {stem}/<id>.png, and ids and labels to train.csv",
    ),
    FileFormat(
        name="links to images",
        suffixes=(JSON_URLS,),
        advice="download the images to {stem}/<id>.jpg, and write ids and labels to train.csv (id,label)",
    ),
    FileFormat(
        name="video",
        suffixes=(".mp4", ".avi", ".mov"),
        advice="save frames as images, such as {stem}.jpg; only images are read",
    ),
    FileFormat(
        name="sound",
        suffixes=(".wav", ".mp3", ".ogg", ".flac"),
        advice="save spectrograms as images, such as {stem}.png; only images are read",
    ),
    FileFormat(
        name="7-Zip archive",
        suffixes=(".7z",),
        advice="unpack {file} there: 7z x {file}",
        is_archive=True,
    ),
    FileFormat(
        name="RAR archive",
        suffixes=(".rar",),
        advice="unpack {file} there: unrar x {file}",
        is_archive=True,
    ),
    FileFormat(
        name="archive not at the top of the folder",
        suffixes=(".zip",),
        advice="unpack {file}, and any archive that it lies in",
        is_archive=True,
    ),
    FileFormat(
        name="tar archive",
        suffixes=(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"),
        advice="unpack {file} there: tar -xf {file}",
        is_archive=True,
    ),
    FileFormat(
        name="gzip file",
        suffixes=(".gz",),
        advice="unpack {file} there: gunzip -k {file}",
        is_archive=True,
    ),
    FileFormat(
        name="part of a split archive",
        suffixes=(".zip.001", ".7z.001", ".rar.001", ".tar.001"),
        advice="join the parts to {stem}, unpack it there, and move the parts away",
        is_archive=True,
    ),
    FileFormat(
        name="part of a split archive",
        suffixes=(".z01",),
        advice="join the parts: zip -s 0 {stem}.zip --out whole.zip; then unpack whole.zip there",
        is_archive=True,
    ),
)

IMAGE_SUFFIXES = tuple(suffix for each in FORMATS if each.is_read for suffix in each.suffixes)  # the preferred first
PILLOW_FORMATS = tuple(each.pillow_format for each in FORMATS if each.pillow_format is not None)
FORMAT_OF_PILLOW_NAME: Mapping[str, FileFormat] = {
    name: each
    for each in FORMATS
    if each.pillow_format is not None
    for name in (each.pillow_format, *each.pillow_aliases)
}
UNREAD_FORMATS: Mapping[str, FileFormat] = {
    suffix: each for each in FORMATS if not each.is_read for suffix in each.suffixes
}
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
