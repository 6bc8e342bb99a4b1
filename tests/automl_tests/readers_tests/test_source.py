"""Labels are read from folders and file names, where these have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from tests.automl_tests.readers_tests.folders import put_named_competition
from tests.automl_tests.small_competitions import put_csv, put_images


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


def test_a_label_column_that_is_asked_for_is_never_passed_over_for_folders(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a/1.png", "train/b/2.png", "test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,a")
    assert read_competition(tmp_path).classes == ("a", "b")
    with pytest.raises(DataError, match="--labels and --label ask for a table"):
        read_competition(tmp_path, CompetitionSettings(label="kind"))
