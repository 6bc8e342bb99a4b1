"""Members whose predictions a test scripts, and a predictor that counts the requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.config import AugmentConfig, ModelConfig, ResizeConfig, TrialConfig
from automl.data.competition import Competition, SubmissionKind
from automl.ensemble.candidates import Member
from automl.ensemble.predictor import TrainedFold
from automl.ensemble.selection import EnsembleSelection, select_ensemble
from automl.ensemble.tta import AUTO, View
from automl.errors import StorageError
from automl.metrics.registry import get_metric
from tests.automl_tests.ensemble_tests.small_studies import competition_of

N = 200
TARGETS = (np.arange(N) % 2).astype(np.int64)
MANY_RIGHT = np.random.default_rng(0).random(N) < 0.8

SIDE = 16


def labelled(targets: NDArray[np.int64], metric: str = "log_loss", n_classes: int = 2) -> Competition:
    """A competition with these labels and no images."""
    classes = tuple("abcdefgh"[:n_classes])
    ids = tuple(f"image{number}" for number in range(len(targets)))
    form = competition_of(SubmissionKind.PROBABILITIES, classes=classes, header=("id", *classes))
    paths = tuple(Path("/nowhere") / image_id for image_id in ids)
    return replace(form, targets=targets, image_ids=ids, image_paths=paths, metric=get_metric(metric))


def sure(targets: NDArray[np.int64], right: NDArray[np.bool_], *, by: float = 0.9) -> NDArray[np.float32]:
    """(n, 2) probabilities that name the right class, or the wrong one, with that much sureness."""
    of_right = np.where(right, by, 1.0 - by)
    probs = np.empty((len(targets), 2))
    probs[np.arange(len(targets)), targets] = of_right
    probs[np.arange(len(targets)), 1 - targets] = 1.0 - of_right
    return probs.astype(np.float32)


def member_of(
    competition: Competition,
    number: int,
    oof: NDArray[Any],
    *,
    policy: str = "light",
    image_size: int = SIDE,
    backbone: str = "test_byobnet",
    member_kind: str = "search",
) -> Member:
    """A member with one fold's model, which has predicted all rows."""
    config = TrialConfig(
        model=ModelConfig(backbone=backbone, pretrained=False),
        resize=ResizeConfig(image_sizes=(image_size,)),
        augment=AugmentConfig(policy=policy),
    )
    return Member(
        number=number,
        member_kind=member_kind,
        score=0.0,
        config=config,
        competition=competition,
        models={0: TrainedFold(config, Path(f"{number}/fold0.safetensors"))},
        missing_weights=(),
        rows=np.arange(len(oof)),
        folds=np.zeros(len(oof), dtype=np.int64),
        oof=oof,
        test=np.full((len(competition.test_ids), oof.shape[1]), 1.0 / oof.shape[1]),
    )


@dataclass
class ScriptedPredictor:
    """Answers from a script: (member's number, view) -> (n, n_classes); other views are sure of the wrong class."""

    competition: Competition
    script: Mapping[tuple[int, str], NDArray[Any]] = field(default_factory=dict)
    damaged: frozenset[int] = frozenset()
    requests: list[tuple[int, str]] = field(default_factory=list)

    def predict_views(
        self, trained: TrainedFold, views: Sequence[View], split: str, rows: NDArray[np.int64]
    ) -> NDArray[Any]:
        number = int(trained.weights.parent.name)
        if number in self.damaged:
            raise StorageError(f"the weights {trained.weights} cannot be loaded: cut", hint="run automl refit")
        self.requests += [(number, view.name) for view in views]
        targets = self.competition.targets
        wrong = sure(targets, np.zeros(len(targets), dtype=bool), by=0.95)
        return np.stack([self.script.get((number, view.name), wrong)[rows] for view in views]).astype(np.float32)


def select(
    pool: list[Member], predictor: Any, *, tta: str = AUTO, max_members: int = 5, notes: list[str] | None = None
) -> EnsembleSelection:
    lines: list[str] = [] if notes is None else notes
    return select_ensemble(
        pool,
        competition=predictor.competition,
        predictor=predictor,
        tta=tta,
        max_members=max_members,
        notify=lines.append,
    )


def score_of(selection: EnsembleSelection) -> float:
    return selection.oof.score(selection.oof.cross_predict(selection.fit))


def one_member(competition: Competition, *, policy: str = "light") -> list[Member]:
    return [member_of(competition, 0, sure(TARGETS, MANY_RIGHT), policy=policy)]
