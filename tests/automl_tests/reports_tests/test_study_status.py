"""The status of a study in the terminal: trials by state, the best, what runs and failed, and its refit."""

from __future__ import annotations

from typing import Any

import pytest

from automl.reports.study_status import render_status
from automl.study.study import read_study
from tests.automl_tests.refit_tests import studies
from tests.automl_tests.refit_tests.conftest import files, refit, written  # noqa: F401
from tests.automl_tests.refit_tests.studies import Refit


@pytest.mark.slow
def test_status_tells_how_far_a_refit_has_come(refit: Refit) -> None:  # noqa: F811
    def refit_lines() -> list[str]:
        lines = render_status(read_study(refit.files), refit.files, driver=None, top=1)
        return [line for line in lines if isinstance(line, str) and line.startswith("refit of")]

    assert refit_lines() == []
    during = []

    def task(payload: Any, context: Any) -> dict[str, Any]:
        during.append(refit_lines())
        return studies.quick_fold(payload, context)

    refit.task = task
    studies.FATES[2, 3] = lambda: {"outcome": "dead_end", "constraint": "memory", "reason": "none"}
    refit.run(numbers=(1, 2), distill=0.3)
    assert during[0] == ["refit of trials 1, 2: 2 of 10 folds trained, not finished"]
    assert during[5] == ["refit of trials 1, 2: 7 of 10 folds trained, not finished"]
    assert refit_lines() == [
        "refit of trials 1, 2: 9 of 10 folds trained, finished, 1 could not be trained",
        "refit of trials 1, 2, distilled: 5 of 10 folds trained",
    ]
    refit.files.refit.write_text("[]")
    assert refit_lines() == []
