"""One id in the forms in which systems and programs write it."""

from __future__ import annotations

import pytest

from automl.files.id_forms import (
    clean_id,
    clean_text,
    decode_url,
    drop_parents,
    drop_zeros,
    get_stem,
    has_one_width,
    ignore_case,
    ignore_width,
    is_fraction,
    is_shifted,
    parse_whole_number,
)


@pytest.mark.parametrize(
    ("image_id", "path"),
    [
        ("train/a.png", "train/a.png"),
        (" 'train\\a.png' ", "train/a.png"),
        ("\u201ca.png\u201d", "a.png"),
        ("\ufeffa\u200b", "a"),
        ("/data//train/./a.png", "data/train/a.png"),
        ("C:\\data\\\\a.png", "data/a.png"),
        ("\\\\?\\D:\\a.png", "a.png"),
        ("\\\\server\\share\\a.png", "server/share/a.png"),
        ("file:///C:/my%20data/a.png", "my data/a.png"),
        ("https://x.org/a/b.png?width=8#top", "x.org/a/b.png"),
        ("s3://bucket/a%20b.png", "bucket/a%20b.png"),
        ("dbfs:/mnt/a.png", "mnt/a.png"),
        ("p001/", "p001"),
        ("a.", "a"),
        ("..", ".."),
        ("../a.png", "../a.png"),
        ("A:12", "A:12"),
        ("", ""),
    ],
)
def test_an_id_becomes_a_plain_path(image_id: str, path: str) -> None:
    assert clean_id(image_id) == path


def test_a_backslash_stays_where_files_have_some_in_their_names() -> None:
    assert clean_id("a\\b.png", has_backslashes=True) == "a\\b.png"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"),
        ("007", "7"),
        ("000", "0"),
        ("7.0", "7"),
        ("7.", "7"),
        ("1,234,567", "1234567"),
        ("1e+05", "100000"),
        ("2e3", "2000"),
        ("1.2e+05", None),  # digits may be lost
        ("1,23", None),
        ("7.5", None),
        ("-7", None),
        ("7a", None),
        ("\uff17", None),
        ("7" * 5000, None),
        ("", None),
    ],
)
def test_a_whole_number_is_read_as_programs_write_it(text: str, number: str | None) -> None:
    assert parse_whole_number(text) == number


def test_a_name_is_rewritten_so_that_it_can_be_compared() -> None:
    assert ignore_case("Train/A.PNG") == "train/a.png"
    assert ignore_width("\uff21\uff17.png") == "A7.png"
    assert [decode_url(text) for text in ("a%20b", "a+b", "a b")] == ["a b"] * 3
    assert [drop_parents(text) for text in ("../../x/a", "x/../a")] == ["x/a", "x/../a"]
    assert clean_text("../Caf%C3%89") == "caf\u00e9"
    assert [drop_zeros(text) for text in ("Train/0007.PNG", "7.0", "a07.png")] == ["train/7.png", "7", "a07.png"]
    assert [get_stem(text) for text in ("a/b.c.png", "7.0", "")] == ["b.c", "7.0", ""]


def test_numbers_are_padded_to_one_width_or_not_at_all() -> None:
    assert all(map(has_one_width, (["7", "12"], ["0007", "0012", "12345"], ["0"], [])))
    assert not any(map(has_one_width, (["0007", "8"], ["07", "007", "7"])))


def test_a_fraction_counts_nothing() -> None:
    assert [is_fraction(text) for text in ("1.5", "-.25", "1.0", "1.", "15", "a.5")] == [True, True, *[False] * 4]


def test_numbers_that_begin_and_end_later_than_others_are_shifted() -> None:
    files = [f"train/{number:03d}.png" for number in range(10)]
    assert is_shifted(["1", "10"], files)
    assert is_shifted(["-", "a"], files)
    assert not is_shifted(["0", "10"], files)
    assert not is_shifted(["3", "5"], files)
