"""What is known of competitions by their names, and how forgiving the names are."""

from __future__ import annotations

import pytest

from automl.errors import UsageError
from automl.readers.known_competitions import KNOWN, known_competition, known_folder
from automl.tasks import Task


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
    known = known_folder(folder)
    assert known is not None
    assert known.slug == slug


@pytest.mark.parametrize("folder", ["data", "", "cifar-100", "cifar", "dogs", "mnist", "my-dogs-vs-cats", "-2", "(1)"])
def test_a_folder_of_another_name_is_not_known(folder: str) -> None:
    assert known_folder(folder) is None


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
        known_competition(slug)


def test_a_name_like_no_other_is_refused_without_proposals() -> None:
    with pytest.raises(UsageError, match=r"no known competition 'xyz'$"):
        known_competition("xyz")


def test_names_are_known_in_any_case() -> None:
    assert known_competition("KANNADA-mnist") is KNOWN["Kannada-MNIST"]


def test_what_the_reference_says_of_groups_flips_and_order_is_known() -> None:
    groups = {known.slug: known.group for known in KNOWN.values() if known.group}
    assert groups["siim-isic-melanoma-classification"] == "patient_id"
    assert groups["state-farm-distracted-driver-detection"] == "subject"
    assert groups["ranzcr-clip-catheter-line-classification"] == "PatientID"
    assert {known.slug for known in KNOWN.values() if not known.flips} == {
        "state-farm-distracted-driver-detection",
        "digit-recognizer",
        "Kannada-MNIST",
        "bengaliai-cv19",
    }
    assert {known.slug for known in KNOWN.values() if known.task is Task.ORDINAL} == {
        "aptos2019-blindness-detection",
        "diabetic-retinopathy-detection",
        "prostate-cancer-grade-assessment",
    }
