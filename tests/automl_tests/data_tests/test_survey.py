"""Every image is surveyed once: its facts, whether it can be decoded, and the file that keeps them."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from automl.data.competition import Competition
from automl.data.survey import Survey, survey_images
from automl.errors import StorageError
from tests.automl_tests.small_competitions import competition_of

PATTERN = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def photo(width: int = 300, height: int = 200) -> Image.Image:
    """A smooth pattern, in any size."""
    return Image.fromarray(PATTERN).resize((width, height), Image.Resampling.BICUBIC)


def put(root: Path, **files: Image.Image | bytes) -> Competition:
    """A competition over train/ files named by their keys, __ for a dot, and one plain test image."""
    (root / "train").mkdir(parents=True)
    names = []
    for key, content in files.items():
        names.append(f"train/{key.replace('__', '.')}")
        if isinstance(content, bytes):
            (root / names[-1]).write_bytes(content)
        else:
            content.save(root / names[-1])
    photo(40, 40).save(root / "test.png")
    return competition_of(root, names, ["test.png"])


def same(some: Survey, other: Survey) -> bool:
    pairs = ((some.train, other.train), (some.test, other.test))
    return all(
        np.array_equal(a.thumbnails, b.thumbnails)
        and (a.widths.tolist(), a.heights.tolist()) == (b.widths.tolist(), b.heights.tolist())
        and (a.content, a.problems, a.formats, a.n_bytes.tolist())
        == (b.content, b.problems, b.formats, b.n_bytes.tolist())
        for a, b in pairs
    )


def rotated_jpeg() -> bytes:
    content = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo().transpose(Image.Transpose.ROTATE_90).save(content, "JPEG", exif=exif, quality=95)
    return content.getvalue()


def test_it_notes_size_bytes_digest_and_a_squeezed_thumbnail_of_each_image(tmp_path: Path) -> None:
    leaf = put(tmp_path / "c", a__png=photo(), b__jpg=photo(64, 128))
    train = survey_images(leaf, tmp_path).train
    assert (train.widths.tolist(), train.heights.tolist()) == ([300, 64], [200, 128])
    contents = [path.read_bytes() for path in leaf.image_paths]
    assert train.n_bytes.tolist() == [len(content) for content in contents]
    assert train.content == tuple(hashlib.blake2b(content, digest_size=16).hexdigest() for content in contents)
    assert (train.thumbnails.shape, train.thumbnails.dtype) == ((2, 32, 32, 3), np.uint8)
    expected = np.asarray(photo().resize((32, 32), Image.Resampling.BOX), dtype=float)
    assert np.abs(train.thumbnails[0] - expected).mean() < 2
    assert train.problems == {}


def test_every_odd_kind_of_file_is_seen_in_its_colours(tmp_path: Path) -> None:
    gray16 = Image.fromarray(np.asarray(photo().convert("L"), dtype=np.uint16) * 257)
    leaf = put(
        tmp_path / "c",
        plain__png=photo(),
        gray__png=photo().convert("L"),
        deep__png=gray16,
        palette__png=photo().quantize(256),
        clear__png=photo().convert("RGBA"),
        press__jpg=photo().convert("CMYK"),
        turned__jpg=rotated_jpeg(),
        named__jpg=photo(),
    )
    png = (tmp_path / "c/train/plain.png").read_bytes()
    leaf.image_paths[-1].write_bytes(png)
    train = survey_images(leaf, tmp_path, n_threads=2).train
    assert train.problems == {}
    assert set(zip(train.widths.tolist(), train.heights.tolist(), strict=True)) == {(300, 200)}
    plain, gray = train.thumbnails[0].astype(float), train.thumbnails[1].astype(float)
    assert [bool(np.abs(train.thumbnails[row] - plain).mean() < 8) for row in (3, 4, 5, 6, 7)] == [True] * 5
    assert np.abs(train.thumbnails[2] - gray).max() <= 1
    assert train.content[0] == train.content[7]
    assert sum(train.formats.values()) == 8
    assert {"CMYK JPEG", "16-bit gray PNG", "PNG named .jpg", "rotated JPEG"} <= set(train.formats)


def test_each_broken_image_is_a_problem_of_its_own_and_the_others_are_seen(tmp_path: Path) -> None:
    whole = photo()
    leaf = put(
        tmp_path / "c",
        whole__png=whole,
        cut__png=whole,
        empty__jpg=b"",
        page__jpg=b"<!DOCTYPE html><html>404</html>",
        huge__png=Image.new("1", (10_001, 10_000)),
    )
    cut = leaf.image_paths[1]
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    gone = competition_of(leaf.root, [*leaf.image_ids, "train/gone.png"], ["test.png"])
    train = survey_images(gone, tmp_path).train
    assert sorted(train.problems) == [1, 2, 3, 4, 5]
    for row, problem in train.problems.items():
        assert problem.startswith(gone.image_ids[row]), problem
    assert "100 million pixels" in train.problems[4]
    assert train.content[0] != "" and train.content[1:] == ("",) * 5
    assert not train.thumbnails[1:].any() and not train.widths[1:].any()


def test_a_photo_in_two_sizes_has_one_thumbnail(tmp_path: Path) -> None:
    leaf = put(tmp_path / "c", full__jpg=photo(501, 333), small__png=photo(301, 200), large__jpg=photo(1999, 1333))
    thumbnails = survey_images(leaf, tmp_path).train.thumbnails.astype(float)
    assert np.abs(thumbnails[1:] - thumbnails[0]).mean() < 1.5


def test_a_second_survey_reads_the_file_and_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = put(tmp_path / "c", a__png=photo(), b__jpg=b"broken")
    seen: list[tuple[int, int]] = []
    first = survey_images(leaf, tmp_path / "cache", on_progress=lambda *done: seen.append(done))
    assert seen[-1] == (3, 3)
    monkeypatch.setattr("automl.data.survey.inspect_image", lambda path, **_: pytest.fail(f"{path} was opened"))
    again = survey_images(leaf, tmp_path / "cache", on_progress=lambda *_: pytest.fail("images were looked at"))
    assert same(first, again)


def test_a_changed_image_is_surveyed_again(tmp_path: Path) -> None:
    leaf = put(tmp_path / "c", a__png=photo(), b__png=photo(20, 20))
    survey_images(leaf, tmp_path / "cache")
    photo(50, 60).save(leaf.image_paths[1])
    assert survey_images(leaf, tmp_path / "cache").train.widths.tolist() == [300, 50]
    leaf.image_paths[0].unlink()
    assert list(survey_images(leaf, tmp_path / "cache").train.problems) == [0]


def test_an_image_changed_to_one_of_as_many_bytes_is_surveyed_again(tmp_path: Path) -> None:
    leaf = put(tmp_path / "c", a__bmp=photo(40, 30))
    path = leaf.image_paths[0]
    before, n_bytes, changed = survey_images(leaf, tmp_path / "cache"), path.stat().st_size, path.stat().st_mtime_ns
    photo(40, 30).transpose(Image.Transpose.ROTATE_180).save(path)
    os.utime(path, ns=(changed, changed + 1_000_000_000))
    assert path.stat().st_size == n_bytes
    assert survey_images(leaf, tmp_path / "cache").train.content != before.train.content


def test_a_damaged_survey_is_made_again(tmp_path: Path) -> None:
    leaf = put(tmp_path / "c", a__png=photo())
    first = survey_images(leaf, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    content = file.read_bytes()
    for damaged in (content[:2000], b"", content.replace(b"content", b"kontent")):
        file.write_bytes(damaged)
        assert same(survey_images(leaf, tmp_path / "cache"), first)
        assert file.stat().st_size == len(content)


def test_any_number_of_threads_sees_the_same(tmp_path: Path) -> None:
    leaf = put(tmp_path / "c", **{f"i{number}__png": photo(10 + number, 20) for number in range(70)})
    assert same(
        survey_images(leaf, tmp_path / "1", n_threads=1),
        survey_images(leaf, tmp_path / "4", n_threads=4),
    )


def test_test_images_known_to_be_unreadable_are_not_opened(tmp_path: Path) -> None:
    leaf = put(tmp_path / "c", a__png=photo())
    known = competition_of(leaf.root, leaf.image_ids, ["test.png", "gone.png"], unreadable_test=(1,))
    test = survey_images(known, tmp_path / "cache").test
    assert test.problems == {}
    assert (test.content[1], test.widths.tolist()) == ("", [40, 0])
    unknown = competition_of(leaf.root, leaf.image_ids, ["test.png", "gone.png"])
    assert list(survey_images(unknown, tmp_path / "cache").test.problems) == [1]


def test_members_of_archives_and_rows_of_tables_are_images_too(tmp_path: Path) -> None:
    root = tmp_path / "c"
    root.mkdir()
    photo().save(root / "a.png")
    with zipfile.ZipFile(root / "train.zip", "w") as archive:
        archive.write(root / "a.png", "train/a.png")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64))
    lines = [",".join(f"pixel{number}" for number in range(64)), *(",".join(map(str, row)) for row in pixels)]
    (root / "digits.csv").write_text("\n".join(lines) + "\n")
    leaf = competition_of(root, ["a.png", "train.zip/train/a.png", "digits.csv/0", "digits.csv/2"], ["digits.csv/0"])
    survey = survey_images(leaf, tmp_path / "cache")
    assert survey.train.problems == {}
    assert survey.train.content[0] == survey.train.content[1]
    assert survey.train.content[2] == survey.test.content[0] != survey.train.content[3]
    assert survey.train.widths.tolist() == [300, 300, 8, 8]


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        survey_images(put(tmp_path / "c", a__png=photo()), tmp_path / "cache")
