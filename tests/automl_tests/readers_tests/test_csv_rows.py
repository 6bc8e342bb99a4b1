"""Rows become labels of images; what repeats is left out, and what contradicts or names no image is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.tasks import Task
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    training_rows,
)
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


def test_repeated_rows_and_training_images_without_a_row_are_left_out_and_told(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,label", "t0,cat", "t1,dog", "t0,cat")
    competition = read_competition(tmp_path)
    assert competition.image_ids == ("t0", "t1")
    assert "labels: 1 row of train.csv left out, repeating another" in competition.evidence
    assert any("2 training images without a row" in line and "t2.png" in line for line in competition.evidence)


def test_rows_without_an_image_are_left_out_where_that_is_asked(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "train" / "t2.png").unlink()
    competition = read_competition(tmp_path, CompetitionSettings(skip_missing=True))
    assert competition.image_ids == ("t0", "t1", "t3")
    assert "labels: 1 row of train.csv without an image left out: t2" in competition.evidence


def test_images_in_the_folder_of_another_label_are_told(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/cat/1.png", "train/dog/2.png", "train/dog/3.png", "test/9.png"])
    put_csv(tmp_path / "train.csv", "id,label", "1,cat", "2,dog", "3,cat")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,cat")
    competition = read_competition(tmp_path)
    assert competition.targets.tolist() == [0, 1, 0]
    line = "labels: 1 image in the folder of another label, the table is believed: train/dog/3.png"
    assert line in competition.evidence


def test_rows_of_one_id_are_told_apart_by_the_folder_that_they_name(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/87/a.jpg", "train/4/a.jpg", "train/4/b.jpg", "test/9.jpg"])
    put_csv(tmp_path / "train.csv", "image,chain,hotel", "a.jpg,87,x1", "b.jpg,4,x2", "a.jpg,4,x2")
    put_csv(tmp_path / "sample_submission.csv", "image,hotel", "9.jpg,x1")
    competition = read_competition(tmp_path)
    assert competition.image_ids == ("train/87/a.jpg", "b.jpg", "train/4/a.jpg")
    assert [path.parent.name for path in competition.image_paths] == ["87", "4", "4"]
    assert competition.targets.tolist() == [0, 1, 1]


@pytest.mark.parametrize(("n_images", "accepted"), [(100, True), (99, False)])
def test_an_id_that_contradicts_itself_is_left_out_where_it_is_one_in_a_hundred(
    tmp_path: Path, n_images: int, accepted: bool
) -> None:
    put_table_competition(tmp_path, labels=["cat", "dog"] * (n_images // 2) + ["cat"] * (n_images % 2), sample="cat")
    with (tmp_path / "train.csv").open("a") as table:
        table.write("t0,dog\n")
    if not accepted:
        with pytest.raises(DataError, match="id t0 has the labels cat, dog"):
            read_competition(tmp_path)
        return
    competition = read_competition(tmp_path)
    assert "t0" not in competition.image_ids
    assert len(competition.image_ids) == n_images - 1
    assert "labels: 1 id of train.csv with several labels left out: t0" in competition.evidence


def test_labels_that_look_like_nothing_stay_text_and_an_empty_list_of_labels_is_one(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=("NA", "None", "nan", "NA"), sample="nan")
    assert read_competition(tmp_path).classes == ("NA", "None", "nan")
    put_csv(tmp_path / "train.csv", "id,label", "t0,1 2", "t1,", "t2,2", "t3,1 2 3")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,1", "s1,")
    competition = read_competition(tmp_path)
    assert competition.task is Task.MULTILABEL
    assert competition.targets.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1]]


FOLDER_FAULTS: dict[str, FolderFault] = {
    "a training id without a file": (
        training_rows("t0,cat", "t1,dog", "0a1b.jpg,cat", "0a1c.jpg,cat", "0a1d.jpg,dog"),
        "train.csv names 3 images that are not in train/: 0a1b.jpg, 0a1c.jpg, 0a1d.jpg",
        "check the folder, or pass --skip-missing to leave those rows out",
    ),
    "one training id without a file": (
        lambda root: (root / "train" / "t2.png").unlink(),
        "train.csv names 1 image that is not in train/: t2",
        "--skip-missing",
    ),
    "an id that leaves the folder": (
        training_rows("t0,cat", "t1,dog", "../../etc/passwd,dog"),
        "train.csv names 1 image that is not in train/: ../../etc/passwd",
        "check the folder",
    ),
    "an ambiguous training id": (
        lambda root: put_images(root, ["train/a/t0.png", "train/b/t0.png"]) or (root / "train" / "t0.png").unlink(),
        "train.csv has 1 id that may be several images: t0 (train/a/t0.png, train/b/t0.png)",
        "leave one image for each id",
    ),
    "two ids of one image": (
        training_rows("t0,cat", "t0.png,cat", "t1,dog"),
        "train.csv names the image train/t0.png by two ids: t0, t0.png",
        "leave one row",
    ),
    "conflicting labels": (
        training_rows("t0,cat", "t1,dog", "t0,dog"),
        "train.csv: id t0 has the labels cat, dog (lines 2 and 4)",
        "leave the right one",
    ),
    "a blank label": (
        training_rows("t0,cat", "t1, ", "t2,dog"),
        "train.csv has no label in 1 row: line 3",
        "add the labels",
    ),
    "a blank id": (training_rows("t0,cat", " ,cat", "t2,dog"), "train.csv has no id in line 3", "add the id"),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_rows_that_name_no_image_or_contradict_each_other_are_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
