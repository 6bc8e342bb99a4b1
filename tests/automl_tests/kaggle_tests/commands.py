"""The commands `automl submit` and `automl download` as a user types them, and what they send and record."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from typer.testing import Result

from automl.artifacts import StudyFiles
from tests.automl_tests.kaggle_tests.platform import SIGNATURE, TOKEN
from tests.conftest import automl_here

CONTENT = {"train.csv": b"id,label\n" * 999, "train/a b/1.jpg": b"\xff\xd8" * 400, "test.zip": b"PK" * 50}


def submit(here: Path, *arguments: str) -> Result:
    finished = automl_here(here, "submit", *arguments)
    assert "Traceback" not in finished.output
    assert TOKEN not in finished.output
    assert SIGNATURE not in finished.output
    if finished.exit_code not in (0, 130):
        assert finished.stderr.startswith("Error: ")
        assert len(finished.stderr.splitlines()) == 2, finished.stderr
        assert finished.exit_code != 1
    return finished


def records(files: StudyFiles) -> list[dict[str, Any]]:
    return list(json.loads(files.submissions.read_text()))


def zipped(content: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in content.items():
            archive.writestr(name, member)
    return file.getvalue()


def download(here: Path, *arguments: str) -> Result:
    finished = automl_here(here, "download", *arguments)
    assert "Traceback" not in finished.output
    assert TOKEN not in finished.output
    assert SIGNATURE not in finished.output
    if finished.exit_code != 0:
        assert len(finished.stderr.splitlines()) == 2, finished.stderr
        assert finished.exit_code != 1
    return finished


def attribute_of(files: StudyFiles) -> Any:
    """What the study itself says of its submissions."""
    study = optuna.load_study(study_name=files.root.name, storage=f"sqlite:///{files.study_db}")
    return study.user_attrs.get("submissions")
