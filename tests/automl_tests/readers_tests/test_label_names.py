"""Labels, cells and columns that different hands wrote are matched one to one, or not at all."""

from __future__ import annotations

import unicodedata
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.readers.label_names import (
    NamedLabel,
    find_named_label,
    match_columns,
    match_spelling,
    match_targets,
    merge_unicode_forms,
    normalize_label,
    order_two_classes,
    sort_booleans,
)
from tests.automl_tests.readers_tests.labels import labels_of

CAFE, DECOMPOSED = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
PETS = ("cat", "dog", "owl")
NAMES = st.lists(st.text(alphabet="abcdxyz", min_size=1, max_size=4), min_size=2, max_size=6, unique_by=normalize_label)


@pytest.mark.parametrize(
    ("column", "named"),
    [
        ("is_fake", NamedLabel("fake", negated=False)),
        ("isFake", NamedLabel("fake", negated=False)),
        ("fakeProb", NamedLabel("fake", negated=False)),
        ("p(fake)", NamedLabel("fake", negated=False)),
        ("isfake", NamedLabel("fake", negated=False)),
        ("not_fake", NamedLabel("fake", negated=True)),
        ("is_not_fake", NamedLabel("fake", negated=True)),
        ("non-fake", NamedLabel("fake", negated=True)),
        ("not_non_fake", NamedLabel("fake", negated=False)),
        ("is_real", NamedLabel("real", negated=False)),
        ("target", None),
        ("unreal", None),
        ("fake_or_real", None),
        ("fakery", None),
    ],
)
def test_a_column_is_named_after_a_label_that_is_a_word_of_it(column: str, named: NamedLabel | None) -> None:
    assert find_named_label(column, ["fake", "real"]) == named


def test_a_longer_label_goes_before_one_inside_it_and_numbers_need_a_word_of_probability() -> None:
    assert find_named_label("wild_cat_prob", ["cat", "wild cat"]) == NamedLabel("wild cat", negated=False)
    assert find_named_label("is_no_finding", ["No Finding", "Edema"]) == NamedLabel("No Finding", negated=False)
    assert find_named_label("prob_0", ["0", "1"]) == NamedLabel("0", negated=False)
    assert find_named_label("class_1", ["0", "1"]) == NamedLabel("1", negated=False)
    assert find_named_label("target_0", ["0", "1"]) is None
    assert find_named_label(f"is_{DECOMPOSED}", [CAFE, "tea"]) == NamedLabel(CAFE, negated=False)


@pytest.mark.parametrize(
    ("labels", "written", "renamed"),
    [
        (("0.0", "1.0", "2.0"), ["0"], {"0.0": "0", "1.0": "1", "2.0": "2"}),
        (("0", "1", "2"), ["0.0"], {"0": "0.0", "1": "1.0", "2": "2.0"}),
        (("7", "10", "11"), ["07"], {"7": "07"}),
        (("cat", "dog"), ["Cat"], {"cat": "Cat", "dog": "Dog"}),
        (("wild cat", "dog"), ["wild_cat"], {"wild cat": "wild_cat"}),
        (("Wild Cat", "wild dog"), ["wild cat", "WILD DOG"], {"Wild Cat": "wild cat", "wild dog": "WILD DOG"}),
        ((DECOMPOSED, "tea"), [CAFE], {DECOMPOSED: CAFE}),
        (("0", "1"), ["True"], {"0": "False", "1": "True"}),
        (("no", "yes"), ["N"], {"no": "N", "yes": "Y"}),
        (("cat", "dog"), ["cat"], {}),
        (("cat", "dog"), ["bat"], {}),
        (("0", "1"), ["0.0"], {}),  # as good a probability
        (("cat", "Cat"), ["CAT"], {}),  # which of both is not known
        (("cat", "dog"), [], {}),
    ],
)
def test_labels_are_written_as_the_sample_writes_some_of_them(
    labels: tuple[str, ...], written: list[str], renamed: dict[str, str]
) -> None:
    matched = match_spelling(labels, written, source="sample.csv")
    assert {label: text for label, text in matched.renamed.items() if label != text} == renamed
    assert len(matched.lines) == bool(renamed)
    assert all("sample.csv" in line for line in matched.lines)


def test_a_guess_of_how_a_label_is_written_is_a_warning() -> None:
    assert match_spelling(PETS, ["Cat"], source="s").lines[0].startswith("warning: ")
    assert not match_spelling(PETS, ["Cat", "Dog", "Owl"], source="s").lines[0].startswith("warning: ")


