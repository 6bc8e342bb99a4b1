"""Where the competition's data lies on Kaggle."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.kit.find_data import find_competition
from tests.automl_tests.small_competitions import put_csv

HEADER = ("id", "label")


def put_sample(folder: Path, header: str = "id,label") -> Path:
    put_csv(folder / "sample_submission.csv", header, "1,0")
    return folder


def test_the_newer_place_is_taken_before_the_older_one(tmp_path: Path) -> None:
    old = put_sample(tmp_path / "leaves")
    assert find_competition("leaves", HEADER, inputs=tmp_path) == old
    new = put_sample(tmp_path / "competitions" / "leaves")
    assert find_competition("leaves", HEADER, inputs=tmp_path) == new


def test_a_kit_of_the_same_name_is_not_taken_for_the_competition(tmp_path: Path) -> None:
    (put_sample(tmp_path / "leaves") / "kit.json").write_text("{}")
    data = put_sample(tmp_path / "competitions" / "leaf-data")
    assert find_competition("leaves", HEADER, inputs=tmp_path) == data


def test_another_name_is_found_by_the_header_of_its_sample_submission(tmp_path: Path) -> None:
    put_sample(tmp_path / "other", "id,target")
    data = put_sample(tmp_path / "datasets" / "someone" / "my-copy")
    assert find_competition("leaves", HEADER, inputs=tmp_path) == data


def test_a_damaged_sample_elsewhere_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sample_submission.csv").write_bytes(b"\xff\x00,\x00")
    data = put_sample(tmp_path / "copy")
    assert find_competition("leaves", HEADER, inputs=tmp_path) == data


def test_no_data_at_all_and_no_inputs_are_errors_that_say_what_was_looked_for(tmp_path: Path) -> None:
    for inputs in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="is called leaves or has a sample submission with the columns id, label"):
            find_competition("leaves", HEADER, inputs=inputs)


def test_two_folders_that_would_do_are_an_error_that_names_them(tmp_path: Path) -> None:
    put_sample(tmp_path / "one")
    put_sample(tmp_path / "two")
    with pytest.raises(DataError, match=r"2 folders .*one, .*two") as raised:
        find_competition("leaves", HEADER, inputs=tmp_path)
    assert "--input" in raised.value.hint
