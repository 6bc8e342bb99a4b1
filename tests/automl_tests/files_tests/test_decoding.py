"""One rule for every kind of image file, and no pixels from a damaged one."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from automl.errors import DataError
from automl.files import encoded_images
from automl.files.decoding import decode_image, inspect_image, read_size
from tests.automl_tests.small_competitions import put_csv, put_zip

RNG = np.random.default_rng(0)
PHOTO = np.kron(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((20, 20, 1), dtype=np.uint8))  # (120, 160, 3)


def load_rgb(path: Path, **options: int) -> NDArray[np.uint8]:
    return np.asarray(decode_image(path, **options))


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def half_transparent() -> Image.Image:
    """Left half opaque red, right half a green that nobody sees."""
    pixels = np.zeros((4, 8, 4), dtype=np.uint8)
    pixels[:, :4] = (200, 0, 0, 255)
    pixels[:, 4:] = (0, 200, 0, 0)
    return Image.fromarray(pixels)


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (8, 4), 0)
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.paste(1, (4, 0, 8, 4))
    return image


def gray_and_alpha() -> Image.Image:
    pixels = np.zeros((4, 8, 2), dtype=np.uint8)
    pixels[:, :4] = (100, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("name", "image", "options", "left", "right"),
    [
        ("gray.png", Image.new("L", (8, 4), 77), {}, (77, 77, 77), (77, 77, 77)),
        ("one bit.png", Image.new("1", (8, 4), 1), {}, (255, 255, 255), (255, 255, 255)),
        ("palette.gif", palette_with_transparency(), {}, (200, 0, 0), (0, 200, 0)),
        ("clear palette.png", palette_with_transparency(), {"transparency": 1}, (200, 0, 0), (255, 255, 255)),
        ("rgba.png", half_transparent(), {}, (200, 0, 0), (255, 255, 255)),
        ("rgba.webp", half_transparent(), {"lossless": True}, (200, 0, 0), (255, 255, 255)),
        ("la.png", gray_and_alpha(), {}, (100, 100, 100), (255, 255, 255)),
        ("cmyk.tif", Image.new("CMYK", (8, 4), (0, 255, 255, 0)), {}, (255, 0, 0), (255, 0, 0)),
        ("gray16.png", Image.fromarray(np.full((4, 8), 257 * 90, np.uint16)), {}, (90, 90, 90), (90, 90, 90)),
        ("gray16.tif", Image.fromarray(np.full((4, 8), 65535, np.uint16)), {}, (255, 255, 255), (255, 255, 255)),
        ("unit float.tif", Image.fromarray(np.full((4, 8), 0.4, np.float32)), {}, (102, 102, 102), (102, 102, 102)),
        ("cmyk.jpg", Image.new("CMYK", (8, 4), (0, 255, 255, 0)), {"quality": 100}, (255, 0, 0), (255, 0, 0)),
        ("bmp.bmp", Image.new("RGB", (8, 4), (1, 2, 3)), {}, (1, 2, 3), (1, 2, 3)),
        ("a png by name.jpg", Image.new("RGB", (8, 4), (9, 8, 7)), {"format": "PNG"}, (9, 8, 7), (9, 8, 7)),
    ],
)
def test_each_kind_of_file_comes_out_as_the_documented_colours(
    tmp_path: Path,
    name: str,
    image: Image.Image,
    options: dict[str, object],
    left: tuple[int, int, int],
    right: tuple[int, int, int],
) -> None:
    pixels = load_rgb(saved(tmp_path / name, image, **options))
    assert (pixels.shape, pixels.dtype) == ((4, 8, 3), np.uint8)
    assert pixels[:, :4].reshape(-1, 3).mean(axis=0).tolist() == list(left)
    assert pixels[:, 4:].reshape(-1, 3).mean(axis=0).tolist() == list(right)


def test_floats_and_integers_of_another_range_are_stretched_from_least_to_greatest(tmp_path: Path) -> None:
    decibels = np.array([[-30.0, -20.0, -10.0, np.nan]], dtype=np.float32)
    image = load_rgb(saved(tmp_path / "db.tif", Image.fromarray(decibels)))
    assert image[0, :, 0].tolist() == [0, 85, 170, 255]  # nan counts as 0, here the greatest
    counts = np.array([[1000, 3000, 2000, 1000]], dtype=np.int32)
    assert load_rgb(saved(tmp_path / "i.tif", Image.fromarray(counts)))[0, :, 0].tolist() == [0, 255, 128, 0]


def test_sixteen_bit_colour_loses_its_low_byte_as_sixteen_bit_gray_does(tmp_path: Path) -> None:
    colours = np.array([[[0x1234, 0xFFFF, 0x00FF]]], dtype=">u2")
    raw = b"\0" + colours.tobytes()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(p)) + t + p + struct.pack(">I", zlib.crc32(t + p)) for t, p in parts]
    (tmp_path / "rgb16.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert load_rgb(tmp_path / "rgb16.png")[0, 0].tolist() == [0x12, 0xFF, 0x00]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_orientation_that_a_camera_noted_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"photo.{suffix}", Image.fromarray(PHOTO), exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(load_rgb(path), expected)
    assert expected.shape == ((160, 120, 3) if orientation > 4 else (120, 160, 3))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "note",
    [b"\xff\xff\xff\x7f rubbish", b"\x08\0\0\0\x01\0" + struct.pack("<HHI4s", 0x0112, 2, 4, b"top\0") + b"\0\0\0\0"],
    ids=["rubbish", "an orientation in words"],
)
def test_a_damaged_camera_note_does_not_cost_the_image(tmp_path: Path, note: bytes) -> None:
    path = saved(tmp_path / "photo.jpg", Image.fromarray(PHOTO), exif=b"Exif\0\0II*\0" + note)
    assert load_rgb(path).shape == PHOTO.shape


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert load_rgb(path)[0, 0].tolist() == [250, 0, 0]


def test_a_jpeg_may_be_decoded_smaller_but_never_below_the_asked_side(tmp_path: Path) -> None:
    path = saved(tmp_path / "photo.jpg", Image.fromarray(PHOTO), quality=95)
    shapes = [load_rgb(path, min_side=side).shape[:2] for side in (15, 16, 30, 60, 61, 500)]
    assert shapes == [(15, 20), (30, 40), (30, 40), (60, 80), (120, 160), (120, 160)]
    assert abs(load_rgb(path, min_side=15).mean() - PHOTO.mean()) < 3


def cut(fraction: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * fraction)]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif"])
@pytest.mark.parametrize("damage", [cut(0.9), cut(0.5), cut(0.05), cut(0.0), lambda content: b"<html>not found</html>"])
def test_a_cut_or_foreign_file_is_refused_by_name(
    tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / f"photo.{suffix}", Image.fromarray(RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)))
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as another library may have left it
    with pytest.raises(DataError, match=f"photo\\.{suffix} cannot be decoded: ") as caught:
        load_rgb(path)
    assert "\n" not in caught.value.problem


def test_formats_that_run_other_programs_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(DataError, match="it is no image of a known format"):
        load_rgb(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_huge_image_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(p)) + t + p + struct.pack(">I", zlib.crc32(t + p)) for t, p in parts]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    for read in (load_rgb, read_size):
        with pytest.raises(DataError, match=r"bomb\.png has more than 100 million pixels"):
            read(tmp_path / "bomb.png")


NAMES = ["caf\u00e9.png", "a,b 'c' \"d\".png", "-x.png", "a\nb.png", os.fsdecode(b"\xff\xfe.png")]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_is_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = io.BytesIO()
    Image.new("RGB", (2, 3), (5, 6, 7)).save(content, format="PNG")
    path.write_bytes(content.getvalue())
    assert load_rgb(path).shape == (3, 2, 3)
    path.write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        load_rgb(path)
    assert caught.value.problem.isprintable()


@pytest.mark.parametrize("name", ["missing.png", "folder.png"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=r"cannot be decoded: (No such file|Is a directory)"):
        load_rgb(tmp_path / name)


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.jpg cannot be decoded: the file is empty"):
        decode_image(tmp_path / "a.jpg")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    for read in (load_rgb, read_size, inspect_image):
        with pytest.raises(DataError, match=r"a\.jpg is neither a file nor a folder"):
            read(tmp_path / "a.jpg")


def test_a_member_of_an_archive_is_decoded_as_the_file_would_be(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(PHOTO))
    put_zip(tmp_path / "train.zip", {"train/a.jpg": path.read_bytes(), "train/b.jpg": b"<html>"})
    member = tmp_path / "train.zip" / "train" / "a.jpg"
    assert np.array_equal(load_rgb(member), load_rgb(path))
    assert read_size(member) == (160, 120)
    assert inspect_image(member).digest == inspect_image(path).digest
    with pytest.raises(DataError, match=r"train\.zip/train/b\.jpg cannot be decoded: it is no image"):
        load_rgb(tmp_path / "train.zip" / "train" / "b.jpg")
    with pytest.raises(DataError, match=r"train\.zip has no member train/c\.jpg"):
        load_rgb(tmp_path / "train.zip" / "train" / "c.jpg")


def test_a_file_for_each_colour_becomes_one_image_in_which_yellow_is_red_and_green(tmp_path: Path) -> None:
    levels = {"red": 100, "green": 10, "blue": 30, "yellow": 200}
    for colour, level in levels.items():
        Image.new("L", (8, 4), level).save(tmp_path / f"x_{colour}.png")
    four, three = tmp_path / "x_{blue,green,red,yellow}.png", tmp_path / "x_{red,green,blue}.png"
    assert load_rgb(four)[0, 0].tolist() == [200, 110, 30]
    assert load_rgb(three)[0, 0].tolist() == [100, 10, 30]
    assert read_size(four) == (8, 4)
    seen = inspect_image(four)
    assert (seen.format_name, seen.size) == ("4 files by colour", (8, 4))
    assert seen.n_bytes == sum((tmp_path / f"x_{colour}.png").stat().st_size for colour in levels)
    Image.new("L", (8, 4), 255).save(tmp_path / "x_red.png")
    assert load_rgb(four)[0, 0].tolist() == [255, 110, 30]
    assert inspect_image(four).digest != seen.digest


def test_colours_of_which_one_is_missing_or_of_another_size_are_refused_by_name(tmp_path: Path) -> None:
    for colour in ("red", "green"):
        Image.new("L", (8, 4)).save(tmp_path / f"x_{colour}.png")
    with pytest.raises(DataError, match=r"x_blue\.png cannot be decoded: No such file"):
        load_rgb(tmp_path / "x_{red,green,blue}.png")
    Image.new("L", (9, 4)).save(tmp_path / "x_blue.png")
    with pytest.raises(DataError, match=r"differ in size: red 8x4, green 8x4, blue 9x4"):
        load_rgb(tmp_path / "x_{red,green,blue}.png")


def test_a_row_of_a_table_of_pixels_is_an_image(tmp_path: Path) -> None:
    header = ",".join(["label", *(f"pixel{number}" for number in range(16))])
    put_csv(tmp_path / "train.csv", header, ",".join(["7", *["9"] * 16]), ",".join(["1", *map(str, range(16))]))
    assert load_rgb(tmp_path / "train.csv" / "1")[..., 1].tolist() == np.arange(16).reshape(4, 4).tolist()
    assert read_size(tmp_path / "train.csv" / "0") == (4, 4)
    seen = inspect_image(tmp_path / "train.csv" / "0")
    assert (seen.format_name, seen.n_bytes, seen.image.mode) == ("row of a table of pixels", 16, "RGB")
    with pytest.raises(DataError, match=r"train\.csv has no row 2 of pixels, but 2 in all"):
        load_rgb(tmp_path / "train.csv" / "2")


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    ("name", "image", "options", "kind"),
    [
        ("a.jpg", Image.fromarray(PHOTO), {}, "JPEG"),
        ("a.JPEG", Image.fromarray(PHOTO).convert("L"), {}, "gray JPEG"),
        ("a.jpg", Image.fromarray(PHOTO).convert("CMYK"), {}, "CMYK JPEG"),
        ("a.jpg", Image.fromarray(PHOTO), {"exif": turned(6)}, "rotated JPEG"),
        ("a.png", Image.fromarray(PHOTO), {"exif": turned(3)}, "rotated PNG"),
        ("a.jpg", Image.fromarray(PHOTO), {"exif": turned(1)}, "JPEG"),
        ("a.jpg", Image.fromarray(PHOTO), {"format": "MPO"}, "JPEG"),
        ("a.png", Image.fromarray(PHOTO).convert("P"), {}, "palette PNG"),
        ("a.png", half_transparent(), {}, "RGBA PNG"),
        ("a.png", gray_and_alpha(), {}, "gray and alpha PNG"),
        ("a.png", Image.new("1", (4, 4)), {}, "1-bit PNG"),
        ("a.png", Image.fromarray(np.full((4, 8), 257, np.uint16)), {}, "16-bit gray PNG"),
        ("a.tif", Image.fromarray(np.full((4, 8), 0.5, np.float32)), {}, "float TIFF"),
        ("a.gif", Image.fromarray(PHOTO), {}, "GIF"),
        (
            "a.gif",
            Image.fromarray(PHOTO),
            {"save_all": True, "append_images": [Image.new("RGB", (160, 120))]},
            "animated GIF",
        ),
        (
            "a.tif",
            Image.fromarray(PHOTO),
            {"save_all": True, "append_images": [Image.new("L", (9, 9))]},
            "multi-page TIFF",
        ),
        ("a.webp", Image.fromarray(PHOTO), {}, "WebP"),
        ("a.jpg", Image.fromarray(PHOTO), {"format": "PNG"}, "PNG named .jpg"),
        ("a", Image.fromarray(PHOTO), {"format": "PNG"}, "PNG"),
    ],
)
def test_a_look_tells_the_kind_of_file_and_gives_the_pixels_that_decoding_gives(
    tmp_path: Path, name: str, image: Image.Image, options: dict[str, object], kind: str
) -> None:
    path = saved(tmp_path / name, image, **options)
    seen = inspect_image(path)
    assert seen.format_name == kind
    assert np.array_equal(np.asarray(seen.image), load_rgb(path))
    assert seen.size == seen.image.size
    assert (seen.n_bytes, len(seen.digest)) == (path.stat().st_size, 32)


def test_a_look_tells_the_whole_size_of_an_image_that_it_decodes_smaller(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(PHOTO), exif=turned(6))
    seen = inspect_image(path, min_side=16)
    assert (seen.size, seen.image.size) == ((120, 160), (30, 40))
    assert np.array_equal(np.asarray(seen.image), load_rgb(path, min_side=16))


def test_sixteen_bit_colour_is_called_so(tmp_path: Path) -> None:
    raw = b"\0" + np.array([[[1, 2, 3]]], dtype=">u2").tobytes()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(p)) + t + p + struct.pack(">I", zlib.crc32(t + p)) for t, p in parts]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert inspect_image(tmp_path / "a.png").format_name == "16-bit RGB PNG"


def test_a_gif_whose_later_frames_are_cut_off_gives_its_first(tmp_path: Path) -> None:
    frames = [Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(3)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    whole = load_rgb(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    assert np.array_equal(load_rgb(path), whole)
    assert inspect_image(path).format_name == "animated GIF"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [1000, 160 * 120 - 1])
def test_of_a_tiff_in_several_sizes_the_largest_that_is_not_too_large_is_taken(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Image.fromarray(PHOTO)
    smaller = [first.resize((10, 10)), first.resize((80, 60)), first.resize((20, 15))]
    path = saved(tmp_path / "a.tiff", first, save_all=True, append_images=smaller)
    assert read_size(path) == (160, 120)
    monkeypatch.setattr(encoded_images, "MAX_PIXELS", limit)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit // 4)  # Pillow itself refuses at twice of it
    expected = (20, 15) if limit == 1000 else (80, 60)
    assert read_size(path) == inspect_image(path).size == expected
    assert np.array_equal(load_rgb(path), np.asarray(smaller[2 if limit == 1000 else 1]))
    monkeypatch.setattr(encoded_images, "MAX_PIXELS", 299)
    with pytest.raises(DataError, match=r"a\.tiff has more than"):
        load_rgb(path)
