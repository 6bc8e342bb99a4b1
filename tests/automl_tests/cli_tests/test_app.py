"""The command line as a whole: its commands, its version, and how it answers without words."""

from __future__ import annotations

from pathlib import Path

from automl import __version__
from tests.conftest import automl_here

COMMANDS = (
    "download", "inspect", "search", "refit", "ensemble", "predict", "kit", "check", "submit", "find-lr", "status",
    "spaces", "dashboard", "report",
)  # fmt: skip


def test_help_names_every_command(tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "--help")
    assert finished.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in finished.stdout] == []


def test_without_words_it_helps_and_the_version_is_the_packages(tmp_path: Path) -> None:
    assert "Usage: automl" in automl_here(tmp_path).output
    finished = automl_here(tmp_path, "--version")
    assert (finished.exit_code, finished.stdout) == (0, f"automl {__version__}\n")


def test_an_unknown_command_is_a_mistake_of_usage(tmp_path: Path) -> None:
    assert automl_here(tmp_path, "serach").exit_code == 2
