"""Rows become labels of images; what repeats is left out, and what contradicts or names no image is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.readers.labels.csv_columns import read_csv_labels
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.tasks import Task
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    training_rows,
)
from tests.automl_tests.readers_tests.sources import source_of
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


def test_repeated_rows_and_training_images_without_a_row_are_left_out_and_told(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,label", "t0,cat", "t1,dog", "t0,cat")
    competition = read_competition(tmp_path)
    assert competition.image_ids == ("t0", "t1")
    assert "warning: labels: 1 row of train.csv left out, repeating another" in competition.evidence
    assert any("2 training images without a row" in line and "t2.png" in line for line in competition.evidence)


def test_rows_without_an_image_are_left_out_where_that_is_asked(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "train" / "t2.png").unlink()
    competition = read_competition(tmp_path, CompetitionSettings(skip_missing=True))
    assert competition.image_ids == ("t0", "t1", "t3")
    assert "warning: labels: 1 row of train.csv without an image left out: t2" in competition.evidence


def test_images_in_the_folder_of_another_label_are_told(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/cat/1.png", "train/dog/2.png", "train/dog/3.png", "test/9.png"])
    put_csv(tmp_path / "train.csv", "id,label", "1,cat", "2,dog", "3,cat")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,cat")
    competition = read_competition(tmp_path)
    assert competition.targets.tolist() == [0, 1, 0]
    line = "warning: labels: 1 image in the folder of another label, the table is believed: train/dog/3.png"
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
    assert "warning: labels: 1 id of train.csv with several labels left out: t0" in competition.evidence


def test_labels_that_look_like_nothing_stay_text_and_an_empty_list_of_labels_is_one(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=("NA", "None", "nan", "NA"), sample="nan")
    assert read_competition(tmp_path).classes == ("NA", "None", "nan")
    put_csv(tmp_path / "train.csv", "id,label", "t0,1 2", "t1,", "t2,2", "t3,1 2 3")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,1", "s1,")
    competition = read_competition(tmp_path)
    assert competition.task is Task.MULTILABEL
    assert competition.targets.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1]]


def test_an_image_of_a_row_that_names_several_gets_its_label_and_stays_with_the_others(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/p1/a.png", "train/p1/b.png", "train/p2/a.png", "train/p3/c.png", "test/9.png"])
    put_csv(tmp_path / "train.csv", "id,label,sex", "p1,cat,m", "p2,dog,f", "p3,cat,f")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,cat")
    labels = read_csv_labels(source_of(tmp_path))
    assert labels.ids == ("train/p1/a.png", "train/p1/b.png", "p2", "p3")
    assert (labels.rows, labels.texts) == ((0, 0, 1, 2), ("cat", "cat", "dog", "cat"))
    assert labels.others == {"sex": ("m", "m", "f", "f")}
    assert "labels: 3 rows with 4 images: those of a row stay in one fold" in "\n".join(labels.evidence)
    (tmp_path / "train/p1/b.png").unlink()
    assert read_csv_labels(source_of(tmp_path)).rows is None


def test_the_images_of_two_columns_are_of_one_row(tmp_path: Path) -> None:
    put_images(tmp_path, [*(f"train/{i}_{side}.png" for i in range(4) for side in "lr"), "test/9.png"])
    rows = [f"{i}_l.png,{i}_r.png,{'ab'[i % 2]}" for i in range(4)]
    put_csv(tmp_path / "train.csv", "left,right,label", *rows)
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,a")
    labels = read_csv_labels(source_of(tmp_path))
    assert labels.rows == (0, 0, 1, 1, 2, 2, 3, 3)
    assert labels.images[:2] == ("train/0_l.png", "train/0_r.png")
    assert not labels.others
    (tmp_path / "train/2_r.png").unlink()
    with pytest.raises(DataError, match=r"train.csv names 1 image that is not in train/: 2_r.png"):
        read_csv_labels(source_of(tmp_path))
    labels = read_csv_labels(source_of(tmp_path, skip_missing=True))
    assert labels.rows == (0, 0, 1, 1, 2, 3, 3)
    assert "warning: labels: 1 row of train.csv without an image left out: 2_r.png" in labels.evidence


def test_an_image_of_another_row_is_no_further_image_of_one(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a_1.png", "train/a_2.png", "test/9.png"])
    put_csv(tmp_path / "train.csv", "id,label", "a_1,cat", "a_2,dog", "a,cat")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,cat")
    with pytest.raises(DataError, match=r"train.csv names 1 image that is not in train/: a") as caught:
        read_csv_labels(source_of(tmp_path))
    assert caught.value.seen[0].startswith("id a of train.csv; a file is called train/a_")


def test_rows_of_the_test_are_no_training_rows(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,label", "t0,cat", "t1,dog", "t2,cat", "t3,owl", "s0,", "s1, ")
    competition = read_competition(tmp_path)
    assert competition.image_ids == ("t0", "t1", "t2", "t3")
    assert "labels: 2 rows of train.csv without a label, of images that the test has" in competition.evidence
    rows = ["t0,cat,train", "t1,dog,val", "t2,cat,train", "t3,owl,test", "s0,cat,test"]
    put_csv(tmp_path / "train.csv", "id,label,split", *rows)
    competition = read_competition(tmp_path)
    assert competition.image_ids == ("t0", "t1", "t2")
    line = (
        "labels: 2 rows of train, 1 row of val, 2 rows of test by column split of train.csv; those of val are trained"
    )
    assert any(told.startswith(line) for told in competition.evidence)
    put_csv(tmp_path / "train.csv", "id,label,split", *(row.rpartition(",")[0] + ",test" for row in rows))
    with pytest.raises(DataError, match=r"every row of train.csv is of the test"):
        read_competition(tmp_path)


def test_a_row_for_each_label_of_an_image_is_read_where_images_have_several(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,label", "t0,cat", "t0,dog", "t1,dog", "t2,owl", "t3,owl", "t3,cat")
    with pytest.raises(DataError, match="id t0 has the labels cat, dog") as caught:
        read_csv_labels(source_of(tmp_path))
    assert "--task multilabel" in caught.value.hint
    assert read_csv_labels(source_of(tmp_path, task=Task.MULTILABEL)).texts == ("cat dog", "dog", "owl", "owl cat")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,cat dog", "s1,owl")
    assert read_csv_labels(source_of(tmp_path)).texts == ("cat dog", "dog", "owl", "owl cat")


def test_the_files_of_a_table_in_a_folder_are_those_beside_it(tmp_path: Path) -> None:
    names = ["one/a.png", "one/b.png", "two/a.png", "two/b.png"]
    put_images(tmp_path, [*names, "test/9.png"])
    put_csv(tmp_path / "two" / "labels.csv", "file,label", "a.png,cat", "b.png,dog")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,cat")
    labels = read_csv_labels(source_of(tmp_path))
    assert labels.ids == labels.images == ("two/a.png", "two/b.png")


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
