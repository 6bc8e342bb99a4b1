"""What label readers are given: the images to train on, and the labels that the sample submission holds."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from automl.readers.labels.source import LayoutMismatchError, normalize_name
from tests.automl_tests.readers_tests.sources import source_of
from tests.automl_tests.small_competitions import put_csv, put_images

NFD = unicodedata.normalize("NFD", "caf\u00e9")


def test_two_unicode_forms_are_one_name() -> None:
    assert normalize_name(NFD) == normalize_name("caf\u00e9") == "caf\u00e9"
    assert normalize_name("cat") == "cat"


def test_the_labels_of_the_sample_are_its_values_the_words_in_them_and_several_columns(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png", "test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", f"9,red {NFD}")
    source = source_of(tmp_path)
    assert source.sample_labels == {"red": "red", "caf\u00e9": NFD, "red caf\u00e9": f"red {NFD}"}
    assert source.has_word_labels
    put_csv(tmp_path / "sample_submission.csv", "id,cat,dog", "9,0.5,1")
    assert source_of(tmp_path).sample_labels.keys() == {"cat", "dog", "0.5"}


def test_a_number_may_stand_for_all_labels(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png", "test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,0")
    assert not source_of(tmp_path).has_word_labels


def test_test_images_are_never_trained_on(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png", "train/b.png", "test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,0")
    assert source_of(tmp_path).training_images == ("train/a.png", "train/b.png")


def test_who_asks_for_a_table_gets_no_labels_from_names(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.png", "test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,0")
    with pytest.raises(LayoutMismatchError, match="ask for a table"):
        source_of(tmp_path, label="kind").require_no_table("folders")
    with pytest.raises(LayoutMismatchError):
        source_of(tmp_path, labels="names").require_no_table("folders")
    source_of(tmp_path, labels="folders").require_no_table("folders")
    source_of(tmp_path).require_no_table("folders")
