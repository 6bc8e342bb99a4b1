"""Targets with the true probabilities from which they were drawn, and a metric and a context for each task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from automl.decisions.rules import (
    DecisionContext,
)
from automl.metrics.metric import Metric
from automl.metrics.registry import METRICS, get_metric
from automl.tasks import Task

Drawn = tuple[np.ndarray, np.ndarray]


def logistic(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def labels_with_probs(n: int, base: list[float], *, skill: float = 2.0, seed: int = 0) -> Drawn:
    """Labels (n, n_classes) as frequent as base, and their true probabilities given one noisy signal for each."""
    rng = np.random.default_rng(seed)
    prior = np.asarray(base)
    targets = (rng.random((n, len(base))) < prior).astype(int)
    signals = rng.normal(size=targets.shape) + skill * targets
    return targets, logistic(np.log(prior / (1 - prior)) + skill * signals - skill**2 / 2)


def classes_with_probs(n: int, prior: list[float], *, skill: float = 1.5, seed: int = 0) -> Drawn:
    """Class indices (n,) and their true probabilities given a noisy signal."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(len(prior), n, p=prior)
    signals = rng.normal(size=(n, len(prior))) + skill * np.eye(len(prior))[targets]
    weights = np.exp(skill * signals) * prior
    return targets, weights / weights.sum(axis=1, keepdims=True)


def grades_with_probs(n: int, prior: list[float], *, noise: float = 0.7, seed: int = 0) -> Drawn:
    """Grades (n,) and their true probabilities given the grade with noise."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(len(prior), n, p=prior)
    signals = targets + noise * rng.normal(size=n)
    weights = np.exp(-((signals[:, None] - np.arange(len(prior))) ** 2) / (2 * noise**2)) * prior
    return targets, weights / weights.sum(axis=1, keepdims=True)


def context_of(task: Task, prior: list[float], *, always_labelled: bool = False) -> DecisionContext:
    return DecisionContext(task=task, prior=tuple(prior), always_labelled=always_labelled)


LABEL_PRIOR = [0.3, 0.1, 0.02]


GRADE_PRIOR = [0.5, 0.1, 0.25, 0.05, 0.1]


CASES: dict[str, tuple[Task, list[float]]] = {
    "f1_macro": (Task.MULTILABEL, LABEL_PRIOR),
    "f2_macro": (Task.MULTILABEL, LABEL_PRIOR),
    "f1_micro": (Task.MULTILABEL, LABEL_PRIOR),
    "f0.5_micro": (Task.MULTILABEL, LABEL_PRIOR),
    "f1_samples": (Task.MULTILABEL, LABEL_PRIOR),
    "f2_samples": (Task.MULTILABEL, LABEL_PRIOR),
    "f1": (Task.BINARY, [0.9, 0.1]),
    "f3_macro": (Task.MULTICLASS, GRADE_PRIOR),
    "balanced_accuracy": (Task.MULTICLASS, GRADE_PRIOR),
    "qwk": (Task.ORDINAL, GRADE_PRIOR),
}


def draw(name: str, n: int, seed: int = 0) -> tuple[Metric, DecisionContext, np.ndarray, np.ndarray]:
    task, prior = CASES[name]
    draw_rows: Callable[..., Drawn] = classes_with_probs
    if task is not Task.MULTICLASS:
        draw_rows = labels_with_probs if task is Task.MULTILABEL else grades_with_probs
    return get_metric(name), context_of(task, prior), *draw_rows(n, prior, seed=seed)


def sure_and_wrong(n: int, q: float, *, sure: float = 1e-9, seed: int = 0) -> Drawn:
    """Classes (n,) of two, and probabilities that are sure of the right one but in a share q of the rows."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(2, size=n)
    wrong = np.zeros(n, dtype=bool)
    wrong[rng.permutation(n)[: round(n * q)]] = True
    second = np.where((targets == 1) ^ wrong, 1 - sure, sure)
    return targets, np.column_stack([1 - second, second])


LOG_LOSS = METRICS["log_loss"]


TWO = context_of(Task.BINARY, [0.5, 0.5])
