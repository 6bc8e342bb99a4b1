"""Build samplers by name, and seed each question by trial and name, so that no answer depends on a process's past."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from automl.artifacts import compute_digest
from automl.errors import UsageError
from automl.study.probe_evidence import Prior, find_weight

SAMPLERS = ("tpe", "random", "qmc")
N_PRIOR = 10  # complete trials that weigh as much as the prior
UNIFORM_SHARE = 0.2  # of the prior; with it nothing is ever excluded


def build_sampler(
    name: str, *, study_seed: int, trial_number: int, question: str = "", prior: Prior | None = None
) -> optuna.samplers.BaseSampler:
    """Build the sampler of that name, seeded for one trial, or for one question of it.

    Args:
        prior: weights of values by parameter, which tpe draws from while few trials are complete; the other samplers
            do without.

    Raises:
        UsageError: there is none.
    """
    seed = derive_seed(study_seed, trial_number, question)
    if name == "tpe" and prior:
        return PriorSampler(prior, study_seed=study_seed, trial_number=trial_number, question=question)
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


def derive_seed(study_seed: int, trial_number: int, question: str) -> int:
    """Derive the seed of one question of a trial."""
    return int(compute_digest([str(study_seed), str(trial_number), question])[:8], 16)


class PriorSampler(optuna.samplers.TPESampler):
    """TPE that draws choices from a prior, the less often the more trials are complete.

    The prior is mixed with the uniform distribution, so that it makes no choice impossible. TPE samples the other
    parameters of the trial together, as it does without a prior.
    Source: Hvarfner et al. 2022, PiBO: Augmenting Acquisition Functions with User Beliefs, section 4 (a prior whose
    influence decays with the trials).
    """

    def __init__(self, prior: Prior, *, study_seed: int, trial_number: int, question: str) -> None:
        super().__init__(seed=derive_seed(study_seed, trial_number, question), n_startup_trials=10)
        self._prior = prior
        # Of the trial, not of the question: whether a choice comes from the prior is asked of several samplers.
        self._seeds = {name: derive_seed(study_seed, trial_number, f"prior of {name}") for name in prior}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Infer which parameters TPE samples together: all but those that come from the prior."""
        found = super().infer_relative_search_space(study, trial)
        return {name: distribution for name, distribution in found.items() if not self._uses_prior(study, name)}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one parameter, from the prior or by TPE."""
        if not (isinstance(param_distribution, CategoricalDistribution) and self._uses_prior(study, param_name)):
            return super().sample_independent(study, trial, param_name, param_distribution)
        shares = compute_shares(self._prior[param_name], param_name, param_distribution.choices)
        return random.Random(self._seeds[param_name] + 1).choices(param_distribution.choices, shares)[0]

    def _uses_prior(self, study: optuna.Study, name: str) -> bool:
        if name not in self._prior:
            return False
        n_complete = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        return random.Random(self._seeds[name]).random() < N_PRIOR / (N_PRIOR + n_complete)


def compute_shares(weights: Mapping[str, float], name: str, choices: Sequence[Any]) -> list[float]:
    """Compute the probability with which the prior draws each choice, at least a fifth of the uniform one."""
    found = [find_weight(weights, name, choice) for choice in choices]
    total = math.fsum(found)
    return [UNIFORM_SHARE / len(choices) + (1 - UNIFORM_SHARE) * weight / total for weight in found]


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
