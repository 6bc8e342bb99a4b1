"""Which files are images, which cannot be read, and what is said of those."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl.errors import DataError, UsageError
from automl.files.folder_roles import FolderChoice
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


def test_validation_unlabelled_and_added_images_are_others_and_named_besides(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png", "val/b.png", "unlabeled/c.png", "more/d.png", "test/e.png"])
    files = find_images(tmp_path)
    assert files.other == ("more/d.png", "unlabeled/c.png", "val/b.png")
    assert (files.validation, files.unlabelled, files.added) == (("val/b.png",), ("unlabeled/c.png",), ())
    assert files.training_pool == ("train/a.png",)
    assert files.get_role_folder("val/b.png") == "val/"
    chosen = find_images(tmp_path, FolderChoice(added=("more",), fixed_fold="val"))
    assert (chosen.validation, chosen.added, chosen.fixed_fold) == ((), ("more/d.png", "val/b.png"), "val/")
    assert chosen.training_pool == ("more/d.png", "train/a.png", "val/b.png")
    assert chosen.notes == ("images: 2 of more/, val/ are training images too, as asked",)


def test_without_a_training_folder_the_others_may_be_trained_on_but_those_to_predict_or_validate(
    tmp_path: Path,
) -> None:
    put_images(tmp_path, ["cat/a.png", "dog/b.png", "val/cat/c.png", "unlabeled/d.png"])
    assert find_images(tmp_path).training_pool == ("cat/a.png", "dog/b.png")


def test_the_folders_of_training_and_test_images_may_be_named(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png", "train_big/b.png", "query/c.png", "test/d.png"])
    files = find_images(tmp_path, FolderChoice(images="train_big", test_images="query"))
    assert (files.train, files.test, files.other) == (
        ("train_big/b.png",),
        ("query/c.png",),
        ("test/d.png", "train/a.png"),
    )
    with pytest.raises(UsageError, match="--test-images nowhere: no image lies in such a folder"):
        find_images(tmp_path, FolderChoice(test_images="nowhere"))


def test_a_folder_that_repeats_another_is_left_out_and_told(tmp_path: Path) -> None:
    for name in [f"{above}{label}/{number}.png" for above in ("a/", "a/a/") for label in "xy" for number in "12"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name[-7:])
    files = find_images(tmp_path)
    assert files.other == ("a/x/1.png", "a/x/2.png", "a/y/1.png", "a/y/2.png")
    assert len(files.copies) == 4
    assert files.notes == ("images: a/a/ repeats the files of a/, and is left out",)
    every = find_images(tmp_path, FolderChoice(takes_all=True))
    assert (len(every.other), every.copies, every.notes) == (8, (), ())


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
        (["train/1/2.jxl", "test/3.JXL"], "2 .jxl (image of another format)", "of the same name, such as test/3.png"),
        (["train/0/0a.mat", "old/1.mat"], "2 .mat (MATLAB array)", "such as old/1.png"),
        (["train.7z", "a.jxl"], "1 .7z (7-Zip archive), 1 .jxl (image of another format)", "7z x train.7z"),
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
    put_zip(tmp_path / "contest.zip", {"train.zip": b"x", "test/1.jxl": b"x"})
    with pytest.raises(DataError, match=r"1 \.zip .*, 1 \.jxl \(image") as caught:
        require_images(find_images(tmp_path))
    assert caught.value.hint == "unpack contest.zip/train.zip, and any archive that it lies in"


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ('{"images": [{"url": ["https://x.org/1.jpg"], "image_id": 1}]}', "1 .json of URLs (links to images)"),
    ],
)
def test_records_of_links_are_told_where_there_are_no_images(tmp_path: Path, content: str, seen: str) -> None:
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
    (tmp_path / "train" / "a.jxl").write_bytes(b"x")
    files = find_images(tmp_path)
    require_images(files)
    advice = "convert each one to a .png of the same name, such as train/a.png"
    assert files.notes == (f"warning: images: not read: 1 .jxl (image of another format): {advice}",)
    assert (files.unread, files.unread_examples) == ({".jxl": 1}, {".jxl": "train/a.jxl"})
    assert files.unread_by_stem == {"a": "train/a.jxl"}
    assert files.unread_hint is not None and "train/a.png" in files.unread_hint


def test_a_name_that_is_no_text_is_refused_and_shown_escaped(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png"])
    (tmp_path / "train" / "a.png").rename(tmp_path / "train" / os.fsdecode(b"\xff\xfe.png"))
    with pytest.raises(DataError, match="not UTF-8 text") as caught:
        find_images(tmp_path)
    assert caught.value.problem.isprintable()


def test_images_without_an_extension_that_are_read_are_not_said_to_be_left_out(tmp_path: Path) -> None:
    for name in ("train/1.2.840.1", "train/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    (tmp_path / "train/README").write_text("about these")
    files = find_images(tmp_path)
    assert files.train == ("train/1.2.840.1", "train/b")
    assert [line for line in files.notes if "extension" in line] == ["images: 1 file without an extension left out"]
