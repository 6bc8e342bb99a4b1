"""Every way in which the encoding, the header, the rows or the ids may be spoilt is named."""

from __future__ import annotations

import pytest

from automl.data.competition import SubmissionKind
from automl.submission.check_file import Findings, find_id_problems, parse_submission
from automl.submission.validate import find_problems, find_warnings
from tests.automl_tests.ensemble_tests.small_studies import competition_of
from tests.automl_tests.submission_tests.valid_files import LABEL, PROBABILITY, VALID, form

SPOILT_FORMS = [
    # the file
    ("probability", PROBABILITY, b"\xef\xbb\xbf" + PROBABILITY, "it begins with a byte order mark"),
    ("probability", b"\n", b"\r\n", "line 1 has a carriage return, and 3 more lines alike"),
    ("probability", b"\n1,1", b"\r\n1,1", "line 2 has a carriage return"),
    ("probability", b"3,", b"\xff,", "line 2 is not UTF-8: it has the byte 0xff"),
    ("probability", b"0.5\n", b"0.5", "its last line does not end"),
    ("probability", PROBABILITY, b"", "it is empty"),
    ("label", b"dog", b'"dog', "line 4 cannot be read as CSV: unexpected end of data"),
    # the header
    ("probability", b"id,label", b"Id,label", "the header has the column 'Id', which is written 'id'"),
    ("probability", b"id,label", b"id, label", "the header has the column ' label', which is written 'label'"),
    ("probability", b"id,label", b"name,label", "the header lacks the column 'id'"),
    ("probability", b"id,label", b"name,label", "the header has the column 'name', which the sample has not"),
    ("columns", b",", b";", "its values are separated by semicolons: write commas"),
    ("probability", b",", b"\t", "its values are separated by tabs: write commas"),
    ("probability", PROBABILITY, PROBABILITY.decode().encode("utf-16"), "it is written in UTF-16: write UTF-8"),
    ("probability", PROBABILITY, b"PK\x03\x04\x00\xff", "it is a workbook or an archive, not a CSV: save it as CSV"),
    ("probability", b"id,label", b",id,label", "begins with '', the index of a data frame"),
    ("probability", b"id,label", b"Unnamed: 0,id,label", "begins with 'Unnamed: 0', the index of a data frame"),
    ("columns", b"id,a,b,c", b"id,b,a,c", "columns are in another order: 'b' where 'a' is"),
    ("columns", b"id,a,b,c", b"id,a,b,b", "the header has the column 'b' more than once"),
    ("columns", b"id,a,b,c", b"id,a,b,d", "the header lacks the column 'c'"),
    ("probability", b"id,label\n", b"", "the header lacks the columns 'id', 'label'"),
    # the rows
    ("probability", b"2,0.5\n", b"", "it has 2 rows, not 3"),
    ("probability", b"2,0.5\n", b"2,0.5\n4,0.5\n", "it has 4 rows, not 3"),
    ("probability", b"1,1\n", b"1,1,1\n", "line 3 has 3 values, not 2"),
    ("probability", b"1,1\n", b"1\n", "line 3 has 1 values, not 2"),
    # the ids
    ("probability", b"2,0.5\n", b"", "the id of the sample is missing: 2"),
    ("probability", b"\n3,", b"\n03,", "line 2 has the id '03', which the sample has not"),
    ("probability", b"\n1,", b"\n1.0,", "line 3 has the id '1.0', which the sample has not"),
    ("probability", b"\n1,", b"\n3,", "line 3 has the id '3' of line 2 again"),
    ("probability", b"\n1,", b"\n3,", "the id of the sample is missing: 1"),
]


@pytest.mark.parametrize(("name", "was", "becomes", "problem"), SPOILT_FORMS)
def test_a_spoilt_form_is_named(name: str, was: bytes, becomes: bytes, problem: str) -> None:
    assert was in VALID[name]
    content = VALID[name].replace(was, becomes)
    found = find_problems(form(name), content)
    assert any(problem in line for line in found), found
    assert find_warnings(form(name), content) == []


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    competition = competition_of(SubmissionKind.LABEL, ids=("a\nb", "c", "d"))
    content = b'id,label\n"a\nb",cat\nc,cow\nd,cat\n'
    assert find_problems(competition, content) == ["line 4 has the label 'cow', which is not one of the classes"]


def test_a_file_is_parsed_with_the_lines_of_its_rows_and_the_places_of_its_columns() -> None:
    file = parse_submission(b"label,id\n1,a\n\n0,b\n0.5,3\n", form("probability").submission)
    assert (file.header, file.positions) == (("label", "id"), (1, 0))
    assert [(row.line, row.values) for row in file.rows] == [(2, ["1", "a"]), (4, ["0", "b"]), (5, ["0.5", "3"])]
    assert file.problems == ["the header's columns are in another order: 'label' where 'id' is"]
    assert [file.find_column(name) for name in ("id", "p")] == [1, None]


def test_rows_of_another_length_are_named_once_and_left_out() -> None:
    file = parse_submission(PROBABILITY.replace(b"3,", b"3,0,").replace(b"1,1", b"1"), form("probability").submission)
    assert [row.values for row in file.rows] == [["2", "0.5"]]
    assert file.problems == ["line 2 has 3 values, not 2, and 1 more line alike"]


def test_ids_are_checked_where_their_column_stands_and_nowhere_without_one() -> None:
    template = form("label").submission
    assert find_id_problems(parse_submission(LABEL, template), template) == []
    swapped = parse_submission(b"label,id\ncat,3\ndog,3\ncat,x\n", template)
    assert find_id_problems(swapped, template) == [
        "line 3 has the id '3' of line 2 again",
        "line 4 has the id 'x', which the sample has not",
        "2 ids of the sample are missing: 1, 2",
    ]
    assert find_id_problems(parse_submission(LABEL.replace(b"id,", b"name,"), template), template) == []


def test_findings_describe_the_first_of_each_type_and_count_the_others() -> None:
    found = Findings()
    for line in (2, 5, 9):
        found.add("sum", f"line {line} sums to 2")
    found.add("range", "line 4 has -1")
    assert found.format_lines() == ["line 2 sums to 2, and 2 more lines alike", "line 4 has -1"]
