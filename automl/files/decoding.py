"""The one way from an image's address to pixels, for training, validation and test alike.

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
    a gray file for each colour         each in its channel; yellow light is red and green: half of it is
                                        added to each, and what exceeds 255 is cut
    a row of a table of pixels          as automl.files.pixel_tables reads it

The content decides, not the extension. A file is decoded to its end, so that a cut one is refused instead of half grey.
Not responsible for: what an address means (automl.files.addresses), a single file's bytes (automl.files.image_formats),
or sizes that a model wants (automl.data.cache).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from automl.errors import DataError, listed
from automl.files.addresses import Colours, Row, place_of
from automl.files.image_formats import MAX_PIXELS, EmptyFileError, TooLargeError, looked, opened, upright_rgb
from automl.files.pixel_tables import load_pixel_table

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at an image gives.

    Attributes:
        image: upright, RGB; a JPEG perhaps at a fraction of its size.
        size: (width, height) of the whole image, upright.
        kind: what it is, in words: "JPEG", "gray PNG", "16-bit gray PNG", "CMYK JPEG", "animated GIF", "rotated JPEG",
            "PNG named .jpg", "4 files by colour", "row of a table of pixels".
        n_bytes: of the file or member; of all its files where there are several.
        digest: of these bytes, 32 hexadecimal digits.
    """

    image: Image.Image
    size: tuple[int, int]
    kind: str
    n_bytes: int
    digest: str


def load_rgb(path: Path, *, min_side: int | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) pixels of an image.

    Args:
        path: its address; see automl.files.addresses.
        min_side: neither side need be longer than this; a JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size.

    Raises:
        DataError: the file cannot be read, decoded to its end, or is larger than MAX_PIXELS.
    """
    return np.array(decode(path, min_side=min_side))


def decode(path: Path, *, min_side: int | None = None) -> Image.Image:
    """An image as an upright RGB image; see `load_rgb`."""
    with _naming(path):
        place = place_of(path)
        if isinstance(place, Row):
            return _of_row(place).convert("RGB")
        if isinstance(place, Colours):
            return _merged(path, {colour: decode(part, min_side=min_side) for colour, part in place.parts.items()})
        with opened(place.read()) as image:
            return upright_rgb(image, min_side=min_side)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header, before any rotation.

    Raises:
        DataError: the file has no readable header.
    """
    with _naming(path):
        place = place_of(path)
        if isinstance(place, Row):
            return _of_row(place).size
        if isinstance(place, Colours):
            return size_of(next(iter(place.parts.values())))
        with opened(place.read()) as image:
            return image.size


def look(path: Path, *, min_side: int | None = None) -> Look:
    """An image and what there is to say about its file, from reading it once; see `load_rgb`."""
    with _naming(path):
        place = place_of(path)
        if isinstance(place, Row):
            return _look_at_row(place)
        if isinstance(place, Colours):
            return _look_at_colours(path, place, min_side=min_side)
        content = place.read()
        image, size, kind = looked(content, suffix=path.suffix, min_side=min_side)
        return Look(image=image, size=size, kind=kind, n_bytes=len(content), digest=_digest(content))


def _of_row(row: Row) -> Image.Image:
    pixels = load_pixel_table(row.table)
    if row.index >= len(pixels):
        raise DataError(
            f"{row.table.name} has no row {row.index} of pixels, but {len(pixels)} in all",
            hint="restore the table, or begin another study with --study",
        )
    return Image.fromarray(pixels[row.index])


def _look_at_row(row: Row) -> Look:
    image = _of_row(row)
    content = image.tobytes()
    return Look(
        image=image.convert("RGB"),
        size=image.size,
        kind="row of a table of pixels",
        n_bytes=len(content),
        digest=_digest(content),
    )


def _look_at_colours(path: Path, place: Colours, *, min_side: int | None) -> Look:
    looks = {colour: look(part, min_side=min_side) for colour, part in place.parts.items()}
    return Look(
        image=_merged(path, {colour: each.image for colour, each in looks.items()}),
        size=looks["red"].size,
        kind=f"{len(looks)} files by colour",
        n_bytes=sum(each.n_bytes for each in looks.values()),
        digest=_digest("".join(looks[colour].digest for colour in sorted(looks)).encode()),
    )


def _merged(path: Path, images: Mapping[str, Image.Image]) -> Image.Image:
    """One RGB image from a gray one for each colour."""
    sizes = {colour: image.size for colour, image in images.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{colour} {width}x{height}" for colour, (width, height) in sizes.items())
        raise DataError(
            f"the files of {listed([str(path)])} differ in size: {shown}", hint="replace the image by a whole one"
        )
    gray = {colour: np.asarray(image.convert("L"), dtype=np.uint16) for colour, image in images.items()}
    half_yellow = gray["yellow"] // 2 if "yellow" in gray else np.uint16(0)
    rgb = np.stack([gray["red"] + half_yellow, gray["green"] + half_yellow, gray["blue"]], axis=-1)
    return Image.fromarray(np.minimum(rgb, 255).astype(np.uint8))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns whatever goes wrong into an error that names the image."""
    try:
        yield
    except DataError:
        raise
    except TooLargeError as error:
        raise DataError(
            f"{listed([str(path)])} has more than {MAX_PIXELS // 1_000_000} million pixels",
            hint="reduce the image to an ordinary size",
        ) from error
    except Exception as error:  # decoders raise whatever a damaged file makes them trip over
        raise DataError(
            f"{listed([str(path)])} cannot be decoded: {' '.join(_reason(error).split())}",
            hint="replace the image by a whole one",
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EmptyFileError):
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is no image of a known format"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
