"""Labels are read from the words in file names, wherever these stand, and never from a word by chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.readers.labels.name_labels import read_file_name_labels
from automl.readers.labels.source import LabelOrigin, Labels, LayoutMismatchError
from automl.readers.read import read_competition
from tests.automl_tests.readers_tests.folders import put_named_competition
from tests.automl_tests.readers_tests.sources import source_of
from tests.automl_tests.small_competitions import put_csv, put_empty, put_images


def labels_of(root: Path, *names: str, value: str = "") -> Labels:
    put_empty(root, [*(f"train/{name}" for name in names), "test/9.png"])
    put_csv(root / "sample_submission.csv", "id,label", f"9,{value}")
    return read_file_name_labels(source_of(root))


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("{}.{:03}.jpg", ("cat", "dog")),
        ("{}_{}.jpg", ("american_bulldog", "pug")),
        ("{}-{}.jpg", ("great-pyrenees", "pug")),
        ("{} ({}).jpg", ("Golden Retriever", "Poodle")),
        ("{}{}.jpg", ("cat", "dog")),
        ("{}_{:05}_flip.jpg", ("cat", "dog")),
        ("{1:04}_{0}.jpg", ("cat", "american_bulldog")),
        ("{1}.{0}.jpg", ("cat", "dog")),
        ("img-{1}-{0}.jpg", ("cat", "dog")),
        ("img_{0}_{1}.jpg", ("cat", "dog")),
        ("a{1}-{0}.jpg", ("cat", "dog")),
        ("{}_{} copy.jpg", ("bird's nest", "caf\u00e9")),
    ],
)
def test_the_words_before_or_behind_a_number_are_the_label(
    tmp_path: Path, pattern: str, labels: tuple[str, str]
) -> None:
    read = labels_of(tmp_path, *(pattern.format(label, number) for label in labels for number in range(6)))
    assert set(read.texts) == set(labels)
    assert all(label in image for image, label in zip(read.images, read.texts, strict=True))
    assert read.origin is LabelOrigin.NAMES


@pytest.mark.parametrize(
    "pattern",
    ["a{0:02x}f{0}.png", "{0:06x}.png", "{0}_{0}_{0}.png", "IMG_{0}.png", "{0}.png", "b{0}-{0:04x}-d{0}.png"],
)
def test_names_without_words_or_with_one_alone_have_no_labels(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(LayoutMismatchError):
        labels_of(tmp_path, *(pattern.format(37 * number + 11) for number in range(20)))


def test_names_of_cameras_views_and_parts_are_no_labels(tmp_path: Path) -> None:
    for pair in ("IMG_{} DSC_{}", "{}_left {}_right", "camera_{} person_{}"):
        root = tmp_path / pair[:8].strip("{} ")
        with pytest.raises(LayoutMismatchError):
            labels_of(root, *(f"{part.format(number)}.png" for part in pair.split()[:2] for number in range(6)))


def test_several_numbers_in_a_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(LayoutMismatchError, match=r"several numbers each \(26_0_0_2017"):
        labels_of(tmp_path, *(f"26_{n % 2}_{n}_201701041{n}.jpg.chip.jpg" for n in range(6)))


PLACES = [f"{('cat', 'dog')[n % 2]}_{n}_{('indoor', 'outdoor')[n // 2 % 2]}.png" for n in range(12)]


def test_of_words_in_two_places_the_sample_decides(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"may stand before the number \(cat, dog\) or between") as caught:
        labels_of(tmp_path, *PLACES)
    assert "write a train.csv" in caught.value.hint
    assert set(labels_of(tmp_path, *PLACES, value="outdoor").texts) == {"indoor", "outdoor"}
    assert set(labels_of(tmp_path, *PLACES, value="dog").texts) == {"cat", "dog"}


def test_a_label_with_a_number_in_it_is_read_where_the_sample_holds_it(tmp_path: Path) -> None:
    names = [f"n0144353{n % 2}_{n}.png" for n in range(8)]
    with pytest.raises(LayoutMismatchError):
        labels_of(tmp_path, *names)
    assert set(labels_of(tmp_path, *names, value="n01443531").texts) == {"n01443530", "n01443531"}


def test_a_name_of_the_label_alone_has_that_label(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "Red Fox.png", "Red Fox (2).png", "Owl.png", "Owl (2).png", "Owl (3).png")
    assert sorted(labels.texts) == ["Owl", "Owl", "Owl", "Red Fox", "Red Fox"]


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
