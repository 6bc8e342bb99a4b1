"""Every way in which a valid file may be spoilt is named; what is valid is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.errors import DataError
from automl.metrics.registry import get_metric
from automl.submission.validate import find_problems, find_warnings, require_test_images
from automl.submission.write import write_submission
from tests.automl_tests.submission_tests.forms import FORMS, competition_of_form
from tests.automl_tests.submission_tests.valid_files import (
    COLUMNS,
    LABEL,
    PROBABILITY,
    RANKED,
    TAGS,
    VALID,
    VALUES,
    form,
)


@pytest.mark.parametrize("name", VALID)
def test_a_valid_file_has_no_problem(name: str) -> None:
    assert find_problems(form(name), VALID[name]) == []


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


def test_without_test_images_there_is_nothing_to_submit() -> None:
    known = form("probability")
    require_test_images(known)
    with pytest.raises(DataError, match="has no test images, so that there is nothing to submit") as refusal:
        require_test_images(replace(known, test_ids=()))
    assert "automl predict FOLDER" in refusal.value.hint


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
