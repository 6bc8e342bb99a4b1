"""`automl ensemble` as a user meets it, and the candidates that a study has."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import StudyFiles, write_arrays, write_json
from automl.data.folds import N_FOLDS
from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult
from automl.search import run_search
from tests.automl_tests.ensemble_tests.results import example_result
from tests.conftest import automl_here


class Complete:
    """What is asked of a complete trial."""

    def __init__(self, number: int) -> None:
        self.number, self.value = number, 0.5


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the command asks of the workflow, which answers with an example."""
    found: dict[str, Any] = {}

    def run_ensemble(files: StudyFiles, request: EnsembleRequest, **_: Any) -> EnsembleResult:
        found.update(asdict(request))
        return example_result()

    monkeypatch.setattr(run_search, "run_ensemble", run_ensemble)
    monkeypatch.setattr("automl.workdir.find_study", lambda workdir, study: StudyFiles(tmp_path))
    return found


def test_flags_reach_the_ensemble_and_the_table_is_printed(asked: dict[str, Any], tmp_path: Path) -> None:
    choosing = ["--top", "3", "--pool", "20", "--tta", "crops", "--device", "cpu"]
    finished = automl_here(tmp_path, "ensemble", *choosing, "--max-minutes", "30", "--images", "5000")
    assert finished.exit_code == 0, finished.output
    wanted = {name: asked[name] for name in ("top", "pool", "tta", "max_minutes", "n_images", "device")}
    assert wanted == {
        "top": 3, "pool": 20, "tta": "crops", "max_minutes": 30.0, "n_images": 5000, "device": "cpu",
    }  # fmt: skip
    assert "best single trial  0.2413" in finished.output
    assert "wrote " in finished.output


def test_by_default_members_come_from_fifteen_trials(asked: dict[str, Any], tmp_path: Path) -> None:
    assert automl_here(tmp_path, "ensemble").exit_code == 0
    assert (asked["top"], asked["pool"], asked["tta"], asked["max_minutes"]) == (5, 15, "auto", None)


@pytest.mark.parametrize("flags", [["--images", "5"], ["--max-minutes", "0"]])
def test_flags_that_say_nothing_are_refused(flags: list[str], asked: dict[str, Any], tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "ensemble", *flags)
    assert finished.exit_code == 2
    assert "--max-minutes" in finished.stderr
    assert not asked


def test_what_a_lesson_has_made_of_a_trial_is_a_candidate_once_all_folds_are_finished(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    for number in (4, 7):
        write_json(files.get_trial_files(number).config, example_result().recipe.members[0].config.to_json())
    taught, half_taught = (
        files.get_trial_files(4).get_refit_files("pseudo"),
        files.get_trial_files(4).get_refit_files("distilled"),
    )
    for fold in range(N_FOLDS):
        for path in (
            taught.get_fold_oof_path(fold),
            taught.get_fold_test_path(fold),
            half_taught.get_fold_oof_path(fold),
        ):
            write_arrays(path)
    trials: Any = [Complete(7), Complete(4)]
    assert [own.name for own in run_search.list_candidates(files, trials, print)] == ["7", "4", "4-pseudo"]
