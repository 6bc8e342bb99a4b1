"""The task follows from the labels, what is known or asked goes before them, and what makes no task is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.metrics.registry import get_metric
from automl.readers.infer_task import describe_grades, infer_task, is_number, require_zeros_and_ones
from automl.tasks import Task
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
        "it is unclear whether 2 columns of whole numbers are classes or values: 2 whole numbers in column root",
        "--task regression",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_columns_that_make_no_task_are_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])


@pytest.mark.parametrize("text", ["0", "-1", "+2.5", ".5", "1.", "1e-3", "007"])
def test_finite_numbers_in_ascii_are_numbers(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e999", "\u0661", "1,5", " 1", "0x1f", "1_000"])
def test_other_text_is_no_number(text: str) -> None:
    assert not is_number(text)


def test_what_is_given_or_known_goes_before_the_labels() -> None:
    sample = sample_with("0")
    assert infer_task(GRADES, sample, given=(Task.ORDINAL, "as asked"), metric=None) == (Task.ORDINAL, "as asked")
    binary = infer_task(GRADES, sample, given=(Task.BINARY, "known of x"), metric=get_metric("rmse"))
    assert binary == (Task.MULTICLASS, "known of x"), "how many classes there are is decided later"


@pytest.mark.parametrize(
    ("metric", "task", "reason"),
    [
        (None, Task.MULTICLASS, "from one label for each image"),
        ("accuracy", Task.MULTICLASS, "from one label for each image"),
        ("qwk", Task.ORDINAL, "because of the metric qwk"),
        ("rmse", Task.REGRESSION, "because of the metric rmse"),
    ],
)
def test_of_several_tasks_it_is_one_that_the_metric_can_score(metric: str | None, task: Task, reason: str) -> None:
    given = None if metric is None else get_metric(metric)
    assert infer_task(GRADES, sample_with("0"), given=None, metric=given) == (task, reason)


def test_grades_count_from_zero_without_a_gap_in_a_column_that_is_called_so() -> None:
    assert describe_grades(GRADES) == "the labels 0 to 4 of column diagnosis look like grades"
    assert describe_grades(labels_of("0", "1", columns=["grade"])) is None, "two are a yes and a no"
    assert describe_grades(labels_of("1", "2", "3", columns=["grade"])) is None
    assert describe_grades(labels_of(*map(str, range(11)), columns=["grade"])) is None
    assert describe_grades(labels_of(("0", "1"), ("1", "0"), ("2", "2"), columns=["grade", "stage"])) is None


def test_a_cell_that_is_neither_0_nor_1_is_named() -> None:
    require_zeros_and_ones(labels_of(("1", "0.0"), ("1.0", "0"), columns=["a", "b"]))
    with pytest.raises(DataError, match="the label of 1 in column b is blank, neither 0 nor 1"):
        require_zeros_and_ones(labels_of(("1", "0"), ("1", ""), columns=["a", "b"]))
