"""Labels are read from folders, where their names may be those of classes; what lies elsewhere is told or refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from automl.errors import DataError, UsageError
from automl.readers.labels.folder_labels import describe_alike, read_folder_labels
from automl.readers.labels.source import LabelOrigin, Labels, LayoutMismatchError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from tests.automl_tests.readers_tests.sources import source_of
from tests.automl_tests.small_competitions import put_csv, put_empty, put_images

NFD = unicodedata.normalize("NFD", "caf\u00e9")


def labels_of(root: Path, images: Iterable[str], value: str = "", **asked: object) -> Labels:
    put_empty(root, [*images, "test/9.png"])
    put_csv(root / "sample_submission.csv", "id,label", f"9,{value}")
    return read_folder_labels(source_of(root, **asked))


def in_classes(*classes: str, above: str = "train/", n_images: int = 4) -> list[str]:
    return [f"{above}{label}/{label[-3:]}{number}x.png" for label in classes for number in range(n_images)]


@pytest.mark.parametrize("above", ["train", "imgs/train", "train/train", "seg_pictures"])
def test_a_folder_for_each_class_is_understood(tmp_path: Path, above: str) -> None:
    put_images(tmp_path, [f"{above}/Sugar beet/1.png", f"{above}/Maize/1.png", f"{above}/Maize/more/2.png"])
    put_images(tmp_path, ["test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "file,species", "9.png,Maize")
    competition = read_competition(tmp_path)
    assert competition.classes == ("Maize", "Sugar beet")
    assert competition.targets.tolist() == [0, 0, 1]
    assert competition.image_ids[2] == f"{above}/Sugar beet/1.png"
    assert competition.evidence[:2] == (
        f"labels: 3 images, from the folder of each class ({above}/Maize/1.png)",
        f"labels: 1 image deeper in a class folder taken for that class: {above}/Maize/more/2.png",
    )


def test_the_origin_of_the_labels_is_the_folders(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, in_classes("cat", "dog"))
    assert (labels.origin, labels.place) == (LabelOrigin.FOLDERS, "the folder of each image")
    assert set(labels.texts) == {"cat", "dog"}


def test_images_without_folders_for_classes_are_another_layout(tmp_path: Path) -> None:
    with pytest.raises(LayoutMismatchError, match="train/ has no folder for each class"):
        labels_of(tmp_path, ["train/1.png", "train/2.png"])


def test_a_few_images_beside_the_classes_are_left_out_and_many_are_refused(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, [*in_classes("cat", "dog"), "train/overview.png"])
    assert "train/overview.png" not in labels.images
    assert "warning: labels: 1 image beside the class folders left out: train/overview.png" in labels.evidence
    with pytest.raises(DataError, match=r"4 of 12 images lie in no class folder: train/0\.png") as caught:
        labels_of(tmp_path, [f"train/{number}.png" for number in range(3)])
    assert "--labels names" in caught.value.hint
    with pytest.raises(LayoutMismatchError, match="14 of 22 images lie in no class folder"):
        labels_of(tmp_path, [f"train/more{number}.png" for number in range(10)])


def test_a_stray_image_does_not_hide_that_folders_are_doubled(tmp_path: Path) -> None:
    assert set(labels_of(tmp_path, [*in_classes("cat", "dog", above="train/train/"), "train/x.png"]).texts) == {
        "cat",
        "dog",
    }


PATIENTS = [f"{8863 + 13 * p}/{c}/{p}{c}{n}.png" for p in range(6) for c in "01" for n in "ab"]


def test_of_two_levels_the_one_is_taken_whose_names_may_be_classes_and_the_other_groups(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, PATIENTS, "0")
    assert set(labels.texts) == {"0", "1"}
    assert labels.others["folder"][0] == "8863"
    assert (
        "suggestion: --class-level 1 (takes level 1 (8863, 8876, 8889 and 3 more) for the classes)" in labels.evidence
    )


LEAVES = [
    f"train/{path}/{path[-1]}{number}.png" for path in ("animal/cat", "animal/dog", "plant/oak") for number in "123"
]


def test_of_two_likely_levels_the_sample_or_the_user_decides(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"level 1 \(animal, plant\); level 2 \(cat, dog, oak\)") as caught:
        labels_of(tmp_path, LEAVES)
    assert caught.value.hint == "say which one it is by --class-level 1 or --class-level 2"
    assert set(labels_of(tmp_path, LEAVES, "oak").texts) == {"cat", "dog", "oak"}
    assert set(labels_of(tmp_path, LEAVES, "plant").texts) == {"animal", "plant"}
    assert set(labels_of(tmp_path, LEAVES, class_level=2).texts) == {"cat", "dog", "oak"}
    with pytest.raises(UsageError, match="--class-level 3: the images have 2 levels of folders in common"):
        labels_of(tmp_path, LEAVES, class_level=3)


def test_a_number_in_the_sample_decides_between_no_likely_levels(tmp_path: Path) -> None:
    images = [f"train/{session}/{label}/{session}{label}.png" for session in "012" for label in ("cat", "dog")]
    with pytest.raises(DataError, match="2 levels of folders"):
        labels_of(tmp_path, images, "0")


def test_folders_of_one_set_are_classes_only_where_the_sample_or_the_user_says_so(tmp_path: Path) -> None:
    images = in_classes("part0", "part1", "part2")
    with pytest.raises(LayoutMismatchError, match=r"numbered as the parts of one set are \(--class-level 1 takes them"):
        labels_of(tmp_path, images)
    for asked in ({"class_level": 1}, {"labels": "folders"}):
        assert len(set(labels_of(tmp_path, images, **asked).texts)) == 3
    assert len(set(labels_of(tmp_path, images, "part2").texts)) == 3


def test_a_folder_that_holds_the_folders_of_classes_is_no_class_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder more lies beside those of the classes and holds such folders"):
        labels_of(tmp_path, [*in_classes("cat", "dog", above=""), *in_classes("cat", "dog", above="more/")])


def test_the_class_may_lie_above_the_training_folder(tmp_path: Path) -> None:
    images = [
        f"{label}/{part}/{label}{part}{n}.png" for label in ("cat", "dog") for part in ("train", "val") for n in "12"
    ]
    labels = labels_of(tmp_path, images)
    assert labels.texts == ("cat", "cat", "dog", "dog")


def test_folders_called_training_fake_and_training_real_are_the_classes(tmp_path: Path) -> None:
    assert set(labels_of(tmp_path, in_classes("training_fake", "training_real", above="faces/")).texts) == {
        "training_fake",
        "training_real",
    }


def test_a_class_in_two_unicode_forms_is_one_and_written_as_the_sample_does(tmp_path: Path) -> None:
    images = [*in_classes(NFD, "tea"), *in_classes("caf\u00e9")]
    labels = labels_of(tmp_path, images)
    assert set(labels.texts) == {"caf\u00e9", "tea"}
    assert "warning: labels: folders of one name in two Unicode forms are one class: caf\u00e9" in labels.evidence
    assert set(labels_of(tmp_path, images, NFD).texts) == {NFD, "tea"}


def test_classes_that_differ_by_case_or_blanks_stay_two_and_are_told() -> None:
    (line,) = describe_alike(["Cat", "cat", "red fox", "red_fox", "dog"])[:1]
    assert line.startswith("warning: labels: classes that differ by case or blanks alone: 'Cat', 'cat'")
    assert len(describe_alike(["Cat", "cat", "red fox", "red_fox", "dog"])) == 2
    assert describe_alike(["cat", "dog"]) == []


def test_empty_folders_and_those_of_parts_are_told(tmp_path: Path) -> None:
    (tmp_path / "train" / "lynx").mkdir(parents=True)
    labels = labels_of(tmp_path, [*in_classes("cat", "dog"), *in_classes("cat", above="val/")])
    assert "warning: labels: folders without a file are no classes: train/lynx" in labels.evidence
    assert "suggestion: --add val/ (trains on these 4 validation images too)" in labels.evidence
    assert "suggestion: --fixed-fold val/ (makes them the fold that trials validate on)" in labels.evidence


def test_unlabelled_images_beside_the_classes_are_told(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, [*in_classes("cat", "dog", above=""), "unlabeled/1.png"])
    assert "images: 1 image of unlabeled/ are no class and left out" in labels.evidence


def test_a_label_column_that_is_asked_for_is_never_passed_over_for_folders(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a/1.png", "train/b/2.png", "test/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,a")
    with pytest.raises(UsageError, match="--label kind"):
        read_competition(tmp_path, CompetitionSettings(label="kind"))


def test_a_test_folder_that_nobody_asks_for_may_be_a_class(tmp_path: Path) -> None:
    put_empty(tmp_path, [*in_classes("bus", "test", "car", above=""), "unlabeled/9.png"])
    put_csv(tmp_path / "sample_submission.csv", "id,label", "9,bus")
    with pytest.raises(DataError, match="it is unclear whether test/ is a class or holds the test images") as caught:
        read_competition(tmp_path)
    assert "--images . --test-images unlabeled/" in caught.value.hint
    settings = CompetitionSettings(images=".", test_images="unlabeled/")
    assert read_competition(tmp_path, settings).classes == ("bus", "car", "test")


def test_the_folders_above_the_class_group_and_the_finest_of_them(tmp_path: Path) -> None:
    images = [f"hospital{h}/p{h}{p}x/{c}/{h}{p}{c}.png" for h in range(2) for p in range(4) for c in ("ill", "well")]
    assert set(labels_of(tmp_path, images, "ill").others["folder"]) == {f"p{h}{p}x" for h in range(2) for p in range(4)}


def test_images_made_of_others_beside_these_are_warned_of(tmp_path: Path) -> None:
    images = [*in_classes("cat", "dog", above="Original Images/"), *in_classes("cow", "cat", above="Augmented Images/")]
    assert any(
        line.startswith("warning: labels: level 1 (Augmented Images, Original Images) may hold images made of each")
        for line in labels_of(tmp_path, images).evidence
    )
