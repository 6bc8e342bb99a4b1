"""A runner's jobs: what is no job is refused, each is carried to its task, and torch waits until they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from automl.artifacts import StudyFiles
from automl.training import lr_sweep, refit_fold, trial
from automl.training.entry_points import run_fold, run_lr_sweep, run_trial
from automl.training.trial_job import Completed, TrialJob
from tests.automl_tests.training_tests.trial_builders import ScriptedContext, config_of, payload_of

EVERY_ENTRY = [
    (run_trial, trial, "run_trial"),
    (run_fold, refit_fold, "run_fold"),
    (run_lr_sweep, lr_sweep, "run_lr_sweep"),
]
Entry = Callable[[dict[str, Any], ScriptedContext], dict[str, Any]]


@pytest.mark.parametrize(("entry", "module", "name"), EVERY_ENTRY)
def test_json_becomes_a_job_and_the_result_json(
    entry: Entry, module: ModuleType, name: str, shapes: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[tuple[TrialJob, object]] = []

    def work(job: TrialJob, context: object) -> Completed:
        received.append((job, context))
        return Completed(score=0.5, attributes={"seconds": 1.0})

    monkeypatch.setattr(module, name, work)
    payload, context = payload_of(shapes, config_of()), ScriptedContext()
    assert entry(payload, context) == {"outcome": "completed", "score": 0.5, "attributes": {"seconds": 1.0}}
    assert received == [(TrialJob.from_json(payload), context)]


@pytest.mark.parametrize(("entry", "module", "name"), EVERY_ENTRY)
def test_a_configuration_that_cannot_be_is_refused(
    entry: Entry, module: ModuleType, name: str, shapes: StudyFiles
) -> None:
    payload = payload_of(shapes, config_of())
    payload["config"] = {**payload["config"], "epochs": -1}
    answer = entry(payload, ScriptedContext())
    assert answer["outcome"] == "refused"
    assert "epochs" in answer["problem"]


def test_torch_is_not_imported_before_a_job_runs() -> None:
    script = "import sys, automl.training.entry_points; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
