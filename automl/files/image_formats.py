"""From the bytes of one image file to upright RGB, by the rules in automl.files.decoding, and what kind of file it is.

Not responsible for: where the bytes come from, or naming the file in an error.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

MAX_PIXELS = 100_000_000
MAX_PAGES = 32  # of a TIFF that are looked at for one that is small enough; pyramids have fewer than ten
SHAPE_TOLERANCE = 0.02  # of width / height: halved sides are rounded
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
SIDEWAYS = frozenset({5, 6, 7, 8})
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
NAMES = {"MPO": "JPEG", "WEBP": "WebP"}  # MPO: a JPEG with further pictures behind it, as phones write it
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WebP": (".webp",),
}
MODE_NAMES = {
    "1": "1-bit",
    "L": "gray",
    "P": "palette",
    "PA": "palette",
    "I": "32-bit gray",
    "F": "float",
    "CMYK": "CMYK",
    "RGBA": "RGBA",
    "LA": "gray and alpha",
    "LAB": "Lab",
}

# Between 89 and 178 million pixels Pillow only warns; here MAX_PIXELS decides.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class TooLargeError(Exception):
    """The image has more than MAX_PIXELS pixels; caught where the file's name is known."""


class EmptyFileError(Exception):
    """There are no bytes at all; caught where the file's name is known."""


def opened(content: bytes) -> Image.Image:
    """An image whose header is read and whose pixels are not.

    Raises:
        TooLargeError, EmptyFileError, or whatever a damaged header makes Pillow trip over.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have turned it on for the whole process
    if not content:
        raise EmptyFileError
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        if not content.startswith(TIFF_MAGIC):
            raise TooLargeError from error
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(content))
    if image.width * image.height > MAX_PIXELS:
        _seek_smaller_page(image)
    return image


def orientation_of(image: Image.Image) -> int:
    """1 to 8 of EXIF; 1 is upright."""
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels are whole; a camera's notes on them need not be
        return 1
    return orientation if orientation in UPRIGHT else 1


def upright_rgb(image: Image.Image, *, min_side: int | None = None) -> Image.Image:
    """The pixels of an opened image; neither side need be longer than min_side."""
    if min_side is not None:
        image.draft(None, (min_side, min_side))
    image.load()
    pixels, orientation = _rgb(image), orientation_of(image)
    return pixels.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else pixels


def looked(content: bytes, *, suffix: str, min_side: int | None = None) -> tuple[Image.Image, tuple[int, int], str]:
    """The upright RGB pixels, the whole image's upright (width, height), and what it is in words.

    Args:
        suffix: of the file's name; it is mentioned where it belongs to another format.
    """
    with opened(content) as image:
        size, words = image.size, [*_frame_words(image, content), *_mode_words(image)]
        pixels = upright_rgb(image, min_side=min_side)
        orientation = orientation_of(image)
    name = NAMES.get(image.format or "", image.format or "image")
    rotated = ["rotated"] if orientation != 1 else []
    named = [] if not suffix or suffix.lower() in SUFFIXES.get(name, ()) else ["named", suffix.lower()]
    return pixels, size[::-1] if orientation in SIDEWAYS else size, " ".join([*rotated, *words, name, *named])


def _frame_words(image: Image.Image, content: bytes) -> list[str]:
    if image.format == "GIF":
        try:
            with opened(content) as afresh:  # to tell, a GIF is turned to its second frame
                return ["animated"] if getattr(afresh, "is_animated", False) else []
        except Exception:  # only the first frame is read, and that may be whole
            return ["animated"]
    if not getattr(image, "is_animated", False) or image.format == "MPO":
        return []
    return ["multi-page" if image.format == "TIFF" else "animated"]


def _mode_words(image: Image.Image) -> list[str]:
    """To be asked before the pixels are read."""
    if image.format == "GIF":  # always a palette
        return []
    if image.mode.startswith("I;16"):
        return ["16-bit gray"]
    name = MODE_NAMES.get(image.mode)
    if name is None or image.mode == "RGBA":
        # Pillow keeps the high byte of colours; how the file packs them tells that there were two.
        raw_modes = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
        return ["16-bit", name or "RGB"] if ";16" in raw_modes else [name] if name else []
    return [name]


def _seek_smaller_page(image: Image.Image) -> None:
    """Turn a TIFF that holds one picture in several sizes to the largest that is not too large.

    Raises:
        TooLargeError: there is none.
    """
    if image.format != "TIFF":
        raise TooLargeError
    shape = image.width / image.height
    sizes: dict[int, int] = {}
    for page in range(1, MAX_PAGES):
        try:
            image.seek(page)
        except EOFError:
            break
        n_pixels = image.width * image.height
        if n_pixels <= MAX_PIXELS and abs(image.width / image.height / shape - 1) <= SHAPE_TOLERANCE:
            sizes[page] = n_pixels
    if not sizes:
        raise TooLargeError
    image.seek(max(sizes, key=lambda page: sizes[page]))


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
