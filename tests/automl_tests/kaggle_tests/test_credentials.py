"""Credentials are found where Kaggle's client looks for them, and no secret is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl.kaggle.credentials import (
    CREDENTIAL_PLACES,
    find_credentials,
    hide_secrets,
    list_environment_secrets,
    make_missing_credentials_error,
)
from tests.automl_tests.kaggle_tests.commands import submit
from tests.automl_tests.kaggle_tests.platform import Platform


def test_who_has_no_credentials_learns_where_they_were_looked_for(signed_out: Platform, here: Path) -> None:
    finished = submit(here)
    assert finished.exit_code == 7
    for place in ("KAGGLE_API_TOKEN", "~/.kaggle/access_token", "KAGGLE_KEY", "kaggle.json", "kaggle auth login"):
        assert place in finished.stderr
    assert "https://www.kaggle.com/settings/api" in finished.stderr
    assert finished.stdout.splitlines() == ["competition: leaves, from the folder's name; --competition names another"]


def test_a_token_that_kaggle_does_not_know_is_not_called_missing(
    signed_out: Platform, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_old")
    finished = submit(here)
    assert finished.exit_code == 7
    assert "Kaggle does not accept the credentials of KAGGLE_API_TOKEN" in finished.stderr
    assert "KGAT_old" not in finished.output


def test_legacy_credentials_do(signed_out: Platform, here: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kaggle.json").write_text('{"username": "me", "key": "0123"}')
    finished = submit(here)
    assert finished.exit_code == 0, finished.stderr
    assert "0123" not in finished.output
    assert "IntrospectToken" not in signed_out.calls


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials."""
    for name in [name for name in os.environ if name.startswith("KAGGLE_")] + ["XDG_CONFIG_HOME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kaggle").mkdir()
    return tmp_path


def test_places_are_found_in_the_order_in_which_the_client_tries_them(
    nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_credentials() == ()
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    assert find_credentials() == (), "a name without its key"
    monkeypatch.setenv("KAGGLE_KEY", "0123")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_x")
    for name in ("access_token.txt", "kaggle.json", "credentials.json"):
        (nobody / ".kaggle" / name).touch()
    assert find_credentials() == CREDENTIAL_PLACES


def test_the_legacy_file_may_lie_where_the_environment_says(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in (("KAGGLE_CONFIG_DIR", nobody / "a"), ("XDG_CONFIG_HOME", nobody / "b")):
        place = folder if name == "KAGGLE_CONFIG_DIR" else folder / "kaggle"
        place.mkdir(parents=True)
        (place / "kaggle.json").touch()
        with monkeypatch.context() as patch:
            patch.setenv(name, str(folder))
            assert find_credentials() == ("kaggle.json",)
    assert find_credentials() == ()


def test_credentials_that_are_there_are_called_refused_and_not_missing(
    nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there are no credentials" in make_missing_credentials_error().problem
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_x")
    assert make_missing_credentials_error().problem == "Kaggle does not accept the credentials of KAGGLE_API_TOKEN"


def test_secrets_are_hidden_the_longest_first(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hide_secrets("token abcdef, key abc", ["", "abc", "abcdef"]) == "token ***, key ***"
    assert list_environment_secrets() == ()
    monkeypatch.setenv("KAGGLE_KEY", "0123")
    assert list_environment_secrets() == ("0123",)
