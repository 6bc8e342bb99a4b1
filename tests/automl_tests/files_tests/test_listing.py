"""A folder is listed without litter, without circles, and without a way out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl.errors import DataError
from automl.files.image_names import is_image_name
from automl.files.images import find_images
from automl.files.listing import list_files, list_top_files, open_top_archives, walk
from tests.automl_tests.small_competitions import put_empty, put_images, put_zip


def test_a_damaged_archive_is_refused_unless_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "train.zip").write_bytes(b"half a download")
    with pytest.raises(DataError, match=r"train\.zip is no archive that can be read"):
        find_images(tmp_path)
    put_images(tmp_path, ["train/0.jpg"])
    assert find_images(tmp_path).train == ("train/0.jpg",)


def test_links_inside_the_folder_are_followed_to_files_and_never_in_circles(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png"])
    (tmp_path / "train" / "b.png").symlink_to(tmp_path / "train" / "a.png")
    (tmp_path / "train" / "again").symlink_to(tmp_path / "train")
    (tmp_path / "train" / "circle.png").symlink_to("circle.png")
    (tmp_path / "train" / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "train" / "pipe.png")
    assert find_images(tmp_path).train == ("train/a.png", "train/b.png")


def test_an_archive_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    put_images(tmp_path, ["root/train/a.png"])
    (tmp_path / "root" / "test.zip").symlink_to(put_zip(tmp_path / "secret.zip", {"0.jpg": b"x"}))
    with pytest.raises(DataError, match=r"test\.zip is a link that leads out of"):
        find_images(tmp_path / "root")


@pytest.mark.parametrize("target", ["outside", "outside/secret.png"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    put_images(tmp_path, ["root/train/a.png", "outside/secret.png"])
    link = tmp_path / "root" / "train" / ("b.png" if target.endswith("png") else "more")
    link.symlink_to(tmp_path / target)
    with pytest.raises(DataError, match=r"train/(b\.png|more) is a link that leads out of"):
        find_images(tmp_path / "root")


def test_files_are_listed_by_name_at_any_depth_but_for_junk(tmp_path: Path) -> None:
    put_empty(tmp_path, ["b.csv", "x/y/a.csv", "x/a.txt", ".git/c.csv", "automl_runs/s/d.csv", "x/.e.csv"])
    (tmp_path / "folder.csv").mkdir()
    assert sorted(walk(tmp_path, lambda name: name.endswith(".csv"))) == ["b.csv", "x/y/a.csv"]


def test_files_at_the_top_are_listed_by_their_endings_in_any_case_and_sorted(tmp_path: Path) -> None:
    put_empty(tmp_path, ["b.CSV", "a.json", "c.csv.txt", ".d.csv", "deeper/e.csv"])
    (tmp_path / "f.csv").symlink_to(tmp_path / "b.CSV")
    (tmp_path / "g.csv").symlink_to(tmp_path / "nowhere.csv")
    assert list_top_files(tmp_path, (".csv", ".json")) == ["a.json", "b.CSV", "f.csv"]


def test_parts_of_a_split_archive_are_left_out(tmp_path: Path) -> None:
    put_zip(tmp_path / "whole.zip", {"1.png": b"x"})
    put_empty(tmp_path, ["split.zip", "SPLIT.z01"])
    assert [archive.path.name for archive in open_top_archives(tmp_path)] == ["whole.zip"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere cannot be read: No such file"):
        list(walk(tmp_path / "nowhere", lambda name: True))
    with pytest.raises(DataError, match="nowhere cannot be read"):
        list_top_files(tmp_path / "nowhere", (".csv",))


LITTER = (
    *("@eaDir", "#recycle", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information", "lost+found", "LOST.DIR"),
    *("@Recycle", "found.000", "__MACOSX", "Temporary Items"),
)


@pytest.mark.parametrize("folder", LITTER)
def test_what_systems_leave_behind_is_left_out_and_told_where_it_holds_images(tmp_path: Path, folder: str) -> None:
    put_empty(tmp_path, ["train/cat/1.png", f"train/cat/{folder}/1.png/THUMB.png", f"train/{folder}/2.png"])
    put_empty(tmp_path, [f"{folder}/._3.png", f"{folder}/4.txt", "train/cat/1.png:Zone.Identifier", "train/Thumbs.db"])
    listing = list_files(tmp_path, is_image_name)
    assert listing.names == ("train/cat/1.png",)
    assert listing.describe() == [f"images: left out as litter: {folder}/ (2 files)"]


def test_a_class_that_is_called_like_litter_stays(tmp_path: Path) -> None:
    names = [
        f"train/{name}/1.png" for name in ("lost", "found", "recycle", "trash", "recycled", "eaDir", "tmp", "icon")
    ]
    put_empty(tmp_path, names)
    assert sorted(list_files(tmp_path, is_image_name).names) == sorted(names)


def test_litter_without_images_is_no_line(tmp_path: Path) -> None:
    put_empty(tmp_path, ["a.png", "@eaDir/a.txt", "__pycache__/a.png", "automl_runs/a.png", ".hidden/a.png", "~$a.png"])
    listing = list_files(tmp_path, is_image_name)
    assert (listing.names, listing.describe()) == (("a.png",), [])


def test_unfinished_downloads_and_links_to_nothing_are_told(tmp_path: Path) -> None:
    put_empty(tmp_path, ["a.png", "b.png.crdownload", "x/c.jpg.part", "x/d.tmp", "e.part", "train.zip.Crdownload"])
    (tmp_path / "f.png").symlink_to("nowhere.png")
    (tmp_path / "g.txt").symlink_to("nowhere.txt")
    listing = list_files(tmp_path, is_image_name)
    assert listing.names == ("a.png",)
    assert listing.describe() == [
        "warning: images: 3 unfinished downloads left out: b.png.crdownload, train.zip.Crdownload, x/c.jpg.part",
        "warning: images: 1 link leads to no file: f.png",
    ]


def test_links_out_of_the_folder_are_followed_where_that_is_allowed(tmp_path: Path) -> None:
    put_empty(tmp_path, ["blobs/1.png", "blobs/table.csv", "out/cat/2.png", "out/cat/deep/3.png", "root/4.png"])
    put_zip(tmp_path / "out" / "a.zip", {"5.png": b"x"})
    root = tmp_path / "root"
    for name, target in {
        "one.png": "../blobs/1.png",
        "cats": "../out/cat",
        "again": "../out/cat",
        "table.csv": "../blobs/table.csv",
        "a.zip": "../out/a.zip",
    }.items():
        (root / name).symlink_to(target)
    names = ["4.png", "again/2.png", "again/deep/3.png", "cats/2.png", "cats/deep/3.png", "one.png"]
    assert sorted(list_files(root, is_image_name, follow_links=True).names) == names
    assert list_top_files(root, (".csv",), follow_links=True) == ["table.csv"]
    assert [archive.names for archive in open_top_archives(root, follow_links=True)] == [("5.png",)]
    assert find_images(root, follow_links=True).n_images == len(names) + 1
    with pytest.raises(DataError, match="leads out of"):
        list_top_files(root, (".csv",))


@pytest.mark.parametrize("target", ["..", "../root", "../..", "../out/back"])
def test_links_that_lead_in_a_circle_come_to_an_end(tmp_path: Path, target: str) -> None:
    put_empty(tmp_path, ["root/1.png", "root/x/2.png", "out/3.png", "out/back/4.png"])
    (tmp_path / "root" / "link").symlink_to(target)
    (tmp_path / "out" / "back" / "home").symlink_to(tmp_path / "root")
    (tmp_path / "out" / "back" / "self").symlink_to(".")
    found = sorted(walk(tmp_path / "root", is_image_name, follow_links=True))
    assert found == ["1.png", *(["link/4.png"] if target == "../out/back" else []), "x/2.png"]


@pytest.mark.parametrize("name", ["a.png", "train/a.png"])
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_snapshot_of_the_hub_is_called_so(tmp_path: Path, name: str, is_absolute: bool) -> None:
    put_empty(tmp_path, ["hub/blobs/ab12"])
    link = tmp_path / "hub" / "snapshots" / "1" / name
    link.parent.mkdir(parents=True)
    above = "../.." if name == "a.png" else "../../.."
    link.symlink_to(tmp_path / "hub" / "blobs" / "ab12" if is_absolute else f"{above}/blobs/ab12")
    with pytest.raises(DataError, match="snapshot in the cache of the Hugging Face hub") as raised:
        list_files(tmp_path / "hub" / "snapshots" / "1", is_image_name)
    assert "--follow-links" in raised.value.hint
    assert "--local-dir" in raised.value.hint
