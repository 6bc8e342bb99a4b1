"""The metrics by name: those of METRICS, those with a number in their name, and the user's own functions.

Scores keep their natural sign. Not responsible for: the formulas, and what a metric is (automl.scores), or turning
probabilities into labels with more care than the plain way (automl.decisions.choose).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np

from automl.errors import UsageError, listed
from automl.metrics.custom import OwnScore, is_own, load_own
from automl.metrics.labels import (
    accuracy,
    balanced_accuracy,
    f1,
    f_beta_macro,
    f_beta_micro,
    f_beta_samples,
    qwk,
    top1_error,
)
from automl.metrics.metric import ONE_CLASS_EACH, Average, Metric, Needs, ScoreFunction
from automl.metrics.pointwise import log_loss, mae, pf1, r2, rmse, weighted_log_loss, weighted_r2
from automl.metrics.rankings import mean_average_precision, partial_auc, roc_auc, weighted_auc
from automl.tasks import Task

CLASSES = ONE_CLASS_EACH | {Task.MULTILABEL}
BINARY, MULTILABEL, VALUES = (frozenset({task}) for task in (Task.BINARY, Task.MULTILABEL, Task.REGRESSION))


def _f_score(beta: float, average: Average) -> Metric:
    function = {"macro": f_beta_macro, "micro": f_beta_micro, "samples": f_beta_samples}[average]
    return Metric(
        name=f"f{repr(beta).removesuffix('.0')}_{average}",
        function=partial(function, beta=beta),
        greater_is_better=True,
        needs="labels",
        tasks=CLASSES,
        average=average,
        beta=beta,
    )


def _map_at(k: int) -> Metric:
    function = partial(mean_average_precision, k=k)
    return Metric(
        name=f"map@{k}", function=function, greater_is_better=True, needs="ranking", tasks=CLASSES, n_ranked=k
    )


def _table(needs: Needs, tasks: frozenset[Task], *functions: ScoreFunction) -> list[Metric]:
    return [
        Metric(
            name=function.__name__,
            function=function,
            greater_is_better=function not in (log_loss, weighted_log_loss, top1_error, rmse, mae),
            needs=needs,
            tasks=tasks,
            weighted=function in (weighted_log_loss, weighted_r2),
        )
        for function in functions
    ]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *_table("probabilities", CLASSES, log_loss),
        *_table("probabilities", MULTILABEL, weighted_log_loss),
        *_table("label", ONE_CLASS_EACH, accuracy, top1_error, balanced_accuracy),
        *_table("order", CLASSES, roc_auc),
        *_table("order", BINARY, partial_auc, weighted_auc),
        *_table("label", BINARY, f1),
        *(_f_score(1.0, average) for average in get_args(Average)),
        _f_score(2.0, "samples"),
        *_table("label", ONE_CLASS_EACH, qwk),
        _map_at(5),
        *_table("values", VALUES, rmse, mae, r2, weighted_r2),
        *_table("probabilities", BINARY, pf1),
    )
}

ALSO_CALLED = {
    "auc": "roc_auc",
    "kappa": "qwk",
    "cohen_kappa": "qwk",
    "quadratic_weighted_kappa": "qwk",
    "macro_recall": "balanced_accuracy",
    "pauc": "partial_auc",
    "probabilistic_f1": "pf1",
    "micro_f1": "f1_micro",
    "macro_f1": "f1_macro",
    "f2": "f2_samples",
    "mean_f_score": "f1_samples",
    "crossentropy": "log_loss",
}


def metric_named(name: str, *, weights: Sequence[float] | None = None) -> Metric:
    """The metric of that name: of METRICS, f{beta}_{macro|micro|samples}, map@{k}, or "path.py:function".

    Raises:
        UsageError: there is none; weights are given to a metric that has none, or are no weights.
    """
    metric = _own(name) if is_own(name) else METRICS.get(name) or _parsed(name)
    if metric is None:
        raise UsageError(
            f"there is no metric '{name}'",
            hint=f"{_meant(name)}use one of {', '.join(METRICS)}; with another beta or k; or path.py:function",
        )
    return metric if weights is None else replace(metric, weights=_checked_weights(metric, weights))


def require_fits(metric: Metric, *, task: Task, classes: Sequence[str]) -> None:
    """Nothing, where the metric can score such a competition.

    Raises:
        UsageError: it scores other tasks; it needs a weight for each class, and has another number of them.
    """
    if task not in metric.tasks:
        known = [other for other, candidate in METRICS.items() if task in candidate.tasks]
        raise UsageError(
            f"{metric.name} scores {' or '.join(sorted(metric.tasks))} targets, but these are {task}",
            hint=f"use one of {', '.join(known)}, or say what the targets are with --task",
        )
    n_weights = len(metric.weights or ())
    if metric.weighted and n_weights != len(classes):
        raise UsageError(
            f"{metric.name} has {n_weights} weights for {len(classes)} columns: {listed(tuple(classes))}",
            hint="give each column its weight under [metric_weights] in automl.toml",
        )


def _parsed(name: str) -> Metric | None:
    if f_score := re.fullmatch(r"f(\d+(?:\.\d+)?)_(macro|micro|samples)", name):
        average: Average = f_score[2]  # type: ignore[assignment]
        return _f_score(float(f_score[1]), average) if float(f_score[1]) > 0 else None
    if ranked := re.fullmatch(r"map@([1-9]\d{0,3})", name):
        return _map_at(int(ranked[1]))
    return None


def _meant(name: str) -> str:
    spelled = name.lower().replace("-", "_").replace(" ", "_")
    near = difflib.get_close_matches(spelled, [*ALSO_CALLED, *METRICS], n=1)
    return f"did you mean {ALSO_CALLED.get(near[0], near[0])}? " if near else ""


def _checked_weights(metric: Metric, weights: Sequence[float]) -> tuple[float, ...]:
    if not metric.weighted:
        takers = ", ".join(name for name, candidate in METRICS.items() if candidate.weighted)
        raise UsageError(f"{metric.name} takes no weights", hint=f"leave them out, or use one of {takers}")
    numbers = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers.sum() > 0:
        raise UsageError(
            f"{metric.name} cannot use the weights {list(weights)}", hint="give weights from 0 on, one of them above 0"
        )
    return tuple(numbers.tolist())


def _own(name: str) -> Metric:
    """The user's function as a metric, as its attributes describe it; by default it is given probabilities.

    `greater_is_better` (True), `needs` ("probabilities"), `tasks` (all that can be given what it needs), `n_ranked`.
    """
    own = load_own(name)
    needs: Any = getattr(own.function, "needs", "probabilities")
    n_ranked: Any = getattr(own.function, "n_ranked", 0)
    if needs not in get_args(Needs):
        raise UsageError(f"{own.address} needs {needs!r}", hint=f"set needs to one of {', '.join(get_args(Needs))}")
    if needs == "ranking" and not (isinstance(n_ranked, int) and n_ranked > 0):
        raise UsageError(
            f"{own.address} needs a ranking of {n_ranked!r} classes", hint="set n_ranked to how many it is given"
        )
    return Metric(
        name=own.address,
        function=own,
        greater_is_better=bool(getattr(own.function, "greater_is_better", True)),
        needs=needs,
        tasks=_own_tasks(own, needs),
        n_ranked=n_ranked,
        digest=own.digest,
    )


def _own_tasks(own: OwnScore, needs: Needs) -> frozenset[Task]:
    fitting = {"values": VALUES, "label": ONE_CLASS_EACH}.get(needs, CLASSES)
    named: Iterable[str] = getattr(own.function, "tasks", fitting)
    try:
        return frozenset(Task(task) for task in named)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{own.address}: {error}", hint=f"set tasks to some of {', '.join(Task)}") from error
