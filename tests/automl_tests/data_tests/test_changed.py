"""Images that are not those of the search are named, and a change of the competition is described."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.data.changed import describe_change, find_changed_images, record_file_sizes
from automl.data.competition import Competition
from automl.metrics.registry import get_metric
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of, put_images

NAMES = ["train/0.png", "train/1.png", "train/2.png"]
BEGUN = competition_of(Path("/here"), NAMES, ["test/0.png"])


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    put_images(tmp_path / "leaf", ["test/a.png", "test/b.png", "test/c.png"])
    return competition_of(tmp_path / "leaf", [], ["test/a.png", "test/b.png", "test/c.png"])


@pytest.fixture
def sizes(competition: Competition, tmp_path: Path) -> Path:
    record_file_sizes(competition, "test", tmp_path / "sizes.json")
    return tmp_path / "sizes.json"


def test_nothing_has_changed_where_nothing_was_touched(competition: Competition, sizes: Path) -> None:
    assert find_changed_images(competition, "test", sizes) == []
    (competition.root / "test" / "a.png").touch()
    assert find_changed_images(competition, "test", sizes) == []


def test_an_image_of_another_size_is_named(competition: Competition, sizes: Path) -> None:
    put_images(competition.root, ["test/b.png"], size=(40, 40))
    assert find_changed_images(competition, "test", sizes) == ["test/b.png"]


def test_what_the_search_has_seen_is_noted_once(competition: Competition, sizes: Path) -> None:
    put_images(competition.root, ["test/b.png"], size=(40, 40))
    record_file_sizes(competition, "test", sizes)
    assert find_changed_images(competition, "test", sizes) == ["test/b.png"]


def test_images_that_are_gone_are_left_to_those_who_decode_them(competition: Competition, sizes: Path) -> None:
    (competition.root / "test" / "b.png").unlink()
    assert find_changed_images(competition, "test", sizes) == []


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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": Task.MULTICLASS}, "task: binary, not multiclass"),
        ({"metric": get_metric("roc_auc")}, "metric: accuracy, not roc_auc"),
        ({"grouped_by": "patient_id"}, "origin of groups: none, not patient_id"),
        ({"flips": False}, "rule of flips: on, not off"),
        ({"unreadable_test": (0,)}, "competition folder: 0 test images that cannot be read, not 1"),
        ({"test_ids": ("other",)}, "competition folder: its images have other ids"),
        ({"classes": ("dog", "cat")}, "competition folder: its images have other labels"),
        ({"targets": np.array([1, 1, 0])}, "competition folder: its images have other labels"),
        (
            {"image_paths": tuple(Path("/here") / "moved" / name for name in NAMES)},
            "competition folder: its images have other names",
        ),
    ],
)
def test_a_change_is_named(change: dict[str, Any], words: str) -> None:
    assert describe_change(BEGUN, replace(BEGUN, **change)) == words


def test_weights_of_a_metric_are_a_change() -> None:
    light, heavy = (
        replace(BEGUN, metric=get_metric("weighted_log_loss", weights=weights)) for weights in ((1.0, 1.0), (1.0, 2.0))
    )
    assert describe_change(light, heavy) == "set of metric weights: 1, 1, not 1, 2"


def test_images_that_are_gone_are_counted() -> None:
    fewer = competition_of(Path("/here"), NAMES[:2], ["test/0.png"])
    assert describe_change(BEGUN, fewer) == "competition folder: 3 training images, not 2"


def test_a_folder_that_was_moved_as_a_whole_is_the_same() -> None:
    assert describe_change(BEGUN, competition_of(Path("/there"), NAMES, ["test/0.png"])) is None
