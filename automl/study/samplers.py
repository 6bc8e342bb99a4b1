"""Build samplers by name, and seed each question by trial and name, so that no answer depends on a process's past."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.trial import Trial

from automl.artifacts import compute_digest
from automl.errors import UsageError

SAMPLERS = ("tpe", "random", "qmc")


def build_sampler(name: str, *, study_seed: int, trial_number: int, question: str = "") -> optuna.samplers.BaseSampler:
    """Build the sampler of that name, seeded for one trial, or for one question of it.

    Raises:
        UsageError: there is none.
    """
    seed = int(compute_digest([str(study_seed), str(trial_number), question])[:8], 16)
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "qmc":
        # One sequence for the whole study: its position is kept in the database. What is not asked in every trial
        # has no place in it, and is drawn at random.
        at_random = optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.QMCSampler(
                seed=study_seed, independent_sampler=at_random, warn_independent_sampling=False
            )
    raise UsageError(f"there is no sampler '{name}'", hint=f"use one of {', '.join(SAMPLERS)}")


class SeededQuestions:
    """A trial that answers a space's questions; `seed` is called with the name of each before it is answered."""

    def __init__(self, trial: Trial, seed: Callable[[str], None]) -> None:
        self._trial = trial
        self._seed = seed

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self._seed(name)
        return self._trial.suggest_float(name, low, high, step=step, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._seed(name)
        return self._trial.suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self._seed(name)
        return self._trial.suggest_categorical(name, choices)
