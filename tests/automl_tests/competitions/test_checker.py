"""The checker complains of each fault that a scorer would refuse, and of nothing else."""

from __future__ import annotations

import pytest

from tests.automl_tests.competitions.checker import Form, agreement, complaints

PROBABILITIES = Form(header=["id", "a", "b"], ids=["01", "02"], holds="number", sums_to_one=True)
LABELS = Form(header=["id", "tags"], ids=["1", "2"], holds="labels", vocabulary=["x", "y"])
RANKING = Form(header=["id", "best"], ids=["1"], holds="ranking", vocabulary=["p", "q", "r"], k=2)
GOOD = b"id,a,b\n01,0.123456789,0.876543211\n02,0.5,0.5\n"


def test_a_file_in_the_right_form_is_accepted() -> None:
    assert complaints(PROBABILITIES, GOOD) == []
    assert complaints(LABELS, b"id,tags\n1,x y\n2,y\n") == []
    assert complaints(RANKING, b"id,best\n1,r p\n") == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (GOOD.replace(b"id,a,b", b"id,b,a"), "header"),
        (GOOD.replace(b"01,", b"1,"), "other ids"),
        (b"id,a,b\n02,0.5,0.5\n01,0.123456789,0.876543211\n", "another order"),
        (GOOD.replace(b"0.5,0.5", b"0.5,0.6"), "the sum"),
        (GOOD.replace(b"0.5,0.5", b"1.5,-0.5"), "outside"),
        (GOOD.replace(b"0.5,0.5", b"nan,0.5"), "not finite"),
        (GOOD.replace(b"0.5,0.5", b"x,0.5"), "no number"),
        (GOOD.replace(b"0.123456789,0.876543211", b"0.1,0.9"), "digits"),
        (GOOD.replace(b"\n", b"\r\n"), "carriage returns"),
        (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
        (GOOD[:-1], "last line"),
        (b",id,a,b\n0,01,0.5,0.5\n1,02,0.5,0.5\n", "header"),
        (GOOD.replace(b"02", b"\xff"), "UTF-8"),
        (GOOD + b"03\n", "number of fields"),
    ],
)
def test_a_fault_in_a_file_of_probabilities_is_named(content: bytes, complaint: str) -> None:
    assert any(complaint in line for line in complaints(PROBABILITIES, content))


@pytest.mark.parametrize(
    ("form", "content", "complaint"),
    [
        (LABELS, b"id,tags\n1,x z\n2,y\n", "vocabulary"),
        (LABELS, b"id,tags\n1,x x\n2,y\n", "twice"),
        (LABELS, b"id,tags\n1,\n2,y\n", "without a label"),
        (LABELS, b"id,tags\n1,x  y\n2,y\n", "vocabulary"),
        (RANKING, b"id,best\n1,r\n", "1 labels instead of 2"),
        (RANKING, b"id,best\n1,r r\n", "twice"),
    ],
)
def test_a_fault_in_a_list_of_labels_is_named(form: Form, content: bytes, complaint: str) -> None:
    assert any(complaint in line for line in complaints(form, content))


def test_agreement_is_the_share_of_right_labels_and_the_correlation_of_numbers() -> None:
    assert agreement(LABELS, b"id,tags\n1,x y\n2,y\n", [["x"], ["y"]]) == 0.75
    assert agreement(RANKING, b"id,best\n1,r p\n", [["r"]]) == 1.0
    assert agreement(PROBABILITIES, b"id,a,b\n01,0.9,0.1\n02,0.1,0.9\n", [["0", "1"], ["1", "0"]]) == pytest.approx(-1)
