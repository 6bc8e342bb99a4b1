"""One small study for the tests that only read it."""

from __future__ import annotations

import pytest
import torch

from automl.artifacts import StudyFiles
from tests.automl_tests.training_tests.worlds import write_study


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> None:
    """Small networks are slower with more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="package")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Sixty coloured shapes of three classes; tests that run trials use one of their own."""
    return write_study(tmp_path_factory.mktemp("shapes"))
