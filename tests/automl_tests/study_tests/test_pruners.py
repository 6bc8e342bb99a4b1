"""The default pruner: what it compares, and what it costs and saves on real learning curves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.search.search_loop import SearchLoop, search
from automl.space import Space
from automl.study.pruners import RankPruner, build_pruner, compute_checkpoint_steps
from automl.study.study import SearchStudy, select_best_trials
from automl.suggest import Suggest
from runners.base import Context
from runners.simulated import SimulatedRunner

CURVES = Path(os.environ.get("AUTOML_TEST_DATA", "absent")) / "curves" / "digits.npz"
EPOCHS = 27
N_TRIALS = 50


def study_with(values: list[float], sizes: list[int] | None = None, *, direction: str = "maximize") -> optuna.Study:
    """A study whose trials all reported step 1 of 9 epochs; the last one is asked about."""
    study = optuna.create_study(direction=direction, pruner=RankPruner(epochs=9))
    for value, size in zip(values, sizes or [32] * len(values), strict=True):
        trial = study.ask()
        trial.set_user_attr("image_sizes", [size] * 9)
        trial.report(value, 1)
    return study


def prunes_last(study: optuna.Study) -> bool:
    return optuna.trial.Trial(study, study.get_trials()[-1]._trial_id).should_prune()


def test_checkpoints_lie_after_a_ninth_a_third_and_two_thirds_of_the_epochs() -> None:
    assert compute_checkpoint_steps(27) == (2, 8, 17)
    assert compute_checkpoint_steps(9) == (1, 2, 5)
    assert compute_checkpoint_steps(3) == (1,)
    assert compute_checkpoint_steps(1) == compute_checkpoint_steps(2) == ()


def test_the_worse_half_of_at_least_five_is_pruned() -> None:
    assert prunes_last(study_with([0.5, 0.6, 0.7, 0.8, 0.1]))
    assert prunes_last(study_with([0.5, 0.6, 0.7, 0.8, 0.55]))
    assert not prunes_last(study_with([0.5, 0.6, 0.7, 0.8, 0.65]))
    assert not prunes_last(study_with([0.6, 0.7, 0.8, 0.1]))


def test_a_metric_that_falls_is_ranked_the_other_way() -> None:
    assert prunes_last(study_with([0.5, 0.6, 0.7, 0.8, 0.9], direction="minimize"))
    assert not prunes_last(study_with([0.5, 0.6, 0.7, 0.8, 0.1], direction="minimize"))


def test_trials_that_score_the_same_do_not_prune_one_another() -> None:
    assert not prunes_last(study_with([0.5] * 9))


def test_between_checkpoints_nothing_is_pruned() -> None:
    study = study_with([0.5, 0.6, 0.7, 0.8, 0.1])
    trial = optuna.trial.Trial(study, study.get_trials()[-1]._trial_id)
    trial.report(0.1, 3)
    assert not trial.should_prune()


def test_a_small_stage_of_a_resize_schedule_is_not_held_against_a_trial() -> None:
    values = [0.5, 0.6, 0.7, 0.8, 0.1]
    assert not prunes_last(study_with(values, [64, 64, 64, 64, 32]))
    assert prunes_last(study_with(values, [32, 32, 32, 32, 64]))


def test_values_that_are_not_finite_are_pruned_and_are_nobodys_peers() -> None:
    assert prunes_last(study_with([0.5, float("nan")]))
    assert not prunes_last(study_with([0.6, 0.7, 0.8, float("nan"), 0.1]))


@pytest.mark.parametrize("name", ["rank", "median", "percentile", "hyperband"])
def test_each_pruner_by_name_prunes_a_hopeless_trial_and_none_prunes_nothing(name: str) -> None:
    for chosen, expected in ((name, True), ("none", False)):
        study = optuna.create_study(study_name="s", direction="maximize", pruner=build_pruner(chosen, epochs=27))
        pruned = False
        for score in [0.9] * 12 + [0.0]:
            trial = study.ask()
            for step in range(26):
                trial.report(score, step)
                pruned = bool(trial.should_prune())
                if pruned:
                    break
            study.tell(trial, None if pruned else score, state=TrialState.PRUNED if pruned else None)
        assert pruned is expected


# ---- On real learning curves: 768 configurations of small networks on scikit-learn's digits ------------------------


def suggest_curve(trial: Suggest) -> TrialConfig:
    index = 0
    for name, n_options in (
        ("model", 3),
        ("optim", 2),
        ("lr", 8),
        ("wd", 2),
        ("batch", 2),
        ("augment", 2),
        ("drop", 2),
    ):
        index = index * n_options + trial.suggest_categorical(name, list(range(n_options)))
    resize = ResizeConfig(image_sizes=(8,))
    return TrialConfig(model=ModelConfig(backbone=str(index)), resize=resize, epochs=EPOCHS)


def replay_curve(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    curve = np.load(CURVES)["val"][payload["row"]].tolist()
    for step, value in enumerate(curve):
        context.report(step, value)
    return {"outcome": "completed", "score": curve[-1]}


@dataclass(frozen=True)
class Outcome:
    epochs_fraction: float
    n_complete: int
    test_accuracy_of_pick: float


def simulate(pruner: str, *, seed: int) -> Outcome:
    """A search of 50 trials, four at once, that replays the curves."""
    optuna_study = optuna.create_study(
        study_name=f"curves{seed}", direction="maximize", pruner=build_pruner(pruner, epochs=EPOCHS)
    )
    study = SearchStudy(optuna_study, seed=seed)
    space = Space(name="curves", suggest=suggest_curve)
    loop = SearchLoop(study, space, replay_curve, lambda _, c: {"row": int(c.model.backbone)}, n_trials=N_TRIALS)
    search(loop, SimulatedRunner(4))
    n_epochs = sum(len(trial.intermediate_values) for trial in optuna_study.get_trials(deepcopy=False))
    best = space(optuna.trial.FixedTrial(select_best_trials(optuna_study, 1)[0].params))
    return Outcome(
        n_epochs / (N_TRIALS * EPOCHS),
        study.count_trials(TrialState.COMPLETE),
        float(np.load(CURVES)["test"][int(best.model.backbone), -1]),
    )


@pytest.mark.skipif(not CURVES.exists(), reason="AUTOML_TEST_DATA names no folder with curves/digits.npz")
def test_on_real_curves_the_default_pruner_saves_epochs_and_keeps_models_to_ensemble() -> None:
    seeds = range(8)
    rank = [simulate("rank", seed=seed) for seed in seeds]
    none = [simulate("none", seed=seed) for seed in seeds]
    assert np.mean([outcome.epochs_fraction for outcome in rank]) < 0.65
    assert min(outcome.n_complete for outcome in rank) >= 10
    loss = np.mean([outcome.test_accuracy_of_pick for outcome in none]) - np.mean(
        [outcome.test_accuracy_of_pick for outcome in rank]
    )
    assert loss < 0.005  # the noise of a single configuration between two seeds is 0.0085
    assert all(outcome.epochs_fraction == 1.0 and outcome.n_complete == N_TRIALS for outcome in none)
