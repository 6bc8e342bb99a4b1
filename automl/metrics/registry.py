"""The table of metrics: one row each, with function, direction, needed predictions and tasks; found by name.

Besides the table: parametrised families (f{beta}_{average}, map@{k}), and users' functions "path.py:function". Scores
keep their natural sign.
See also: automl.decisions.choose, which turns probabilities into labels for these metrics.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np

from automl.errors import UsageError, join_names
from automl.metrics.custom import UserScore, is_user_metric, load_user_score
from automl.metrics.formulas import (
    log_loss,
    mae,
    mean_average_precision,
    partial_auc,
    pf1,
    r2,
    rmse,
    roc_auc,
    weighted_auc,
    weighted_log_loss,
    weighted_r2,
)
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
from automl.metrics.metric import Average, Metric, Needs, ScoreFunction
from automl.multi_output import HeadSizes
from automl.tasks import (
    BINARY_TASKS,
    CLASS_TASKS,
    MULTILABEL_TASKS,
    ONE_CLASS_TASKS,
    REGRESSION_TASKS,
    SINGLE_CLASS_TASKS,
    Task,
)


def build_f_score(beta: float, average: Average) -> Metric:
    """Return the row of f{beta}_{average}."""
    function = {"macro": f_beta_macro, "micro": f_beta_micro, "samples": f_beta_samples}[average]
    return Metric(
        name=f"f{repr(beta).removesuffix('.0')}_{average}",
        function=partial(function, beta=beta),
        greater_is_better=True,
        needs="labels",
        tasks=CLASS_TASKS,
        average=average,
        beta=beta,
    )


def build_map_at_k(k: int) -> Metric:
    """Return the row of map@{k}."""
    return Metric(
        name=f"map@{k}",
        function=partial(mean_average_precision, k=k),
        greater_is_better=True,
        needs="ranking",
        tasks=SINGLE_CLASS_TASKS | MULTILABEL_TASKS,
        n_ranked=k,
    )


def _build_row(
    function: ScoreFunction, needs: Needs, tasks: frozenset[Task], *, greater_is_better: bool, weighted: bool = False
) -> Metric:
    return Metric(
        name=function.__name__,
        function=function,
        greater_is_better=greater_is_better,
        needs=needs,
        tasks=tasks,
        weighted=weighted,
    )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _build_row(log_loss, "probabilities", CLASS_TASKS, greater_is_better=False),
        _build_row(weighted_log_loss, "probabilities", MULTILABEL_TASKS, greater_is_better=False, weighted=True),
        _build_row(accuracy, "label", ONE_CLASS_TASKS, greater_is_better=True),
        _build_row(top1_error, "label", ONE_CLASS_TASKS, greater_is_better=False),
        _build_row(balanced_accuracy, "label", ONE_CLASS_TASKS, greater_is_better=True),
        _build_row(roc_auc, "order", CLASS_TASKS, greater_is_better=True),
        _build_row(partial_auc, "order", BINARY_TASKS, greater_is_better=True),
        _build_row(weighted_auc, "order", BINARY_TASKS, greater_is_better=True),
        _build_row(f1, "label", BINARY_TASKS, greater_is_better=True),
        build_f_score(1.0, "macro"),
        build_f_score(1.0, "micro"),
        build_f_score(1.0, "samples"),
        build_f_score(2.0, "samples"),
        _build_row(qwk, "label", ONE_CLASS_TASKS, greater_is_better=True),
        build_map_at_k(5),
        _build_row(rmse, "values", REGRESSION_TASKS, greater_is_better=False),
        _build_row(mae, "values", REGRESSION_TASKS, greater_is_better=False),
        _build_row(r2, "values", REGRESSION_TASKS, greater_is_better=True),
        _build_row(weighted_r2, "values", REGRESSION_TASKS, greater_is_better=True, weighted=True),
        _build_row(pf1, "probabilities", BINARY_TASKS, greater_is_better=True),
    )
}

ALIASES = {
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


def get_metric(name: str, *, weights: Sequence[float] | None = None, head_sizes: HeadSizes = ()) -> Metric:
    """Return the metric of that name: of METRICS, f{beta}_{macro|micro|samples}, map@{k}, or "path.py:function".

    Args:
        weights: of the columns; of the heads, where there are any, for any metric.
        head_sizes: the number of classes of each head with MULTIOUTPUT, over which the metric is averaged.

    Raises:
        UsageError: there is none; weights are given to a metric that has none, or are no weights.
    """
    metric = _load_user_metric(name) if is_user_metric(name) else METRICS.get(name) or _parse_family(name)
    if metric is None:
        raise UsageError(
            f"there is no metric '{name}'",
            hint=f"{_suggest_name(name)}use one of {', '.join(METRICS)}; with another beta or k; or path.py:function",
        )
    metric = replace(metric, head_sizes=head_sizes) if head_sizes else metric
    return metric if weights is None else replace(metric, weights=_validate_weights(metric, weights))


def require_fits(metric: Metric, *, task: Task, classes: Sequence[str]) -> None:
    """Check that the metric can score such a competition.

    Raises:
        UsageError: it scores other tasks; it needs a weight for each class, and has another number of them.
    """
    if task not in metric.tasks:
        fitting = [other for other, candidate in METRICS.items() if task in candidate.tasks]
        raise UsageError(
            f"{metric.name} scores {' or '.join(sorted(metric.tasks))} targets, but these are {task}",
            hint=f"use one of {', '.join(fitting)}, or say what the targets are with --task",
        )
    n_weights = len(metric.weights or ())
    if metric.weighted and n_weights != len(classes):
        raise UsageError(
            f"{metric.name} has {n_weights} weights for {len(classes)} columns: {join_names(tuple(classes))}",
            hint="give each column its weight under [metric_weights] in automl.toml",
        )


def _parse_family(name: str) -> Metric | None:
    if f_score := re.fullmatch(r"f(\d+(?:\.\d+)?)_(macro|micro|samples)", name):
        average: Average = f_score[2]  # type: ignore[assignment]
        return build_f_score(float(f_score[1]), average) if float(f_score[1]) > 0 else None
    if ranked := re.fullmatch(r"map@([1-9]\d{0,3})", name):
        return build_map_at_k(int(ranked[1]))
    return None


def _suggest_name(name: str) -> str:
    normalized = name.lower().replace("-", "_").replace(" ", "_")
    matches = difflib.get_close_matches(normalized, [*ALIASES, *METRICS], n=1)
    return f"did you mean {ALIASES.get(matches[0], matches[0])}? " if matches else ""


def _validate_weights(metric: Metric, weights: Sequence[float]) -> tuple[float, ...]:
    if not (metric.weighted or metric.head_sizes):
        weighted = ", ".join(name for name, candidate in METRICS.items() if candidate.weighted)
        raise UsageError(f"{metric.name} takes no weights", hint=f"leave them out, or use one of {weighted}")
    numbers = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers.sum() > 0:
        raise UsageError(
            f"{metric.name} cannot use the weights {list(weights)}", hint="give weights from 0 on, one of them above 0"
        )
    return tuple(numbers.tolist())


def _load_user_metric(name: str) -> Metric:
    """Return the user's function as a metric, as its attributes describe it; by default it needs probabilities.

    `greater_is_better` (True), `needs` ("probabilities"), `tasks` (all that can be given what it needs), `n_ranked`.
    """
    user_score = load_user_score(name)
    needs: Any = getattr(user_score.function, "needs", "probabilities")
    n_ranked: Any = getattr(user_score.function, "n_ranked", 0)
    if needs not in get_args(Needs):
        raise UsageError(
            f"{user_score.address} needs {needs!r}", hint=f"set needs to one of {', '.join(get_args(Needs))}"
        )
    if needs == "ranking" and not (isinstance(n_ranked, int) and n_ranked > 0):
        raise UsageError(
            f"{user_score.address} needs a ranking of {n_ranked!r} classes", hint="set n_ranked to how many it is given"
        )
    return Metric(
        name=user_score.address,
        function=user_score,
        greater_is_better=bool(getattr(user_score.function, "greater_is_better", True)),
        needs=needs,
        tasks=_get_user_tasks(user_score, needs),
        n_ranked=n_ranked,
        digest=user_score.digest,
    )


def _get_user_tasks(user_score: UserScore, needs: Needs) -> frozenset[Task]:
    fitting = {
        "values": REGRESSION_TASKS,
        "label": ONE_CLASS_TASKS,
        "ranking": SINGLE_CLASS_TASKS | MULTILABEL_TASKS,
    }.get(needs, CLASS_TASKS)
    named: Iterable[str] = getattr(user_score.function, "tasks", fitting)
    try:
        return frozenset(Task(task) for task in named)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{user_score.address}: {error}", hint=f"set tasks to some of {', '.join(Task)}") from error
