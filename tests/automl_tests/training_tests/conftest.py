"""Small studies for the tests that only read them, and a watch on processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from automl.artifacts import StudyFiles
from automl.tasks import Task
from tests.automl_tests.training_tests.trial_builders import TOY_COMPETITIONS, write_study
from tests.runners_tests.processes import children_of


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> None:
    """Small networks are slower with more."""
    torch.set_num_threads(1)


@pytest.fixture
def no_process_is_left() -> Iterator[None]:
    """For tests of trials on two devices."""
    before = children_of()
    yield
    assert children_of() <= before


@pytest.fixture(scope="package")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Sixty coloured shapes of three classes; tests that run trials use one of their own."""
    return write_study(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="package")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, StudyFiles]:
    """One of each kind, for tests that only read it."""
    return {task: write_study(tmp_path_factory.mktemp(task.value), toy) for task, toy in TOY_COMPETITIONS.items()}
