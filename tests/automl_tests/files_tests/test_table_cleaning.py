"""What spreadsheets leave behind is made good and told; what may have another meaning is refused with its line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from automl.errors import DataError
from automl.files.table_cleaning import clean_rows, require_distinct
from automl.files.table_text import RawTable

Rows = Sequence[str]


def clean(rows: Rows, **how: bool) -> RawTable:
    """Clean rows that are given with a comma between their fields."""
    fields = [tuple(row.split(",")) for row in rows]
    return clean_rows(RawTable(delimiter=",", rows=fields, lines=list(range(1, len(rows) + 1))), "train.csv", **how)


def join(table: RawTable) -> list[str]:
    return [",".join(row) for row in table.rows]


@pytest.mark.parametrize(
    ("rows", "kept", "note"),
    [
        (["id,label", "1,a", ",", " ,", "2,b", ","], ["id,label", "1,a", "2,b"], "3 blank rows left out"),
        (["id,label", "1,a", ","], ["id,label", "1,a"], "1 blank row left out"),
        (["id,label,,", "1,a,,", "2,b,,"], ["id,label", "1,a", "2,b"], "2 columns with neither name nor content"),
        (["id,label,", "1,a", "2,b,"], ["id,label", "1,a", "2,b"], "1 row lacks blank fields at the end, first line 2"),
        (["id,label", "1,a,", "2,b,,"], ["id,label", "1,a", "2,b"], "blank fields behind the last column of 2 rows"),
        (["Labels", "id,label", "1,a"], ["id,label", "1,a"], "left out above the header: Labels"),
        (["Labels", "by us", "id,label", "1,a"], ["id,label", "1,a"], "left out above the header: Labels, by us"),
        (["Labels,,", ",,", "id,label,x", "1,a,c"], ["id,label,x", "1,a,c"], "left out above the header: Labels"),
        (["id,label,x", "1,a,", "2,b", "3,c,d"], ["id,label,x", "1,a,", "2,b,", "3,c,d"], "filled up"),
    ],
)
def test_what_a_spreadsheet_leaves_is_made_good_and_told(rows: Rows, kept: Rows, note: str) -> None:
    table = clean(rows)
    assert join(table) == kept
    assert any(line.startswith("warning: train.csv: ") and note in line for line in table.notes), table.notes


@pytest.mark.parametrize(
    "rows", [[",label", "0,cat"], ["id,label", "1,"], ["id", "1"], ["id,label,", "1,a,b"], ["id,,x", "1,2,3"], []]
)
def test_a_table_without_such_rests_stays_as_it_is(rows: Rows) -> None:
    table = clean(rows)
    assert (join(table), table.notes) == (list(rows), [])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["id,label", "1,a,b"], "the header has 2 fields, but line 2 has 3"),
        (["id,label,x", "1,a", "2,b,c"], "the header has 3 fields, but line 2 has 2"),  # no other row is blank there
        (["id,label,x", "1,a,", "2,b"], "the header has 3 fields, but line 3 has 2"),  # the file may be cut off
        (["Title,", "id,label", "1,a"], "line 1 of train.csv has one field alone, Title"),
        (["id,,", "1,a,", "2,b,c"], "line 1 of train.csv has one field alone, id"),
    ],
)
def test_a_row_that_may_mean_something_else_is_refused_with_its_line(rows: Rows, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        clean(rows)
    assert expected in caught.value.problem


def test_nothing_of_our_own_files_is_made_good() -> None:
    assert join(clean(["id,fold", "1,0", ",", "2,1"], strict=True)) == ["id,fold", "1,0", ",", "2,1"]
    with pytest.raises(DataError, match="the header has 2 fields, but line 3 has 3"):
        clean(["id,fold", "1,0", "2,1,"], strict=True)


def test_the_header_of_the_first_rows_is_the_whole_file_s() -> None:
    assert join(clean(["Labels", "id,label,", "1,a,", "2"], is_head=True))[0] == "id,label"


def test_two_columns_of_one_name_are_refused() -> None:
    require_distinct(("id", "label", "label.1", ""), "train.csv")
    with pytest.raises(DataError, match=r"train\.csv has two columns named label"):
        require_distinct(("id", "label", "label"), "train.csv")
    with pytest.raises(DataError, match=r"train\.csv has two columns without a name"):
        require_distinct(("id", "", ""), "train.csv")
