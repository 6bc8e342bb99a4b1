"""Decode images to upright RGB, the same way for training, validation and test.

    what is in the file                 what comes out
    ----------------------------------  ---------------------------------------------------------------
    gray, 1-bit, palette, CMYK, YCbCr   RGB as Pillow converts it
    transparency of any kind            laid over white, as a viewer shows it
    16 bits a channel                   the high byte (65535 -> 255)
    32-bit integers, floats             0..1 as 0..255; any other range stretched from its least to its
                                        greatest value; what is not finite as 0
    several frames or pages             the first; of a TIFF whose first page is too large, the largest page
                                        of the same shape that is not
    EXIF orientation                    applied; a damaged EXIF block is passed over
    DICOM                               by its window, upright as stored; see automl.files.dicom
    a gray file for each colour         each in its channel; yellow light is red and green: half of it is
                                        added to each, and what exceeds 255 is cut
    a row of a table of pixels          as automl.files.pixel_tables reads it
    an array: a .npy file, or in a      up to four channels as colours, more planes one below the other: a
    file of many images                 cadence of (6, 273, 256) is gray, 1638 high; see
                                        automl.files.array_images
    a file in a file of many images     as the file itself; see automl.files.containers

The content decides, not the extension. A file is decoded to its end, so that a cut one is refused instead of half grey.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from automl.errors import DataError, join_names
from automl.files.addresses import ArchiveMember, ColourFiles, ContainerMember, DiskFile, PixelRow, resolve_address
from automl.files.array_images import NoPictureError, convert_array
from automl.files.containers.npy import ARRAY_SUFFIX, parse_array
from automl.files.encoded_images import (
    MAX_PIXELS,
    EmptyFileError,
    TooLargeError,
    decode_bytes,
    inspect_bytes,
    read_encoded_size,
)
from automl.files.pixel_tables import load_pixel_table

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedImage:
    """A decoded image with its file's format, size and digest.

    Attributes:
        image: upright, RGB; a JPEG perhaps at a fraction of its size.
        size: (width, height) of the whole image, upright.
        kind: what it is, in words: "JPEG", "gray PNG", "16-bit gray PNG", "CMYK JPEG", "animated GIF", "rotated JPEG",
            "PNG named .jpg", "4 files by colour", "row of a table of pixels", "middle frame of a DICOM",
            "6x273x256 float16 array".
        n_bytes: of the file or member; of all its files where there are several.
        digest: of these bytes, 32 hexadecimal digits.
    """

    image: Image.Image
    size: tuple[int, int]
    format_name: str
    n_bytes: int
    digest: str


def decode_image(path: Path, *, min_side: int | None = None) -> Image.Image:
    """Decode an image to upright RGB.

    Args:
        path: its address; see automl.files.addresses.
        min_side: neither side need be longer than this; a JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size.

    Raises:
        DataError: the file cannot be read, decoded to its end, or is larger than MAX_PIXELS.
    """
    with _name_in_errors(path):
        location = resolve_address(path)
        if isinstance(location, ColourFiles):
            return _merge_colours(
                path, {colour: decode_image(part, min_side=min_side) for colour, part in location.parts.items()}
            )
        content = _read_location(location, path)
        if isinstance(content, bytes):
            return decode_bytes(content, suffix=path.suffix, min_side=min_side)
        return convert_array(content).convert("RGB")


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the file's header, before any rotation.

    Raises:
        DataError: the file has no readable header.
    """
    with _name_in_errors(path):
        location = resolve_address(path)
        if isinstance(location, ColourFiles):
            return read_size(next(iter(location.parts.values())))
        content = _read_location(location, path)
        if isinstance(content, bytes):
            return read_encoded_size(content, suffix=path.suffix)
        return convert_array(content).size


