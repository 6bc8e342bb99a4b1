"""A learning-rate range test: what is suggested, kept, found again and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from automl.artifacts import StudyFiles, write_json
from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.errors import StorageError, UsageError
from automl.lr_finder.lr_finder import LrRequest, find_lr, read_finding
from automl.space import Space, load_space, narrow_space
from automl.suggest import Suggest
from runners.base import Supervisor
from tests.automl_tests.lr_finder_tests.curves import LOSSES, LRS, Scripted, completed


def requested(folder: Path, workdir: Path, *fix: str, **changes: Any) -> LrRequest:
    space = narrow_space(load_space("tiny"), fix=["backbone=test_resnet", *fix])
    return LrRequest(**{"folder": folder, "files": StudyFiles(workdir / "digits"), "space": space, **changes})


def silent(text: str) -> None:
    """Take a note."""


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A test in this process sets the number of torch's threads."""
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


# ---- What is made of the losses -------------------------------------------------------------------------------------


def test_the_finding_is_kept_with_its_curve_and_the_study_is_not_begun(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    runner = completed()
    finding = find_lr(request, runner, notify=silent)
    assert finding.suggestion is not None
    assert LRS[40] < finding.suggestion < LRS[60]
    kept = json.loads(request.files.find_lr.read_text())
    assert (kept["backbone"], kept["optimizer"], kept["batch_size"], kept["image_size"]) == (
        "test_resnet",
        "adamw",
        32,
        24,
    )
    assert (kept["suggestion"], kept["lrs"], kept["losses"]) == (finding.suggestion, LRS, LOSSES)
    assert kept["falling"][0] < kept["suggestion"] < kept["falling"][1]
    assert {path.name for path in request.files.root.iterdir()} == {"cache", "find_lr.json", "find_lr.html"}
    assert runner.folders == [{"competition.json", "folds.csv"}]


def test_a_finding_of_the_same_configuration_is_found_again(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    assert read_finding(request) is None
    finding = find_lr(request, completed(), notify=silent)
    assert read_finding(request) == finding
    assert read_finding(requested(digits, tmp_path, "lr=1e-4")) == finding
    assert read_finding(requested(digits, tmp_path, "batch_size=16")) is None
    assert read_finding(requested(digits, tmp_path, "optimizer=adam")) is None


def test_a_damaged_finding_is_named(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    find_lr(request, completed(), notify=silent)
    kept = json.loads(request.files.find_lr.read_text())
    write_json(request.files.find_lr, {**kept, "losses": None})
    with pytest.raises(StorageError, match="is damaged"):
        read_finding(request)


@pytest.mark.slow
def test_the_folds_of_a_study_that_was_begun_are_those_of_the_test(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    seen: list[str] = []

    class Reading(Scripted):
        def run(self, supervisor: Supervisor) -> None:
            seen.append((request.files.find_lr_study.folds).read_text())
            super().run(supervisor)

    answer = completed().answer
    find_lr(request, Reading(answer), notify=silent)
    request.files.folds.write_text(seen[0])
    find_lr(requested(digits, tmp_path, seed=1), Reading(answer), notify=silent)
    request.files.folds.unlink()
    find_lr(requested(digits, tmp_path, seed=1), Reading(answer), notify=silent)
    assert seen[0] == seen[1] != seen[2]


def test_what_the_task_refuses_is_raised_and_nothing_is_kept(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    refusal = {"outcome": "refused", "exit_code": 2, "problem": "too large", "hint": "smaller"}
    with pytest.raises(UsageError, match="too large"):
        find_lr(request, Scripted(refusal), notify=silent)
    assert [path.name for path in request.files.root.iterdir()] == ["cache"]  # the look at the images is


# ---- The commands ---------------------------------------------------------------------------------------------------


def constant(trial: Suggest) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone=trial.suggest_categorical("backbone", ["test_resnet"]), pretrained=False),
        resize=ResizeConfig.parse("32"),
    )


def test_the_test_needs_no_question_about_lr(digits: Path, tmp_path: Path) -> None:
    space = Space(name="constant", suggest=constant)
    assert find_lr(requested(digits, tmp_path, space=space), completed(), notify=silent).suggestion is not None


# ---- Spaces ---------------------------------------------------------------------------------------------------------
