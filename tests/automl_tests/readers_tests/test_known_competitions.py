"""What is known of competitions by their names, and how forgiving the names are."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import UsageError
from automl.readers.known_competitions import KNOWN_COMPETITIONS, find_known_competition, get_known_competition
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.tasks import Task
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


@pytest.mark.parametrize(
    ("folder", "slug"),
    [
        ("dogs-vs-cats", "dogs-vs-cats"),
        ("Dogs_vs_Cats", "dogs-vs-cats"),
        ("cifar-10-data", "cifar-10"),
        ("leaf-classification (1)", "leaf-classification"),
        ("leaf-classification-2", "leaf-classification"),
        ("aptos2019-blindness-detection_data (2)", "aptos2019-blindness-detection"),
        ("ubc-ocean", "UBC-OCEAN"),
        ("plant-pathology-2021-fgvc8", "plant-pathology-2021-fgvc8"),
        ("statoil-iceberg-classifier", "statoil-iceberg-classifier-challenge"),
    ],
)
def test_a_folder_is_known_by_the_competition_s_name(folder: str, slug: str) -> None:
    known = find_known_competition(folder)
    assert known is not None
    assert known.slug == slug


@pytest.mark.parametrize("folder", ["data", "", "cifar-100", "cifar", "dogs", "mnist", "my-dogs-vs-cats", "-2", "(1)"])
def test_a_folder_of_another_name_is_not_known(folder: str) -> None:
    assert find_known_competition(folder) is None


@pytest.mark.parametrize(
    ("slug", "close"),
    [
        ("aptos2019", "aptos2019-blindness-detection"),
        ("dogs-vs-cat", "dogs-vs-cats"),
        ("kanada-mnist", "Kannada-MNIST"),
    ],
)
def test_an_unknown_name_is_refused_with_those_close_to_it(slug: str, close: str) -> None:
    with pytest.raises(UsageError, match=f"'{slug}'.*{close}"):
        get_known_competition(slug)


def test_a_name_like_no_other_is_refused_without_proposals() -> None:
    with pytest.raises(UsageError, match=r"no known competition 'xyz'$"):
        get_known_competition("xyz")


def test_names_are_known_in_any_case() -> None:
    assert get_known_competition("KANNADA-mnist") is KNOWN_COMPETITIONS["Kannada-MNIST"]


def test_what_the_reference_says_of_groups_flips_and_order_is_known() -> None:
    groups = {known.slug: known.group for known in KNOWN_COMPETITIONS.values() if known.group}
    assert groups["siim-isic-melanoma-classification"] == "patient_id"
    assert groups["state-farm-distracted-driver-detection"] == "subject"
    assert groups["ranzcr-clip-catheter-line-classification"] == "PatientID"
    assert {known.slug for known in KNOWN_COMPETITIONS.values() if not known.flips} == {
        "state-farm-distracted-driver-detection",
        "digit-recognizer",
        "Kannada-MNIST",
        "bengaliai-cv19",
    }
    assert {known.slug for known in KNOWN_COMPETITIONS.values() if known.task is Task.ORDINAL} == {
        "aptos2019-blindness-detection",
        "diabetic-retinopathy-detection",
        "prostate-cancer-grade-assessment",
    }


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
    given = read_competition(root, CompetitionSettings(metric="roc_auc", flips=True, group="none"))
    assert (given.metric.name, given.flips, given.groups) == ("roc_auc", True, None)
    assert "metric: roc_auc, as asked" in given.evidence


def test_a_competition_that_is_asked_for_is_known_or_refused_with_those_close_to_it(tmp_path: Path) -> None:
    put_table_competition(tmp_path, labels=("0", "1", "2", "1"), sample="0")
    competition = read_competition(tmp_path, CompetitionSettings(competition="aptos2019-blindness-detection"))
    assert (competition.task, competition.metric.name) == (Task.ORDINAL, "qwk")
    with pytest.raises(UsageError, match="aptos2019-blindness-detection"):
        read_competition(tmp_path, CompetitionSettings(competition="aptos-blindness-detection"))
