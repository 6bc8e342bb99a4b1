"""Small competitions for the tests of the ensemble: predictions alone, or images with trained trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.artifacts import StudyFiles, TrialFiles, read_json
from automl.config import AugmentConfig, ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, SubmissionKind, SubmissionTemplate, save_competition
from automl.data.folds import make_folds, save_folds
from automl.decisions.choose import Scorer
from automl.decisions.rules import DecisionContext
from automl.ensemble.blending import cross_predict
from automl.ensemble.build import build_ensemble
from automl.ensemble.candidates import (
    Candidate,
    Member,
    read_member,
)
from automl.ensemble.crossfit import Blend, CrossFitted
from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult
from automl.ensemble.predictor import Predictor
from automl.metrics.registry import get_metric
from automl.tasks import Task
from automl.training.entry_points import run_trial
from automl.training.fold_outputs import FoldResult, save_fold
from automl.training.network.create import load_trained

N_TRAIN, N_TEST, SIDE = 90, 12, 16


def competition_of(
    kind: SubmissionKind,
    *,
    classes: tuple[str, ...] = ("cat", "dog"),
    ids: tuple[str, ...] = ("3", "1", "2"),
    header: tuple[str, ...] = ("id", "label"),
    id_column: int = 0,
) -> Competition:
    """A competition without images, for its submission's form."""
    return Competition(
        root=Path("/nowhere"),
        task=Task.BINARY if len(classes) == 2 else Task.MULTICLASS,
        classes=classes,
        image_ids=(),
        image_paths=(),
        targets=np.empty(0, dtype=np.int64),
        groups=None,
        test_ids=ids,
        test_paths=tuple(Path("/nowhere") / f"{image_id}.png" for image_id in ids),
        metric=get_metric("log_loss"),
        metric_given=False,
        submission=SubmissionTemplate(header=header, id_column=id_column, submission_kind=kind, ids=ids),
    )


def scorer_of(
    name: str,
    *,
    task: Task = Task.MULTICLASS,
    prior: tuple[float, ...] = (0.5, 0.5),
    scales: tuple[tuple[float, float], ...] | None = None,
) -> Scorer:
    """The metric of that name, as a competition of that task would score by it."""
    return Scorer(get_metric(name), DecisionContext(task=task, prior=prior, always_labelled=False, scales=scales))


def one_family_probs(
    targets: NDArray[Any], n_classes: int, rng: np.random.Generator, *, n_models: int = 12, skill: float = 1.0
) -> NDArray[np.float64]:
    """Members (n_models, n, n_classes) that share half of their noise, as networks of one kind do."""
    shape = (len(targets), n_classes)
    logits = (
        skill * np.eye(n_classes)[targets] + 0.7 * rng.normal(size=shape) + 0.7 * rng.normal(size=(n_models, *shape))
    )
    exponentials = np.exp(1.5 * logits)
    return np.asarray(exponentials / exponentials.sum(axis=2, keepdims=True))


def predict_out_of_fold(fit: CrossFitted[Blend], probs: NDArray[Any], task: Task) -> NDArray[np.float64]:
    """Each row of members (n_models, n, n_classes) by the blend that was fitted without it."""
    return cross_predict(probs, fit.splits, dict(enumerate(fit.per_split)), np.arange(len(fit.splits)), task)


def score_out_of_fold(fit: CrossFitted[Blend], probs: NDArray[Any], targets: NDArray[Any], scorer: Scorer) -> float:
    """The score of a blend on rows that it was not fitted to."""
    return scorer(targets, predict_out_of_fold(fit, probs, scorer.context.task))


def stack_splits(fit: CrossFitted[Blend], name: str) -> NDArray[np.float64]:
    """(n_splits, n_models) of weights or temperatures."""
    return np.stack([getattr(blend, name) for blend in fit.per_split])


@dataclass
class QuietContext:
    """A runner's context that lets a trial train to its end."""

    device: str = "cpu"
    n_threads: int = 1

    def report(self, step: int, value: float, detail: Mapping[str, Any] | None = None) -> None:
        """Nobody listens."""

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        """Nobody listens."""


