"""The one way from an image file to pixels, for training, validation and test alike.

    what is in the file                 what comes out
    ----------------------------------  ---------------------------------------------------------------
    gray, 1-bit, palette, CMYK, YCbCr   RGB as Pillow converts it
    transparency of any kind            laid over white, as a viewer shows it
    16 bits a channel                   the high byte (65535 -> 255)
    32-bit integers, floats             0..1 as 0..255; any other range stretched from its least to its
                                        greatest value; what is not finite as 0
    several frames or pages             the first
    EXIF orientation                    applied; a damaged EXIF block is passed over

The content decides, not the extension. A file is decoded to its end, so that a cut one is refused instead of half grey.
Not responsible for: sizes that a model wants (automl.data.cache).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from automl.errors import DataError, listed

MAX_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")  # no others: some start programs or read other files
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # Source: EXIF 2.3, tag 274

# Between 89 and 178 million pixels Pillow only warns; here MAX_PIXELS decides.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def load_rgb(path: Path, *, min_side: int | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) pixels of an image file.

    Args:
        min_side: neither side need be longer than this; a JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size.

    Raises:
        DataError: the file cannot be read, decoded to its end, or is larger than MAX_PIXELS.
    """
    return np.array(decode(path, min_side=min_side))


def decode(path: Path, *, min_side: int | None = None) -> Image.Image:
    """An image file as an upright RGB image; see `load_rgb`."""
    try:
        with _opened(path) as image:
            if min_side is not None:
                image.draft(None, (min_side, min_side))
            image.load()
            return _upright(_rgb(image), _orientation(image))
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them trip over
        raise _unreadable(path, error) from error


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header, before any rotation.

    Raises:
        DataError: the file has no readable header.
    """
    try:
        with _opened(path) as image:
            return image.size
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _opened(path: Path) -> Image.Image:
    # Read in Python first: names that are no UTF-8 are then no affair of a decoder.
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have turned it on for the whole process
    try:
        image = Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        high_bytes = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(high_bytes).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    values = np.where(np.isfinite(values), values, 0.0)
    least, greatest = float(values.min()), float(values.max())
    if least < 0.0 or greatest > 1.0:
        values = (values - least) / (greatest - least if greatest > least else 1.0)
    return np.rint(values * 255.0).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels are whole; a camera's notes on them need not be
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    elif isinstance(error, UnidentifiedImageError):
        reason = "it is no image of a known format"
    else:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return DataError(
        f"{listed([str(path)])} cannot be decoded: {' '.join(reason.split())}", hint="replace the image by a whole one"
    )


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{listed([str(path)])} has more than {MAX_PIXELS // 1_000_000} million pixels",
        hint="reduce the image to an ordinary size",
    )
