"""Errors with exit codes of their own, and names and texts that are safe in a message."""

from __future__ import annotations

import pytest

from automl.errors import ERROR_OF_EXIT_CODE, LONGEST_NAME, AutomlError, escape_control_characters, join_names


def test_each_kind_of_error_has_an_exit_code_of_its_own() -> None:
    assert sorted(ERROR_OF_EXIT_CODE) == [2, 3, 4, 5, 6, 7]
    assert set(ERROR_OF_EXIT_CODE.values()) == set(AutomlError.__subclasses__())
    error = ERROR_OF_EXIT_CODE[5]("the disk is full", hint="make room")
    assert (str(error), error.problem, error.hint) == ("the disk is full", "the disk is full", "make room")


@pytest.mark.parametrize(
    ("names", "joined"),
    [
        ([], ""),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        (("a\x1b[31m", "b"), r"'a\x1b[31m', b"),
    ],
)
def test_names_are_joined_and_the_rest_is_counted(names: list[str], joined: str) -> None:
    assert join_names(names) == joined


def test_a_name_that_is_too_long_is_cut() -> None:
    assert join_names(["x" * (LONGEST_NAME + 1)]) == "x" * LONGEST_NAME + "..."
    assert join_names(["x" * LONGEST_NAME]) == "x" * LONGEST_NAME


def test_control_characters_are_escaped_but_for_lines_and_tabs() -> None:
    assert escape_control_characters("é\tb\n\x1b]0;title\x07\u202e") == "é\tb\n\\x1b]0;title\\x07\\u202e"
