"""Whether a file is an image, and of which part, is told from its path alone."""

from __future__ import annotations

import pytest

from automl.files.image_names import (
    find_role,
    get_folder,
    get_split,
    get_split_folder,
    has_own_word,
    is_image_name,
    is_junk,
    is_test_name,
    split_words,
    strip_archive,
    strip_suffix,
)


def test_only_an_image_extension_is_cut_off() -> None:
    assert [strip_suffix(name) for name in ("a.b.JPG", "1.2.3", "jpg", "a.txt")] == ["a.b", "1.2.3", "jpg", "a.txt"]


def test_the_folder_of_a_part_may_lie_in_others_or_be_an_archive() -> None:
    names = ["imgs/train/c0/a.png", "train.zip/train/a.png", "a.zip/test_stg1/a.png", "valid/a.png", "train.png"]
    assert [get_split_folder(name) for name in names] == ["imgs/train/", "train.zip/", "a.zip/test_stg1/", "", ""]


def test_a_word_in_the_name_of_a_folder_at_the_top_parts_training_and_test() -> None:
    names = ["seg_train/x/1.jpg", "a.zip/cars_test/1.jpg", "ISIC_Training_Input/1.jpg", "ImagesTest/1.jpg"]
    assert [get_split(name) for name in names] == ["train", "test", "train", "test"]
    others = ["latest/1.jpg", "contest/1.jpg", "classes/toy_train/1.jpg", "1_train.jpg"]
    assert {get_split(name) for name in others} == {"other"}


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("train", ["train", "TRAIN", "trainset", "train_images", "seg_train", "Training Set", "train2017", "trainA"]),
        ("test", ["test1", "testing", "tests", "test_images_v2", "TestSet", "cars_test", "ImagesTest"]),
        ("validation", ["val", "Valid", "validation_set", "dev", "holdout", "eval-images"]),
        ("unlabelled", ["unlabeled", "Unlabelled images", "seg_pred", "predict", "inference", "submission"]),
        (
            None,
            ["testis", "testudo", "trainer", "trainers", "tester", "latest", "contest", "train_test_split", "value"],
        ),
    ],
)
def test_a_whole_word_tells_what_a_folder_is_for(role: str | None, names: list[str]) -> None:
    assert {find_role(name) for name in names} == {role}


def test_below_the_top_the_first_word_counts() -> None:
    assert find_role("toy_train", first_word=True) is None
    assert find_role("train toys", first_word=True) == "train"


def test_a_name_is_split_at_signs_digits_and_capitals() -> None:
    assert split_words("ISIC_2019_TrainingInput-v2") == ["isic", "training", "input", "v"]
    assert split_words("Caf\u00e9 12") == ["caf\u00e9"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("training_fake", True),
        ("test tube", True),
        ("test_images_v2", False),
        ("train_val", False),
        ("cars_train", False),
    ],
)
def test_a_word_beside_that_of_the_part_may_name_a_class(name: str, expected: bool) -> None:
    assert has_own_word(name) is expected


def test_an_image_is_known_by_its_extension_in_any_case() -> None:
    assert [is_image_name(name) for name in ("a/1.JPG", "1.tiff", "1.svs", "jpg", "1.jpg.txt")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_hidden_names_litter_and_our_own_runs_are_junk() -> None:
    assert all(map(is_junk, (".DS_Store", "__MACOSX", "thumbs.db", "Desktop.ini", "automl_runs", "@eaDir", "Icon\r")))
    assert all(map(is_junk, ("$RECYCLE.BIN", "lost+found", "found.001", "a.jpg:Zone.Identifier", "~$train.xlsx")))
    assert not any(map(is_junk, ("train", "automl_runs.csv", "thumbs", "lost", "found", "recycle", "~a.png", "icon")))


def test_the_folder_of_a_file_ends_in_its_slash() -> None:
    assert [get_folder(name) for name in ("train/cat/1.png", "a.zip/1.png", "1.png")] == ["train/cat/", "a.zip/", ""]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("test.csv", True), ("sales_test2.csv", True), ("myTest.csv", True), ("latest.csv", False), ("train.csv", False)],
)
def test_a_table_of_the_test_has_that_word_in_its_name(name: str, expected: bool) -> None:
    assert is_test_name(name) is expected


def test_a_member_is_named_by_its_path_inside_its_archive() -> None:
    names = ("data/Train.ZIP/train/1.png", "train/1.png", "train.zip", "a.zip/b.zip/1.png")
    assert [strip_archive(name) for name in names] == ["train/1.png", "train/1.png", "train.zip", "b.zip/1.png"]
