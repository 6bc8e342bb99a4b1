"""A sample submission is parsed and its template built, and what is no table of ids and targets is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.data.competition import SubmissionKind
from automl.files.tables import Table
from automl.readers.submission_template import build_template, is_sample_name, parse_sample
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    sample_rows,
)

FOLDER_FAULTS: dict[str, FolderFault] = {
    "a repeated test id": (sample_rows("s0,cat", "s0,cat"), "names s0 in lines 2 and 3", "each id has one row"),
    "a blank test id": (sample_rows("s0,cat", ",cat"), "has a blank id in line 3", "restore"),
    "a sample of one column": (sample_rows("s0", header="id"), "has one column alone: id", "restore"),
    "a semicolon sample": (sample_rows("s0;cat", header="id;label"), "is separated by ';'", "with commas"),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_sample_that_is_no_table_of_ids_and_targets_is_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])


def table_of(header: str, *rows: str) -> Table:
    fields = tuple(tuple(row.split(",")) for row in rows)
    return Table(
        name="sample_submission.csv",
        delimiter=",",
        header=tuple(header.split(",")),
        rows=fields,
        lines=tuple(range(2, len(rows) + 2)),
    )


def test_the_first_column_is_the_id_and_every_other_one_a_target() -> None:
    sample = parse_sample(table_of("id,cat,dog", "s1, 0.5 ,1", "s0,0.25,0"))
    assert (sample.id_column, sample.ids, sample.image_ids) == ("id", ("s1", "s0"), ("s1", "s0"))
    assert sample.value_columns == sample.target_columns == ("cat", "dog")
    assert sample.values == ("0.5", "0.25"), "without the blanks around them"
    assert sample.cells is None


def test_ids_may_stand_in_another_column() -> None:
    sample = parse_sample(table_of("label,id", "cat,s1", "cat,s0"), id_position=1)
    assert (sample.id_column, sample.ids, sample.values) == ("id", ("s1", "s0"), ("cat", "cat"))
    assert sample.value_columns == ("label",)


def test_the_template_is_copied_from_the_sample() -> None:
    sample = parse_sample(table_of("label,id", "cat, s1", "cat,s0"), id_position=1)
    template = build_template(sample, SubmissionKind.RANKING, n_ranked=3)
    assert (template.header, template.id_column, template.ids) == (("label", "id"), 1, (" s1", "s0"))
    assert (template.submission_kind, template.n_ranked, template.cells) == (SubmissionKind.RANKING, 3, None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sample_submission.csv", True),
        ("sampleSubmission.csv", True),
        ("stage_2_sample_submission_v3.csv", True),
        ("sampleSubmission.csv.zip/sampleSubmission.csv", True),
        ("submission.csv", False),
        ("data/sample_submission.tsv", True),
        ("sample_submission/train.csv", False),
    ],
)
def test_a_sample_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_sample_name(name) is expected