def inspect_image(path: Path, *, min_side: int | None = None) -> InspectedImage:
    """Decode an image and describe its file, reading it once; see `decode_image`."""
    with _name_in_errors(path):
        location = resolve_address(path)
        if isinstance(location, ColourFiles):
            return _inspect_colours(path, location, min_side=min_side)
        content = _read_location(location, path)
        if not isinstance(content, bytes):
            return _inspect_array(content, is_row=isinstance(location, PixelRow))
        image, size, format_name = inspect_bytes(content, suffix=path.suffix, min_side=min_side)
        return InspectedImage(
            image=image, size=size, format_name=format_name, n_bytes=len(content), digest=_compute_digest(content)
        )


def _read_location(location: DiskFile | ArchiveMember | ContainerMember | PixelRow, path: Path) -> bytes | NDArray[Any]:
    """Read the content of an image file, or the array that an image is kept as."""
    if isinstance(location, PixelRow):
        return _read_row(location)
    content = location.read()
    if isinstance(content, bytes) and path.suffix.lower() == ARRAY_SUFFIX:
        return parse_array(content)
    return content


def _read_row(row: PixelRow) -> NDArray[np.uint8]:
    pixels = load_pixel_table(row.table)
    if row.index >= len(pixels):
        raise DataError(
            f"{row.table.name} has no row {row.index} of pixels, but {len(pixels)} in all",
            hint="restore the table, or begin another study with --study",
        )
    found: NDArray[np.uint8] = pixels[row.index]
    return found


def _inspect_array(values: NDArray[Any], *, is_row: bool) -> InspectedImage:
    image = convert_array(values)
    shape = "x".join(map(str, values.shape))
    return InspectedImage(
        image=image.convert("RGB"),
        size=image.size,
        format_name="row of a table of pixels" if is_row else f"{shape} {values.dtype} array",
        n_bytes=values.nbytes,
        digest=_compute_digest(values.tobytes()),
    )


def _inspect_colours(path: Path, location: ColourFiles, *, min_side: int | None) -> InspectedImage:
    inspected = {colour: inspect_image(part, min_side=min_side) for colour, part in location.parts.items()}
    return InspectedImage(
        image=_merge_colours(path, {colour: each.image for colour, each in inspected.items()}),
        size=inspected["red"].size,
        format_name=f"{len(inspected)} files by colour",
        n_bytes=sum(each.n_bytes for each in inspected.values()),
        digest=_compute_digest("".join(inspected[colour].digest for colour in sorted(inspected)).encode()),
    )


def _merge_colours(path: Path, images: Mapping[str, Image.Image]) -> Image.Image:
    """Merge a gray image for each colour into one RGB image."""
    sizes = {colour: image.size for colour, image in images.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{colour} {width}x{height}" for colour, (width, height) in sizes.items())
        raise DataError(
            f"the files of {join_names([str(path)])} differ in size: {shown}", hint="replace the image by a whole one"
        )
    gray = {colour: np.asarray(image.convert("L"), dtype=np.uint16) for colour, image in images.items()}
    half_yellow = gray["yellow"] // 2 if "yellow" in gray else np.uint16(0)
    rgb = np.stack([gray["red"] + half_yellow, gray["green"] + half_yellow, gray["blue"]], axis=-1)
    return Image.fromarray(np.minimum(rgb, 255).astype(np.uint8))


def _compute_digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


@contextmanager
def _name_in_errors(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong into an error that names the image."""
    try:
        yield
    except DataError:
        raise
    except NoPictureError as error:
        raise DataError(
            f"{join_names([str(path)])} is no image: {error}", hint="save each image as a file or a row of its own"
        ) from error
    except TooLargeError as error:
        raise DataError(
            f"{join_names([str(path)])} has more than {MAX_PIXELS // 1_000_000} million pixels",
            hint="reduce the image to an ordinary size",
        ) from error
    except Exception as error:  # decoders raise whatever a damaged file makes them trip over
        raise DataError(
            f"{join_names([str(path)])} cannot be decoded: {' '.join(_describe_error(error).split())}",
            hint="replace the image by a whole one",
        ) from error


def _describe_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EmptyFileError):
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is no image of a known format"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
