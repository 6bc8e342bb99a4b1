"""Studies as a search leaves them to a refit: with trials that were really trained, or with files that look so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import TrialState
from torch import nn

from automl.artifacts import StudyFiles, write_json
from automl.config import TrialConfig
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.refit.plan import RefitSelection
from automl.refit.refit_loop import REFIT, RefitLoop
from automl.refit.refit_result import RefitResult
from automl.refit.run_refit import FoldExecution, RefitRequest, run_refit
from automl.study.study import Terms, open_study
from automl.training.entry_points import run_trial
from automl.training.fold_outputs import FoldResult, join_folds, save_fold
from runners.base import Context, Runner, Supervisor
from runners.inline import InlineRunner
from tests.automl_tests.training_tests.trial_builders import ScriptedContext, config_of, payload_of, write_study

SEED = 5  # of worlds.payload_of

ROUNDS: list[tuple[int, int, str]] = []  # trial, fold and kind of each fold that quick_fold was called for


def terms_of(competition: Competition, *, train_folds: int = 1) -> Terms:
    return Terms(
        space="test",
        space_fingerprint="-",
        competition_fingerprint=competition.fingerprint,
        metric=competition.metric.name,
        direction=competition.metric.direction,
        epochs=3,
        train_folds=train_folds,
        seed=SEED,
    )


def end_trials(files: StudyFiles, trial_of: Callable[[int], tuple[TrialState, float]], n: int) -> None:
    """Add n trials to the study, made if it is new, each in the state and with the score that trial_of gives it."""
    terms = terms_of(load_competition(files.competition))
    with open_study(files, terms) as study:
        for _ in range(n):
            trial = study.optuna_study.ask()
            state, score = trial_of(trial.number)
            trial.report(score, 0)
            trial.set_user_attr("seconds", 10.0)
            study.tell(trial, state, score if state == TrialState.COMPLETE else None)


def trained_study(root: Path, configs: Sequence[TrialConfig]) -> StudyFiles:
    """A study whose trials trained one fold each."""
    files = write_study(root)

    def trained(number: int) -> tuple[TrialState, float]:
        payload = payload_of(files, configs[number], trial=number)
        return TrialState.COMPLETE, run_trial(payload, ScriptedContext())["score"]

    end_trials(files, trained, len(configs))
    return files


def written_study(root: Path, *, n: int = 4, pruned: Sequence[int] = ()) -> StudyFiles:
    """A study of trials that were never trained, the earlier the better, but for those that were pruned."""
    files = write_study(root, metric="log_loss")
    add_trials(files, n, pruned=pruned)
    return files


def add_trials(
    files: StudyFiles, n: int, *, pruned: Sequence[int] = (), skill: Callable[[int], float] | None = None
) -> None:
    """More such trials; skill is the probability of the right class, by number."""

    def written(number: int) -> tuple[TrialState, float]:
        if number in pruned:
            return TrialState.PRUNED, 0.3
        fold = finished_fold(files, number, 0, skill=skill(number) if skill else 0.9 - 0.1 * number)
        trial = files.get_trial_files(number)
        write_json(trial.config, config_of(dropout=number / 100).to_json())
        write_json(trial.origin, {"weights_dir": None, "init_from": None})
        save_fold(trial, 0, nn.Linear(1, 1), fold)
        join_folds(trial, [fold])
        trial.get_fold_oof_path(0).unlink()
        trial.get_fold_test_path(0).unlink()
        competition = load_competition(files.competition)
        return TrialState.COMPLETE, competition.scorer(competition.targets[fold.rows], fold.probs)

    end_trials(files, written, n)


def finished_fold(files: StudyFiles, number: int, fold: int, *, skill: float = 0.6) -> FoldResult:
    """What might have come of a fold: each row has the right class with a noisy probability."""
    competition = load_competition(files.competition)
    rows = np.flatnonzero(load_folds(files.folds, competition) == fold)
    rng = np.random.default_rng([number, fold])
    return FoldResult(
        rows=rows,
        probs=_probs(competition.targets[rows], skill, rng),
        test_probs=_probs(np.zeros(len(competition.test_ids), dtype=np.int64), skill, rng),
        history=[],
        micro_batch=1,
        n_parameters=2,
    )


def _probs(targets: NDArray[np.int64], skill: float, rng: np.random.Generator) -> NDArray[np.float32]:
    logits = 4 * skill * np.eye(3)[targets] + rng.normal(size=(len(targets), 3))
    exponentials = np.exp(logits)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)


def quick_fold(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """`run_fold`, but for the training; folds that FATES names come to no good."""
    number, fold, kind = payload["trial"], payload["fold"], payload["refit_kind"]
    ROUNDS.append((number, fold, kind))
    context.report(0, 0.5, {"seconds": 1.0})
    if (fate := FATES.get((number, fold))) is not None:
        return fate()
    files = StudyFiles(Path(payload["study_dir"]))
    own = files.get_trial_files(number).get_refit_files(kind)
    save_fold(own, fold, nn.Linear(1, 1), finished_fold(files, number, fold))
    return {"outcome": "completed", "score": 0.5}


FATES: dict[tuple[int, int], Callable[[], dict[str, Any]]] = {}


@dataclass
class Refit:
    """A refit of the study with tasks that train nothing, in this process, and what it said.

    Attributes:
        trained: trial, fold and kind of what was trained by the last run.
    """

    files: StudyFiles
    task: Any = quick_fold
    build_runner: Callable[[], Runner] = InlineRunner
    watch: Callable[[RefitLoop], Supervisor] = lambda loop: loop
    notes: list[str] = field(default_factory=list)
    trained: list[tuple[int, int, str]] = field(default_factory=list)

    def run(
        self, *, top: int = 2, n_pool: int = 15, numbers: tuple[int, ...] | None = None, **flags: Any
    ) -> RefitResult:
        selection = RefitSelection(top=top, n_pool=n_pool, numbers=numbers)
        request = RefitRequest(files=self.files, selection=selection, **flags)
        ROUNDS.clear()
        try:
            return run_refit(request, FoldExecution(self.task, self.build_runner, self.watch), notify=self.notes.append)
        finally:
            self.trained = list(ROUNDS)


def four_more(*numbers: int, kind: str = REFIT) -> list[tuple[int, int, str]]:
    """The folds of these trials that a search with one fold left out, as a refit trains them."""
    return [(number, fold, kind) for number in numbers for fold in range(1, 5)]