@pytest.mark.parametrize(
    "columns",
    [
        ("owl", "cat", "dog"),
        ("p_owl", "p_cat", "p_dog"),
        ("owl prob", "cat prob", "dog prob"),
        ("P(owl)", "P(cat)", "P(dog)"),
        ("OWL", "Cat", "dog"),
        ("Status_Owl", "Status_Cat", "Status_Dog"),
    ],
)
def test_columns_are_matched_with_labels_by_name_whatever_begins_and_ends_them(columns: tuple[str, ...]) -> None:
    renamed = match_columns(columns, PETS).renamed or {pet: pet for pet in PETS}
    assert [renamed[pet] for pet in ("owl", "cat", "dog")] == list(columns)


def test_what_begins_all_labels_and_no_column_is_no_part_of_either() -> None:
    labels = ("pet cat", "pet dog", "pet owl")
    assert match_columns(PETS, labels).renamed == {"pet cat": "cat", "pet dog": "dog", "pet owl": "owl"}
    assert match_columns(PETS[:2], labels).renamed == {}
    assert "each label is called pet" in match_columns(PETS, labels).lines[0]


@pytest.mark.parametrize(
    "columns",
    [("p_owl", "p_cat", "p_bat"), ("a", "b", "c"), ("class_1", "class_2", "class_3"), ("p_owl", "cat", "dog_")],
)
def test_columns_that_are_no_pairs_with_the_labels_are_not_matched(columns: tuple[str, ...]) -> None:
    assert match_columns(columns, PETS).renamed == {}


@given(NAMES, st.randoms(), st.sampled_from(["", "p_", "is "]))
def test_the_order_of_columns_never_changes_which_label_is_which(names: list[str], random: Random, start: str) -> None:
    columns = [f"{start}{name}" for name in names]
    expected = match_columns(columns, names).renamed or {name: name for name in names}
    assert expected == {name: f"{start}{name}" for name in names}
    random.shuffle(columns)
    assert (match_columns(columns, names).renamed or {name: name for name in names}) == expected


@given(
    NAMES,
    st.randoms(),
    st.sampled_from(["", "_mean", " (g)"]),
)
def test_targets_are_columns_by_name_in_any_order(names: list[str], random: Random, end: str) -> None:
    columns = [f"{name}{end}" for name in names]
    random.shuffle(columns)
    found = match_targets(columns, names)
    assert found is not None
    assert [columns[at] for at in found] == [f"{name}{end}" for name in names]


def test_targets_of_other_names_or_of_another_number_are_not_matched() -> None:
    assert match_targets(["height", "mass"], ["a", "b"]) is None
    assert match_targets(["a", "b"], ["a"]) is None
    assert match_targets(["t_b", "t_a"], ["a", "b"]) == (1, 0)


def test_one_class_in_two_unicode_forms_is_one_class_and_it_is_told() -> None:
    labels, lines = merge_unicode_forms(labels_of(CAFE, DECOMPOSED, "tea"))
    assert labels.texts == (CAFE, CAFE, "tea")
    assert "two Unicode forms" in lines[0]
    alone = labels_of(DECOMPOSED, "tea")
    assert merge_unicode_forms(alone) == (alone, ())


def test_which_of_two_classes_is_1_is_told_unless_it_is_plain() -> None:
    assert order_two_classes(("0", "1"), "target", "s") == (("0", "1"), ())
    assert order_two_classes(("FALSE", "TRUE"), "target", "s") == (("FALSE", "TRUE"), ())
    assert order_two_classes(("Yes", "no"), "target", "s") == (("no", "Yes"), ())
    classes, lines = order_two_classes(("fake", "real"), "target", "s")
    assert classes == ("fake", "real")
    assert [line.partition(":")[0] for line in lines] == ["warning", "suggestion"]
    assert order_two_classes(("fake", "real"), "is_fake", "s")[0] == ("real", "fake")
    negated = order_two_classes(("fake", "real"), "not_fake", "s")
    assert negated[0] == ("fake", "real")
    assert negated[1][0].startswith("warning: ")


def test_a_yes_and_a_no_are_known_in_any_letters() -> None:
    assert sort_booleans(["True", "False"]) == ("False", "True")
    assert sort_booleans(["cat", "dog"]) is None
    assert sort_booleans(["no", "yes", "maybe"]) is None
