"""What tests share: where real data lies, small real competitions, and an end to a run that takes too long."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from automl import demo
from automl.cli.app import app

NOT_REACHED = "not reached in time"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--minutes", type=float, help="Begin no test after so many minutes; what was not reached is named."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Fix the end of the run once, for all of its processes."""
    if config.getoption("--minutes") is not None and not hasattr(config, "workerinput"):
        os.environ["AUTOML_TESTS_END"] = str(time.time() + 60.0 * config.getoption("--minutes"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.time() > float(os.environ.get("AUTOML_TESTS_END", "inf")):
        pytest.skip(NOT_REACHED)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    late = [report.nodeid for report in skipped if NOT_REACHED in str(report.longrepr)]
    if late:
        terminalreporter.section(f"{len(late)} tests were {NOT_REACHED}")
        for name in late:
            terminalreporter.write_line(name)


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
