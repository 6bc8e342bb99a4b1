"""Miniatures through the commands that a user types: search, the submission that it ends with, and check."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.artifacts import StudyFiles, read_json
from tests.automl_tests.competitions.checker import complaints
from tests.automl_tests.competitions.everything import ALL
from tests.conftest import automl_here

SEARCH = ("search", "--space", "tiny", "--no-pretrained", "--trials", "2", "--epochs", "1", "--runner", "inline")
# One small backbone and image size: what is tested is the way of the labels, not the space.
NARROWED = ("--fix", "backbone=test_resnet", "--fix", "resize=32", "--tta", "none", "--quiet")


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(49, id="regression of five targets in the long form"),
        pytest.param(43, id="multi-label", marks=pytest.mark.slow),
        pytest.param(48, id="regression", marks=pytest.mark.slow),
        pytest.param(18, id="ordinal", marks=pytest.mark.slow),
        pytest.param(41, id="sets of labels", marks=pytest.mark.slow),
        pytest.param(27, id="best 5 labels", marks=pytest.mark.slow),
        pytest.param(7, id="images in HDF5", marks=pytest.mark.slow),
        pytest.param(8, id="DICOM, two images to a row", marks=pytest.mark.slow),
        pytest.param(50, id="images in BSON, several to a row", marks=pytest.mark.slow),
    ],
)
def test_a_search_without_flags_ends_with_a_submission_that_is_accepted(row: int, tmp_path: Path) -> None:
    one = next(one for one in ALL if one.row == row)
    folder = tmp_path / one.slug
    made = one.build(folder)
    work = tmp_path / "work"
    work.mkdir()

    searched = automl_here(work, *SEARCH, *NARROWED, str(folder))
    assert searched.exit_code == 0, searched.output
    files = StudyFiles(work / "automl_runs" / one.slug)
    assert complaints(made.form, files.submission.read_bytes()) == []
    assert read_json(files.competition)["task"] == one.task

    accepted = automl_here(work, "check", str(files.submission), str(folder))
    assert accepted.exit_code == 0, accepted.output
    spoilt = work / "spoilt.csv"
    spoilt.write_bytes(files.submission.read_bytes().replace(b"\n", b"\nunknown", 1))
    refused = automl_here(work, "check", str(spoilt), str(folder))
    assert refused.exit_code != 0
    assert "unknown" in refused.output
