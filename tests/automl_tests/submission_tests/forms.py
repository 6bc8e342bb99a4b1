"""Competitions of every form of submission, with members that are files alone: predictions made from the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_arrays
from automl.config import AugmentConfig, ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.data.competition import Competition, SubmissionKind, SubmissionTemplate
from automl.ensemble.build import build_ensemble
from automl.ensemble.candidates import Candidate
from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult
from automl.metrics.registry import get_metric
from automl.tasks import Task

N_TRAIN, N_TEST = 200, 20


@dataclass(frozen=True)
class FormStudy:
    """A competition and the files of its members; the first rows of test are images like the first of training."""

    competition: Competition
    test_targets: NDArray[Any]
    files: StudyFiles
    folds: NDArray[np.int64]
    candidates: list[Candidate]

    def build(self, out: Path, **changes: Any) -> EnsembleResult:
        """`build_ensemble` of all candidates without views."""
        competition = changes.pop("competition", self.competition)
        candidates = changes.pop("candidates", self.candidates)
        request = EnsembleRequest(top=5, tta="none", device="cpu", out=out)
        return build_ensemble(competition, self.folds, candidates, self.files, request)


FORMS = (
    "one label",
    "label by f1",
    "one probability",
    "a probability each",
    "ordinal",
    "labels",
    "labels, may be none",
    "lists with commas",
    "lists in brackets",
    "labels in columns",
    "one class in columns",
    "independent probabilities",
    "long probabilities",
    "long labels",
    "ranking",
    "ranking scored at the top",
    "value",
    "long values",
)


def competition_of_form(form: str, root: Path, *, n_test: int = N_TEST) -> tuple[Competition, NDArray[Any]]:
    """The competition, and the truth of its test images."""
    rng = np.random.default_rng(0)
    n = N_TRAIN + n_test
    match form:
        case "one label":
            return _build(root, Task.MULTICLASS, "a b c", rng.integers(3, size=n), "label", "accuracy")
        case "label by f1":
            return _build(root, Task.BINARY, "0 1", (rng.random(n) < 0.2).astype(int), "label", "f1")
        case "one probability":
            return _build(root, Task.BINARY, "cat dog", rng.integers(2, size=n), "probability", "roc_auc")
        case "a probability each":
            return _build(root, Task.MULTICLASS, "a b c", rng.integers(3, size=n), "probabilities", "log_loss")
        case "ordinal":
            grades = np.minimum(rng.geometric(0.4, size=n) - 1, 4)
            return _build(root, Task.ORDINAL, "0 1 2 3 4", grades, "label", "qwk")
        case "labels":
            return _build(root, Task.MULTILABEL, "clear road water mine", _tags(rng, n, True), "labels", "f2_samples")
        case "labels, may be none":
            return _build(root, Task.MULTILABEL, "clear road water mine", _tags(rng, n, False), "labels", "f1_micro")
        case "lists with commas" | "lists in brackets":
            competition, truth = competition_of_form("labels, may be none", root, n_test=n_test)
            separator = "," if form == "lists with commas" else "[', ']"
            return replace(competition, submission=replace(competition.submission, separator=separator)), truth
        case "labels in columns":
            return _convert_to_columns(competition_of_form("labels, may be none", root, n_test=n_test))
        case "one class in columns":
            return _convert_to_columns(competition_of_form("one label", root, n_test=n_test))
        case "independent probabilities":
            return _build(root, Task.MULTILABEL, "x y z", _tags(rng, n, False)[:, 1:], "probabilities", "roc_auc")
        case "long probabilities":
            return _convert_to_long(
                _build(root, Task.MULTILABEL, "x y z", _tags(rng, n, False)[:, 1:], "probabilities", "log_loss")
            )
        case "long labels":
            return _convert_to_long(
                _build(root, Task.MULTILABEL, "x y z", _tags(rng, n, False)[:, 1:], "labels", "f1_macro")
            )
        case "ranking":
            return _build(root, Task.MULTICLASS, "w1 w2 w3 w4 w5 w6 w7", rng.integers(7, size=n), "ranking", "map@5")
        case "ranking scored at the top":
            return _build(root, Task.MULTICLASS, "1 2 3", rng.integers(3, size=n), "ranking", "top1_error")
        case "value":
            return _build(root, Task.REGRESSION, "Pawpularity", rng.uniform(1, 100, size=(n, 1)), "values", "rmse")
        case "long values":
            targets = rng.uniform(0, 50, size=(n, 2))
            competition, truth = _build(root, Task.REGRESSION, "Dry_g Green_g", targets, "values", "weighted_r2")
            return _convert_to_long((replace(competition, metric=get_metric("weighted_r2", weights=(0.5, 0.1))), truth))
    raise AssertionError(form)


def make_study(form: str, root: Path, *, n_test: int = N_TEST, n_models: int = 3) -> FormStudy:
    """The competition of that form and members of unequal skill."""
    competition, test_targets = competition_of_form(form, root, n_test=n_test)
    files = StudyFiles(root / "study")
    folds = np.arange(N_TRAIN) % 5
    shares = [competition.soft_targets, replace(competition, targets=test_targets).soft_targets]
    candidates = []
    for number in range(n_models):
        rng = np.random.default_rng(number)
        noise = rng.normal(size=(N_TRAIN + 1000, competition.n_classes))  # the same for the first test images
        oof = simulate_probs(shares[0], noise[:N_TRAIN], competition.task, skill=2.5 - 0.3 * number)
        test = simulate_probs(shares[1], noise[N_TRAIN : N_TRAIN + n_test], competition.task, skill=2.5 - 0.3 * number)
        trial = files.get_trial_files(number)
        write_arrays(trial.oof, rows=np.arange(N_TRAIN), folds=folds, probs=oof)
        write_arrays(trial.test, probs=test)
        candidates.append(Candidate(number=number, score=0.5, config=_config(number)))
    return FormStudy(competition, test_targets, files, folds, candidates)


def simulate_probs(shares: NDArray[Any], noise: NDArray[Any], task: Task, *, skill: float) -> NDArray[np.float32]:
    """Probabilities that a model of that skill would put out; overconfident nowhere, and 0 or 1 nowhere."""
    if task is Task.REGRESSION:
        return np.asarray(np.clip(shares + 0.3 / skill * noise, 0.001, 0.999), dtype=np.float32)
    logits = skill * (2 * shares - 1) + noise
    if task is Task.MULTILABEL:
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _config(number: int) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone="test_byobnet", pretrained=False),
        resize=ResizeConfig(image_sizes=(16,)),
        optim=OptimConfig(lr=1e-3),
        augment=AugmentConfig(policy="none"),
        batch_size=10,
        epochs=number + 1,
    )


def _tags(rng: np.random.Generator, n: int, always: bool) -> NDArray[np.int64]:
    tags = (rng.random((n, 4)) < [0.8, 0.4, 0.2, 0.05]).astype(np.int64)
    if always:
        tags[~tags.any(axis=1), 0] = 1
    return tags


def _build(
    root: Path, task: Task, classes: str, targets: NDArray[Any], kind: str, metric: str
) -> tuple[Competition, NDArray[Any]]:
    names = tuple(classes.split())
    targets = targets.astype(np.float64 if task is Task.REGRESSION else np.int64)
    n_test = len(targets) - N_TRAIN
    test_ids = tuple(f"{1000 + number:06d}.png" for number in range(n_test))
    wide = kind in ("probabilities", "values")
    header = ("image", *names) if wide else ("image", "predicted")
    competition = Competition(
        root=root,
        task=task,
        classes=names,
        image_ids=tuple(f"{number:06d}.png" for number in range(N_TRAIN)),
        image_paths=tuple(root / "train" / f"{number:06d}.png" for number in range(N_TRAIN)),
        targets=targets[:N_TRAIN],
        groups=None,
        test_ids=test_ids,
        test_paths=tuple(root / "test" / name for name in test_ids),
        metric=get_metric(metric),
        metric_given=True,
        submission=SubmissionTemplate(
            header=header,
            id_column=0,
            submission_kind=SubmissionKind(kind),
            ids=test_ids,
            n_ranked=5 if kind == "ranking" else 0,
        ),
        scales=_scales(targets[:N_TRAIN]) if task is Task.REGRESSION else None,
    )
    return competition, targets[N_TRAIN:]


def _scales(targets: NDArray[Any]) -> tuple[tuple[float, float], ...]:
    return tuple((float(low), float(high)) for low, high in zip(targets.min(axis=0), targets.max(axis=0), strict=True))


def _convert_to_columns(made: tuple[Competition, NDArray[Any]]) -> tuple[Competition, NDArray[Any]]:
    """The same with a column of 0 and 1 for each class."""
    competition, truth = made
    template = replace(competition.submission, header=("image", *competition.classes))
    return replace(competition, submission=template), truth


def _convert_to_long(made: tuple[Competition, NDArray[Any]]) -> tuple[Competition, NDArray[Any]]:
    """The same with a row for each class of an image, the rows of an image apart from one another."""
    competition, truth = made
    n_test, n_classes = len(competition.test_ids), competition.n_classes
    cells = tuple((image, column) for column in range(n_classes) for image in range(n_test))
    ids = tuple(f"{competition.test_ids[image]}_{competition.classes[column]}" for image, column in cells)
    template = replace(competition.submission, header=("row_id", "target"), ids=ids, cells=cells)
    return replace(competition, submission=template), truth
