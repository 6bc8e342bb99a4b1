"""Whether numbers are classes or values follows from names, spelling, repetition and gaps, never a placeholder."""

from __future__ import annotations

import pytest

from automl.readers.whole_numbers import Weighing, split_words, weigh_name, weigh_numbers

HUNDRED = [str(number % 100 + 1) for number in range(300)]
GAPS = [str(number * number % 97) for number in range(200)]


def weigh(texts: list[str], column: str = "y", *sample: str, sample_column: str | None = None) -> Weighing:
    return weigh_numbers(texts, column, sample_column or column, sample)


def verdict(weighing: Weighing) -> str:
    assert not (weighing.is_values and weighing.is_classes)
    return "values" if weighing.is_values else "classes" if weighing.is_classes else "unclear"


@pytest.mark.parametrize(
    "column",
    [
        "age",
        "leaf_count",
        "leafCount",
        "price_usd",
        "BMI",
        "temperature",
        "AgeInYears",
        "num_cells",
        "weight (g)",
        "views",
    ],
)
def test_a_column_called_by_what_is_measured_or_counted_holds_values(column: str) -> None:
    for placeholder in ("0", "25", "0.5", "-1"):
        assert verdict(weigh(HUNDRED, column, placeholder)) == "values"


@pytest.mark.parametrize(
    "column", ["class", "category_id", "Species", "breedId", "class_number", "age_group", "diagnosis"]
)
def test_a_column_called_by_what_is_named_holds_classes(column: str) -> None:
    for placeholder in ("0", "25", "0.5", "-1"):
        assert verdict(weigh(HUNDRED, column, placeholder)) == "classes"
        assert verdict(weigh(GAPS, column, placeholder)) == "classes"


def test_the_last_telling_word_of_a_name_is_its_noun() -> None:
    assert weigh_name("age_group") < 0 < weigh_name("group_age")
    assert weigh_name("class weight") > 0 > weigh_name("weight class")
    assert weigh_name("y") == weigh_name("image") == weigh_name("stagecoach") == 0
    assert weigh_name("label") == -1, "measurements are filed under it too"
    assert weigh_name("label_id") == -4


def test_names_are_split_at_signs_and_at_capitals() -> None:
    assert split_words("isFake_prob-2") == ["is", "fake", "prob", "2"]
    assert split_words("BMIValue") == ["bmi", "value"]
    assert split_words("") == []


def test_numbers_in_a_row_of_about_as_many_images_each_are_classes() -> None:
    assert verdict(weigh(HUNDRED)) == "classes"
    assert verdict(weigh(HUNDRED, "label", "0")) == "classes"
    uneven = [*HUNDRED, *["7"] * 40]
    assert verdict(weigh(uneven)) == "unclear"
    assert verdict(weigh(uneven, "label")) == "classes"


def test_numbers_that_hardly_repeat_or_have_gaps_are_no_classes_without_a_name() -> None:
    once = [str(number * 7919 % 5000) for number in range(300)]
    assert verdict(weigh(once)) == "values"
    assert verdict(weigh(once, "label")) == "unclear"
    assert verdict(weigh(GAPS)) == "unclear"
    assert verdict(weigh(GAPS, "label")) == "unclear"


def test_few_numbers_are_classes_unless_their_name_says_otherwise() -> None:
    few = [str(number % 5) for number in range(60)]
    assert verdict(weigh(few)) == "classes"
    assert verdict(weigh(few, "count")) == "unclear"
    assert verdict(weigh([str(1990 + 7 * int(text)) for text in few], "year")) == "values"


def test_fractions_are_values_unless_a_few_of_them_are_called_classes() -> None:
    versions = [f"1.{number % 4 + 1}" for number in range(60)]
    assert verdict(weigh(versions)) == "values"
    assert verdict(weigh(versions, "class")) == "unclear"
    assert not weigh(["1.5", "2.25", "3.5"]).is_doubtful


def test_numbers_with_zeros_before_them_are_codes_and_negative_ones_values() -> None:
    assert verdict(weigh([f"{number % 90:03}" for number in range(200)], "age")) == "classes"
    assert verdict(weigh([f"{number * 7 % 900:03}" for number in range(500)])) == "classes"
    assert verdict(weigh([str(number * 3 - 60) for number in range(50)] * 3)) == "values"


def test_a_sample_that_varies_is_evidence_and_one_that_does_not_is_a_placeholder() -> None:
    assert verdict(weigh(HUNDRED, "y", "0.25", "17.5")) == "values"
    assert verdict(weigh(GAPS, "label", "1", "4")) == "unclear"
    assert verdict(weigh(GAPS, "y", "4 9 1", "9 1 4")) == "classes", "ranked"
    for placeholder in ("", "0", "1", "0.5", "-1", "99.5"):
        lead = weigh(GAPS, "y", placeholder).lead_of_values - weigh(GAPS, "y").lead_of_values
        assert abs(lead) <= 1
        assert verdict(weigh(GAPS, "y", placeholder)) != "classes"


def test_what_decided_is_said_the_weightiest_first() -> None:
    weighing = weigh(HUNDRED, "age", "0")
    assert weighing.subject == "100 whole numbers in column age"
    assert weighing.describe(for_values=True).startswith("the column's name age, 0 in the sample")
    assert weighing.describe(for_values=False) == "1 to 100 without a gap, about 3 images of each"
    assert weighing.is_doubtful
    assert weigh(["1.5", "2.5", "3.5"]).subject == "3 numbers in column y"
    assert weigh(["1", "2", "3"]).describe(for_values=True) == "nothing"
    assert verdict(weigh([])) == "unclear", "as of a column that is blank everywhere"


def test_the_samples_column_is_asked_too_but_its_weak_names_say_nothing() -> None:
    assert verdict(weigh(GAPS, "y", sample_column="age")) == "values"
    assert verdict(weigh(GAPS, "species", sample_column="age")) == "unclear"
    assert weigh(HUNDRED, "y", sample_column="label").pieces == weigh(HUNDRED, "y").pieces
