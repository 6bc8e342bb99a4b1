"""The files of a study that is yet to be begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.artifacts import StudyFiles


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path / "leaf")
