"""CSV files come out as they are written, or are refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.files.tables import find_documents, find_tables, read_header, read_table
from tests.automl_tests.small_competitions import put_zip


def put(folder: Path, content: bytes | str) -> Path:
    path = folder / "train.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_ids_and_labels_stay_the_text_that_is_written(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "id,label\n00012,NA\n1e5,None\n1.2.826,nan\n"))
    assert table.header == ("id", "label")
    assert table.rows == (("00012", "NA"), ("1e5", "None"), ("1.2.826", "nan"))
    assert table.lines == (2, 3, 4)
    assert table.get_column(1) == ["NA", "None", "nan"]


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
    ("content", "expected"),
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
def test_a_damaged_file_is_refused_with_its_name_and_line(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(put(tmp_path, content))
    assert expected in caught.value.problem
    assert "\n" not in caught.value.problem


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv cannot be read: No such file"):
        read_table(tmp_path / "labels.csv")


def test_tables_are_found_at_the_top_of_the_folder_and_of_its_archives(tmp_path: Path) -> None:
    put(tmp_path, "id,label\n1,a\n")
    put_zip(tmp_path / "train.csv.zip", {"train.csv": b"older"})
    put_zip(tmp_path / "labels.csv.zip", {"labels.csv": b"id,breed\n1,pug\n", "__MACOSX/._labels.csv": b"x"})
    put_zip(
        tmp_path / "contest.zip",
        {"c/test.csv": b"id\n1\n", "c/labels.csv": b"x", "c/train/0.csv": b"x", "c/a.jpg": b"x"},
    )
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "other.csv").write_text("id\n")
    (tmp_path / ".hidden.csv").write_text("id\n")
    tables = find_tables(tmp_path)
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in tables.items()} == {
        "labels.csv": "labels.csv.zip/labels.csv",
        "test.csv": "contest.zip/c/test.csv",
        "train.csv": "train.csv",
    }
    assert read_table(tables["labels.csv"]).rows == (("1", "pug"),)
    assert read_table(tables["labels.csv"]).name == "labels.csv"
    assert read_header(tables["test.csv"]) == ("id",)


def test_documents_are_found_in_the_same_way(tmp_path: Path) -> None:
    put_zip(tmp_path / "train2019.json.zip", {"train2019.json": b"{}"})
    (tmp_path / "test2019.JSON").write_text("{}")
    (tmp_path / "train.csv").write_text("id\n")
    assert list(find_documents(tmp_path)) == ["test2019.JSON", "train2019.json"]


def test_a_damaged_archive_of_a_table_matters_only_without_the_table(tmp_path: Path) -> None:
    (tmp_path / "train.csv.zip").write_bytes(b"half")
    with pytest.raises(DataError, match=r"train\.csv\.zip is no archive"):
        find_tables(tmp_path)
    put(tmp_path, "id,label\n1,a\n")
    assert find_tables(tmp_path) == {"train.csv": tmp_path / "train.csv"}


def test_a_table_that_is_a_link_out_of_the_folder_is_not_opened(tmp_path: Path) -> None:
    put(tmp_path, "id,label\n1,a\n")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "inside.csv").write_text("id\n")
    (tmp_path / "root" / "link.csv").symlink_to("inside.csv")
    assert list(find_tables(tmp_path / "root")) == ["inside.csv", "link.csv"]
    (tmp_path / "root" / "train.csv").symlink_to(tmp_path / "train.csv")
    with pytest.raises(DataError, match=r"train\.csv is a link that leads out of"):
        find_tables(tmp_path / "root")


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (b'\xef\xbb\xbf\n"ETT - Abnormal";b;"c\nd"\r\n1;2;3', ("ETT - Abnormal", "b", "c\nd")),
        (b"id", ("id",)),
        (b"id,label\n1,\xff\n", None),
        (b"\n\n", None),
        (b'"id,label\n', None),
    ],
)
def test_a_header_is_read_as_the_table_would_be(tmp_path: Path, content: bytes, header: tuple[str, ...] | None) -> None:
    path = put(tmp_path, content)
    if header is not None:
        assert read_header(path) == header
    else:
        with pytest.raises(DataError, match=r"train\.csv"):
            read_header(path)


def test_no_more_of_a_large_table_is_read_than_its_first_lines(tmp_path: Path) -> None:
    far = b"id,label\n" + b"1,\xc3\xa9\n" * 300_000  # the cut may fall into a letter
    path = put(tmp_path, far + b"\xff\xff")
    assert read_header(path) == ("id", "label")
    put_zip(tmp_path / "t.zip", {"t.csv": far})
    assert read_header(tmp_path / "t.zip" / "t.csv") == ("id", "label")
    with pytest.raises(DataError, match=r"the first line of train\.csv is longer than 1 MB"):
        read_header(put(tmp_path, b"x," * 1_000_000))
