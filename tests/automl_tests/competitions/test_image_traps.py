"""The traps of the reference, section 1C, that lie in the images themselves."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from automl.data.cleaning import clean_competition
from automl.data.survey import survey_images
from automl.errors import DataError
from automl.readers.read import read_competition
from automl.submission.write import write_submission
from tests.automl_tests.competitions.miniatures import Folder
from tests.automl_tests.competitions.painting import encoded
from tests.automl_tests.competitions.plain_folder import TEST, TRAIN, fill, pixels_of


@pytest.mark.parametrize("kind", ["gray", "palette", "RGBA", "16-bit TIFF", "4-channel TIFF", "CMYK"])
def test_non_rgb_images_show_the_same_as_their_rgb_twins(folder: Folder, kind: str) -> None:
    fill(folder)
    twin = folder.image(["cat"]).convert("L").convert("RGB")
    content, suffix = in_mode(twin, kind)
    (folder.path / f"train/{TRAIN[0]}.png").unlink()
    folder.write(f"train/{TRAIN[0]}{suffix}", content)
    pixels = pixels_of(read_competition(folder.path))
    difference = np.abs(pixels[0].astype(float) - np.asarray(twin, dtype=float))
    assert difference.mean() < 8, kind


def test_non_rgb_images_exif_rotation_is_undone(folder: Folder) -> None:
    fill(folder)
    upright = folder.image(["cat"])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    content = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(content, "PNG", exif=exif)
    folder.write(f"train/{TRAIN[0]}.png", content.getvalue())
    pixels = pixels_of(read_competition(folder.path))
    assert np.abs(pixels[0].astype(float) - np.asarray(upright, dtype=float)).mean() < 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "a page of HTML"])
def test_broken_images_are_all_named_and_can_be_left_out(folder: Folder, damage: str) -> None:
    fill(folder, train=[f"a{number:02d}" for number in range(24)])
    content = encoded(folder.image(["cat"], width=64, height=64), ".jpg")
    harmed = {"truncated": content[: len(content) // 2], "empty": b"", "a page of HTML": b"<html>sorry</html>"}[damage]
    for name in ("train/a03", "train/a07", "test/t2"):
        folder.write(f"{name}.png", harmed)
    competition = read_competition(folder.path)
    survey = survey_images(competition, folder.path.parent / "survey")
    with pytest.raises(DataError) as refusal:
        clean_competition(competition, survey)
    assert all(name in refusal.value.problem for name in ("a03", "a07", "t2"))
    assert "--skip-broken" in refusal.value.hint
    whole = clean_competition(competition, survey, skip_broken=True)
    assert len(whole.image_ids) == 22
    assert not {"a03", "a07"} & set(whole.image_ids)
    assert whole.unreadable_test == (1,)
    path = folder.path.parent / "submission.csv"
    write_submission(whole, np.tile(whole.prior, (3, 1)), path)
    assert [line.partition(",")[0] for line in path.read_text().splitlines()] == ["id", *TEST]


@pytest.mark.slow
def test_a_gigapixel_png_is_read_or_named(folder: Folder) -> None:
    fill(folder)
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    folder.write(f"train/{TRAIN[0]}.png", content.getvalue())
    competition = read_competition(folder.path)
    survey = survey_images(competition, folder.path.parent / "survey")
    if survey.train.problems:
        assert TRAIN[0] in survey.train.problems[0]
    else:
        assert survey.train.widths[0] == 20_000


def in_mode(image: Image.Image, kind: str) -> tuple[bytes, str]:
    """The same gray picture, stored in another way."""
    if kind == "16-bit TIFF":
        return bytes(cv2.imencode(".tif", np.asarray(image.convert("L")).astype(np.uint16) * 257)[1]), ".tif"
    if kind == "4-channel TIFF":
        bands = np.dstack([np.asarray(image), np.full(image.size[::-1], 255, np.uint8)])
        return bytes(cv2.imencode(".tif", bands)[1]), ".tif"
    if kind == "CMYK":
        return encoded(image.convert("CMYK"), ".jpg"), ".jpg"
    if kind == "palette":
        return encoded(image.quantize(256), ".png"), ".png"
    return encoded(image.convert({"gray": "L", "RGBA": "RGBA"}[kind]), ".png"), ".png"
