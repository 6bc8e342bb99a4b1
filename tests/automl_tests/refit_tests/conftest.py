"""A study with trials to refit, and a refit of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl.artifacts import StudyFiles
from tests.automl_tests.refit_tests import studies
from tests.automl_tests.refit_tests.studies import Refit, written_study


@pytest.fixture(scope="package")
def written(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Six trials with one fold each, the first ones the best; trial 3 was pruned."""
    return written_study(tmp_path_factory.mktemp("written"), n=6, pruned=[3])


@pytest.fixture
def files(tmp_path: Path, written: StudyFiles) -> StudyFiles:
    """A copy of that study."""
    shutil.copytree(written.root, tmp_path / "study")
    return StudyFiles(tmp_path / "study")


@pytest.fixture
def refit(files: StudyFiles) -> Iterator[Refit]:
    yield Refit(files)
    studies.FATES.clear()
