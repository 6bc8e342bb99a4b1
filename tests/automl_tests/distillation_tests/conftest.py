"""A competition with two members of five folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles
from automl.data.competition import Competition, SubmissionKind, SubmissionTemplate
from automl.ensemble.candidates import Member
from automl.ensemble.predictor import TrainedFold
from automl.metrics.registry import get_metric
from automl.tasks import Task
from tests.automl_tests.distillation_tests.worlds import CONFIG, N_TEST, K, N, ScriptedPredictor, World, probs_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    rng = np.random.default_rng(0)
    test_ids = tuple(f"t{number}" for number in range(N_TEST))
    competition = Competition(
        root=tmp_path,
        task=Task.MULTICLASS,
        classes=("ant", "bee", "cat"),
        image_ids=tuple(f"i{number}" for number in range(N)),
        image_paths=tuple(tmp_path / f"i{number}.png" for number in range(N)),
        targets=rng.integers(0, 3, N),
        groups=None,
        test_ids=test_ids,
        test_paths=tuple(tmp_path / f"{image_id}.png" for image_id in test_ids),
        metric=get_metric("log_loss"),
        metric_given=True,
        submission=SubmissionTemplate(
            header=("id", "label"), id_column=0, submission_kind=SubmissionKind.PROBABILITIES, ids=test_ids
        ),
    )
    folds, hidden = np.arange(N) % K, rng.integers(0, 3, N_TEST)
    predictor = ScriptedPredictor({f"{number}-{fold}": probs_of(hidden, rng) for number in (3, 7) for fold in range(K)})
    members = [
        Member(
            number=number,
            score=0.5,
            config=CONFIG,
            competition=competition,
            models={fold: TrainedFold(CONFIG, Path(f"{number}-{fold}")) for fold in range(K)},
            missing_weights=(),
            rows=np.arange(N),
            folds=folds,
            oof=probs_of(competition.targets, rng).astype(np.float32),
            test=np.zeros((N_TEST, 3), np.float32),
        )
        for number in (3, 7)
    ]
    return World(competition, folds, members, predictor, StudyFiles(tmp_path / "study"))
