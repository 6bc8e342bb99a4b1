"""Labels become class indices, ones and zeros or values with a scale, and what cannot is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.errors import DataError
from automl.tasks import Task
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    training_rows,
)
from tests.automl_tests.readers_tests.labels import (
    COLUMNS,
    MULTI_HOT,
    WIDE,
    Refusal,
    infer,
    labels_of,
    require_refusal,
    sample_with,
)


def test_sets_of_labels_become_ones_in_natural_order_or_in_that_of_the_samples_columns() -> None:
    found = infer(labels_of("10 9", "", "2 10"), sample_with("9"))
    assert found.classes == ("2", "9", "10")
    assert found.targets.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1]]
    assert found.targets.dtype == np.int8
    wide = infer(
        labels_of("b a", "", "a c"), sample_with(("0", "0", "0"), columns=["c", "a", "b"]), task=Task.MULTILABEL
    )
    assert wide.classes == ("c", "a", "b")
    assert wide.targets.tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]


def test_a_label_that_all_images_have_is_told() -> None:
    found = infer(labels_of(("1", "1"), ("1", "0"), columns=COLUMNS), WIDE)
    line = "classes: every image or none has ETT - Abnormal, so that nothing is learnt of it"
    assert line in found.evidence


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (("1", "55.5", "100"), (0.0, 100.0)),
        (("0", "1.5"), (0.0, 1.5)),
        (("20.5", "30"), (20.5, 30.0)),
        (("-1.5", "30"), (-1.5, 30.0)),
        (("3.1", "30"), (3.1, 30.0)),
        (("-5.5", "-1"), (-5.5, -1.0)),
    ],
)
def test_a_scale_goes_from_the_least_to_the_largest_value_or_from_zero_where_that_is_near(
    values: tuple[str, ...], scale: tuple[float, float]
) -> None:
    found = infer(labels_of(*values), sample_with("0"), task=Task.REGRESSION)
    assert found.scales == (scale,)
    assert found.targets.tolist() == [[float(value)] for value in values]
    assert found.targets.dtype == np.float64
    assert found.classes == ("label",)


FAULTS: dict[str, Refusal] = {
    # labels, sample, settings -> error, problem, hint
    "text where values are asked": (
        *(labels_of("1", "tall"), sample_with("0"), {"task": Task.REGRESSION}),
        *(DataError, "the value of 1 in column label is no number: tall", "give a number"),
    ),
    "an endless value": (
        *(labels_of("1.5", "1e999"), sample_with("0"), {"task": Task.REGRESSION}),
        *(DataError, "the value of 1 in column label is no number: 1e999", "give a number"),
    ),
    "one value": (
        *(labels_of("1.5", "1.5"), sample_with("0"), {}),
        *(DataError, "all 2 training images have the value 1.5", "other values"),
    ),
    "a sample of more targets than training": (
        *(labels_of("1.5", "2.5"), sample_with(("0", "0"), columns=["a", "b"]), {"task": Task.REGRESSION}),
        *(DataError, "sample_submission.csv has 2 targets, but training has values of 1", "same competition"),
    ),
    "the same labels everywhere": (
        *(labels_of("a b", "a b", "b a"), sample_with("a b"), {"task": Task.MULTILABEL}),
        *(DataError, "all 3 training images have the labels a, b", "other labels"),
    ),
    "several classes of one image": (
        *(MULTI_HOT, WIDE, {"task": Task.MULTICLASS}),
        *(DataError, "1 has 2 of the 2 classes: ETT - Abnormal, CVC", "--task multilabel"),
    ),
    "a blank class": (
        *(labels_of("cat", "", "dog"), sample_with("cat"), {}),
        *(DataError, "there is no label of 1", "add the labels"),
    ),
    "a label of its own for each image": (
        *(labels_of(*(f"w{number}" for number in range(21))), sample_with("w1"), {}),
        *(DataError, "each of the 21 training images has a label of its own: w0", "--label"),
    ),
    "a number of its own for each image": (
        *(labels_of(*(str(number) for number in range(21))), sample_with("1"), {"metric": "accuracy"}),
        *(DataError, "has a label of its own", "--task regression"),
    ),
    "masks for labels": (
        *(labels_of("1 3 10 3", "5 2 7 2"), sample_with(""), {}),
        *(DataError, "holds lists that name something twice, as masks and boxes do: 1 3 10 3", "segmentation"),
    ),
    "lists that a submission cannot have": (
        *(labels_of("wild cat|dog", "wild cat", "dog"), sample_with("dog cat dog"), {"task": Task.MULTILABEL}),
        *(DataError, "holds dog cat dog in column label", "same competition"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_labels_without_a_target_are_refused_in_one_line(fault: str) -> None:
    require_refusal(*FAULTS[fault])


FOLDER_FAULTS: dict[str, FolderFault] = {
    "one class": (training_rows("t0,cat", "t1,cat"), "all 2 training images have the label cat", "another class"),
    "measurements and a class in the sample": (
        training_rows("t0,1.5", "t1,2.25", "t2,3"),
        "sample_submission.csv holds cat in column label, but the training labels are numbers",
        "same competition",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_folder_whose_labels_make_no_target_is_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
