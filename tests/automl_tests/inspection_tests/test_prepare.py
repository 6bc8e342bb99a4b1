"""A folder is read, surveyed and cleaned, and a line is given for each inference."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.errors import DataError
from automl.inspection import prepare
from automl.inspection.prepare import prepare_competition, survey_competition
from automl.readers.settings import CompetitionSettings

NAMES = [f"train/{row}.png" for row in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve training images in two classes, of which the last is cut, and two test images."""
    root, rng = tmp_path / "leaves", np.random.default_rng(0)
    for name in [*NAMES, "test/a.png", "test/b.png"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(root / name)
    broken = root / NAMES[-1]
    broken.write_bytes(broken.read_bytes()[:100])
    tables = {
        "train.csv": [("id", "label"), *((Path(name).name, ["cat", "dog"][row % 2]) for row, name in enumerate(NAMES))],
        "sample_submission.csv": [("id", "label"), ("a.png", "cat"), ("b.png", "cat")],
    }
    for name, rows in tables.items():
        with (root / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return root


def test_a_survey_leaves_out_no_image_and_notifies_of_all_evidence(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    competition, survey = survey_competition(
        folder, CompetitionSettings(), cache=tmp_path / "cache", n_threads=1, notify=lines.append
    )
    assert lines == list(competition.evidence)
    assert len(competition.image_ids) == len(survey.train.widths) == 12
    assert list(survey.train.problems) == [11]
    assert len(survey.test.widths) == 2


def test_broken_images_stop_the_preparation_unless_they_may_be_left_out(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    given = {"cache": tmp_path / "cache", "n_threads": 1, "notify": lines.append}
    with pytest.raises(DataError, match=r"train/11\.png"):
        prepare_competition(folder, CompetitionSettings(), **given)
    lines.clear()
    usable = prepare_competition(folder, CompetitionSettings(skip_broken=True), **given)
    assert len(usable.image_ids) == 11
    assert lines == list(usable.evidence)
    assert any(line.startswith("broken: 1 training image left out") for line in lines)


def test_a_long_survey_notifies_now_and_then_and_not_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 5.0, 10.0, 15.0, 21.0, 40.0])
    monkeypatch.setattr(prepare.time, "monotonic", lambda: next(seconds))
    lines: list[str] = []
    progress = prepare._ProgressLines(lines.append)
    for n_done in (1, 2, 3, 4, 5):
        progress(n_done, 5)
    assert [line.split() for line in lines] == [f"looked at {n} of 5 images".split() for n in (2, 4)]
