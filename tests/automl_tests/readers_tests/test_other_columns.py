"""The columns beside the label are named, with where they are and how far training and test differ in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.readers.other_columns import OtherColumn, _compare, describe_other_columns
from automl.readers.read import read_competition
from tests.automl_tests.reading_kinds.kinds import Folder

N_TRAIN, N_TEST = 200, 100


def build(root: Path) -> None:
    folder, rng = Folder(root), np.random.default_rng(0)
    train = [f"a{i}" for i in range(N_TRAIN)]
    folder.image(*(f"train/{name}.png" for name in train))
    header = ["id", "age", "sex", "site", "note", "constant", "biopsy", "label"]
    rows = [
        [name, rng.integers(20, 80), "fm"[rng.integers(2)], "ab"[rng.integers(2)], f"n{i}", 1, i % 3, i % 2]
        for i, name in enumerate(train)
    ]
    folder.csv("train.csv", header, rows)
    test = [f"t{i}" for i in range(N_TEST)]
    rows = [
        [name, rng.integers(20, 80), "fm"[rng.integers(2)], "bc"[rng.integers(2)], f"m{i}", 1]
        for i, name in enumerate(test)
    ]
    folder.csv("test.csv", header[:-2], rows)
    folder.sample(test, value=0)


def test_columns_are_told_with_their_differences(tmp_path: Path) -> None:
    build(tmp_path)

    evidence = read_competition(tmp_path).evidence

    lines = [line for line in evidence if "columns: " in line]
    assert len(lines) == 3
    assert lines[0].startswith("columns: 5 columns beside the label in training and test")
    assert "constant 0.00" in lines[0]
    assert "note" in lines[0]
    assert "note 0" not in lines[0]  # free text is not compared
    assert lines[1].endswith("of no use for test images: biopsy")
    assert lines[2] == "warning: columns: site differs between training and test"


@pytest.mark.parametrize(
    ("columns", "n_lines"),
    [
        ((), 0),
        ((OtherColumn(name="age", in_test=True, difference=0.1),), 1),
        ((OtherColumn(name="age", in_test=False),), 1),
        ((OtherColumn(name="age", in_test=True, difference=0.9, is_clear=True),), 2),
    ],
)
def test_there_is_a_line_for_each_sort_of_columns(columns: tuple[OtherColumn, ...], n_lines: int) -> None:
    assert len(describe_other_columns(columns)) == n_lines


def test_equal_distributions_hardly_ever_differ_clearly() -> None:
    rng = np.random.default_rng(1)
    found = [
        _compare("x", [str(v) for v in rng.normal(size=300)], [str(v) for v in rng.normal(size=60)]) for _ in range(200)
    ]
    assert sum(column.is_clear for column in found) <= 4
    shifted = [
        _compare("x", [str(v) for v in rng.normal(size=300)], [str(v) for v in rng.normal(1.5, size=60)])
        for _ in range(20)
    ]
    assert all(column.is_clear for column in shifted)
    assert all(0.4 < (column.difference or 0.0) < 1.0 for column in shifted)
