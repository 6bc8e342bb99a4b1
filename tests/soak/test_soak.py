"""The short form of the soak, for every run of the tests; `make soak` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.artifacts import StudyFiles
from tests.soak.killer import Plan, soak
from tests.soak.verdict import check, search_in_peace

pytestmark = pytest.mark.slow


def test_a_search_whose_processes_are_killed_at_random_comes_out_as_if_left_in_peace(tmp_path: Path) -> None:
    plan = Plan(n_trials=15, n_kills=6, seed=5)
    disturbed, undisturbed = StudyFiles(tmp_path / "disturbed"), StudyFiles(tmp_path / "peace")
    search_in_peace(undisturbed, plan)
    story = soak(disturbed, plan)
    assert len(story.kills) >= 5
    check(disturbed, undisturbed, plan, story)
