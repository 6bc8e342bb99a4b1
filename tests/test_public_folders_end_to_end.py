"""Public data sets of class folders, as they are shipped, from the folder to a submission or a table, without flags."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from automl.artifacts import StudyFiles
from tests.automl_tests.reading_kinds import public_data_sets
from tests.automl_tests.reading_kinds.kinds import KINDS, Folder, Read
from tests.conftest import automl_here

pytestmark = pytest.mark.slow

# What the search costs, not what it is told of the folder.
QUICK = ("--space", "tiny", "--no-pretrained", "--trials", "1", "--epochs", "1", "--runner", "inline", "--tta", "none")
NARROWED = ("--fix", "backbone=test_resnet", "--fix", "resize=32")
WITH_TEST_IMAGES = ["Intel image classification", "chest x-rays, all of it once more inside: chest_xray/"]
ALONE = ["TensorFlow's flower photos", "malaria cells, all of it once more inside", "EuroSAT"]


@pytest.mark.parametrize("name", [*WITH_TEST_IMAGES, *ALONE])
def test_a_public_data_set_is_searched_as_it_is(name: str, tmp_path: Path) -> None:
    assert public_data_sets.__doc__
    folder = Folder(tmp_path / "pictures")
    truth = KINDS[name].build(folder)
    assert isinstance(truth, Read)

    searched = automl_here(tmp_path, "search", "pictures", *QUICK, *NARROWED)
    assert searched.exit_code == 0, searched.output
    files = StudyFiles(tmp_path / "automl_runs" / "pictures")
    if name in WITH_TEST_IMAGES:
        checked = automl_here(tmp_path, "check", str(files.submission), "pictures")
        assert checked.exit_code == 0, checked.output
        assert "would be accepted" in checked.stdout
    else:
        assert not files.submission.exists()

    Folder(tmp_path / "new", n_painted=1000).image("a.png", "b.jpg")
    predicted = automl_here(tmp_path, "predict", "new")
    assert predicted.exit_code == 0, predicted.output
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a.png", "b.jpg"]
    assert all(row["label"] in set(truth.train.values()) for row in rows)
