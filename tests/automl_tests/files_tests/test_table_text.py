"""Text is read in its encoding and by its separator, or refused; what cannot be told is said."""

from __future__ import annotations

import codecs

import pytest

from automl.errors import DataError
from automl.files.table_text import BLANKS, RawTable, convert_to_utf8, detect_delimiter, parse_text

WORDS = "id,label\n1,café\n2,señor\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (WORDS.encode("utf-8"), None),
        (WORDS.encode("utf-8-sig"), None),
        (WORDS.encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + WORDS.encode("utf-16-be"), "UTF-16"),
        (WORDS.encode("utf-16-le"), "UTF-16-LE"),
        (WORDS.encode("utf-16-be"), "UTF-16-BE"),
        (WORDS.encode("utf-32"), "UTF-32"),
        (WORDS.encode("cp1252"), "cp1252"),
    ],
    ids=["UTF-8", "with a mark", "UTF-16", "big-endian", "no mark", "no mark, big-endian", "UTF-32", "cp1252"],
)
def test_a_text_is_read_in_its_encoding_which_is_told(content: bytes, note: str | None) -> None:
    text, notes = convert_to_utf8(content, "train.csv")
    assert text.decode() == WORDS
    assert len(notes) == (note is not None)
    assert all("train.csv" in line and str(note) in line for line in notes)


def test_western_letters_are_told_with_one_word_of_the_file() -> None:
    _, (line,) = convert_to_utf8(WORDS.encode("cp1252"), "train.csv")
    assert line.startswith("warning: ")
    assert "such as café" in line
    assert "other encodings of one byte a letter cannot be told from it" in line


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("id,label\n1,猫\n2,狗\n", "gb18030"),
        ("id,label\n1,金毛寻回犬\n", "gb18030"),
        ("id,label\n1,猫\n2,犬\n", "shift_jis"),
        ("id,label\n1,カタカナ\n", "shift_jis"),
        ("id,label\n1,강아지\n2,고양이\n", "euc_kr"),
        ("id,label\n1,貓\n2,狗\n", "big5"),
        ("id,label\n1,кошка\n2,собака\n", "cp1251"),
        ("id,label\n1,кот\n2,пёс\n", "koi8_r"),
        ("id,label\n1,γάτα\n", "cp1253"),
        ("id,label\n1,café\n", "cp850"),
        ("id,label\n1,café\n2,Müller\n", "mac_roman"),
    ],
)
def test_letters_of_other_alphabets_are_not_taken_for_western_ones(text: str, codec: str) -> None:
    with pytest.raises(DataError, match="does not read as Windows-1252") as caught:
        convert_to_utf8(text.encode(codec), "train.csv")
    assert caught.value.hint == "save the file as CSV with encoding UTF-8"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,label\n1,\xc3\xa9\n2,\xe9\n", "line 3 holds the byte 0xe9"),  # UTF-8 that is damaged
        (b"id,label\n1,a\n2,\0\n", "line 3 holds a NUL"),
        (b"id,label\n1,\x01\xe9\n", "line 2 holds the byte 0xe9"),
        (codecs.BOM_UTF16_LE + "id,label\n".encode("utf-16-le") + b"\x00", "not to its end"),
        (codecs.BOM_UTF16_LE + "id\0,label\n".encode("utf-16-le"), "UTF-16 and holds a NUL"),
        (b"\x1f\x8b\x08\x00\xff", "it is packed by gzip"),
        (b"BZh9\xff", "it is packed by bzip2"),
        (b"PK\x03\x04\xff", "a workbook of Excel"),
        (b"PAR1\xff", "it is Parquet"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line_or_what_it_is(content: bytes, expected: str) -> None:
    with pytest.raises(DataError, match=r"^train\.csv") as caught:
        convert_to_utf8(content, "train.csv")
    assert expected in caught.value.problem


def test_a_file_of_our_own_is_utf_8_or_refused() -> None:
    assert convert_to_utf8(WORDS.encode(), "folds.csv", strict=True) == (WORDS.encode(), [])
    for codec in ("utf-16", "cp1252"):
        with pytest.raises(DataError, match="is not UTF-8 text"):
            convert_to_utf8(WORDS.encode(codec), "folds.csv", strict=True)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "cp1252"])
