"""Decode the bytes of one image file by Pillow, or by pydicom where it is DICOM; the content decides, not the name.

See automl.files.decoding for what comes out of which kind of file.
"""

from __future__ import annotations

import functools
import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from automl.files.array_images import normalize_to_bytes
from automl.files.dicom import decode_dicom, is_dicom, read_dicom_size
from automl.files.image_formats import (
    DICOM_SUFFIXES,
    FORMAT_OF_PILLOW_NAME,
    HEIF,
    PILLOW_FORMATS,
    TGA,
    load_library,
)

MAX_PIXELS = 100_000_000
MAX_PAGES = 32  # of a TIFF that are looked at for one that is small enough; pyramids have fewer than ten
SHAPE_TOLERANCE = 0.02  # of width / height: halved sides are rounded
TRANSPOSE_OF_ORIENTATION = {
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

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # Source: ISO/IEC 23008-12
FTYP_BYTES = 64  # enough for the brands that the file is compatible with; AVIF may begin by mif1 too
IMAGE_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"\0\0\0\x0cjP  ", b"P5", b"P6", *TIFF_MAGIC)

# Between 89 and 178 million pixels Pillow only warns; here MAX_PIXELS decides.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class TooLargeError(Exception):
    """The image has more than MAX_PIXELS pixels; caught where the file's name is known."""


class EmptyFileError(Exception):
    """There are no bytes at all; caught where the file's name is known."""


def is_encoded_image(content: bytes) -> bool:
    """Whether bytes are the content of an image file, by their first few."""
    return (
        content.startswith(IMAGE_MAGIC)
        or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")
        or content[4:8] == b"ftyp"
        or is_dicom(content)
    )


def decode_bytes(content: bytes, *, suffix: str = "", min_side: int | None = None) -> Image.Image:
    """Decode the content of an image file to upright RGB; neither side need be longer than min_side.

    Args:
        suffix: of the file's name, which only decides where the content alone does not.

    Raises:
        TooLargeError, EmptyFileError, DataError, or whatever a damaged file makes the decoder trip over.
    """
    if _is_dicom(content, suffix):
        return _decode_dicom(content)[0].convert("RGB")
    with open_image(content, suffix=suffix) as image:
        return to_upright_rgb(image, min_side=min_side)


def read_encoded_size(content: bytes, *, suffix: str = "") -> tuple[int, int]:
    """Return (width, height) from the header, before any rotation; raises what `decode_bytes` does."""
    if _is_dicom(content, suffix):
        return read_dicom_size(content)
    with open_image(content, suffix=suffix) as image:
        return image.size


def open_image(content: bytes, *, suffix: str = "") -> Image.Image:
    """Open an image by Pillow: its header is read, its pixels are not.

    Raises:
        TooLargeError, EmptyFileError, DataError, or whatever a damaged header makes Pillow trip over.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have turned it on for the whole process
    if not content:
        raise EmptyFileError
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=_choose_formats(content, suffix.lower()))
    except Image.DecompressionBombError as error:
        if not content.startswith(TIFF_MAGIC):
            raise TooLargeError from error
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(content))
    if image.width * image.height > MAX_PIXELS:
        _seek_smaller_page(image)
    return image


def get_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 is upright."""
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels are whole; a camera's notes on them need not be
        return 1
    return orientation if orientation in TRANSPOSE_OF_ORIENTATION else 1


def to_upright_rgb(image: Image.Image, *, min_side: int | None = None) -> Image.Image:
    """Convert an opened image to upright RGB; neither side need be longer than min_side."""
    if min_side is not None:
        image.draft(None, (min_side, min_side))
    image.load()
    pixels, orientation = _to_rgb(image), get_orientation(image)
    return (
        pixels.transpose(TRANSPOSE_OF_ORIENTATION[orientation]) if orientation in TRANSPOSE_OF_ORIENTATION else pixels
    )


def inspect_bytes(
    content: bytes, *, suffix: str, min_side: int | None = None
) -> tuple[Image.Image, tuple[int, int], str]:
    """Return the upright RGB image, its whole upright (width, height), and its format in words.

    Args:
        suffix: of the file's name; it is mentioned where it belongs to another format.
    """
    if _is_dicom(content, suffix):
        image, words_of_dicom = _decode_dicom(content)
        return image.convert("RGB"), image.size, words_of_dicom
    with open_image(content, suffix=suffix) as image:
        size, words = image.size, [*_describe_frames(image, content), *_describe_mode(image)]
        pixels = to_upright_rgb(image, min_side=min_side)
        orientation = get_orientation(image)
    file_format = FORMAT_OF_PILLOW_NAME[image.format or ""]
    rotated = ["rotated"] if orientation != 1 else []
    named = [] if not suffix or suffix.lower() in file_format.suffixes else ["named", suffix.lower()]
    upright_size = size[::-1] if orientation in SIDEWAYS else size
    return pixels, upright_size, " ".join([*rotated, *words, file_format.name, *named])


def _choose_formats(content: bytes, suffix: str) -> tuple[str, ...]:
    """Return what Pillow may take the content for."""
    if suffix == ".tga" and not is_encoded_image(content):
        return (TGA,)
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS and b"avif" not in content[8:FTYP_BYTES]:
        _register_heif()
        return (HEIF,)
    return PILLOW_FORMATS


@functools.cache
def _register_heif() -> None:
    load_library("pillow_heif", "heic").register_heif_opener()


def _is_dicom(content: bytes, suffix: str) -> bool:
    """Whether the content is DICOM; old files of that name have no mark at all."""
    return is_dicom(content) or (bool(content) and suffix.lower() in DICOM_SUFFIXES and not is_encoded_image(content))


def _decode_dicom(content: bytes) -> tuple[Image.Image, str]:
    try:
        decoded = decode_dicom(content, max_pixels=MAX_PIXELS)
    except OverflowError as error:
        raise TooLargeError from error
    return decoded.image, decoded.words


def _describe_frames(image: Image.Image, content: bytes) -> list[str]:
    if image.format == "GIF":
        try:
            with open_image(content) as reopened:  # to tell, a GIF is turned to its second frame
                return ["animated"] if getattr(reopened, "is_animated", False) else []
        except Exception:  # only the first frame is read, and that may be whole
            return ["animated"]
    if not getattr(image, "is_animated", False) or image.format == "MPO":
        return []
    return ["multi-page" if image.format == "TIFF" else "animated"]


def _describe_mode(image: Image.Image) -> list[str]:
    """Describe the channels in words; to be called before the pixels are read."""
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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        high_bytes = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(high_bytes).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(normalize_to_bytes(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
