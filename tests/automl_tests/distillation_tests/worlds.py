"""A competition, members, and a predictor that answers from a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.data.competition import Competition
from automl.distillation.soft_labels import (
    build_distillation_targets,
    build_pseudo_labels,
)
from automl.ensemble.candidates import Member
from automl.ensemble.predictor import TrainedFold
from automl.ensemble.tta import IDENTITY, View
from automl.tasks import Task
from automl.training.loss.soft_targets import SoftTargets, load_soft_targets
from tests.automl_tests.training_tests.trial_builders import config_of

N, N_TEST, K = 100, 40, 5


CONFIG = config_of()


Probs = NDArray[np.float64]


Rows = NDArray[np.int64]


@dataclass
class ScriptedPredictor:
    """Predicts for test images what is written for each network.

    Attributes:
        predictions: weights -> (n_test, n_classes).
        requested_rows: the rows of each question.
    """

    predictions: dict[str, Probs] = field(default_factory=dict)
    requested_rows: list[Rows] = field(default_factory=list)

    def predict_views(self, trained: TrainedFold, views: Sequence[View], split: str, rows: Rows) -> NDArray[np.float32]:
        assert list(views) == [IDENTITY]
        assert split == "test"
        self.requested_rows.append(rows)
        return self.predictions[trained.weights.name][rows][None].astype(np.float32)


@dataclass
class World:
    """A competition of three classes, members and what their networks say of the test images."""

    competition: Competition
    folds: Rows
    members: list[Member]
    predictor: ScriptedPredictor
    files: StudyFiles
    notes: list[str] = field(default_factory=list)

    def pseudo(self, confidence: float = 0.8) -> SoftTargets:
        predictor: Any = self.predictor
        path = build_pseudo_labels(
            self.members,
            self.files,
            self.competition,
            self.folds,
            predictor,
            confidence=confidence,
            notify=self.notes.append,
        )
        return load_soft_targets(path, self.competition, self.folds)

    def distilled(self, share: float = 0.3) -> SoftTargets:
        path = build_distillation_targets(
            self.members, self.files, self.competition, self.folds, share=share, notify=self.notes.append
        )
        return load_soft_targets(path, self.competition, self.folds)

    def of_task(self, task: Task, targets: NDArray[Any], **changes: Any) -> World:
        competition = replace(self.competition, task=task, targets=targets, **changes)
        members = [replace(member, competition=competition) for member in self.members]
        return replace(self, competition=competition, members=members)


def probs_of(classes: Rows, rng: np.random.Generator, skill: float = 3.0) -> Probs:
    logits = skill * np.eye(3)[classes] + rng.normal(size=(len(classes), 3))
    powers = np.exp(1.5 * logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
