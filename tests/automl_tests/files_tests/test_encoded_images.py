"""Rarer formats of image files are decoded, and only by what knows them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from automl.errors import DataError
from automl.files import encoded_images
from automl.files.decoding import decode_image, inspect_image, read_size
from automl.files.encoded_images import is_encoded_image

RAMP = np.repeat(np.linspace(0, 255, 32).astype(np.uint8)[None, :, None], 24, axis=0) * np.ones(3, np.uint8)
PHOTO = Image.fromarray(RAMP)


@pytest.mark.parametrize(
    ("name", "pillow_format", "words"),
    [
        ("a.jfif", "JPEG", "JPEG"),
        ("a.JPE", "JPEG", "JPEG"),
        ("a.ppm", "PPM", "PPM"),
        ("a.pgm", "PPM", "PPM"),
        ("a.tga", "TGA", "TGA"),
        ("a.jp2", "JPEG2000", "JPEG 2000"),
        ("a.avif", "AVIF", "AVIF"),
        ("a.tga", "PNG", "PNG named .tga"),
    ],
)
def test_rarer_formats_are_decoded_by_their_content(tmp_path: Path, name: str, pillow_format: str, words: str) -> None:
    PHOTO.save(tmp_path / name, pillow_format)
    inspected = inspect_image(tmp_path / name)
    assert (inspected.size, inspected.format_name) == ((32, 24), words)
    assert read_size(tmp_path / name) == (32, 24)
    assert np.abs(np.asarray(inspected.image).astype(int) - RAMP).max() < 20


def test_heic_is_decoded_by_its_library_or_the_hint_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif.from_pillow(PHOTO).save(tmp_path / "a.heic", quality=95)
    inspected = inspect_image(tmp_path / "a.heic")
    assert (inspected.size, inspected.format_name) == ((32, 24), "HEIC")
    assert np.abs(np.asarray(inspected.image).astype(int) - RAMP).mean() < 20
    encoded_images._register_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match="pillow_heif is needed") as caught:
        decode_image(tmp_path / "a.heic")
    assert "pip install 'automl[heic]'" in caught.value.hint
    encoded_images._register_heif.cache_clear()


def test_a_tga_is_opened_by_its_name_alone(tmp_path: Path) -> None:
    """It has no mark, so that damaged files of other formats might be taken for one."""
    PHOTO.save(tmp_path / "a.tga")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.tga").read_bytes())
    with pytest.raises(DataError, match="no image of a known format"):
        decode_image(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xd7\xcd\xc6\x9a" * 9])
def test_formats_that_start_programs_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="no image of a known format"):
        decode_image(tmp_path / "a.png")


def test_image_files_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    for pillow_format in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM"):
        PHOTO.save(tmp_path / "a", pillow_format)
        assert is_encoded_image((tmp_path / "a").read_bytes()[:160]), pillow_format
    assert not is_encoded_image(b"text") and not is_encoded_image(b"")
