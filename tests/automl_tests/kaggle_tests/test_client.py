"""Kaggle's client is imported when it is needed, and its absence or a dead network is one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import StudyFiles
from tests.automl_tests.kaggle_tests.commands import records, submit
from tests.automl_tests.kaggle_tests.platform import Platform
from tests.conftest import automl_here


def test_no_network_is_one_line(
    kaggle: Platform, here: Path, files: StudyFiles, client_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglesdk import kaggle_env  # type: ignore[import-not-found, unused-ignore]

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, "http://127.0.0.1:1")
    finished = submit(here)
    assert finished.exit_code == 7
    assert "Kaggle cannot be reached (ConnectionError)" in finished.stderr
    assert not files.submissions.exists()


def test_without_the_client_it_says_what_to_install(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_client(monkeypatch)
    monkeypatch.setitem(sys.modules, "kaggle", None)
    for command in (["submit"], ["download", "trees"]):
        finished = automl_here(here, *command)
        assert finished.exit_code == 7
        assert finished.stderr == "Error: Kaggle's client is not installed\n  hint: pip install 'automl[kaggle]'\n"
    assert not (here / "trees").exists()


def test_a_client_that_is_not_whole_says_what_it_lacks(
    kaggle: Platform, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget_client(monkeypatch)
    monkeypatch.setitem(sys.modules, "slugify", None)
    finished = submit(here)
    assert finished.exit_code == 7
    assert finished.stderr == "Error: Kaggle's client lacks the package slugify\n  hint: pip install slugify\n"


def _forget_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_score_that_is_no_number_is_none(kaggle: Platform, here: Path, files: StudyFiles) -> None:
    kaggle.outcomes = [{"status": "COMPLETE", "publicScore": "NaN", "privateScore": ""}]
    finished = submit(here)
    assert "public score is not published" in finished.stdout
    assert records(files)[0]["public_score"] is None
