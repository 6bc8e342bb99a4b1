"""A folder is listed without litter, without circles, and without a way out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl.errors import DataError
from automl.files.images import find_images
from automl.files.listing import list_top_files, open_top_archives, walk
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
