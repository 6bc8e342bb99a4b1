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
    a gray file for each colour         each in its channel; yellow light is red and green: half of it is
                                        added to each, and what exceeds 255 is cut
    a row of a table of pixels          as automl.files.pixel_tables reads it

The content decides, not the extension. A file is decoded to its end, so that a cut one is refused instead of half grey.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from automl.errors import DataError, join_names
from automl.files.addresses import ColourFiles, PixelRow, resolve_address
from automl.files.image_formats import FORMAT_OF_PILLOW_NAME, PILLOW_FORMATS
from automl.files.pixel_tables import load_pixel_table

DIGEST_BYTES = 16
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

# Between 89 and 178 million pixels Pillow only warns; here MAX_PIXELS decides.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class TooLargeError(Exception):
    """The image has more than MAX_PIXELS pixels; caught where the file's name is known."""


class EmptyFileError(Exception):
    """There are no bytes at all; caught where the file's name is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedImage:
    """A decoded image with its file's format, size and digest.

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
        if isinstance(location, PixelRow):
            return _open_row(location).convert("RGB")
        if isinstance(location, ColourFiles):
            return _merge_colours(
                path, {colour: decode_image(part, min_side=min_side) for colour, part in location.parts.items()}
            )
        with open_image(location.read()) as image:
            return to_upright_rgb(image, min_side=min_side)


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the file's header, before any rotation.

    Raises:
        DataError: the file has no readable header.
    """
    with _name_in_errors(path):
        location = resolve_address(path)
        if isinstance(location, PixelRow):
            return _open_row(location).size
        if isinstance(location, ColourFiles):
            return read_size(next(iter(location.parts.values())))
        with open_image(location.read()) as image:
            return image.size


def inspect_image(path: Path, *, min_side: int | None = None) -> InspectedImage:
    """Decode an image and describe its file, reading it once; see `decode_image`."""
    with _name_in_errors(path):
        location = resolve_address(path)
        if isinstance(location, PixelRow):
            return _inspect_row(location)
        if isinstance(location, ColourFiles):
            return _inspect_colours(path, location, min_side=min_side)
        content = location.read()
        image, size, format_name = inspect_bytes(content, suffix=path.suffix, min_side=min_side)
        return InspectedImage(
            image=image, size=size, format_name=format_name, n_bytes=len(content), digest=_compute_digest(content)
        )


def _open_row(row: PixelRow) -> Image.Image:
    pixels = load_pixel_table(row.table)
    if row.index >= len(pixels):
        raise DataError(
            f"{row.table.name} has no row {row.index} of pixels, but {len(pixels)} in all",
            hint="restore the table, or begin another study with --study",
        )
    return Image.fromarray(pixels[row.index])


def _inspect_row(row: PixelRow) -> InspectedImage:
    image = _open_row(row)
    content = image.tobytes()
    return InspectedImage(
        image=image.convert("RGB"),
        size=image.size,
        format_name="row of a table of pixels",
        n_bytes=len(content),
        digest=_compute_digest(content),
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


def open_image(content: bytes) -> Image.Image:
    """Open an image: its header is read, its pixels are not.

    Raises:
        TooLargeError, EmptyFileError, or whatever a damaged header makes Pillow trip over.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have turned it on for the whole process
    if not content:
        raise EmptyFileError
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=PILLOW_FORMATS)
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
    with open_image(content) as image:
        size, words = image.size, [*_describe_frames(image, content), *_describe_mode(image)]
        pixels = to_upright_rgb(image, min_side=min_side)
        orientation = get_orientation(image)
    file_format = FORMAT_OF_PILLOW_NAME[image.format or ""]
    rotated = ["rotated"] if orientation != 1 else []
    named = [] if not suffix or suffix.lower() in file_format.suffixes else ["named", suffix.lower()]
    upright_size = size[::-1] if orientation in SIDEWAYS else size
    return pixels, upright_size, " ".join([*rotated, *words, file_format.name, *named])


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
        return Image.fromarray(_stretch(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _stretch(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    values = np.where(np.isfinite(values), values, 0.0)
    least, greatest = float(values.min()), float(values.max())
    if least < 0.0 or greatest > 1.0:
        values = (values - least) / (greatest - least if greatest > least else 1.0)
    return np.rint(values * 255.0).astype(np.uint8)
