"""Cells are lists of labels by what their parts do elsewhere, and are written as the sample writes lists."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.competition import join_list, split_list
from automl.errors import DataError
from automl.readers.label_lists import LabelLists, choose_separator, find_lists, match_list_spelling, read_lists
from automl.readers.labels.source import LabelOrigin
from tests.automl_tests.readers_tests.labels import labels_of, sample_with

SEPARATORS = (" ", ",", ", ", ";", "|", "[, ]", "[,]", "[', ']", '[", "]', '[","]')


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (("x", "x,y", "y,z", "z"), ","),
        (("x", "x, y", "y, z", "z"), ", "),
        (("x", "x;y", "y;z", "z"), ";"),
        (("x", "x|y", "y|x|z", "z"), "|"),
        (("x", "x y", "y z", "z"), " "),
        (("['x']", "['x', 'y']", "[]"), "[', ']"),
        (('["x"]', '["x","y"]'), '[","]'),
        (("wild x, y", "y", "wild x"), ", "),
        (("1 2", "3 4"), " "),
    ],
)
def test_lists_are_known_by_their_parts_and_so_is_what_separates_them(cells: tuple[str, ...], separator: str) -> None:
    lists = find_lists(labels_of(*cells), sample_with(""))
    assert lists is not None
    assert (lists.separator, lists.is_sure) == (separator, True)
    assert all(join_list(labels, separator) == cell for cell, labels in lists.sets.items())


@pytest.mark.parametrize(
    "cells",
    [("Apple, scab", "Apple, rust", "Grape, rot"), ("Sugar beet", "Maize", "Fat Hen"), ("cat", "dog"), ("a|b", "c|d")],
)
def test_names_of_several_words_are_no_lists(cells: tuple[str, ...]) -> None:
    assert find_lists(labels_of(*cells), sample_with(cells[0])) is None


@pytest.mark.parametrize("sign", [" ", ", ", "|"])
def test_pairs_of_all_with_all_may_be_lists_or_names(sign: str) -> None:
    cells = [f"{state}{sign}{fruit}" for state in ("fresh", "rotten") for fruit in ("apple", "pear")]
    lists = find_lists(labels_of(*cells), sample_with(cells[0]))
    assert lists is not None
    assert not lists.is_sure
    combined = find_lists(labels_of(*cells), sample_with(f"apple{sign}pear"))
    assert combined is not None
    assert combined.is_sure, "as no training image has that"


def test_labels_of_folders_and_names_are_never_lists() -> None:
    for origin in (LabelOrigin.FOLDERS, LabelOrigin.NAMES):
        labels = replace(labels_of("x", "x y", "y z", "z"), origin=origin)
        assert find_lists(labels, sample_with("")) is None
        assert read_lists(labels, sample_with("")).sets["x y"] == ("x y",)


def test_lists_that_are_asked_for_are_split_at_what_may_separate_them() -> None:
    assert read_lists(labels_of("wild cat|dog", "owl"), sample_with("")).sets["wild cat|dog"] == ("wild cat", "dog")
    assert read_lists(labels_of("dark night", "day"), sample_with("")).sets["dark night"] == ("dark", "night")
    assert read_lists(labels_of("night", ""), sample_with("")).sets == {"night": ("night",), "": ()}
    with pytest.raises(DataError, match="masks and boxes"):
        read_lists(labels_of("1 3 10 3", "5 2 7 2"), sample_with(""))


@pytest.mark.parametrize(
    ("value", "separator"),
    [("x,y", ","), ("x y", " "), ("x;z", ";"), ("['x', 'z']", "[', ']"), ("x", "|"), ("", "|"), ("X, Y", ", ")],
)
def test_the_separator_is_that_of_the_samples_lists_or_else_that_of_the_labels(value: str, separator: str) -> None:
    lists = find_lists(labels_of("x", "x|y", "y|z", "z"), sample_with(value))
    assert lists is not None
    assert choose_separator(lists, sample_with(value)).separator == separator


def test_labels_with_blanks_cannot_be_listed_with_blanks() -> None:
    lists = LabelLists({"wild cat|dog": ("wild cat", "dog")}, " ")
    with pytest.raises(DataError, match="but these have blanks: wild cat"):
        choose_separator(lists, sample_with("dog"))


def test_the_labels_of_lists_are_spelled_as_the_sample_spells_them() -> None:
    lists = LabelLists({"cat,dog": ("cat", "dog"), "dog": ("dog",)}, ",")
    spelled, lines = match_list_spelling(lists, sample_with("Cat,Dog"))
    assert spelled.sets == {"cat,dog": ("Cat", "Dog"), "dog": ("Dog",)}
    assert "written as sample_submission.csv writes them" in lines[0]


@given(st.lists(st.sampled_from(["cat", "dog", "owl", "b7"]), unique=True, max_size=4), st.sampled_from(SEPARATORS))
def test_what_is_joined_is_split_again(labels: list[str], separator: str) -> None:
    assert split_list(join_list(labels, separator), separator) == labels
