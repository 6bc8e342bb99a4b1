"""A competition's folder is understood, or refused in one line that names what is at fault."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.data.competition import SubmissionKind, load_competition, save_competition
from automl.errors import DataError, UsageError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.tasks import Task
from tests.automl_tests.readers_tests.folders import FolderFault, put_named_competition, require_folder_refusal
from tests.automl_tests.readers_tests.sources import noise, put_pixels
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


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
    assert competition.submission.submission_kind is SubmissionKind.PROBABILITY
    assert competition.submission.header == ("id", "label")
    assert (competition.metric.name, competition.metric_given) == ("roc_auc", False)
    assert competition.groups is None
    assert competition.evidence == (
        "labels: 4 images, from the file names (cat.0.jpg)",
        "test: 2 images in test1/, from the ids of sampleSubmission.csv",
        "task: binary, from one label for each image",
        "classes: 2, with so many images: cat 2, dog 2",
        "submission: probability of 'dog', from sampleSubmission.csv (0.5 in every row)",
        "warning: nothing says which class 1 stands for: dog is taken, the later in order, and 0 for cat",
        "suggestion: --negative dog (takes 1 for cat, and 0 for dog)",
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
    assert competition.submission.submission_kind is SubmissionKind.LABEL
    assert competition.metric.name == "accuracy"
    assert f"labels: 4 images, from column label of {name}" in competition.evidence


def test_a_column_for_each_class_in_training_table_and_sample_is_understood(tmp_path: Path) -> None:
    put_images(tmp_path, ["images/Train_0.jpg", "images/Train_1.jpg", "images/Test_0.jpg"])
    put_csv(tmp_path / "train.csv", "image_id,rust,healthy", "Train_0,0,1", "Train_1,1.0,0.0")
    put_csv(tmp_path / "sample_submission.csv", "image_id,rust,healthy", "Test_0,0.5,0.5")
    competition = read_competition(tmp_path)
    assert competition.classes == ("rust", "healthy")
    assert competition.targets.tolist() == [1, 0]
    assert competition.submission.submission_kind is SubmissionKind.PROBABILITIES
    assert competition.metric.name == "log_loss"
    assert competition.submission.header == ("image_id", "rust", "healthy")


def test_classes_that_are_integers_are_ordered_by_number_and_stay_text(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=("10", "9", "2", "10"), sample="2")
    assert read_competition(tmp_path).classes == ("2", "9", "10")


def test_labels_are_stripped_and_spellings_that_differ_in_case_are_told(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=(" cat", "cat ", "Cat", "None"), sample="None")
    competition = read_competition(tmp_path)
    assert competition.classes == ("Cat", "None", "cat")
    assert "classes: some differ only in upper and lower case: Cat, cat" in competition.evidence


def test_the_metric_asked_for_is_taken_and_an_unknown_one_refused_before_anything_is_read(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    competition = read_competition(tmp_path, CompetitionSettings(metric="f1_macro", flips=False))
    assert (competition.metric.name, competition.metric_given, competition.flips) == ("f1_macro", True, False)
    with pytest.raises(UsageError, match="there is no metric 'kappa'"):
        read_competition(tmp_path, CompetitionSettings(metric="kappa"))


def test_a_competition_comes_back_equal_from_its_file(tmp_path: Path) -> None:
    put_table_competition(tmp_path / "leaf")
    competition = read_competition(tmp_path / "leaf")
    save_competition(competition, tmp_path / "competition.json")
    loaded = load_competition(tmp_path / "competition.json")
    assert loaded.fingerprint == competition.fingerprint
    assert (loaded.image_paths, loaded.submission) == (competition.image_paths, competition.submission)


def test_the_own_runs_in_the_folder_change_nothing(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    before = read_competition(tmp_path).fingerprint
    put_images(tmp_path, ["automl_runs/default/t0.png"])
    put_csv(tmp_path / "automl_runs" / "default" / "submission.csv", "id,label", "s0,cat")
    assert read_competition(tmp_path).fingerprint == before


FAULTS: dict[str, FolderFault] = {
    "an empty table": (lambda root: put_csv(root / "train.csv"), "train.csv is empty", "restore"),
    "no labels": (
        lambda root: (root / "train.csv").unlink(),
        "no table is named like train.csv or labels.csv; there is no JSON file; "
        "no file holds pixels with labels beside them; train/ has no folder for each class; "
        "the file names are not like cat.0.jpg",
        "add a train.csv with an id and a label column, a folder for each class, or names such as cat.0.jpg",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_in_one_line_that_names_it_and_a_hint(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FAULTS[fault])


@pytest.mark.parametrize("name", ["nowhere", "file.txt", "nul\0", "~nobody-of-that-name/x"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(DataError, match="there is no folder"):
        read_competition(Path(name) if name.startswith("~") else tmp_path / name)


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
        competition = read_competition(root, CompetitionSettings(skip_missing=True))
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
    assert competition.submission.submission_kind is SubmissionKind.PROBABILITY


def test_the_real_cifar_is_understood(real_data: Path) -> None:
    competition = read_competition(real_data / "cifar-10")
    assert competition.n_classes == 10
    assert np.bincount(competition.targets).tolist() == [500] * 10
    assert competition.image_paths[0].name == f"{competition.image_ids[0]}.jpg"
    assert competition.submission.submission_kind is SubmissionKind.LABEL


def test_several_ones_in_a_row_are_several_labels_and_refused_where_one_class_is_asked(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "train.csv", "id,cat,dog", "t0,1,0", "t1,1,1")
    put_csv(tmp_path / "sample_submission.csv", "id,cat,dog", "s0,0,1")
    competition = read_competition(tmp_path)
    assert (competition.task, competition.metric.name) == (Task.MULTILABEL, "roc_auc")
    assert competition.targets.tolist() == [[1, 0], [1, 1]]
    assert competition.submission.submission_kind is SubmissionKind.PROBABILITIES
    with pytest.raises(DataError, match="t1 has 2 of the 2 classes: cat, dog"):
        read_competition(tmp_path, CompetitionSettings(task=Task.MULTICLASS))


def put_class_folders(root: Path) -> None:
    put_images(root, [f"train/{label}/{label}_{number}.png" for label in ("cat", "dog") for number in range(3)])
    put_images(root, ["test/s0.png", "test/s1.png"])
    put_csv(root / "sample_submission.csv", "id,label", "s0,cat", "s1,cat")


def test_folders_or_file_names_are_the_labels_where_the_user_says_so(tmp_path: Path) -> None:
    put_class_folders(tmp_path)
    put_csv(tmp_path / "train.csv", "id,age,sex", *(f"cat_{row},{row},m" for row in range(3)))
    with pytest.raises(DataError, match=r"which column of train.csv holds the label \(age, sex\)"):
        read_competition(tmp_path)
    by_folder = read_competition(tmp_path, CompetitionSettings(labels="folders"))
    assert by_folder.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert by_folder.labels_from.startswith("the folder")
    by_name = read_competition(tmp_path, CompetitionSettings(labels="names"))
    assert by_name.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert by_name.labels_from != by_folder.labels_from
    with pytest.raises(UsageError, match="--label age: there are no columns in folders"):
        read_competition(tmp_path, CompetitionSettings(labels="folders", label="age"))


@pytest.mark.parametrize("name", ["train.xls", "labels.ods"])
def test_folders_do_not_take_the_place_of_a_table_of_labels_that_is_not_read(tmp_path: Path, name: str) -> None:
    put_class_folders(tmp_path)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=rf"{name} may hold the labels, but is not read: it is a workbook") as caught:
        read_competition(tmp_path)
    assert caught.value.seen == (f"{name} is not read: {str(caught.value).partition(': ')[2]}",)
    (tmp_path / name).rename(tmp_path / f"prices{Path(name).suffix}")
    warning = f"warning: tables not read as labels: prices{Path(name).suffix} (it is a workbook"
    assert any(line.startswith(warning) for line in read_competition(tmp_path).evidence)


def test_what_is_asked_for_by_labels_is_read_or_refused(tmp_path: Path) -> None:
    put_class_folders(tmp_path)
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "old.json").write_text('{"cat_0": "x", "cat_1": "y", "dog_1": "x"}')
    with pytest.raises(DataError, match=r"--labels notes.md cannot be read as labels: .*notes.md is no table"):
        read_competition(tmp_path, CompetitionSettings(labels="notes.md"))
    with pytest.raises(UsageError, match=r"--labels train.csv: there is no such table"):
        read_competition(tmp_path, CompetitionSettings(labels="train.csv"))
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,x", "s1,x")
    assert read_competition(tmp_path, CompetitionSettings(labels="old.json")).targets.tolist() == [0, 1, 0]


def test_rows_of_pixels_are_no_training_images_where_the_test_images_are_files(tmp_path: Path) -> None:
    put_class_folders(tmp_path)
    put_pixels(tmp_path / "train_pixels.csv", noise(6, 64), {"label": [7] * 3 + [8] * 3})
    competition = read_competition(tmp_path)
    assert competition.classes == ("cat", "dog")
    warning = "warning: tables not read as labels: train_pixels.csv (it holds pixels, and the test images are files)"
    assert warning in competition.evidence
    (tmp_path / "sample_submission.csv").unlink()
    for number in range(2):
        (tmp_path / "test" / f"s{number}.png").unlink()
    with pytest.raises(DataError, match=r"the labels may be those of train_pixels.csv, or the folders of the images"):
        read_competition(tmp_path)


def test_documents_of_labels_beside_a_table_are_told(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    (tmp_path / "old_labels.json").write_text('{"t0": "cat", "t1": "cat", "t2": "cat", "t3": "dog"}')
    (tmp_path / "label_map.json").write_text('{"cat": "Felis", "dog": "Canis", "owl": "Strix"}')
    (tmp_path / "labels_damaged.json").write_text("{")
    evidence = read_competition(tmp_path).evidence
    line = "warning: labels: old_labels.json left out, it gives 2 images another label; --labels old_labels.json takes"
    assert any(told.startswith(line) for told in evidence)
    assert "labels: label_map.json has names for them, such as Felis for cat; they stay as they are" in evidence


def test_a_folder_without_any_image_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.nii").write_bytes(b"x")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "1,0")
    with pytest.raises(DataError, match=r"holds no images that can be read, but 1 \.nii"):
        read_competition(tmp_path)
