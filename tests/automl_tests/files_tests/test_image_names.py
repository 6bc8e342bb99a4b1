"""Tests of image_names."""

from __future__ import annotations

from automl.files.image_names import get_split, get_split_folder, strip_suffix


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
