"""The task follows from the labels, what is known or asked goes before them, and what makes no task is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
)
from tests.automl_tests.readers_tests.labels import GRADES, infer, labels_of, sample_with
from tests.automl_tests.small_competitions import put_csv


def test_grades_are_proposed_to_be_ordinal_and_never_taken_so_in_silence() -> None:
    line = "task: the labels 0 to 4 of column diagnosis look like grades; --task ordinal would take them in their order"
    assert line in infer(GRADES, sample_with("0")).evidence
    assert line not in infer(GRADES, sample_with("0"), metric="qwk").evidence
    unordered = labels_of("0", "1", "2", columns=["species"])
    assert not any("grades" in line for line in infer(unordered, sample_with("0")).evidence)
    gap = labels_of("0", "1", "3", columns=["grade"])
    assert not any("grades" in line for line in infer(gap, sample_with("0")).evidence)


FOLDER_FAULTS: dict[str, FolderFault] = {
    "a label that is no 0 or 1 among such": (
        lambda root: (
            put_csv(root / "train.csv", "id,cat,dog", "t0,1,0", "t1,x,1"),
            put_csv(root / "sample_submission.csv", "id,cat,dog", "s0,0,1"),
        ),
        "the label of t1 in column cat is x, neither 0 nor 1",
        "give 0 or 1",
    ),
    "several columns of classes": (
        lambda root: (
            put_csv(root / "train.csv", "id,root,vowel", "t0,15,9", "t1,159,0"),
            put_csv(root / "sample_submission.csv", "id,root,vowel", "s0,0,0"),
        ),
        "there are 2 columns of labels, each with classes of its own: root 15, vowel 9",
        "--task regression",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_columns_that_make_no_task_are_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
