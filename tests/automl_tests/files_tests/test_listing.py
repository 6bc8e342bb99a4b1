"""Tests of listing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl.errors import DataError
from automl.files.images import find_images
from tests.automl_tests.small_competitions import put_images, put_zip


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
