"""One small trained study for the tests of prediction and building."""

from __future__ import annotations

import pytest

from tests.automl_tests.ensemble_tests.small_studies import TrainedStudy, train_study


@pytest.fixture(scope="package")
def study(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """Three trained trials, to be read only."""
    return train_study(tmp_path_factory.mktemp("trained"))
