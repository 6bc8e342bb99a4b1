"""Cells with several labels are told from names with blanks, and are split at the right sign."""

from __future__ import annotations

import pytest

from automl.readers.labels.cells import has_lists, split_into_classes, split_separated_labels

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
