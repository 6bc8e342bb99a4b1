"""Samplers by name, seeded so that no draw depends on a process's past."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles
from automl.errors import UsageError
from automl.study.samplers import build_sampler
from automl.study.study import open_study
from tests.automl_tests.study_tests.studies import SPACE, TERMS


def test_a_resumed_study_does_not_draw_again_what_was_drawn_before(files: StudyFiles) -> None:
    values = []
    for _ in range(6):
        with open_study(files, TERMS, sampler="random") as study:
            trial = study.ask(SPACE)
            SPACE(trial)
            values.append(trial.params["x"])
            study.tell(trial, TrialState.COMPLETE, 0.1)
    assert len(set(values)) == 6


def test_the_same_seed_draws_the_same_trials_in_another_study(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        with open_study(StudyFiles(tmp_path / name), TERMS) as study:
            trials = [study.ask(SPACE) for _ in range(3)]
            for trial in trials:
                SPACE(trial)
            drawn.append([trial.params for trial in trials])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_each_sampler_proposes_different_trials(files: StudyFiles, name: str) -> None:
    with open_study(files, TERMS, sampler=name) as study:
        values = set()
        for number in range(14):
            trial = study.ask(SPACE)
            SPACE(trial)
            values.add(trial.params["x"])
            study.tell(trial, TrialState.COMPLETE, number / 14)
    assert len(values) == 14


def test_an_unknown_sampler_or_pruner_names_the_known_ones(files: StudyFiles) -> None:
    with pytest.raises(UsageError) as error:
        build_sampler("grid", study_seed=0, trial_number=0)
    assert "tpe" in error.value.hint
    with pytest.raises(UsageError, match="no pruner"), open_study(files, TERMS, pruner="asha"):
        pass
    assert not files.study_db.exists()
