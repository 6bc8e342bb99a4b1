"""One small trained study for the tests of prediction and building."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from automl.artifacts import StudyFiles
from tests.automl_tests.ensemble_tests.small_probes import put_probe
from tests.automl_tests.ensemble_tests.small_studies import TrainedStudy, train_study


@pytest.fixture(scope="package")
def study(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """Three trained trials, to be read only."""
    return train_study(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="package")
def probed(study: TrainedStudy, tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """The same with two probes of the numbers of trials, probe 1 the better one; to be read only."""
    root = tmp_path_factory.mktemp("probed") / "study"
    shutil.copytree(study.files.root, root)
    files = StudyFiles(root)
    for number, backbone in enumerate(("test_resnet", "test_efficientnet")):
        put_probe(files, study.competition, study.folds, number, backbone=backbone)
    return replace(study, files=files)
