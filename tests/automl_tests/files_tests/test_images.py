"""Which files are images, which cannot be read, and what is said of those."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl.errors import DataError
from automl.files.images import find_images, require_images
from tests.automl_tests.small_competitions import put_images, put_zip


def test_images_are_found_by_extension_in_any_case_and_parted_by_folder(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.JPG", "Train2/b.tif", "test1/c.webp", "imgs/train/x/d.png", "extra/e.gif", "f.jpeg"])
    (tmp_path / "train" / "notes.txt").write_text("no image")
    files = find_images(tmp_path)
    assert files.train == ("Train2/b.tif", "imgs/train/x/d.png", "train/a.JPG")
    assert files.test == ("test1/c.webp",)
    assert files.other == ("extra/e.gif", "f.jpeg")
    assert files.n_images == 6


def test_hidden_files_other_systems_litter_and_our_own_runs_are_no_images(tmp_path: Path) -> None:
    litter = ["__MACOSX/._a.jpg", ".ipynb_checkpoints/a.png", "automl_runs/s/a.png", "train/._a.png", "train/.b.png"]
    put_images(tmp_path, ["train/a.png", *litter])
    (tmp_path / "train" / "Thumbs.db").write_bytes(b"x")
    assert find_images(tmp_path).train == ("train/a.png",)
    assert find_images(tmp_path).n_images == 1


def test_a_folder_without_images_is_refused_where_images_are_needed(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    files = find_images(tmp_path)
    assert (files.n_images, files.unread, files.unread_hint) == (0, {}, None)
    with pytest.raises(DataError, match="holds no images") as caught:
        require_images(files)
    assert "archives unpacked" in caught.value.hint
    put_images(tmp_path, ["a.png"])
    require_images(find_images(tmp_path))


def test_validation_folders_are_no_test_folders(tmp_path: Path) -> None:
    put_images(tmp_path, ["valid/a.png", "val/b.png", "validation/c.png", "train_val2019/d.png", "test/e.png"])
    files = find_images(tmp_path)
    assert files.other == ("val/b.png", "valid/a.png", "validation/c.png")
    assert (files.train, files.test) == (("train_val2019/d.png",), ("test/e.png",))


def test_images_in_archives_at_the_top_are_found_as_below_folders(tmp_path: Path) -> None:
    put_zip(
        tmp_path / "train.zip", dict.fromkeys(["train/0.jpg", "1.JPG", "__MACOSX/train/._0.jpg", "notes.txt"], b"x")
    )
    put_zip(tmp_path / "leaf-contest.zip", dict.fromkeys(["test/2.jpg", "images/3.jpg", "train.csv"], b"x"))
    files = find_images(tmp_path)
    assert files.train == ("train.zip/1.JPG", "train.zip/train/0.jpg")
    assert files.test == ("leaf-contest.zip/test/2.jpg",)
    assert files.other == ("leaf-contest.zip/images/3.jpg",)
    assert files.notes == ()


@pytest.mark.parametrize("members", [["train/0.jpg", "train/1.jpg"], ["0.jpg", "1.jpg"]])
def test_an_archive_that_is_unpacked_beside_itself_is_left_out(tmp_path: Path, members: list[str]) -> None:
    put_zip(tmp_path / "train.zip", dict.fromkeys([*members, "extra/9.jpg"], b"x"))
    put_images(tmp_path, ["train/0.jpg", "test/0.jpg"])
    files = find_images(tmp_path)
    assert files.train == ("train.zip/extra/9.jpg", "train/0.jpg")
    assert files.notes == ("images: train/ taken, and 2 files of train.zip, unpacked there, left out",)


def test_folders_of_one_name_in_an_archive_and_beside_it_are_two_where_their_files_differ(tmp_path: Path) -> None:
    put_zip(tmp_path / "a.zip", {"images/0.jpg": b"x"})
    put_images(tmp_path, ["images/1.jpg"])
    assert find_images(tmp_path).other == ("a.zip/images/0.jpg", "images/1.jpg")


@pytest.mark.parametrize(
    ("names", "seen", "advised"),
    [
        (["train/1/2.dcm", "test/3.DCM"], "2 .dcm (DICOM)", ".png of the same name, such as test/3.png"),
        (["t/train/00.tfrec"], "1 .tfrec (TFRecord)", "each record to t/train/<id>.jpg"),
        (["train-image.hdf5"], "1 .hdf5 (HDF5)", "under each key to train-image/<key>.jpg"),
        (["train/0/0a.npy", "old/1.npy"], "2 .npy (NumPy array)", "such as old/1.png"),
        (["train_image_data_0.parquet"], "1 .parquet (Parquet table)", "pixels of each row to train/<id>.png"),
        (["train.bson"], "1 .bson (BSON)", "to train/<_id>.jpg"),
        (["train.7z", "a.dcm"], "1 .7z (7-Zip archive), 1 .dcm (DICOM)", "7z x train.7z"),
        (["train.zip.001", "train.zip.002"], "2 .zip.001 (part of a split archive)", "join the parts to train.zip"),
        (["train.z01", "train.z02", "train.zip"], "2 .z01 (part of a split archive)", "zip -s 0 train.zip"),
        (["train.tar.gz"], "1 .tar.gz (tar archive)", "tar -xf train.tar.gz"),
        (["a.rar"], "1 .rar (RAR archive)", "unrar x a.rar"),
        (["data/train.zip"], "1 .zip (archive not at the top", "unpack data/train.zip"),
        (["scans/1.nii.gz"], "1 .nii.gz (NIfTI volume)", "scans/1.png"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_to_make_of_it(
    tmp_path: Path, names: list[str], seen: str, advised: str
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        require_images(find_images(tmp_path))
    assert f"holds no images that can be read, but {seen}" in caught.value.problem
    assert advised in caught.value.hint
    assert "\n" not in caught.value.problem + caught.value.hint


def test_an_archive_in_an_archive_is_told_with_the_one_around_it(tmp_path: Path) -> None:
    put_zip(tmp_path / "contest.zip", {"train.zip": b"x", "test/1.dcm": b"x"})
    with pytest.raises(DataError, match=r"1 \.zip .*, 1 \.dcm \(DICOM\)") as caught:
        require_images(find_images(tmp_path))
    assert caught.value.hint == "unpack contest.zip/train.zip, and any archive that it lies in"


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ('[{"id": "a", "band_1": [' + ", ".join(["-27.87e0"] * 5625) + "]}]", "1 .json of numbers (pixels as numbers)"),
        ('{"images": [{"url": ["https://x.org/1.jpg"], "image_id": 1}]}', "1 .json of URLs (links to images)"),
    ],
)
def test_records_of_numbers_or_links_are_told_where_there_are_no_images(
    tmp_path: Path, content: str, seen: str
) -> None:
    (tmp_path / "train.json").write_text(content)
    (tmp_path / "names.json").write_text('{"0": "a", "licenses": [{"url": "http://x.org"}], "file_name": [1, 2, 3, 4]}')
    files = find_images(tmp_path)
    with pytest.raises(DataError) as caught:
        require_images(files)
    assert seen in caught.value.problem
    assert "train/<id>." in caught.value.hint
    put_images(tmp_path, ["a.png"])
    assert find_images(tmp_path).unread == {}


def test_unread_files_beside_images_are_no_fault_but_are_told(tmp_path: Path) -> None:
    put_images(tmp_path, ["jpeg/train/a.png"])
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.dcm").write_bytes(b"x")
    files = find_images(tmp_path)
    require_images(files)
    assert files.notes == ("images: not read: 1 .dcm (DICOM)",)
    assert (files.unread, files.unread_examples) == ({".dcm": 1}, {".dcm": "train/a.dcm"})
    assert files.unread_hint is not None and "train/a.png" in files.unread_hint


def test_a_name_that_is_no_text_is_refused_and_shown_escaped(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png"])
    (tmp_path / "train" / "a.png").rename(tmp_path / "train" / os.fsdecode(b"\xff\xfe.png"))
    with pytest.raises(DataError, match="not UTF-8 text") as caught:
        find_images(tmp_path)
    assert caught.value.problem.isprintable()
