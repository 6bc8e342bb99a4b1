"""The columns of ids and labels are found in a table of labels, or it is said which are unclear."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError
from automl.readers.labels.csv_columns import is_label_name
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    remove_training_images,
    require_folder_refusal,
    training_rows,
)
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


def test_the_columns_of_the_sample_order_the_classes_of_one_label_column(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "sample_submission.csv", "id,owl,cat,dog", "s0,0.1,0.2,0.7", "s1,0,0,1")
    competition = read_competition(tmp_path)
    assert competition.classes == ("owl", "cat", "dog")
    assert competition.targets.tolist() == [1, 2, 1, 0]


def test_the_label_column_is_the_one_that_the_sample_names(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a/10.jpg", "train/b/11.jpg", "test/20.jpg"])
    put_csv(tmp_path / "train.csv", "image_id,variety,label,age", "10.jpg,x,blast,45", "11.jpg,y,normal,50")
    put_csv(tmp_path / "sample_submission.csv", "image_id,label", "20.jpg,")
    competition = read_competition(tmp_path)
    assert competition.classes == ("blast", "normal")
    assert competition.submission.submission_kind is SubmissionKind.LABEL
    assert "submission: the label itself, from sample_submission.csv (blank in every row)" in competition.evidence


def test_the_label_column_is_the_one_that_holds_the_classes_of_the_sample(tmp_path: Path) -> None:
    put_images(tmp_path, ["images/1.jpg", "images/2.jpg", "images/3.jpg"])
    put_csv(tmp_path / "train.csv", "id,margin,species,texture", "1,0.1,Acer,7", "2,0.2,Betula,7")
    put_csv(tmp_path / "sample_submission.csv", "id,Acer,Betula", "3,0.5,0.5")
    assert read_competition(tmp_path).classes == ("Acer", "Betula")


def test_the_column_of_ids_is_found_by_what_it_names(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/0.png", "train/1.png", "train/7.png", "test/9.png"])
    put_csv(tmp_path / "train.csv", "digit,file", "1,0.png", "0,7.png", "1,1.png")
    put_csv(tmp_path / "sample_submission.csv", "ImageId,Label", "9,0")
    competition = read_competition(tmp_path)
    assert competition.image_ids == ("0.png", "7.png", "1.png")
    assert competition.targets.tolist() == [1, 0, 1]


def test_of_two_columns_that_name_images_the_one_called_as_in_the_sample_is_the_id(tmp_path: Path) -> None:
    put_images(tmp_path, [f"train/{number}.png" for number in range(4)] + ["test/9.png"])
    put_csv(tmp_path / "train.csv", "Unnamed,file,label", "0,1,cat", "1,2,dog", "2,3,cat")
    put_csv(tmp_path / "sample_submission.csv", "file,label", "9,cat")
    assert [path.name for path in read_competition(tmp_path).image_paths] == ["1.png", "2.png", "3.png"]


def test_a_semicolon_table_of_labels_is_read(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id;label", "t0;cat", "t1;dog", "t2;cat", "t3;owl")
    assert read_competition(tmp_path).targets.tolist() == [0, 1, 0, 2]


def test_the_columns_that_only_training_has_are_no_labels_where_the_test_has_the_others(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,age,breed", "t0,1,pug", "t1,2,boxer", "t2,3,pug")
    put_csv(tmp_path / "test.csv", "id,age", "s0,4", "s1,5")
    put_csv(tmp_path / "sample_submission.csv", "id,Expected", "s0,", "s1,")
    assert read_competition(tmp_path).classes == ("boxer", "pug")
    put_csv(tmp_path / "train.csv", "id,age,label", "t0,1,pug", "t1,2,boxer", "t2,3,pug")
    put_csv(tmp_path / "test.csv", "id,age,label", "s0,4,", "s1,5,")
    assert read_competition(tmp_path).classes == ("boxer", "pug"), "the test's blank labels hide nothing"


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("id,species,individual_id", "predictions"),
        ("id,frame,Individual", "individual_id"),
        ("id,age,target", "Wanted"),
    ],
)
def test_the_label_column_is_found_by_its_values_by_its_likeness_or_by_its_name(
    tmp_path: Path, header: str, target: str
) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", header, "t0,1,w1", "t1,2,w2", "t2,1,w3", "t3,3,w1")
    put_csv(tmp_path / "sample_submission.csv", f"id,{target}", "s0,w1 w2", "s1,w1 w2")
    competition = read_competition(tmp_path)
    assert competition.classes == ("w1", "w2", "w3")
    assert (competition.submission.submission_kind, competition.submission.n_ranked) == (SubmissionKind.RANKING, 2)


def test_an_unclear_label_column_is_settled_by_the_user_or_refused_with_the_columns(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,one,two", "t0,cat,x", "t1,dog,y", "t2,owl,x")
    put_csv(tmp_path / "sample_submission.csv", "id,Wanted", "s0,", "s1,")
    with pytest.raises(DataError, match=r"which column of train\.csv holds the label \(one, two\)") as unclear:
        read_competition(tmp_path)
    assert "--label COLUMN" in unclear.value.hint
    assert unclear.value.seen == ("column one: cat, dog, owl", "column two: x, y")
    assert read_competition(tmp_path, CompetitionSettings(label="two")).classes == ("x", "y")
    with pytest.raises(UsageError, match="--label three"):
        read_competition(tmp_path, CompetitionSettings(label="three"))


def test_the_table_of_labels_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "cleaned.csv", "id,label", "t0,cat", "t1,owl")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,cat", "s1,owl")
    assert read_competition(tmp_path).image_ids == ("t0", "t1", "t2", "t3")
    assert read_competition(tmp_path, CompetitionSettings(labels="cleaned.csv")).image_ids == ("t0", "t1")
    with pytest.raises(UsageError, match=r"--labels clean\.csv") as caught:
        read_competition(tmp_path, CompetitionSettings(labels="clean.csv"))
    assert "cleaned.csv" in caught.value.hint


def test_a_table_of_another_name_holds_the_labels_where_it_names_the_training_images(tmp_path: Path) -> None:
    put_images(tmp_path, ["imgs/train/c0/img_1.jpg", "imgs/train/c1/img_2.jpg", "imgs/test/img_3.jpg"])
    put_csv(tmp_path / "driver_imgs_list.csv", "subject,classname,img", "p002,c0,img_1.jpg", "p012,c1,img_2.jpg")
    put_csv(tmp_path / "sample_submission.csv", "img,c0,c1", "img_3.jpg,0.5,0.5")
    competition = read_competition(tmp_path)
    assert competition.targets.tolist() == [0, 1]
    assert "labels: 2 images, from column classname of driver_imgs_list.csv" in competition.evidence
    assert "labels: the folders of the images say the same" in competition.evidence
    (tmp_path / "driver_imgs_list.csv").write_bytes(b"\x00")
    assert "from the folder of each class" in read_competition(tmp_path).evidence[0]


def test_two_tables_of_labels_are_compared(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "labels.csv", "id,label", "t0,cat", "t1,dog", "t2,cat", "t3,owl")
    assert "labels: labels.csv says the same of 4 images" in read_competition(tmp_path).evidence
    put_csv(tmp_path / "labels.csv", "id,label", "t0,cat", "t1,owl", "t2,cat", "t3,owl")
    with pytest.raises(DataError, match=r"train.csv and labels.csv give 1 image different labels: train/t1.png is dog"):
        read_competition(tmp_path)
    chosen = read_competition(tmp_path, CompetitionSettings(labels="labels.csv"))
    assert [chosen.classes[target] for target in chosen.targets] == ["cat", "owl", "cat", "owl"]
    (tmp_path / "labels.csv").rename(tmp_path / "cleaned.csv")
    warning = "warning: labels: cleaned.csv left out, it gives 1 image another label; --labels cleaned.csv takes it"
    assert any(line.startswith(warning) for line in read_competition(tmp_path).evidence)
    put_csv(tmp_path / "cleaned.csv", "id,age", "t0,1", "t1,2", "t2,1", "t3,2")
    assert not any("cleaned" in line for line in read_competition(tmp_path).evidence)


def test_a_table_of_other_images_or_of_less_certain_labels_beside_is_no_rival(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_images(tmp_path, ["valid/v0.png", "valid/v1.png"])
    put_csv(tmp_path / "valid_labels.csv", "id,label", "v0,cat", "v1,owl")
    put_csv(tmp_path / "train_info.csv", "id,sex", "t0,m", "t1,f", "t2,f", "t3,m")
    evidence = read_competition(tmp_path).evidence
    assert "warning: labels: valid_labels.csv left out, it names 2 other images" in evidence
    assert not any("train_info" in line for line in evidence)


def test_a_table_that_cannot_be_used_gives_way_only_to_one_with_the_targets_of_the_sample(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,age,sex", "t0,1,m", "t1,2,f", "t2,1,f", "t3,2,m")
    put_csv(tmp_path / "train_labels.csv", "id,label", "t0,cat", "t1,dog", "t2,cat", "t3,owl")
    competition = read_competition(tmp_path)
    assert competition.classes == ("cat", "dog", "owl")
    warning = "warning: not read as labels: it is unclear which column of train.csv holds the label (age, sex)"
    assert warning in competition.evidence
    put_csv(tmp_path / "sample_submission.csv", "id,prediction", "s0,", "s1,")
    with pytest.raises(DataError, match=r"which column of train.csv holds the label \(age, sex\)"):
        read_competition(tmp_path)


def test_a_damaged_table_of_labels_gives_way_to_none(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,label", "t0,cat", "t1,dog,3")
    put_csv(tmp_path / "train_labels.csv", "id,label", "t0,cat", "t1,dog", "t2,cat", "t3,owl")
    with pytest.raises(DataError, match=r"train.csv: the header has 2 fields, but line 3 has 3"):
        read_competition(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.csv", True),
        ("data/Train.tsv", True),
        ("trainLabels.csv.gz", True),
        ("labels.jsonl", True),
        ("label.xlsx", True),
        ("ISIC_2019_Training_GroundTruth.csv", True),
        ("my_labels_1.csv", True),
        ("strains.csv", False),
        ("labelled/info.csv", False),
        ("metadata.csv", False),
    ],
)
def test_a_table_is_one_of_labels_by_its_own_name_in_any_form(name: str, expected: bool) -> None:
    assert is_label_name(name) == expected


@pytest.mark.parametrize(
    ("header", "rows", "reason"),
    [
        ("shop,price", ["x,1.5", "y,2.5"], "none of its columns names an image"),
        ("file", ["1.png", "2.png", "3.png", "4.png"], "it has no column beside the images"),
        ("file,age", ["1.png,3"], "it names 1 of 4 training images"),
        ("file,age", ["1.png,3", "1.png,4", "2.png,4"], "hardly each of its rows is of another image"),
        ("id,age", ["9.png,3"], "its rows are those of the sample submission"),
        ("folder,name", ["a,Apple", "b,Banana"], "its rows are folders of images, each with a name of its own"),
    ],
)
def test_tables_of_something_else_are_told_where_the_folders_are_the_labels(
    tmp_path: Path, header: str, rows: list[str], reason: str
) -> None:
    put_images(tmp_path, ["train/a/1.png", "train/a/2.png", "train/b/3.png", "train/b/4.png", "test/9.png"])
    put_csv(tmp_path / "x.csv", header, *rows)
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9.png,a")
    competition = read_competition(tmp_path)
    assert competition.labels_from.startswith("the folder")
    assert any(f"warning: tables not read as labels: x.csv ({reason}" in line for line in competition.evidence)


FOLDER_FAULTS: dict[str, FolderFault] = {
    "no training image at all": (
        remove_training_images,
        "train.csv has no column that names the training images",
        "--images",
    ),
    "an unclear label column": (
        training_rows("t0,1,2", "t1,3,4", header="id,age,weight"),
        "it is unclear which column of train.csv holds the label (age, weight)",
        "--label age,weight",
    ),
    "no label column": (
        training_rows("t0", "t1", header="id"),
        "train.csv (it has no column beside the images)",
        "add",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_table_without_a_clear_column_is_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
