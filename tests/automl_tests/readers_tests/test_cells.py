"""Cells with several labels are told from names with blanks, and are split at the right sign."""

from __future__ import annotations

import pytest

from automl.readers.labels.cells import has_lists, normalize_cells, split_into_classes, split_separated_labels
from tests.automl_tests.readers_tests.labels import labels_of, sample_with

LISTS = {
    "class names": (["Sugar beet", "Common wheat", "Common Chickweed", "Maize"], [], False),
    "birds": (["Black footed Albatross", "Sooty Albatross", "Black Tern", "Least Tern"], [], False),
    "tags": (["clear primary", "haze primary", "haze water", "clear water"], [], True),
    "parts of half of them": (["clear primary", "haze primary water", "clear"], [], False),
    "numbers": (["16 0", "25"], [], True),
    "one label each": (["cat", "dog"], [], False),
    "blank cells": (["", "cat"], [], False),
    "a combination in the sample": (["dark night", "bright day"], ["dark day"], True),
    "a training cell in the sample": (["dark night", "bright day"], ["dark night"], False),
}


SEPARATED = {
    "bars": (["Mass", "Mass|Effusion", "Effusion"], {"Mass|Effusion": ("Mass", "Effusion")}),
    "commas and blanks": (["scab, rust", "scab", "rust"], {"scab, rust": ("scab", "rust")}),
    "lists as Python writes them": (["['a', \"b c\"]", "[]"], {"['a', \"b c\"]": ("a", "b c"), "[]": ()}),
    "names of equally many parts": (["Apple, scab", "Apple, rust", "Pear, scab", "Pear, rust"], None),
    "a name with a comma": (["Pepper, bell", "Maize"], None),
    "one label each": (["cat", "dog"], None),
}


@pytest.mark.parametrize("case", SEPARATED)
def test_labels_with_other_signs_between_them_are_seen_where_their_parts_are_labels_elsewhere_too(case: str) -> None:
    cells, expected = SEPARATED[case]
    found = split_separated_labels(cells)
    assert (found is None) == (expected is None)
    assert (found or {}).items() >= (expected or {}).items()


def test_lists_of_the_samples_classes_may_have_one_name_for_none_of_them() -> None:
    assert split_into_classes(["a|b", "No Finding"], ["a", "b"]) == {"a|b": ("a", "b"), "No Finding": ()}
    assert split_into_classes(["a|b", "x", "y"], ["a", "b"]) is None
    assert split_into_classes(["a|x", "b"], ["a", "b"]) is None
    assert split_into_classes(["a", "b"], ["a", "b"]) is None, "nothing to take apart"


@pytest.mark.parametrize("case", LISTS)
def test_cells_hold_lists_where_their_parts_are_labels_elsewhere_too(case: str) -> None:
    cells, values, expected = LISTS[case]
    assert has_lists(cells, values) == expected


NUMBERS = {
    "a blank sample": (["0.0", "1.0", "2.0"], [""], ["0", "1", "2"]),
    "whole numbers in the sample": (["0.0", "1.0", "1.00"], ["1"], ["0", "1", "1"]),
    "fractions in the sample": (["0.0", "1.0", "1.0"], ["0.5"], None),
    "floats in the sample": (["20.0", "30.0"], ["0.0"], None),
    "one number in two forms": (["1.0", "1", "0"], ["0.5"], ["1", "1", "0"]),
    "fractions among the labels": (["0.0", "1.5"], [""], None),
    "words among the labels": (["0.0", "cat"], [""], None),
    "whole numbers": (["0", "1"], [""], None),
    "a blank cell": (["-1.0", "", "1.0"], [""], ["-1", "", "1"]),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_whole_numbers_lose_their_fraction_unless_the_sample_writes_fractions(case: str) -> None:
    cells, values, expected = NUMBERS[case]
    labels = normalize_cells(labels_of(*cells), sample_with(*values))
    assert list(labels.texts) == (expected or cells)
    assert len(labels.evidence) == (expected is not None)


def test_classes_as_columns_of_the_sample_say_how_numbers_are_written() -> None:
    sample = sample_with(("0.5", "0.5"), columns=["0", "1"])
    assert normalize_cells(labels_of("0.0", "1.0"), sample).texts == ("0", "1")


@pytest.mark.parametrize(
    ("yes", "no"), [("True", "False"), ("yes", "no"), ("T", "F"), ("Y", "n"), ("TRUE", "0"), ("1", "-1")]
)
def test_true_and_false_in_several_columns_are_1_and_0(yes: str, no: str) -> None:
    labels = normalize_cells(labels_of((yes, no), (no, ""), columns=["a", "b"]), sample_with("0"))
    assert labels.cells == (("1", "0"), ("0", ""))
    assert "in 2 columns read as 1 and 0" in labels.evidence[0]


def test_columns_of_1_and_minus_1_stay_where_the_sample_has_these() -> None:
    labels = labels_of(("1", "-1"), ("-1", "1"), columns=["a", "b"])
    assert normalize_cells(labels, sample_with("-1")) is labels


@pytest.mark.parametrize("rows", [(("True", "cat"),), (("1", "0"), ("1.0", "0")), (("0.5", "True"),)])
def test_other_cells_of_several_columns_stay_as_they_are(rows: tuple[tuple[str, str], ...]) -> None:
    assert normalize_cells(labels_of(*rows, columns=["a", "b"]), sample_with("0")).cells == rows
    assert normalize_cells(labels_of("True", "False"), sample_with("0")).texts == ("True", "False")
