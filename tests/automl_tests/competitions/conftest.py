"""An empty folder for a plain competition of cats and dogs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.automl_tests.competitions.miniatures import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "data", seed=7)
    made.classes = ["cat", "dog"]
    return made