@dataclass(frozen=True)
class TrainedStudy:
    """A study whose trials are trained; several tests read it, none writes into its trials."""

    competition: Competition
    folds: NDArray[np.int64]
    files: StudyFiles
    candidates: list[Candidate]

    @property
    def cache(self) -> PixelCache:
        return PixelCache(self.competition, self.files.cache)

    def build(self, out: Path, **changes: Any) -> EnsembleResult:
        """`build_ensemble` with every candidate, on the CPU."""
        competition = changes.pop("competition", self.competition)
        candidates = changes.pop("candidates", self.candidates)
        request = EnsembleRequest(out=out, **{"top": 5, "tta": "none", "device": "cpu", **changes})
        return build_ensemble(competition, self.folds, candidates, self.files, request)


def train_study(root: Path) -> TrainedStudy:
    """Three trials, best first, of a competition whose classes are the bright side: 'left' or 'right'."""
    competition = _bright_sides(root / "competition")
    files = StudyFiles(root / "study")
    folds = make_folds(competition, n_folds=3)
    save_competition(competition, files.competition)
    save_folds(folds, competition, files.folds)
    candidates = [_trained(number, config, files) for number, config in enumerate(_configs())]
    return TrainedStudy(competition, folds, files, sorted(candidates, key=lambda candidate: candidate.score))


def _bright_sides(root: Path) -> Competition:
    rng = np.random.default_rng(0)
    targets = np.arange(N_TRAIN + N_TEST) % 2
    ids = tuple(f"image{number:03d}" for number in range(len(targets)))
    root.mkdir(parents=True)
    for image_id, target in zip(ids, targets, strict=True):
        pixels = rng.integers(0, 120, size=(SIDE, SIDE, 3))
        pixels[:, SIDE // 2 * target : SIDE // 2 * (target + 1)] += 30
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{image_id}.png")
    paths = tuple(root / f"{image_id}.png" for image_id in ids)
    test_ids = ids[N_TRAIN:]
    form = competition_of(SubmissionKind.PROBABILITY, classes=("left", "right"), ids=test_ids)
    return replace(
        form,
        root=root,
        image_ids=ids[:N_TRAIN],
        image_paths=paths[:N_TRAIN],
        test_paths=paths[N_TRAIN:],
        targets=targets[:N_TRAIN].astype(np.int64),
    )


def _configs() -> list[TrialConfig]:
    return [
        TrialConfig(
            model=ModelConfig(backbone=backbone, pretrained=False),
            resize=ResizeConfig(image_sizes=(SIDE,)),
            optim=OptimConfig(lr=lr),
            augment=AugmentConfig(policy="none"),
            batch_size=10,
            epochs=4,
        )
        for backbone, lr in (("test_byobnet", 1e-2), ("test_efficientnet", 5e-3), ("test_byobnet", 5e-3))
    ]


def _trained(number: int, config: TrialConfig, files: StudyFiles) -> Candidate:
    payload = {
        "trial": number,
        "study_dir": str(files.root),
        "config": config.to_json(),
        "train_folds": 2,
        "seed": 0,
        "weights_dir": None,
        "init_from": None,
    }
    answer = run_trial(payload, QuietContext())
    trained = TrialConfig.from_json(read_json(files.get_trial_files(number).config))
    return Candidate(number=number, score=answer["score"], config=trained)


def read_study_member(
    study: TrainedStudy, files: TrialFiles | None = None, kind: str = "search", **changes: Any
) -> Member:
    best = replace(study.candidates[0], member_kind=kind)
    files = files or study.files.get_trial_files(best.number)
    given = {"competition": study.competition, "folds": study.folds, **changes}
    return read_member(best, files, **given)


def create_predictor(study: TrainedStudy, **changes: Any) -> Predictor:
    return Predictor(study.competition, study.cache, device="cpu", cache_folder=None, **changes)


def put_fold(study: TrainedStudy, files: TrialFiles, fold: int, *, shade: float = 0.25) -> FoldResult:
    """A finished fold of a network that predicts the same for every image, with the weights of fold 0."""
    own = study.files.get_trial_files(study.candidates[0].number)
    model = load_trained(
        study.candidates[0].config, own.get_weights_path(0), competition=study.competition, device="cpu"
    )
    rows = np.flatnonzero(study.folds == fold)
    finished = FoldResult(
        rows=rows,
        probs=np.tile(np.float32([1 - shade, shade]), (len(rows), 1)),
        test_probs=np.tile(np.float32([shade, 1 - shade]), (N_TEST, 1)),
        history=[],
        micro_batch=10,
        n_parameters=5,
    )
    save_fold(files, fold, model, finished)
    return finished
