"""Every way in which a valid file may be spoilt is named; what is valid is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.data.competition import Competition, SubmissionKind
from automl.metrics.registry import get_metric
from automl.submission.validate import find_problems, find_warnings
from automl.submission.write import write_submission
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.worlds import competition_of
from tests.automl_tests.submission_tests.forms import FORMS, competition_of_form

PROBABILITY = b"id,label\n3,0.25\n1,1\n2,0.5\n"
LABEL = b"id,label\n3,cat\n1,dog\n2,cat\n"
COLUMNS = b"id,a,b,c\n3,0.5,0.25,0.25\n1,0.1,0.2,0.7\n2,0.2,0.2,0.6\n"
TAGS = b"id,label\n3,cat dog\n1,dog\n2,cat\n"
RANKED = b"id,label\n3,b a\n1,a c\n2,c b\n"
VALUES = b"id,age\n3,25\n1,1e2\n2,-0.5\n"
LONG = b"id,p\n3_a,0.5\n3_b,0.5\n1_a,0.1\n1_b,0.9\n2_a,1\n2_b,0\n"
GRADES = b"id,label\n3,0\n1,1\n2,1\n"


def form(name: str) -> Competition:
    three = ("a", "b", "c")
    match name:
        case "probability":
            return competition_of(SubmissionKind.PROBABILITY)
        case "label":
            return competition_of(SubmissionKind.LABEL)
        case "grades":
            return competition_of(SubmissionKind.LABEL, classes=("0", "1"))
        case "columns":
            return competition_of(SubmissionKind.PROBABILITIES, classes=three, header=("id", *three))
        case "tags" | "tags, may be none":
            targets = np.array([[1, 0], [0, int(name == "tags")]])
            return replace(competition_of(SubmissionKind.LABELS), task=Task.MULTILABEL, targets=targets)
        case "ranked":
            ranked = competition_of(SubmissionKind.RANKING, classes=three)
            return replace(ranked, submission=replace(ranked.submission, n_ranked=2))
        case "values":
            values = competition_of(SubmissionKind.VALUES, classes=("age",), header=("id", "age"))
            return replace(values, task=Task.REGRESSION, targets=np.array([[1.0], [2.0]]), scales=((1.0, 2.0),))
    long = competition_of(SubmissionKind.PROBABILITIES, classes=("a", "b"), header=("id", "p"))
    cells = tuple((image, column) for image in range(3) for column in range(2))
    ids = tuple(f"{long.test_ids[image]}_{long.classes[column]}" for image, column in cells)
    return replace(long, submission=replace(long.submission, ids=ids, cells=cells))


VALID = {
    "probability": PROBABILITY,
    "label": LABEL,
    "grades": GRADES,
    "columns": COLUMNS,
    "tags": TAGS,
    "tags, may be none": TAGS.replace(b"2,cat", b"2,"),
    "ranked": RANKED,
    "values": VALUES,
    "long": LONG,
}

SPOILT = [
    # the file
    ("probability", PROBABILITY, b"\xef\xbb\xbf" + PROBABILITY, "it begins with a byte order mark"),
    ("probability", b"\n", b"\r\n", "line 1 has a carriage return, and 3 more lines alike"),
    ("probability", b"\n1,1", b"\r\n1,1", "line 2 has a carriage return"),
    ("probability", b"3,", b"\xff,", "line 2 is not UTF-8: it has the byte 0xff"),
    ("probability", b"0.5\n", b"0.5", "its last line does not end"),
    ("probability", PROBABILITY, b"", "it is empty"),
    ("label", b"dog", b'"dog', "line 4 cannot be read as CSV: unexpected end of data"),
    # the header
    ("probability", b"id,label", b"Id,label", "the header has the column 'Id', which is written 'id'"),
    ("probability", b"id,label", b"id, label", "the header has the column ' label', which is written 'label'"),
    ("probability", b"id,label", b"name,label", "the header lacks the column 'id'"),
    ("probability", b"id,label", b"name,label", "the header has the column 'name', which the sample has not"),
    ("columns", b",", b";", "its values are separated by semicolons: write commas"),
    ("probability", b",", b"\t", "its values are separated by tabs: write commas"),
    ("probability", PROBABILITY, PROBABILITY.decode().encode("utf-16"), "it is written in UTF-16: write UTF-8"),
    ("probability", PROBABILITY, b"PK\x03\x04\x00\xff", "it is a workbook or an archive, not a CSV: save it as CSV"),
    ("probability", b"id,label", b",id,label", "begins with '', the index of a data frame"),
    ("probability", b"id,label", b"Unnamed: 0,id,label", "begins with 'Unnamed: 0', the index of a data frame"),
    ("columns", b"id,a,b,c", b"id,b,a,c", "columns are in another order: 'b' where 'a' is"),
    ("columns", b"id,a,b,c", b"id,a,b,b", "the header has the column 'b' more than once"),
    ("columns", b"id,a,b,c", b"id,a,b,d", "the header lacks the column 'c'"),
    ("probability", b"id,label\n", b"", "the header lacks the columns 'id', 'label'"),
    # the rows
    ("probability", b"2,0.5\n", b"", "it has 2 rows, not 3"),
    ("probability", b"2,0.5\n", b"2,0.5\n4,0.5\n", "it has 4 rows, not 3"),
    ("probability", b"1,1\n", b"1,1,1\n", "line 3 has 3 values, not 2"),
    ("probability", b"1,1\n", b"1\n", "line 3 has 1 values, not 2"),
    # the ids
    ("probability", b"2,0.5\n", b"", "the id of the sample is missing: 2"),
    ("probability", b"\n3,", b"\n03,", "line 2 has the id '03', which the sample has not"),
    ("probability", b"\n1,", b"\n1.0,", "line 3 has the id '1.0', which the sample has not"),
    ("probability", b"\n1,", b"\n3,", "line 3 has the id '3' of line 2 again"),
    ("probability", b"\n1,", b"\n3,", "the id of the sample is missing: 1"),
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
    ("ranked", b"2,c b", b"2,c b a", "line 4 has 3 labels, not at most 2"),
    ("ranked", b"2,c b", b"2,c c", "line 4 names 'c' more than once"),
    ("ranked", b"2,c b", b"2,", "line 4 has no label"),
    ("ranked", b"2,c b", b"2,c 0.5", "line 4 has the label '0.5', which is not one of the classes"),
    # values
    ("values", b"25", b"old", "line 2 has 'old' for a value"),
    ("values", b"25", b"-inf", "line 2 has a value that is not finite: -inf"),
    ("values", b"25", b"", "line 2 has '' for a value"),
]


@pytest.mark.parametrize("name", VALID)
def test_a_valid_file_has_no_problem(name: str) -> None:
    assert find_problems(form(name), VALID[name]) == []


@pytest.mark.parametrize(("name", "was", "becomes", "problem"), SPOILT)
def test_a_spoilt_file_is_told_its_problem(name: str, was: bytes, becomes: bytes, problem: str) -> None:
    assert was in VALID[name]
    content = VALID[name].replace(was, becomes)
    found = find_problems(form(name), content)
    assert any(problem in line for line in found), found
    assert find_warnings(form(name), content) == []


@pytest.mark.parametrize("how", ["order", "blank", "quoted", "exponents", "columns"])
def test_what_a_scorer_accepts_is_no_problem(how: str) -> None:
    contents = {
        "order": ("probability", b"id,label\n1,1\n3,0.25\n2,0.5\n"),
        "blank": ("probability", PROBABILITY.replace(b"\n1,", b"\n\n1,")),
        "quoted": ("label", LABEL.replace(b"dog", b'"dog"')),
        "exponents": ("probability", PROBABILITY.replace(b"0.25", b"2.5e-1")),
        "columns": ("columns", COLUMNS.replace(b"0.7", b"0.7000001")),
    }
    name, content = contents[how]
    assert find_problems(form(name), content) == []


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


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    competition = competition_of(SubmissionKind.LABEL, ids=("a\nb", "c", "d"))
    content = b'id,label\n"a\nb",cat\nc,cow\nd,cat\n'
    assert find_problems(competition, content) == ["line 4 has the label 'cow', which is not one of the classes"]


REMARKED = [
    ("probability", b"id,label\n1,1\n3,0.25\n2,0.5\n", "from line 2 on the rows are in another order"),
    ("probability", PROBABILITY, "no probability has more than 2 significant digits"),
    ("probability", PROBABILITY, "1 line has probabilities of exactly 0 or 1, first line 3"),
    ("probability", b"id,label\n3,0.25\n1,0.25\n2,0.25\n", "all 3 rows hold the same: 0.25"),
    ("label", LABEL.replace(b"dog", b"cat"), "1 of 2 classes are never named: dog"),
    ("label", LABEL.replace(b"dog", b"cat"), "all 3 rows hold the same: cat"),
    ("tags", TAGS.replace(b"dog", b"cat").replace(b"cat cat", b"cat"), "1 of 2 classes are never named: dog"),
    ("ranked", RANKED.replace(b"c b", b"c"), "1 line names fewer than 2 classes, first line 4"),
    ("ranked", b"id,label\n3,a b\n1,b a\n2,a b\n", "1 of 3 classes are never named: c"),
    ("values", VALUES.replace(b"1e2", b"25").replace(b"-0.5", b"25"), "all 3 rows hold the same: 25"),
]


@pytest.mark.parametrize(("name", "content", "remark"), REMARKED)
def test_what_is_accepted_but_strange_is_remarked(name: str, content: bytes, remark: str) -> None:
    assert find_problems(form(name), content) == []
    found = find_warnings(form(name), content)
    assert any(remark in line for line in found), found


def test_a_missing_label_is_remarked_where_every_training_image_has_one() -> None:
    content = VALID["tags"].replace(b"2,cat", b"2,")
    assert find_problems(form("tags"), content) == []
    assert "line 4 has no label, but every training image has one" in find_warnings(form("tags"), content)


def test_a_sound_file_is_not_remarked_on() -> None:
    assert find_warnings(form("probability"), b"id,label\n3,0.252345678\n1,0.934567812\n2,0.5\n") == []
    assert find_warnings(form("label"), LABEL) == []
    assert find_warnings(form("values"), VALUES) == []
    by_order = replace(form("probability"), metric=get_metric("roc_auc"))
    assert find_warnings(by_order, b"id,label\n3,0.252345678\n1,1\n2,0.5\n") == []


def test_the_sample_itself_is_recognised(tmp_path: Path) -> None:
    competition = replace(form("probability"), root=tmp_path)
    (tmp_path / "train.csv").write_bytes(b"id,label\n8,0\n9,1\n7,0\n")
    (tmp_path / "sample_submission_v2.csv").write_bytes(b"id,label\n3,0.5\n1,0.50\n2,5e-1\n")
    assert any(
        "those of sample_submission_v2.csv" in line
        for line in find_warnings(competition, b"id,label\n3,.5\n1,0.5\n2,0.5\n")
    )
    assert not any(
        "sample_submission_v2" in line for line in find_warnings(competition, b"id,label\n3,.5\n1,0.5\n2,0.51\n")
    )
    (tmp_path / "mine.csv").write_bytes(PROBABILITY)
    assert not any("those of" in line for line in find_warnings(competition, PROBABILITY))


def test_the_guard_reads_nothing_into_a_file_of_another_kind() -> None:
    for content in (b"\x89PNG\r\n\x1a\n\x00\x00", b"\x00" * 50, b"\n\n\n", b'"', b",\n,\n", b"\xff\xfe"):
        for name in VALID:
            assert find_problems(form(name), content)


@pytest.mark.parametrize("name", FORMS)
def test_the_guard_accepts_what_is_written_and_refuses_a_row_less(name: str, tmp_path: Path) -> None:
    competition, _ = competition_of_form(name, tmp_path / "competition")
    probs = np.random.default_rng(0).dirichlet(np.ones(competition.n_classes), len(competition.test_ids))
    write_submission(competition, probs, tmp_path / "s.csv")
    content = (tmp_path / "s.csv").read_bytes()
    assert find_problems(competition, content) == []
    shorter = content[: content.rstrip(b"\n").rindex(b"\n") + 1]
    assert find_problems(competition, shorter)[0].startswith(f"it has {len(competition.submission.ids) - 1} rows, not")
