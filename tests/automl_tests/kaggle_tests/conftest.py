"""Kaggle's client turned towards a server of this machine, with credentials that are worth nothing elsewhere."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automl.artifacts import StudyFiles
from automl.data.competition import save_competition
from automl.kaggle import submitting
from automl.readers.read import read_competition
from automl.study.study import Terms, open_study
from tests.automl_tests.kaggle_tests.platform import TOKEN, Platform, running
from tests.automl_tests.small_competitions import put_table_competition

TERMS = Terms(
    space="tiny",
    space_fingerprint="s",
    competition_fingerprint="c",
    metric="accuracy",
    direction="maximize",
    epochs=1,
    train_folds=1,
    seed=0,
)


@pytest.fixture(scope="session")
def client_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The client's module, imported where it finds no credentials: it signs in as soon as it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        _without_credentials(patch, tmp_path_factory.mktemp("nobody"))
        try:
            return importlib.import_module("kaggle.api.kaggle_api_extended")
        except ModuleNotFoundError as error:
            pytest.skip(f"Kaggle's client is not installed: no {error.name}; pip install 'automl[kaggle]'")


@pytest.fixture
def signed_out(client_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """The platform, and a client that finds it but no credentials."""
    _without_credentials(monkeypatch, tmp_path / "home")
    environments = importlib.import_module("kagglesdk.kaggle_env")
    patient = SimpleNamespace(sleep=lambda _: None, time=time.time, mktime=time.mktime)
    with running(Platform()) as platform:
        monkeypatch.setitem(environments._env_to_endpoint, environments.KaggleEnv.LOCAL, platform.url)
        monkeypatch.setattr(client_module.KaggleApi, "args", ["--local"])
        monkeypatch.setattr(client_module.KaggleApi, "config", str(tmp_path / "home" / "kaggle.json"))
        monkeypatch.setattr(client_module, "time", patient)
        monkeypatch.setattr(client_module, "Retry", lambda **_: False)  # an upload is tried once
        monkeypatch.setattr("automl.cli.kaggle.FILE_TIMEOUT", "5s")
        monkeypatch.setattr("automl.cli.kaggle.NOTEBOOK_TIMEOUT", "5s")
        monkeypatch.setattr(submitting, "FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr(submitting, "MAX_PAUSE_S", 0.02)
        yield platform


@pytest.fixture
def kaggle(signed_out: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform, and a client that is signed in."""
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    return signed_out


@pytest.fixture(scope="session")
def study_of_leaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a competition, leaves, and a study of it with a submission."""
    here = tmp_path_factory.mktemp("leaves")
    put_table_competition(here / "leaves")
    files = StudyFiles(here / "automl_runs" / "leaves")
    with open_study(files, TERMS):
        save_competition(read_competition(here / "leaves"), files.competition)
    files.submission.write_text("id,label\ns0,dog\ns1,owl\n")
    return here


@pytest.fixture
def here(study_of_leaves: Path, tmp_path: Path) -> Path:
    """A copy of it, to be worked in."""
    return Path(shutil.copytree(study_of_leaves, tmp_path / "here"))


@pytest.fixture
def files(here: Path) -> StudyFiles:
    return StudyFiles(here / "automl_runs" / "leaves")


def _without_credentials(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        patch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        patch.delenv(name, raising=False)
    patch.setenv("HOME", str(home))
    patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
