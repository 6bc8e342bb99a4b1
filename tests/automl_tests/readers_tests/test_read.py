"""A competition's folder is understood, or refused in one line that names what is at fault."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.data.competition import SubmissionKind, load_competition, save_competition
from automl.errors import DataError, UsageError
from automl.readers.read import read_competition
from automl.readers.settings import Asked
from automl.tasks import Task
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


def put_named_competition(root: Path, sample_value: str = "0.5") -> None:
    put_images(root, ["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg"])
    put_images(root, ["test1/1.jpg", "test1/2.jpg"])
    put_csv(root / "sampleSubmission.csv", "id,label", f"2,{sample_value}", f"1,{sample_value}")


def test_labels_in_file_names_and_a_probability_are_understood(tmp_path: Path) -> None:
    put_named_competition(tmp_path)
    competition = read_competition(tmp_path)
    assert competition.root == tmp_path.resolve()
    assert competition.task is Task.BINARY
    assert competition.classes == ("cat", "dog")
    assert competition.targets.tolist() == [0, 0, 1, 1]
    assert competition.targets.dtype == np.int64
    assert competition.image_paths[0] == tmp_path.resolve() / "train" / "cat.0.jpg"
    assert competition.test_ids == ("2", "1")
    assert [path.name for path in competition.test_paths] == ["2.jpg", "1.jpg"]
    assert competition.submission.kind is SubmissionKind.PROBABILITY
    assert competition.submission.header == ("id", "label")
    assert (competition.metric.name, competition.metric_given) == ("roc_auc", False)
    assert competition.groups is None
    assert competition.evidence == (
        "labels: 4 images, from the file names (cat.0.jpg)",
        "test: 2 images in test1/, from the ids of sampleSubmission.csv",
        "task: binary, from one label for each image",
        "classes: 2, with so many images: cat 2, dog 2",
        "submission: probability of 'dog', from sampleSubmission.csv (0.5 in every row)",
        "metric: roc_auc, proposed for such a submission",
    )


@pytest.mark.parametrize(
    "name", ["train.csv", "trainLabels.csv", "train_labels.csv", "labels.csv", "train_v2.csv", "my_labels_1.csv"]
)
def test_labels_in_a_table_and_submitted_labels_are_understood(tmp_path: Path, name: str) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "train.csv").rename(tmp_path / name)
    competition = read_competition(tmp_path)
    assert competition.task is Task.MULTICLASS
    assert competition.classes == ("cat", "dog", "owl")
    assert competition.image_ids == ("t0", "t1", "t2", "t3")
    assert competition.targets.tolist() == [0, 1, 0, 2]
    assert competition.submission.kind is SubmissionKind.LABEL
    assert competition.metric.name == "accuracy"
    assert f"labels: 4 images, from column label of {name}" in competition.evidence


@pytest.mark.parametrize("above", ["train", "imgs/train", "train/train", "seg_pictures"])
def test_a_folder_for_each_class_is_understood(tmp_path: Path, above: str) -> None:
    put_images(tmp_path, [f"{above}/Sugar beet/1.png", f"{above}/Maize/1.png", f"{above}/Maize/more/2.png"])
    put_images(tmp_path, ["test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "file,species", "9.png,Maize")
    competition = read_competition(tmp_path)
    assert competition.classes == ("Maize", "Sugar beet")
    assert competition.targets.tolist() == [0, 0, 1]
    assert competition.image_ids[2] == f"{above}/Sugar beet/1.png"
    assert competition.evidence[0] == f"labels: 3 images, from the folder of each class ({above}/Maize/1.png)"


def test_a_column_for_each_class_in_training_table_and_sample_is_understood(tmp_path: Path) -> None:
    put_images(tmp_path, ["images/Train_0.jpg", "images/Train_1.jpg", "images/Test_0.jpg"])
    put_csv(tmp_path / "train.csv", "image_id,rust,healthy", "Train_0,0,1", "Train_1,1.0,0.0")
    put_csv(tmp_path / "sample_submission.csv", "image_id,rust,healthy", "Test_0,0.5,0.5")
    competition = read_competition(tmp_path)
    assert competition.classes == ("rust", "healthy")
    assert competition.targets.tolist() == [1, 0]
    assert competition.submission.kind is SubmissionKind.PROBABILITIES
    assert competition.metric.name == "log_loss"
    assert competition.submission.header == ("image_id", "rust", "healthy")


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
    assert competition.submission.kind is SubmissionKind.LABEL
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


def test_classes_that_are_integers_are_ordered_by_number_and_stay_text(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=("10", "9", "2", "10"), sample="2")
    assert read_competition(tmp_path).classes == ("2", "9", "10")


def test_labels_are_stripped_and_spellings_that_differ_in_case_are_told(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=(" cat", "cat ", "Cat", "None"), sample="None")
    competition = read_competition(tmp_path)
    assert competition.classes == ("Cat", "None", "cat")
    assert "classes: some differ only in upper and lower case: Cat, cat" in competition.evidence


@pytest.mark.parametrize("metric", [None, "accuracy", "f1_macro"])
def test_a_sample_of_zeros_for_labels_0_and_1_asks_for_labels_and_says_that_it_was_unclear(
    tmp_path: Path, metric: str | None
) -> None:
    put_table_competition(tmp_path, labels=("0", "1", "1"), sample="0")
    competition = read_competition(tmp_path, Asked(metric=metric))
    assert competition.submission.kind is SubmissionKind.LABEL
    assert "which would fit a probability as well" in competition.evidence[-2]


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_a_sample_of_zeros_asks_for_a_probability_where_the_metric_needs_one(tmp_path: Path, metric: str) -> None:
    put_table_competition(tmp_path, labels=("0", "1", "1"), sample="0")
    competition = read_competition(tmp_path, Asked(metric=metric))
    assert competition.submission.kind is SubmissionKind.PROBABILITY
    assert f"because of the metric {metric}" in competition.evidence[-2]


def test_the_metric_asked_for_is_taken_and_an_unknown_one_refused_before_anything_is_read(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    competition = read_competition(tmp_path, Asked(metric="f1_macro", flips=False))
    assert (competition.metric.name, competition.metric_given, competition.flips) == ("f1_macro", True, False)
    with pytest.raises(UsageError, match="there is no metric 'kappa'"):
        read_competition(tmp_path, Asked(metric="kappa"))


def test_a_competition_comes_back_equal_from_its_file(tmp_path: Path) -> None:
    put_table_competition(tmp_path / "leaf")
    competition = read_competition(tmp_path / "leaf")
    save_competition(competition, tmp_path / "competition.json")
    loaded = load_competition(tmp_path / "competition.json")
    assert loaded.fingerprint == competition.fingerprint
    assert (loaded.image_paths, loaded.submission) == (competition.image_paths, competition.submission)


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
    competition = read_competition(tmp_path, Asked(skip_missing=True))
    assert competition.image_ids == ("t0", "t1", "t3")
    assert "labels: 1 row of train.csv without an image left out: t2" in competition.evidence


def test_the_own_runs_in_the_folder_change_nothing(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    before = read_competition(tmp_path).fingerprint
    put_images(tmp_path, ["automl_runs/default/t0.png"])
    put_csv(tmp_path / "automl_runs" / "default" / "submission.csv", "id,label", "s0,cat")
    assert read_competition(tmp_path).fingerprint == before


def test_a_semicolon_table_of_labels_is_read(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id;label", "t0;cat", "t1;dog", "t2;cat", "t3;owl")
    assert read_competition(tmp_path).targets.tolist() == [0, 1, 0, 2]


Damage = Callable[[Path], Any]


def remove_images(root: Path) -> None:
    for number in range(4):
        (root / "train" / f"t{number}.png").unlink()


def rows(*lines: str, name: str = "train.csv", header: str = "id,label") -> Damage:
    return lambda root: put_csv(root / name, header, *lines)


def sample_rows(*lines: str, header: str = "id,label") -> Damage:
    return rows(*lines, name="sample_submission.csv", header=header)


FAULTS: dict[str, tuple[Damage, str, str]] = {
    "a training id without a file": (
        rows("t0,cat", "t1,dog", "0a1b.jpg,cat", "0a1c.jpg,cat", "0a1d.jpg,dog"),
        "train.csv names 3 images that are not in train/: 0a1b.jpg, 0a1c.jpg, 0a1d.jpg",
        "check the folder, or pass --skip-missing to leave those rows out",
    ),
    "one training id without a file": (
        lambda root: (root / "train" / "t2.png").unlink(),
        "train.csv names 1 image that is not in train/: t2",
        "--skip-missing",
    ),
    "an id that leaves the folder": (
        rows("t0,cat", "t1,dog", "../../etc/passwd,dog"),
        "train.csv names 1 image that is not in train/: ../../etc/passwd",
        "check the folder",
    ),
    "no training image at all": (remove_images, "train.csv has no column that names the training images", "add"),
    "an ambiguous training id": (
        lambda root: put_images(root, ["train/a/t0.png", "train/b/t0.png"]) or (root / "train" / "t0.png").unlink(),
        "train.csv has 1 id that may be several images: t0 (train/a/t0.png, train/b/t0.png)",
        "leave one image for each id",
    ),
    "two ids of one image": (
        rows("t0,cat", "t0.png,cat", "t1,dog"),
        "train.csv names the image train/t0.png by two ids: t0, t0.png",
        "leave one row",
    ),
    "conflicting labels": (
        rows("t0,cat", "t1,dog", "t0,dog"),
        "train.csv: id t0 has the labels cat, dog (lines 2 and 4)",
        "leave the right one",
    ),
    "a blank label": (rows("t0,cat", "t1, ", "t2,dog"), "train.csv has no label in 1 row: line 3", "add the labels"),
    "a blank id": (rows("t0,cat", " ,cat", "t2,dog"), "train.csv has no id in line 3", "add the id"),
    "one class": (rows("t0,cat", "t1,cat"), "all 2 training images have the label cat", "another class"),
    "measurements and a class in the sample": (
        rows("t0,1.5", "t1,2.25", "t2,3"),
        "sample_submission.csv holds cat in column label, but the training labels are numbers",
        "same competition",
    ),
    "an empty table": (lambda root: put_csv(root / "train.csv"), "train.csv is empty", "restore"),
    "an unclear label column": (
        rows("t0,1,2", "t1,3,4", header="id,age,weight"),
        "it is unclear which column of train.csv holds the label (age, weight)",
        "add a train.csv",
    ),
    "no label column": (rows("t0", "t1", header="id"), "which column of train.csv holds the label (none)", "add"),
    "no labels": (
        lambda root: (root / "train.csv").unlink(),
        "no CSV file is named like train.csv or labels.csv; there is no JSON file; no CSV file holds pixels; "
        "train/ has no folder for each class; the file names are not like cat.0.jpg",
        "add a train.csv with an id and a label column, a folder for each class, or names such as cat.0.jpg",
    ),
    "no sample": (
        lambda root: (root / "sample_submission.csv").unlink(),
        "holds no sample submission",
        "put the competition's sample submission there",
    ),
    "several samples": (
        lambda root: (
            (root / "sample_submission.csv").rename(root / "sample_submission_all.csv"),
            put_csv(root / "sample_submission_few.csv", "id,label", "s0,cat"),
        ),
        "holds 2 sample submissions: sample_submission_all.csv, sample_submission_few.csv",
        "--sample",
    ),
    "a sample of other images": (
        sample_rows("x1,cat", "x2,cat"),
        "none of the 2 ids in sample_submission.csv names an image in test/: x1, x2",
        "check that the test images are unpacked",
    ),
    "a test id without a file": (
        sample_rows("s0,cat", "s9,cat"),
        "sample_submission.csv names 1 image without a file in test/: s9",
        "unpack all test images",
    ),
    "a test id that is only in train": (sample_rows("s0,cat", "t0,cat"), "without a file in test/: t0", "unpack"),
    "an ambiguous test id": (
        lambda root: put_images(root, ["test/a/s0.png", "test/b/s0.png"]) or (root / "test" / "s0.png").unlink(),
        "1 id that may be several images: s0 (test/a/s0.png, test/b/s0.png)",
        "leave one image",
    ),
    "a repeated test id": (sample_rows("s0,cat", "s0,cat"), "names s0 in lines 2 and 3", "each id has one row"),
    "a blank test id": (sample_rows("s0,cat", ",cat"), "has a blank id in line 3", "restore"),
    "a sample of one column": (sample_rows("s0", header="id"), "has one column alone: id", "restore"),
    "a semicolon sample": (sample_rows("s0;cat", header="id;label"), "is separated by ';'", "with commas"),
    "a label that is not trained": (
        sample_rows("s0,cat", "s1,bat"),
        "sample_submission.csv holds bat in column label, but the training labels are cat, dog, owl",
        "same competition",
    ),
    "a number that is no probability": (sample_rows("s0,7", "s1,7"), "holds 7 in column label", "same competition"),
    "mostly class columns without images": (
        sample_rows("s0,0,0,0,1,0,0,0", header="id,cat,dog,owl,bat,fox,elk,ape"),
        "sample_submission.csv has 4 columns without a training image: bat, fox, elk",
        "same competition",
    ),
    "a trained class without a column": (
        sample_rows("s0,0,1", header="id,cat,dog"),
        "sample_submission.csv has no column for the training labels owl",
        "same competition",
    ),
    "a label that is no 0 or 1 among such": (
        lambda root: (
            put_csv(root / "train.csv", "id,cat,dog", "t0,1,0", "t1,x,1"),
            put_csv(root / "sample_submission.csv", "id,cat,dog", "s0,0,1"),
        ),
        "the label of t1 in column cat is x, neither 0 nor 1",
        "give 0 or 1",
    ),
    "a sample of masks": (
        sample_rows("s0,1 5", header="ImageId,EncodedPixels"),
        "sample_submission.csv asks for masks (column EncodedPixels), not for classes or values of images",
        "segmentation",
    ),
    "a sample of boxes": (
        sample_rows("s0,14 1 0 0 1 1", header="id,PredictionString"),
        "sample_submission.csv asks for boxes (column PredictionString)",
        "detection",
    ),
    "a sample of pairs": (
        sample_rows("s0,s0 s1", "s1,s1", header="posting_id,matches"),
        "sample_submission.csv asks which images match which: each row of column matches begins with its own id",
        "retrieval",
    ),
    "several columns of classes": (
        lambda root: (
            put_csv(root / "train.csv", "id,root,vowel", "t0,15,9", "t1,159,0"),
            put_csv(root / "sample_submission.csv", "id,root,vowel", "s0,0,0"),
        ),
        "there are 2 columns of labels, each with classes of its own: root 15, vowel 9",
        "--task regression",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_in_one_line_that_names_it_and_a_hint(tmp_path: Path, fault: str) -> None:
    damage, problem, hint = FAULTS[fault]
    put_table_competition(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError) as caught:
        read_competition(tmp_path)
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert caught.value.exit_code == 3
    assert "\n" not in caught.value.problem + caught.value.hint


@pytest.mark.parametrize("name", ["nowhere", "file.txt", "nul\0", "~nobody-of-that-name/x"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(DataError, match="there is no folder"):
        read_competition(Path(name) if name.startswith("~") else tmp_path / name)


def test_unlabelled_names_among_labelled_ones_are_refused(tmp_path: Path) -> None:
    put_named_competition(tmp_path)
    put_images(tmp_path, ["train/readme.png"])
    with pytest.raises(DataError, match=r"4 images have the label in their name, but 1 have not: train/readme\.png"):
        read_competition(tmp_path)


def test_file_names_with_one_and_the_same_word_are_no_labels(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/img_1.png", "train/img_2.png", "test/img_3.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "img_3,0.5")
    with pytest.raises(DataError, match="the file names have one class alone, 'img'"):
        read_competition(tmp_path)


def test_test_images_that_share_a_folder_with_labelled_names_are_no_training_images(tmp_path: Path) -> None:
    put_images(tmp_path, ["all/cat_1.png", "all/dog_1.png", "all/query_1.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "query_1,cat")
    assert read_competition(tmp_path).classes == ("cat", "dog")


def test_test_images_that_are_training_images_too_are_told(tmp_path: Path) -> None:
    put_images(tmp_path, ["images/1.png", "images/2.png", "images/3.png"])
    put_csv(tmp_path / "train.csv", "id,label", "1,cat", "2,dog")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "2,cat", "3,cat")
    assert "test: 1 test image also among the training images" in read_competition(tmp_path).evidence


OPENED: list[str] = []
WATCHING: list[bool] = []


def _note_opened(event: str, args: tuple[Any, ...]) -> None:
    if WATCHING and event == "open" and isinstance(args[0], str):
        OPENED.append(args[0])


def test_no_id_ever_opens_a_file_outside_the_folder(tmp_path: Path) -> None:
    put_images(tmp_path, ["outside/secret.png"])
    root = tmp_path / "root"
    put_table_competition(root)
    ids = [
        "../outside/secret.png",
        str(tmp_path / "outside" / "secret.png"),
        "train/../../outside/secret",
        "../../etc/passwd",
    ]
    put_csv(root / "train.csv", "id,label", "t0,cat", "t1,dog", "t2,owl", *(f"{image_id},cat" for image_id in ids))
    sys.addaudithook(_note_opened)
    WATCHING.append(True)
    try:
        competition = read_competition(root, Asked(skip_missing=True))
    finally:
        WATCHING.clear()
    assert competition.image_ids == ("t0", "t1", "t2")
    assert OPENED, "the reading was not watched"
    assert all(Path(name).is_relative_to(root) for name in OPENED)


def test_the_real_dogs_and_cats_are_understood(real_data: Path) -> None:
    competition = read_competition(real_data / "dogs-vs-cats")
    assert competition.classes == ("cat", "dog")
    assert np.bincount(competition.targets).tolist() == [450, 450]
    assert (len(competition.test_ids), competition.test_paths[0].name) == (300, "1.jpg")
    assert competition.submission.kind is SubmissionKind.PROBABILITY


def test_the_real_cifar_is_understood(real_data: Path) -> None:
    competition = read_competition(real_data / "cifar-10")
    assert competition.n_classes == 10
    assert np.bincount(competition.targets).tolist() == [500] * 10
    assert competition.image_paths[0].name == f"{competition.image_ids[0]}.jpg"
    assert competition.submission.kind is SubmissionKind.LABEL


def test_several_ones_in_a_row_are_several_labels_and_refused_where_one_class_is_asked(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,cat,dog", "t0,1,0", "t1,1,1")
    put_csv(tmp_path / "sample_submission.csv", "id,cat,dog", "s0,0,1")
    competition = read_competition(tmp_path)
    assert (competition.task, competition.metric.name) == (Task.MULTILABEL, "roc_auc")
    assert competition.targets.tolist() == [[1, 0], [1, 1]]
    assert competition.submission.kind is SubmissionKind.PROBABILITIES
    with pytest.raises(DataError, match="t1 has 2 of the 2 classes: cat, dog"):
        read_competition(tmp_path, Asked(task=Task.MULTICLASS))


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
    assert (competition.submission.kind, competition.submission.n_ranked) == (SubmissionKind.RANKING, 2)


def test_an_unclear_label_column_is_settled_by_the_user_or_refused_with_the_columns(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,one,two", "t0,cat,x", "t1,dog,y", "t2,owl,x")
    put_csv(tmp_path / "sample_submission.csv", "id,Wanted", "s0,", "s1,")
    with pytest.raises(DataError, match=r"which column of train\.csv holds the label \(one, two\); --label COLUMN"):
        read_competition(tmp_path)
    assert read_competition(tmp_path, Asked(label="two")).classes == ("x", "y")
    with pytest.raises(UsageError, match="--label three"):
        read_competition(tmp_path, Asked(label="three"))


def test_the_table_of_labels_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "cleaned.csv", "id,label", "t0,cat", "t1,owl")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,cat", "s1,owl")
    assert read_competition(tmp_path).image_ids == ("t0", "t1", "t2", "t3")
    assert read_competition(tmp_path, Asked(labels="cleaned.csv")).image_ids == ("t0", "t1")
    with pytest.raises(UsageError, match=r"--labels clean\.csv") as caught:
        read_competition(tmp_path, Asked(labels="clean.csv"))
    assert "cleaned.csv" in caught.value.hint


def test_a_label_column_that_is_asked_for_is_never_passed_over_for_folders(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a/1.png", "train/b/2.png", "test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,a")
    assert read_competition(tmp_path).classes == ("a", "b")
    with pytest.raises(DataError, match="--labels and --label ask for a table"):
        read_competition(tmp_path, Asked(label="kind"))


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


def test_of_several_samples_it_is_the_one_whose_ids_name_images_and_of_the_highest_stage(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "sample_submission.csv").unlink()
    put_csv(tmp_path / "sample_submission_stg1.csv", "id,label", "s0,cat")
    put_csv(tmp_path / "stage_2_sample_submission.csv", "id,label", "s0,cat", "s1,cat")
    put_csv(tmp_path / "sample_submission_v3.csv", "id,label", "s0,cat", "x1,cat")
    competition = read_competition(tmp_path)
    assert competition.test_ids == ("s0", "s1")
    assert any(line.startswith("sample: stage_2_sample_submission.csv of") for line in competition.evidence)
    assert read_competition(tmp_path, Asked(sample="sample_submission_stg1")).test_ids == ("s0",)
    with pytest.raises(UsageError, match="--sample nothing: there is no such table"):
        read_competition(tmp_path, Asked(sample="nothing"))


@pytest.mark.parametrize("name", ["submission.csv", "submit.csv", "to_be_filled_in.csv"])
def test_a_table_whose_ids_name_the_test_images_is_the_sample_where_none_is_called_so(
    tmp_path: Path, name: str
) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "sample_submission.csv").rename(tmp_path / name)
    put_csv(tmp_path / "test.csv", "id,age", "s0,4", "s1,5")
    competition = read_competition(tmp_path)
    assert competition.test_ids == ("s0", "s1")
    assert f"sample: {name}, whose column id names the test images" in competition.evidence


def test_rows_for_parts_of_an_image_become_classes_and_ids_with_a_suffix_stay_images(tmp_path: Path) -> None:
    eyes = [f"{number}_{side}" for number in (10, 11) for side in ("left", "right")]
    put_images(tmp_path, ["train/1.png", "train/2.png", "test/10.png", "test/11.png"])
    put_images(tmp_path, [f"test/{eye}.png" for eye in eyes])
    put_csv(tmp_path / "train.csv", "id,any,epidural", "1,1,1", "2,0,0")
    put_csv(tmp_path / "sample_submission.csv", "id,level", *(f"{eye},0" for eye in eyes))
    put_csv(tmp_path / "labels.csv", "id,level", "1,0", "2,1")
    assert read_competition(tmp_path, Asked(labels="labels.csv")).test_ids == tuple(eyes)
    put_csv(tmp_path / "sample_submission.csv", "id,level", "11_epidural,0.5", "11_any,0.5")
    competition = read_competition(tmp_path)
    assert competition.test_ids == ("11",)
    assert competition.classes == ("epidural", "any")
    assert competition.submission.ids == ("11_epidural", "11_any")
    assert competition.submission.cells == ((0, 0), (0, 1))
    assert competition.submission.kind is SubmissionKind.PROBABILITIES
    assert competition.targets.tolist() == [[1, 1], [0, 0]]


def test_a_missing_test_image_is_refused_or_gets_a_row_that_is_never_opened(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,cat", "../x,cat", "s1,cat")
    competition = read_competition(tmp_path, Asked(skip_missing=True))
    assert competition.unreadable_test == (1,)
    assert not competition.test_paths[1].exists()
    assert competition.test_paths[1].resolve().is_relative_to(competition.root)


def test_a_folder_is_known_by_its_name_and_the_users_word_goes_before(tmp_path: Path) -> None:
    root = tmp_path / "State-Farm-Distracted-Driver-Detection" / "data"
    put_images(root, [f"imgs/train/c{number % 2}/img_{number}.jpg" for number in range(12)] + ["imgs/test/img_99.jpg"])
    rows = [f"p{number // 4},c{number % 2},img_{number}.jpg" for number in range(12)]
    put_csv(root / "driver_imgs_list.csv", "subject,classname,img", *rows)
    put_csv(root / "sample_submission.csv", "img,c0,c1", "img_99.jpg,0.5,0.5")
    known = read_competition(root)
    assert (known.metric.name, known.metric_given, known.flips, known.grouped_by) == (
        "log_loss",
        True,
        False,
        "subject",
    )
    assert "competition: state-farm-distracted-driver-detection, from the folder's name" in known.evidence
    assert "flips: off, known of state-farm-distracted-driver-detection" in known.evidence
    told = read_competition(root, Asked(metric="roc_auc", flips=True, group="none"))
    assert (told.metric.name, told.flips, told.groups) == ("roc_auc", True, None)
    assert "metric: roc_auc, as asked" in told.evidence


def test_a_competition_that_is_asked_for_is_known_or_refused_with_those_close_to_it(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=("0", "1", "2", "1"), sample="0")
    competition = read_competition(tmp_path, Asked(competition="aptos2019-blindness-detection"))
    assert (competition.task, competition.metric.name) == (Task.ORDINAL, "qwk")
    with pytest.raises(UsageError, match="aptos2019-blindness-detection"):
        read_competition(tmp_path, Asked(competition="aptos-blindness-detection"))


def test_a_folder_without_any_image_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.dcm").write_bytes(b"x")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "1,0")
    with pytest.raises(DataError, match=r"holds no images that can be read, but 1 \.dcm"):
        read_competition(tmp_path)
