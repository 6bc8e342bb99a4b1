"""From the folder to the submission: candidates of an ensemble, and what earlier runs have left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import StudyFiles, write_arrays, write_json
from automl.data.folds import N_FOLDS
from automl.search import run_search
from automl.search.run_search import read_soft_target_report
from tests.automl_tests.ensemble_tests.results import example_result


class Complete:
    """What is read of a complete trial."""

    def __init__(self, number: int) -> None:
        self.number, self.value = number, 0.5


def test_a_refit_on_soft_targets_is_a_candidate_once_all_folds_are_finished(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    for number in (4, 7):
        write_json(files.get_trial_files(number).config, example_result().recipe.members[0].config.to_json())
    pseudo_labelled, distilled = (
        files.get_trial_files(4).get_refit_files("pseudo"),
        files.get_trial_files(4).get_refit_files("distilled"),
    )
    for fold in range(N_FOLDS):
        for path in (
            pseudo_labelled.get_fold_oof_path(fold),
            pseudo_labelled.get_fold_test_path(fold),
            distilled.get_fold_oof_path(fold),
        ):
            write_arrays(path)
    trials: Any = [Complete(7), Complete(4)]
    assert [own.name for own in run_search.list_candidates(files, trials, print)] == ["7", "4", "4-pseudo"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"lines": 3}'])
def test_a_plan_that_cannot_be_read_reports_no_soft_targets(content: str, tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    files.refit.write_text(content)
    assert read_soft_target_report(files) == []
