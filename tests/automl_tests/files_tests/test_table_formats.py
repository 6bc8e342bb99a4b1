"""Each format of tables comes out as the text that its reader sees, or is refused by name."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import lzma
import sys
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from automl.errors import DataError
from automl.files import table_formats
from automl.files.table_formats import is_table_file_name, read_rows, strip_table_suffix

PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
ROWS = [("id", "label"), ("0007", "NA"), ("b", "")]


def put_book(path: Path, *sheets: Sequence[Sequence[Any]], formats: dict[str, str] | None = None) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet{number}")
        for row in rows:
            sheet.append(row)
        for cell, shown in (formats or {}).items():
            sheet[cell].number_format = shown
    book.save(path)
    return path


def put_columns(path: Path, columns: dict[str, list[Any]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table = pyarrow.table(columns)
    (parquet.write_table if path.suffix == ".parquet" else feather.write_feather)(table, str(path))
    return path


def read(path: Path, **how: bool) -> list[tuple[str, ...]]:
    return read_rows(path, path.name, **how).rows


@pytest.mark.parametrize(
    ("name", "stem", "is_table"),
    [
        ("data/Train.CSV", "data/Train", True),
        ("train.csv.gz", "train", True),
        ("train.jsonl.xz", "train", True),
        ("train.xlsx", "train", True),
        ("~$train.xlsx", "~$train", False),
        ("val_annotations.txt", "val_annotations", True),
        ("classes.txt", "classes", False),
        ("README.txt", "README", False),
        ("train.json", "train.json", False),
        ("train.tar.gz", "train.tar.gz", False),
    ],
)
def test_a_table_is_known_by_the_end_of_its_name(name: str, stem: str, is_table: bool) -> None:
    assert strip_table_suffix(name) == stem
    assert is_table_file_name(name) is is_table


@pytest.mark.parametrize("packed", sorted(PACKERS))
def test_a_packed_table_is_read_in_place(tmp_path: Path, packed: str) -> None:
    path = tmp_path / f"train.tsv{packed}"
    path.write_bytes(PACKERS[packed]("id\tlabel\n1\té\n".encode("utf-16")))
    assert read(path) == [("id", "label"), ("1", "é")]
    assert read(path, head=True)[0] == ("id", "label")


@pytest.mark.parametrize("packed", sorted(PACKERS))
def test_a_packed_table_that_is_damaged_or_a_bomb_is_refused(
    tmp_path: Path, packed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"train.csv{packed}"
    content = PACKERS[packed](b"id,label\n" + b"1,a\n" * 20_000)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"train\.csv\S+ is damaged"):
        read(path)
    monkeypatch.setattr(table_formats, "RATIO_MATTERS_BYTES", 1000)
    monkeypatch.setattr(table_formats, "MAX_RATIO", 2)
    path.write_bytes(content)
    with pytest.raises(DataError, match="as a bomb does"):
        read(path)
    assert read(path, head=True)[0] == ("id", "label")


def test_the_columns_of_records_are_the_keys_of_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    records = ['{"id": 7, "x": 1.50}', "", '{"id": "08", "is_cat": true, "boxes": [1, 2.0], "x": null}']
    path.write_text("\n".join(records), encoding="utf-8-sig")
    table = read_rows(path, path.name)
    assert table.rows == [("id", "x", "is_cat", "boxes"), ("7", "1.50", "", ""), ("08", "", "True", "[1, 2.0]")]
    assert table.lines == [0, 1, 3]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id": 1', "damaged in line 2"),
        ("[1, 2]", "line 2 holds no object"),
        ("7", "line 2 holds no object"),
        ('{"id": 1, "id": 2}', "a key stands twice"),
    ],
)
def test_a_line_that_is_no_record_is_refused(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "train.ndjson"
    path.write_text('{"id": 1}\n' + line + "\n")
    with pytest.raises(DataError, match=expected):
        read(path)


def test_cells_of_a_workbook_are_what_the_sheet_shows(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 5, 1)
    cells = [7, 7.0, 0.1, True, "007", day, day.replace(hour=12), 12, None, "NA", -3.0, 1e20]
    shown = [
        "7",
        "7",
        "0.1",
        "True",
        "007",
        "2024-05-01",
        "2024-05-01 12:00:00",
        "00012",
        "",
        "NA",
        "-3",
        "1" + 20 * "0",
    ]
    path = put_book(tmp_path / "train.xlsx", [[f"c{at}" for at in range(12)], cells], formats={"H2": "00000"})
    assert read(path)[1] == tuple(shown)


def test_a_workbook_has_its_rows_in_the_first_sheet_that_has_any(tmp_path: Path) -> None:
    path = put_book(tmp_path / "train.xlsx", [], [["id", "label"], [1], [], [2, "b", ""]], [["id"], [3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = read_rows(path, path.name)
    assert (table.rows, table.lines) == ([("id", "label"), ("1", ""), ("2", "b")], [1, 2, 4])
    assert table.notes == ["warning: train.xlsx has 2 sheets: Sheet2 is read, not Sheet3"]
    assert read(path, head=True)[0] == ("id", "label")


def test_a_title_above_the_header_of_a_sheet_is_left_out(tmp_path: Path) -> None:
    path = put_book(tmp_path / "train.xlsx", [["Our labels"], [], ["id", "label", "site"], [1, "a", "x"]])
    table = read_rows(path, path.name)
    assert (table.rows, table.lines) == ([("id", "label", "site"), ("1", "a", "x")], [3, 4])
    assert table.notes == ["warning: train.xlsx: left out above the header: Our labels"]


def test_a_formula_without_its_value_and_an_error_are_refused_with_their_cell(tmp_path: Path) -> None:
    path = put_book(tmp_path / "train.xlsx", [["id", "label"], [1, "a"], [2, "=A2+1"]])
    with pytest.raises(DataError, match="cell B3 holds a formula without its value"):
        read(path)
    path = put_book(tmp_path / "train.xlsx", [["id", "label"], [1, "#N/A"]])
    with pytest.raises(DataError, match="cell B2 holds the error #N/A"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"<html><table>"])
def test_what_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("openpyxl")
    path = tmp_path / "train.xlsx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.xlsx is no workbook that can be read"):
        read(path)


def test_a_workbook_that_is_another_archive_or_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openpyxl")
    path = tmp_path / "train.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", "id,label\n" * 1000)
    with pytest.raises(DataError, match=r"train\.xlsx is no workbook that can be read"):
        read(path)
    monkeypatch.setattr(table_formats, "RATIO_MATTERS_BYTES", 1000)
    monkeypatch.setattr(table_formats, "MAX_RATIO", 2)
    with pytest.raises(DataError, match="as a bomb does"):
        read(path)


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_columns_come_out_as_text(tmp_path: Path, suffix: str) -> None:
    columns = {
        "id": ["007", "b"],
        "n": [1, None],
        "value": [7.0, 0.1],
        "is_cat": [True, None],
        "day": [datetime.date(2024, 5, 1), None],
        "names": [["a", "b"], []],
    }
    path = put_columns(tmp_path / f"train{suffix}", columns)
    assert read(path) == [
        tuple(columns),
        ("007", "1", "7", "True", "2024-05-01", '["a", "b"]'),
        ("b", "", "0.1", "", "", "[]"),
    ]
    assert read(path, head=True) == [tuple(columns)]


@pytest.mark.parametrize("column", [[b"\x89PNG"], [{"bytes": b"\x89PNG", "path": "a.png"}]])
def test_columns_of_pictures_are_no_table_of_labels(tmp_path: Path, column: list[Any]) -> None:
    path = put_columns(tmp_path / "train.parquet", {"id": ["a"], "image": column})
    with pytest.raises(DataError, match="column image holds bytes, as of images"):
        read(path)


@pytest.mark.parametrize("name", ["train.parquet", "train.feather"])
def test_what_has_no_columns_is_refused(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"PAR1 half")
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "library", "extra"), [("train.xlsx", "openpyxl", "xlsx"), ("train.parquet", "pyarrow", "parquet")]
)
def test_a_library_that_is_not_installed_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=f"{name} cannot be read: {library} is needed") as caught:
        read(tmp_path / name)
    assert f"pip install 'automl[{extra}]'" in caught.value.hint


def test_a_table_in_an_archive_is_read_in_place(tmp_path: Path) -> None:
    book = put_book(tmp_path / "labels.xlsx", ROWS)
    columns = put_columns(tmp_path / "labels.parquet", {"id": ["0007", "b"], "label": ["NA", ""]})
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.write(book, "labels.xlsx")
        archive.write(columns, "labels.parquet")
        archive.writestr("labels.csv.gz", gzip.compress(b"id,label\n0007,NA\nb,\n"))
        archive.writestr("labels.jsonl", json.dumps({"id": "0007", "label": "NA"}) + "\n" + '{"id": "b"}')
    for name in ("labels.xlsx", "labels.parquet", "labels.csv.gz", "labels.jsonl"):
        assert read(tmp_path / "data.zip" / name) == ROWS, name
