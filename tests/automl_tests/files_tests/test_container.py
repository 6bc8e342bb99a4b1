"""What the readers of files of many images share: keys, names and values as text."""

from __future__ import annotations

import pytest

from automl.files.containers.container import find_names, format_value, is_key, name_images


@pytest.mark.parametrize("text", ["a", "ISIC_0015670", "train/0001.jpg", "a b.png", "\u0995", "-1", "a..b"])
def test_a_name_that_a_file_could_have_is_a_key(text: str) -> None:
    assert is_key(text)


@pytest.mark.parametrize(
    "text", ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/", "./a", ".hidden", "a\nb", "a\0b", "x" * 201, "a/./b"]
)
def test_what_leads_elsewhere_or_cannot_be_shown_is_no_key(text: str) -> None:
    assert not is_key(text)


def test_images_are_named_where_each_has_a_name_of_its_own() -> None:
    assert name_images((" a", "b"), 2) == (("a", "b"), True)
    for names in ((), ("a", "a"), ("a", ""), ("a", "../b"), ("a",)):
        assert name_images(names, 2) == (("row0", "row1"), False)


def test_the_likeliest_column_of_distinct_names_names_the_images() -> None:
    assert find_names({"label": ("x", "y"), "Image_ID": ("1", "2"), "id": ("3", "4")}) == ("1", "2")
    assert find_names({"id": ("3", "3"), "path": ("a.jpg", "b.jpg")}) == ("a.jpg", "b.jpg")
    assert find_names({"label": ("x", "y")}) == ()


def test_values_are_text_as_a_table_would_write_them() -> None:
    values = [True, 7, 0.5, " cat ", b"dog", None, b"\xff", "x" * 1001, [1]]
    assert [format_value(value) for value in values] == ["True", "7", "0.5", "cat", "dog", "", None, None, None]
