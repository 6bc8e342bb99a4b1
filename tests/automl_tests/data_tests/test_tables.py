"""CSV files come out as they are written, or are refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.data.tables import read_table
from automl.errors import DataError


def put(folder: Path, content: bytes | str) -> Path:
    path = folder / "train.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_ids_and_labels_stay_the_text_that_is_written(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "id,label\n00012,NA\n1e5,None\n1.2.826,nan\n"))
    assert table.header == ("id", "label")
    assert table.rows == (("00012", "NA"), ("1e5", "None"), ("1.2.826", "nan"))
    assert table.lines == (2, 3, 4)
    assert table.column(1) == ["NA", "None", "nan"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfid,label\n1,a\n2,b\n",
        b"id,label\r\n1,a\r\n2,b\r\n",
        b"id,label\r1,a\r2,b\r",
        b"id,label\n1,a\n\n2,b",
        b"id;label\n1;a\n2;b\n",
        b"id\tlabel\n1\ta\n2\tb\n",
        b'"id","label"\n"1","a"\n"2","b"\n',
    ],
    ids=["byte-order mark", "CRLF", "CR", "blank line and no last line end", "semicolons", "tabs", "quotes"],
)
def test_any_usual_way_of_writing_a_table_is_read(tmp_path: Path, content: bytes) -> None:
    table = read_table(put(tmp_path, content))
    assert (table.header, table.rows) == (("id", "label"), (("1", "a"), ("2", "b")))


def test_quoted_separators_and_line_ends_stay_in_their_field(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, 'id,label\n"a,1","x\ny"\nb,"say ""hi"""\nc,d\n'))
    assert table.rows == (("a,1", "x\ny"), ("b", 'say "hi"'), ("c", "d"))
    assert table.lines == (3, 4, 5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "train.csv is empty"),
        (b"\n\n", "train.csv is empty"),
        (b"id,label\n", "train.csv has a header, but no rows"),
        (b"id,label\n1,a\n2,b,c\n", "train.csv: the header has 2 fields, but line 3 has 3"),
        (b"id,label\n1,a,0\n2,b,0\n", "train.csv: the header has 2 fields, but line 2 has 3"),
        (b"id,label\n1\n", "train.csv: the header has 2 fields, but line 2 has 1"),
        (b"id,id\n1,a\n", "train.csv has two columns named id"),
        (b'id,label\n1,"a\n2,b\n', "train.csv is damaged near line 3"),
        (b"id,label\n1,a\n2,\xe9\n", "train.csv is not UTF-8 text: line 3 holds the byte 0xe9, perhaps Latin-1"),
        ("id,label\n1,\xe9\n".encode("utf-16"), "train.csv is not UTF-8 text: it is UTF-16"),
        ("id,label\n1,a\n".encode("utf-16-le"), "train.csv is not UTF-8 text: line 1 holds a NUL"),
        (b"id,label\n1,a\n2,\0\n", "train.csv is not UTF-8 text: line 3 holds a NUL"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_line(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(put(tmp_path, content))
    assert said in caught.value.problem
    assert "\n" not in caught.value.problem


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv cannot be read: No such file"):
        read_table(tmp_path / "labels.csv")
