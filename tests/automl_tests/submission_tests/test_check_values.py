"""Values that are no number, no label or not of the required form are named, and what a scorer accepts is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from automl.metrics.registry import get_metric
from automl.submission.check_file import parse_submission
from automl.submission.check_values import find_value_problems, iterate_values, parse_number
from automl.submission.validate import find_problems, find_warnings
from automl.tasks import Task
from tests.automl_tests.submission_tests.valid_files import COLUMNS, LONG, VALID, form

SPOILT_VALUES = [
    # probabilities
    ("probability", b"0.25", b"", "line 2 has '' for a probability"),
    ("probability", b"0.25", b"a half", "line 2 has 'a half' for a probability"),
    ("probability", b"0.25", b"0_1", "line 2 has '0_1' for a probability"),
    ("probability", b"0.25", "٠".encode(), "for a probability"),
    ("probability", b"0.25", b"nan", "line 2 has a probability that is not finite: nan"),
    ("probability", b"0.25", b"inf", "line 2 has a probability that is not finite: inf"),
    ("probability", b"0.25", b"1.5", "line 2 has the probability 1.5, which is not in [0, 1]"),
    ("probability", b"0.25", b"-1e-9", "line 2 has the probability -1e-9, which is not in [0, 1]"),
    ("columns", b"0.7", b"0.70001", "line 3 has probabilities that sum to 1.00001, not 1"),
    ("columns", b",0.2,0.2,0.6", b",0,0,0", "line 4 has probabilities that sum to 0, not 1"),
    ("long", b"1_b,0.9", b"1_b,0.8", "line 4 begins the image '1', whose probabilities sum to 0.9"),
    ("long", b"1_b,0.9", b"1_b,9", "line 5 has the probability 9, which is not in [0, 1]"),
    ("long", b"1_b", b"1_c", "line 5 has the id '1_c', which the sample has not"),
    # labels
    ("label", b"dog", b"Dog", "line 3 has the label 'Dog', which is written 'dog'"),
    ("label", b"dog", b" dog", "line 3 has the label ' dog', which is written 'dog'"),
    ("label", b"dog", b"cow", "line 3 has the label 'cow', which is not one of the classes"),
    ("label", b"cat", b"cow", "line 2 has the label 'cow', which is not one of the classes, and 1 more line alike"),
    ("label", b"dog", b"", "line 3 has no label"),
    ("label", b"dog", b"dog cat", "line 3 has 2 labels, where one is asked: dog cat"),
    ("grades", b"1,1", b"1,1.0", "line 3 has the label '1.0', which is written '1'"),
    ("grades", b"1,1", b"1,0.7", "line 3 has the label '0.7', which is not one of the classes"),
    # lists of labels
    ("tags", b"2,cat", b"2,cat cow", "line 4 has the label 'cow', which is not one of the classes"),
    ("tags", b"2,cat", b"2,cat cat", "line 4 names 'cat' more than once"),
    ("tags", b"cat dog", b"cat,dog", "line 2 has 3 values, not 2"),
    ("lists", b"2,cat", b"2,cow", "line 4 has the label 'cow', which is not one of the classes"),
    ("lists", b'"cat,dog"', b'"cat, dog"', "line 2 has the list 'cat, dog', which is written 'cat,dog'"),
    ("lists", b'"cat,dog"', b"cat dog", "line 2 has the label 'cat dog', which is not one of the classes"),
    ("lists", b'"cat,dog"', b'"dog,dog"', "line 2 names 'dog' more than once"),
    ("brackets", b"['dog']", b"dog", "line 3 has the list 'dog', which is written '['dog']'"),
    ("brackets", b"['dog']", b"['Dog']", "line 3 has the label 'Dog', which is written 'dog'"),
    # 0 or 1 in columns
    ("flags", b"3,1,1", b"3,1,0.5", "line 2 has '0.5', not 0 or 1"),
    ("flags", b"3,1,1", b"3,1,", "line 2 has '', not 0 or 1"),
    ("one-hot", b"3,1,0", b"3,1,1", "line 2 has 2 columns of 1, where one class is asked"),
    ("one-hot", b"3,1,0", b"3,0,0", "line 2 has 0 columns of 1, where one class is asked"),
    ("one-hot", b"3,1,0", b"3,0.9,0.1", "line 2 has '0.9', not 0 or 1"),
    ("ranked", b"2,c b", b"2,c b a", "line 4 has 3 labels, not at most 2"),
    ("ranked", b"2,c b", b"2,c c", "line 4 names 'c' more than once"),
    ("ranked", b"2,c b", b"2,", "line 4 has no label"),
    ("ranked", b"2,c b", b"2,c 0.5", "line 4 has the label '0.5', which is not one of the classes"),
    # values
    ("values", b"25", b"old", "line 2 has 'old' for a value"),
    ("values", b"25", b"-inf", "line 2 has a value that is not finite: -inf"),
    ("values", b"25", b"", "line 2 has '' for a value"),
]


def test_rows_of_several_images_sum_to_one_and_are_named_by_the_first() -> None:
    long = form("long")
    several = replace(
        long,
        test_ids=("3/1", "3/2", "1", "2/1", "2/2"),
        submission=replace(long.submission, images_of_row=((0, 1), (2,), (3, 4))),
    )
    assert find_problems(several, VALID["long"]) == []
    found = find_problems(several, VALID["long"].replace(b"3_b,0.5", b"3_b,0.4"))
    assert found == ["line 2 begins the image '3/1', whose probabilities sum to 0.9"]


@pytest.mark.parametrize(("name", "was", "becomes", "problem"), SPOILT_VALUES)
def test_a_spoilt_value_is_named(name: str, was: bytes, becomes: bytes, problem: str) -> None:
    assert was in VALID[name]
    content = VALID[name].replace(was, becomes)
    found = find_problems(form(name), content)
    assert any(problem in line for line in found), found
    assert find_warnings(form(name), content) == []


def test_sums_matter_only_where_an_image_has_one_class_and_sizes_are_scored() -> None:
    spoilt = COLUMNS.replace(b"0.7", b"0.9")
    assert find_problems(form("columns"), spoilt)
    several = replace(form("columns"), task=Task.MULTILABEL)
    assert find_problems(several, spoilt) == []
    by_order = replace(form("columns"), metric=get_metric("roc_auc"), metric_given=True)
    assert find_problems(by_order, spoilt) == []
    assert find_problems(replace(by_order, metric_given=False), spoilt)


def test_columns_in_another_order_are_still_read_by_name() -> None:
    content = b"a,id,b,c\n0.5,3,0.25,0.25\n0.1,1,0.2,0.7\n2,2,0.2,0.6\n"
    assert find_problems(form("columns"), content) == [
        "the header's columns are in another order: 'a' where 'id' is",
        "line 4 has the probability 2, which is not in [0, 1]",
    ]


def test_values_are_checked_only_where_the_columns_are_those_of_the_sample() -> None:
    competition = form("columns")
    other = parse_submission(COLUMNS.replace(b"id,a,b,c", b"id,a,b,d").replace(b"0.7", b"7"), competition.submission)
    assert find_value_problems(competition, other) == []
    own = parse_submission(COLUMNS.replace(b"0.7", b"7"), competition.submission)
    assert find_value_problems(competition, own) == ["line 3 has the probability 7, which is not in [0, 1]"]


def test_values_are_read_without_the_id_in_the_order_of_the_sample() -> None:
    competition = form("columns")
    file = parse_submission(b"c,id,a,b\n0.3,3,0.1,0.6\n", competition.submission)
    assert [(row.line, values) for row, values in iterate_values(competition, file)] == [(2, ["0.1", "0.6", "0.3"])]


def test_labels_in_the_long_form_are_0_or_1() -> None:
    competition = form("long")
    template = replace(competition.submission, submission_kind=form("tags").submission.submission_kind)
    labels = replace(competition, submission=template)
    file = parse_submission(LONG, template)
    assert find_value_problems(labels, file) == ["line 2 has '0.5', not 0 or 1, and 3 more lines alike"]


@pytest.mark.parametrize(
    ("text", "number"), [("1e-3", 0.001), (" 2 ", 2.0), ("1_000", None), ("\u0660", None), ("", None), ("cat", None)]
)
def test_a_number_is_what_a_scorer_would_read(text: str, number: float | None) -> None:
    assert parse_number(text) == number
