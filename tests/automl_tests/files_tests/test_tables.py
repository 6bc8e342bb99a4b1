"""Tables come out as they are written, or are refused with file and line."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl.errors import DataError
from automl.files.tables import (
    Table,
    describe_unread_tables,
    find_documents,
    find_tables,
    find_unread_tables,
    get_table_folder,
    read_header,
    read_table,
    restore_header,
    select_nearest,
)
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
        (
            b"id,label\n1,a\n2,\x81\n",
            "train.csv is not UTF-8 text: line 3 holds the byte 0x81, and it does not read as",
        ),
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
        "deeper/other.csv": "deeper/other.csv",
        "contest.zip/c/train/0.csv": "contest.zip/c/train/0.csv",
    }
    assert list(find_tables(tmp_path, top_only=True)) == ["labels.csv", "test.csv", "train.csv"]
    assert read_table(tables["labels.csv"]).rows == (("1", "pug"),)
    assert read_table(tables["labels.csv"]).name == "labels.csv"
    assert read_header(tables["test.csv"]) == ("id",)


def test_documents_are_found_in_the_same_way(tmp_path: Path) -> None:
    put_zip(tmp_path / "train2019.json.zip", {"train2019.json": b"{}"})
    (tmp_path / "test2019.JSON").write_text("{}")
    (tmp_path / "train.csv").write_text("id\n")
    assert list(find_documents(tmp_path)) == ["test2019.JSON", "train2019.json"]


def test_tables_of_all_formats_are_found_and_the_top_goes_first(tmp_path: Path) -> None:
    names = ["z.tsv", "train.csv.gz", "train.jsonl", "val_list.txt", "data/train/metadata.csv", "a/b/c/labels.csv"]
    for name in [*names, "README.txt", "classes.txt", "data/notes.md", "automl_runs/x/folds.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a.jpg 0\n")
    (tmp_path / "test_notes.txt").write_text("some words\nthat are no table\n")
    (tmp_path / "train_test_split.txt").write_text("1 0\n2 1\n")  # numbers of lines in another file
    assert list(find_tables(tmp_path)) == [*sorted(names[:4]), "data/train/metadata.csv", "a/b/c/labels.csv"]


def test_a_file_that_is_unpacked_is_found_once(tmp_path: Path) -> None:
    put_zip(tmp_path / "all.zip", {"a/meta/labels.csv": b"id\n", "a/test/ids.csv": b"id\n", "a/x/1.jpg": b"x"})
    for name in ("a/meta/labels.csv", "all/a/test/ids.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("id\n")
    assert list(find_tables(tmp_path)) == ["a/meta/labels.csv", "all/a/test/ids.csv"]


def test_tables_beside_each_image_are_none_of_all_images(tmp_path: Path) -> None:
    for folder, suffix, n_files in (("boxes", "csv", 201), ("labels", "txt", 21), ("few", "csv", 200)):
        (tmp_path / folder).mkdir()
        for number in range(n_files):
            (tmp_path / folder / f"train_{number:03d}.{suffix}").write_text("0 0.5 0.5\n")
    put(tmp_path, "id,label\n1,a\n")
    tables = find_tables(tmp_path)
    assert next(iter(tables)) == "train.csv"
    assert {name.partition("/")[0] for name in tables} == {"train.csv", "few"}
    assert find_unread_tables(tmp_path)["labels/"].startswith("it has 21 tables, such as labels/train_")


def test_tables_that_cannot_be_read_are_listed_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "meta").mkdir()
    for name in ("train.xls", "meta/labels.ods", "labels.db", "train.xlsx", "train_list.txt", "a.csv"):
        (tmp_path / name).write_bytes(b"x\0\0\0y")
    (tmp_path / "good.csv").write_text("id,label\n1,a\n")
    (tmp_path / "labels.txt").write_text("a.jpg, golden retriever, x\nb.jpg, pug\nc.jpg\n")
    for name, text in (
        ("train.txt", "cat/1\ncat/2\n"),
        ("test_readme.txt", "Some\nmore words\n"),
        ("val.txt", "1 0\n"),
    ):
        (tmp_path / name).write_text(text)
    assert list(find_tables(tmp_path)) == ["a.csv", "good.csv", "train.xlsx"]
    lines = describe_unread_tables(tmp_path)
    assert [line.split(" ")[0] for line in lines] == [
        "a.csv",
        "labels.db",
        "labels.txt",
        "train.xls",
        "train.xlsx",
        "train_list.txt",
        "meta/labels.ods",
    ]
    assert lines[2].startswith("labels.txt is not read: it is no table: line 2 has 2 fields, and line 1 has 4")
    assert lines[3] == "train.xls is not read: it is a workbook of old Excel"
    assert "pip install 'automl[xlsx]'" in lines[4]


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
        (b"id,label\n1,\x81\n", None),
        ("\n\nTitle\nid|label\n1|é\n".encode("utf-16"), ("id", "label")),
        (b"sep=;\nid;label;\n1;a;\n", ("id", "label")),
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


def test_a_table_knows_its_name_its_folder_and_what_was_left_out(tmp_path: Path) -> None:
    path = tmp_path / "data" / "train" / "metadata.csv"
    path.parent.mkdir(parents=True)
    path.write_text("file_name,label\na.png,cat\n,\n")
    table = read_table(path, name="data/train/metadata.csv", root=tmp_path)
    assert (table.name, table.folder, len(table.rows)) == ("data/train/metadata.csv", "data/train/", 1)
    assert table.notes == ("warning: data/train/metadata.csv: 1 blank row left out",)
    assert get_table_folder(tmp_path / "train.csv", tmp_path) == ""
    assert get_table_folder(tmp_path / "train.zip" / "train" / "metadata.csv", tmp_path) == "train.zip/train/"
    with pytest.raises(DataError, match="the header has 2 fields, but line 2 has 3"):
        read_table(put(tmp_path, "id,fold\n1,0,\n"), strict=True)


def test_the_nearest_names_lie_in_the_fewest_folders() -> None:
    assert select_nearest(["a/b/s.csv", "a/s.csv", "b/s.csv"]) == ["a/s.csv", "b/s.csv"]
    assert select_nearest([]) == []


IMAGES = {"a.png", "b.png", "c.png", "0.png", "1.png", "2.png", "image.png"}


def is_image(cell: str) -> bool:
    return cell in IMAGES or f"{cell}.png" in IMAGES


@pytest.mark.parametrize(
    "content",
    [
        "a,cat\nb,dog\n",
        "a.png,cat\nb.png,dog\n",
        "cat,a\ndog,b\n",
        "a,0,0\nb,0,1\n",  # the first row repeats itself
        "0,1\n1,1\n2,0\n",  # as pandas numbers columns, but no row is 0
        "7,1\n8,0\n",  # numbers in all cells, of images that are not there
        "a b.png,cat\n\na,dog\nb,cat\nc,dog\n".removeprefix("a b.png,cat\n"),
    ],
)
def test_a_first_row_that_is_like_the_others_is_no_header(tmp_path: Path, content: str) -> None:
    table = read_table(put(tmp_path, content), is_image=is_image)
    rows = tuple(tuple(line.split(",")) for line in content.split())
    assert table.rows == rows
    assert table.header == tuple(f"column_{number}" for number in range(1, len(rows[0]) + 1))
    assert len(table.lines) == len(rows)
    assert any("train.csv has no header" in note for note in table.notes)


@pytest.mark.parametrize(
    "content",
    [
        "id,label\na,cat\n",
        "image,label\na,cat\nb,dog\n",  # there is an image of that name
        "0,1\na.png,cat\nb.png,dog\n",  # columns that pandas numbered
        "0,1\n0.png,1\n1.png,0\n",
        "0,1\n0,1\n1,0\n",
        ",0,1\n0,a,1\n1,b,0\n",
        "id,2019\na,7\n",
        "file,1\na.png,0\n",
    ],
)
def test_a_header_stays_one(tmp_path: Path, content: str) -> None:
    table = read_table(put(tmp_path, content), is_image=is_image)
    assert (table.header, table.notes) == (tuple(content.split("\n")[0].split(",")), ())


def test_keys_of_records_are_a_header_whatever_they_are_called(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"a": "b", "0": 1}\n')
    assert read_table(path, is_image=is_image).header == ("a", "0")


CELLS = st.text(
    st.characters(codec="cp1252", exclude_characters="\r\n\0", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6
).filter(lambda cell: bool(cell.strip()) and not cell.startswith("#"))
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.tuples(
        st.lists(CELLS, min_size=width, max_size=width, unique=True),
        st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=5),
    )
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    above=st.sampled_from(["", "sep={}", "# made by us"]),
)
def test_any_table_of_text_comes_back_cell_for_cell_or_is_refused(
    tmp_path: Path,
    content: tuple[list[str], list[list[str]]],
    delimiter: str,
    encoding: str,
    line_end: str,
    quoting: Literal[0, 1],
    above: str,
) -> None:
    header, rows = content
    text = io.StringIO(newline="")
    text.write(above.format(delimiter) + line_end if above else "")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows([header, *rows])
    path = put(tmp_path, text.getvalue().encode(encoding))
    try:
        table = read_table(path)
    except DataError as error:
        assert "\n" not in error.problem
        return
    if delimiter == table.delimiter:
        assert (list(table.header), [list(row) for row in table.rows]) == (header, rows)
    else:  # a text that another separator divides as well
        assert len(set(map(len, csv.reader(text.getvalue().splitlines(), delimiter=table.delimiter)))) <= 2


WORDS = st.sampled_from(["cat", "00012", "1e5", "NA", "café", "Ökö", "a b", "x_1.png", "1.5", "True"])
PLAIN_TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(WORDS, min_size=width, max_size=width), min_size=1, max_size=5)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=PLAIN_TABLES,
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    above=st.sampled_from(["", "sep={}", "# made by us", "A title"]),
    n_blank=st.integers(0, 3),
)
def test_an_ordinary_table_comes_back_however_it_is_written(
    tmp_path: Path,
    rows: list[list[str]],
    delimiter: str,
    encoding: str,
    line_end: str,
    quoting: Literal[0, 1],
    above: str,
    n_blank: int,
) -> None:
    header = [f"column {number}" for number in range(len(rows[0]))]
    text = io.StringIO(newline="")
    text.write(above.format(delimiter) + line_end if above else "")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows([header, *rows])
    text.write((delimiter * (len(header) - 1) + line_end) * n_blank)
    table = read_table(put(tmp_path, text.getvalue().encode(encoding)))
    assert (list(table.header), [list(row) for row in table.rows]) == (header, rows)
    assert table.lines == tuple(range(2 + bool(above), 2 + bool(above) + len(rows)))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=TABLES, suffix=st.sampled_from([".jsonl", ".xlsx", ".parquet", ".feather"]))
def test_any_table_of_cells_comes_back_cell_for_cell(
    tmp_path: Path, content: tuple[list[str], list[list[str]]], suffix: str
) -> None:
    header, rows = content
    path = tmp_path / f"train{suffix}"
    write_cells(path, header, rows)
    table = read_table(path)
    assert (list(table.header), [list(row) for row in table.rows]) == (header, rows)


def write_cells(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in rows))
    elif path.suffix == ".xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        for number, row in enumerate([header, *rows], start=1):
            for column, text in enumerate(row, start=1):
                cell = book.active.cell(number, column, text)
                cell.data_type = "s"  # also where it looks like a formula or an error
        book.save(path)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import feather, parquet

        table = pyarrow.table(dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)))
        (parquet.write_table if path.suffix == ".parquet" else feather.write_feather)(table, str(path))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=60), st.text("ab01,;|\t \"'#.\n\r=é", max_size=40).map(str.encode)))
@pytest.mark.parametrize("name", ["train.csv", "train.txt", "train.jsonl", "train.csv.gz", "train.xlsx"])
def test_no_file_ends_in_anything_but_an_error_in_words(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    try:
        table = read_table(path, is_image=lambda cell: cell.startswith("a"))
    except DataError as error:
        assert name in error.problem
        assert "\n" not in error.problem
    else:
        assert {len(row) for row in table.rows} == {len(table.header)}
        assert isinstance(restore_header(table, is_image), Table)
