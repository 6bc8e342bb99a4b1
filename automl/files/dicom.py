"""Decode DICOM files as a viewer shows them.

    in the file                         on the image
    ----------------------------------  ---------------------------------------------------------------
    rescale slope and intercept, or a   applied first
    modality look-up table
    a look-up table of values (VOI)     the first one
    windows                             else the first one: linear, exactly linear or sigmoid
    neither, or a faulty one            from the least value to the greatest; padding is no value
    MONOCHROME1                         inverted: its least value is white
    RGB, YBR, palette                   RGB, the high byte of 16 bits
    several frames                      the middle one

Source: DICOM PS3.3, C.11.1 and C.11.2; the decoding is pydicom's (an extra of automl).
"""

from __future__ import annotations

import functools
import io
import logging
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.errors import DataError
from automl.files.array_images import normalize_to_bytes, scale_to_bytes
from automl.files.image_formats import get_install_line, load_library

MAGIC, MAGIC_AT = b"DICM", 128
HEAD_BYTES = MAGIC_AT + len(MAGIC)
EXTRA = "dicom"


@dataclass(frozen=True, slots=True)
class DecodedDicom:
    """An image from a DICOM file, and what it is in words: "DICOM", "palette DICOM", "middle frame of a DICOM"."""

    image: Image.Image
    words: str


def is_dicom(head: bytes) -> bool:
    """Whether a file is DICOM, by its first HEAD_BYTES bytes."""
    return head[MAGIC_AT:HEAD_BYTES] == MAGIC


def read_dicom_size(content: bytes) -> tuple[int, int]:
    """Return (width, height) from the header.

    Raises:
        DataError: pydicom is not installed. Whatever else a damaged file makes it trip over.
    """
    header = _load_pydicom().dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)
    return int(header.Columns), int(header.Rows)


def decode_dicom(content: bytes, *, max_pixels: int) -> DecodedDicom:
    """Decode the content of a DICOM file to a gray or RGB image.

    Raises:
        OverflowError: it has more than max_pixels pixels.
        DataError: pydicom is not installed. Whatever else a damaged file makes it trip over.
    """
    pydicom = _load_pydicom()
    header = pydicom.dcmread(io.BytesIO(content), force=True)
    if int(header.Columns) * int(header.Rows) > max_pixels:
        raise OverflowError
    n_frames = int(header.get("NumberOfFrames") or 1)
    values = _read_frame(header, n_frames // 2)
    color = str(header.get("PhotometricInterpretation", "")).strip().upper()
    words = ["middle frame of a"] if n_frames > 1 else []
    if color == "PALETTE COLOR":
        words.append("palette")
        values = pydicom.pixels.apply_color_lut(values, header)
    gray = values.ndim == 2
    pixels = _to_gray(values, header, is_inverted=color == "MONOCHROME1") if gray else _to_bytes(values, header)
    return DecodedDicom(Image.fromarray(pixels), " ".join([*words, "DICOM"]))


@functools.cache
def _load_pydicom() -> Any:
    pydicom = load_library("pydicom", EXTRA)
    load_library("pydicom.pixels", EXTRA)
    # It warns of each oddity of a header; what cannot be decoded is an error all the same.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("pylibjpeg").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    warnings.filterwarnings("ignore", module=r"pylibjpeg(\..*)?")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


def _read_frame(header: Any, number: int) -> NDArray[Any]:
    """Return the stored values of a frame.

    Raises:
        DataError: nothing that is installed decodes its compression.
    """
    try:
        values: NDArray[Any] = _load_pydicom().pixels.pixel_array(header, index=number)
    except RuntimeError as error:
        if "missing dependencies" not in str(error):
            raise
        compression = header.file_meta.TransferSyntaxUID.name
        raise DataError(
            f"nothing is installed that decodes a DICOM file compressed by {compression}", hint=get_install_line(EXTRA)
        ) from error
    return values


def _to_bytes(values: NDArray[Any], header: Any) -> NDArray[np.uint8]:
    """Return colours of (H, W, 3) as bytes: 16 bits may be fewer in truth."""
    bits = int(header.get("BitsStored") or 8)
    if values.dtype == np.uint16 and 8 < bits < 16 and values.max() < 1 << bits:
        values = values << (16 - bits)
    return scale_to_bytes(values)


def _to_gray(values: NDArray[Any], header: Any, *, is_inverted: bool) -> NDArray[np.uint8]:
    """Return the (H, W) brightness of stored values."""
    pixels = _load_pydicom().pixels
    is_padding = _find_padding(values, header)
    rescaled = pixels.apply_modality_lut(values, header)
    shares = _look_up(rescaled, header)
    if shares is None:
        shares = _apply_window(rescaled.astype(np.float64), header)
    if shares is None:
        seen = rescaled[~is_padding] if not is_padding.all() else rescaled
        least, greatest = float(seen.min()), float(seen.max())
        spread = greatest - least if greatest > least else 1.0
        shares = np.clip((rescaled.astype(np.float64) - least) / spread, 0.0, 1.0)
    if is_inverted:
        shares = 1.0 - shares
    return normalize_to_bytes(np.where(is_padding, 0.0, shares))


def _find_padding(values: NDArray[Any], header: Any) -> NDArray[np.bool_]:
    """Return where the scanner has seen nothing; nowhere without PixelPaddingValue."""
    first, last = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
    if not isinstance(first, int):
        return np.zeros(values.shape, dtype=bool)
    last = last if isinstance(last, int) else first
    return (values >= min(first, last)) & (values <= max(first, last))


def _look_up(rescaled: NDArray[Any], header: Any) -> NDArray[np.float64] | None:
    """Return the shares, 0 to 1, that the first look-up table of values gives; None without one that can be used."""
    if not header.get("VOILUTSequence"):
        return None
    with suppress(Exception):  # a damaged table: there are windows, and the values themselves
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        levels = _load_pydicom().pixels.apply_voi(np.rint(rescaled).astype(np.int64), header, index=0)
        return np.asarray(np.clip(levels.astype(np.float64) / ((1 << bits) - 1), 0.0, 1.0))
    return None


def _apply_window(values: NDArray[np.float64], header: Any) -> NDArray[np.float64] | None:
    """Return the shares, 0 to 1, that the first window gives; None without one that can be used.

    Source: DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.
    """
    center, width = _read_first(header, "WindowCenter"), _read_first(header, "WindowWidth")
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if center is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0))))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def _read_first(header: Any, name: str) -> float | None:
    """Return the first number of a field; None where there is none."""
    with suppress(Exception):  # text that is no number
        value = header.get(name)
        number = float(value[0] if isinstance(value, list) or hasattr(value, "append") else value)
        return number if np.isfinite(number) else None
    return None
