"""Soft targets of the small competition of shapes, and trials that are trained on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.config import TrialConfig
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.training.loss.soft_targets import (
    SoftTargets,
    save_soft_targets,
)
from tests.automl_tests.training_tests.toy_competitions import SHAPES, ToyCompetition
from tests.automl_tests.training_tests.trial_builders import payload_of

N_TRAIN, N_TEST = 60, 20
PLAIN: dict[str, Any] = {"augment": "none", "sizes": "24"}
Rows = NDArray[np.int64]


def opened(study: StudyFiles) -> tuple[Competition, Rows]:
    competition = load_competition(study.competition)
    return competition, load_folds(study.folds, competition)


def truth(toy: ToyCompetition, n_train: int = N_TRAIN, n_test: int = N_TEST) -> NDArray[Any]:
    """Of the test images that `write_study` draws."""
    return toy.targets(n_train + n_test, np.random.default_rng(0))[n_train:]


def soft(classes: Rows, sureness: float = 0.9) -> NDArray[np.float32]:
    """Shares (n, 3), nearly all of one class."""
    soft_labels = np.full((len(classes), 3), (1 - sureness) / 2, dtype=np.float32)
    soft_labels[np.arange(len(classes)), classes] = sureness
    return soft_labels


def pseudo(study: StudyFiles, fold: int = 0) -> SoftTargets:
    """Every other test image for one fold, and the others for another one."""
    n = len(opened(study)[0].image_ids)
    classes = truth(SHAPES, n)
    folds = np.where(np.arange(N_TEST) % 2 == 0, fold, fold + 1)
    return SoftTargets(target_kind="pseudo", rows=n + np.arange(N_TEST), folds=folds, targets=soft(classes))


def payload_with(study: StudyFiles, config: TrialConfig, soft_targets: SoftTargets, **changes: Any) -> dict[str, Any]:
    competition, folds = opened(study)
    return payload_of(
        study, config, soft_targets=str(save_soft_targets(soft_targets, study, competition, folds)), **changes
    )
