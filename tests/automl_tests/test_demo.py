"""The demo competition: what is in its folder, and how a submission for it is scored."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from automl import demo
from automl.errors import DataError, UsageError


def test_the_folder_holds_images_and_tables_and_no_answer(digits: Path) -> None:
    assert {path.name for path in digits.iterdir()} == {"train", "test", "train.csv", "sample_submission.csv"}
    assert len(list((digits / "train").iterdir())) == 1797 - demo.N_TEST
    assert len(list((digits / "test").iterdir())) == demo.N_TEST
    with (digits / "sample_submission.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"0"}


def test_the_answers_score_one_and_the_sample_as_often_as_it_is_right(digits: Path) -> None:
    answers = demo.get_answers_path(digits)
    assert answers.parent == digits.parent
    assert demo.score(digits, answers) == 1.0
    with answers.open(newline="") as file:
        n_zeros = sum(row["label"] == "0" for row in csv.DictReader(file))
    assert demo.score(digits, digits / "sample_submission.csv") == n_zeros / demo.N_TEST


def test_a_submission_with_other_ids_is_refused(digits: Path, tmp_path: Path) -> None:
    shutil.copy(digits / "sample_submission.csv", tmp_path / "short.csv")
    lines = (tmp_path / "short.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match="does not hold the ids of the sample"):
        demo.score(digits, tmp_path / "short.csv")


def test_the_command_scores_and_refuses_other_words(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.main(["score", str(digits), str(demo.get_answers_path(digits))])
    assert capsys.readouterr().out == "accuracy on the 360 held-out digits: 1.0000\n"
    with pytest.raises(UsageError, match="unknown words: bild"):
        demo.main(["bild"])
