"""`automl submit` and `automl download`: what is refused here, before Kaggle's client is imported.

What they send and record is tested in tests.automl_tests.kaggle_tests, against a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from automl.artifacts import StudyFiles
from automl.data.competition import save_competition
from automl.kaggle import client
from automl.readers.read import read_competition
from automl.study.study import open_study
from tests.automl_tests.small_competitions import put_table_competition
from tests.automl_tests.study_tests.studies import TERMS
from tests.conftest import automl_here


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a submission, where nobody may sign in."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("signed in")

    monkeypatch.setattr(client, "sign_in", refuse)
    put_table_competition(tmp_path / "leaves")
    files = StudyFiles(tmp_path / "automl_runs" / "leaves")
    with open_study(files, TERMS):
        save_competition(read_competition(tmp_path / "leaves"), files.competition)
    files.submission.write_text("id,label\ns0,dog\ns1,owl\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kernel", "me/kit"), "--version is missing"),
        (("--version", "3"), "--kernel is missing"),
        (("--kernel", "kit", "--version", "3"), "--kernel kit is no notebook"),
        (("--kernel", "/kit", "--version", "3"), "--kernel /kit is no notebook"),
        (("--competition", "a b"), "a b"),
        (("--timeout", "soon"), "soon"),
    ],
)
def test_flags_that_do_not_fit_are_refused(arguments: tuple[str, ...], words: str, here: Path) -> None:
    finished = automl_here(here, "submit", *arguments)
    assert finished.exit_code == 2, finished.output
    assert words in finished.stderr


def test_a_file_that_would_be_refused_is_named_with_its_problems(here: Path) -> None:
    (here / "own.csv").write_text("id,label\ns0,dog\n")
    finished = automl_here(here, "submit", "own.csv")
    assert finished.exit_code == 3, finished.output
    assert "own.csv would be refused, so nothing was submitted" in finished.stderr
    assert "competition: leaves" in finished.stdout


def test_a_file_that_is_not_there_is_named(here: Path) -> None:
    finished = automl_here(here, "submit", "nowhere.csv")
    assert finished.exit_code == 5
    assert "nowhere.csv cannot be read: No such file" in finished.stderr


def test_what_is_no_slug_is_not_downloaded(here: Path) -> None:
    finished = automl_here(here, "download", "../leaves")
    assert finished.exit_code == 2, finished.output
    assert not (here.parent / "leaves").exists()