def test_the_first_bytes_of_a_text_are_cut_to_whole_lines(codec: str) -> None:
    whole = ("id,label\n" + "1,é\n" * 50).encode(codec)
    for n_bytes in (60, 61, 62, 63):
        text, _ = convert_to_utf8(whole[:n_bytes], "train.csv", is_cut=True)
        assert text.decode().endswith("\n")
        assert set(text.decode().splitlines()) <= {"id,label", "1,é"}


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("id,label\n1,a\n", ","),
        ("id;label\n1;a\n", ";"),
        ("id\tlabel\n1\ta\n", "\t"),
        ("id|label\n1|a\n", "|"),
        ("id;value\n1;0,5\n2;1,5\n", ";"),  # a decimal comma
        ("id;labels\n1;a,b\n2;c,d\n", ";"),
        ("id,labels\n1,a|b\n2,c|d\n", ","),
        ("name, of file;label\n1;a\n2;b\n", ";"),  # as many commas as semicolons
        ("id\n1\n", ","),
        ("id;value\n1;0,5\n2;1,5;6\n", ";"),  # damaged, and no table of commas with a title
        ("title\nid;label\n1;a\n", ";"),
    ],
)
def test_the_separator_is_the_one_that_all_rows_have_equally_often(text: str, delimiter: str) -> None:
    assert detect_delimiter(text.encode()) == delimiter


def parse(text: str, **how: bool) -> RawTable:
    return parse_text(text.encode(), "train.csv", **how)


@pytest.mark.parametrize(
    "text",
    [
        "# exported 2024-05-01\nid,label\n1,a\n",
        "# exported, with care, by hand\n# again\n\nid,label\n1,a\n",
        "# it's \"quoted\nid,label\n1,a\n",
    ],
)
def test_comments_above_the_header_are_left_out_and_told(text: str) -> None:
    table = parse(text)
    assert table.rows == [("id", "label"), ("1", "a")]
    assert table.lines == [text.count("\n") - 1, text.count("\n")]
    assert "left out above the header" in table.notes[0]


@pytest.mark.parametrize(
    ("text", "header"), [("#id,label\n1,a\n", "#id"), ("# made by us\n#id,label\n1,a\n", "#id"), ("#1,a\n#2,b\n", "#1")]
)
def test_a_header_that_begins_with_a_hash_stays(text: str, header: str) -> None:
    assert parse(text).rows[0][0] == header


@pytest.mark.parametrize("text", ["# id,label\n1,a\n", "# Doe, Jane\nid,label\n1,a\n", "#id,label\n# note\n1,a\n"])
def test_a_comment_that_may_be_the_header_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(DataError, match=r"line 1 of train\.csv begins with # and has as many fields as the rows"):
        parse(text)


@pytest.mark.parametrize(("line", "between"), [("sep=;", ";"), ('"sep=;"', ";"), ("sep=\t", "\t"), ("sep=|", "|")])
def test_the_line_in_which_excel_names_the_separator_is_no_row(line: str, between: str) -> None:
    table = parse(f"{line}\r\nid{between}label\r\n1{between}a,b\r\n")
    assert (table.rows, table.lines) == ([("id", "label"), ("1", "a,b")], [2, 3])


def test_quotes_behind_blanks_are_quotes() -> None:
    assert parse('"id", "label"\n"1", "a, b"\n').rows == [("id", "label"), ("1", "a, b")]
    assert parse("id, label\n1, a\n").rows == [("id", " label"), ("1", " a")]


def test_blanks_separate_fields_in_a_text_file_with_equally_many_of_them() -> None:
    table = parse("a.jpg   0\nb.jpg\t 1\n", may_have_blanks=True)
    assert (table.delimiter, table.rows) == (BLANKS, [("a.jpg", "0"), ("b.jpg", "1")])
    assert parse("a b.jpg,0\nc d.jpg,1\n", may_have_blanks=True).rows == [("a b.jpg", "0"), ("c d.jpg", "1")]
    several = parse("x/a.jpg golden  retriever\nx/b.jpg pug\n", may_have_blanks=True)
    assert several.rows == [("x/a.jpg", "golden  retriever"), ("x/b.jpg", "pug")]
    assert parse("id label\n1 a\n").rows == [("id label",), ("1 a",)]  # in a .csv a blank may be of a name


@pytest.mark.parametrize(
    "text", ["a.jpg 0\nb.jpg\n", "a 0\nb golden retriever\n", "cat\ndog\n", "This is a text.\nIt has lines.\n"]
)
def test_a_text_file_without_equal_rows_is_no_table(text: str) -> None:
    with pytest.raises(DataError, match="is no table"):
        parse(text, may_have_blanks=True)


def test_a_file_of_our_own_has_nothing_above_its_header() -> None:
    assert parse("sep=;\n1;a\n", strict=True).rows[0] == ("sep=", "")
