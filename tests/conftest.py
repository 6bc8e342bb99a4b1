"""What tests share: where real data lies, and small real competitions."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from automl import demo
from automl.cli.app import app


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with dogs-vs-cats and cifar-10 that AUTOML_TEST_DATA names; tests that need it are skipped without."""
    folder = os.environ.get("AUTOML_TEST_DATA")
    if folder is None:
        pytest.skip("AUTOML_TEST_DATA names no folder with dogs-vs-cats and cifar-10")
    return Path(folder)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scikit-learn's digits as a competition's folder, to be read only."""
    folder = tmp_path_factory.mktemp("demo") / "digits"
    demo.build(folder)
    return folder


def automl_here(folder: Path, *arguments: str) -> Result:
    """A command in this process, which saves the seconds of a start; exit code, stdout and stderr are the real ones."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(app, list(arguments))
