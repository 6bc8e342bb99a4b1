"""Images that are not those of the search are named."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from automl.data.changed import find_changed_images, record_file_sizes
from automl.data.competition import Competition
from tests.automl_tests.small_competitions import competition_of, put_images


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    put_images(tmp_path / "leaf", ["test/a.png", "test/b.png", "test/c.png"])
    return competition_of(tmp_path / "leaf", [], ["test/a.png", "test/b.png", "test/c.png"])


@pytest.fixture
def noted(competition: Competition, tmp_path: Path) -> Path:
    record_file_sizes(competition, "test", tmp_path / "sizes.json")
    return tmp_path / "sizes.json"


def test_nothing_has_changed_where_nothing_was_touched(competition: Competition, noted: Path) -> None:
    assert find_changed_images(competition, "test", noted) == []
    (competition.root / "test" / "a.png").touch()
    assert find_changed_images(competition, "test", noted) == []


def test_an_image_of_another_size_is_named(competition: Competition, noted: Path) -> None:
    put_images(competition.root, ["test/b.png"], size=(40, 40))
    assert find_changed_images(competition, "test", noted) == ["test/b.png"]


def test_what_the_search_has_seen_is_noted_once(competition: Competition, noted: Path) -> None:
    put_images(competition.root, ["test/b.png"], size=(40, 40))
    record_file_sizes(competition, "test", noted)
    assert find_changed_images(competition, "test", noted) == ["test/b.png"]


def test_images_that_are_gone_are_left_to_those_who_decode_them(competition: Competition, noted: Path) -> None:
    (competition.root / "test" / "b.png").unlink()
    assert find_changed_images(competition, "test", noted) == []


@pytest.mark.parametrize("content", [None, b"{", b"[1]"])
def test_a_search_that_noted_no_sizes_is_accepted(
    competition: Competition, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "other.json").write_bytes(content)
    assert find_changed_images(competition, "test", tmp_path / "other.json") == []


def test_training_images_are_noted_by_themselves(tmp_path: Path) -> None:
    put_images(tmp_path / "leaf", ["train/a.png", "train/b.png", "test/a.png"])
    competition = competition_of(tmp_path / "leaf", ["train/a.png", "train/b.png"], ["test/a.png"])
    competition = replace(competition, unreadable_test=(0,))  # no row of the training images
    record_file_sizes(competition, "train", tmp_path / "sizes.json")
    put_images(competition.root, ["train/a.png", "test/a.png"], size=(40, 40))
    assert find_changed_images(competition, "train", tmp_path / "sizes.json") == ["train/a.png"]


def test_images_in_an_archive_change_with_it(tmp_path: Path) -> None:
    put_images(tmp_path, ["a.png", "b.png"])
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "a.png")
    competition = competition_of(tmp_path, [], ["test.zip/a.png"])
    record_file_sizes(competition, "test", tmp_path / "sizes.json")
    with zipfile.ZipFile(tmp_path / "test.zip", "a") as archive:
        archive.write(tmp_path / "b.png", "b.png")
    assert find_changed_images(competition, "test", tmp_path / "sizes.json") == ["test.zip/a.png"]
