"""Whether a metric can score a task and what is submitted, and the weights that it gives to classes.

Not responsible for: which metric it is (automl.reading.meaning).
"""

from __future__ import annotations

from automl.data.competition import SubmissionKind
from automl.errors import UsageError, listed
from automl.metrics import METRICS, Metric, metric_named, require_fits
from automl.reading.asked import Asked
from automl.reading.known import Known
from automl.tasks import Task

# Labels can be read off probabilities, so a metric of labels scores these too; probabilities cannot be read off labels.
SCORABLE: dict[str, frozenset[SubmissionKind]] = {
    "probabilities": frozenset({SubmissionKind.PROBABILITY, SubmissionKind.PROBABILITIES}),
    "order": frozenset({SubmissionKind.PROBABILITY, SubmissionKind.PROBABILITIES}),
    "label": frozenset(
        {
            SubmissionKind.LABEL,
            SubmissionKind.LABELS,
            SubmissionKind.RANKING,  # by its first
            SubmissionKind.PROBABILITY,
            SubmissionKind.PROBABILITIES,
        }
    ),
    "labels": frozenset({SubmissionKind.LABEL, SubmissionKind.LABELS, SubmissionKind.RANKING}),
    "ranking": frozenset({SubmissionKind.RANKING}),
    "values": frozenset({SubmissionKind.VALUES}),
}
IN_WORDS = {
    SubmissionKind.PROBABILITY: "one probability",
    SubmissionKind.PROBABILITIES: "a probability for each class",
    SubmissionKind.LABEL: "labels",
    SubmissionKind.LABELS: "lists of labels",
    SubmissionKind.RANKING: "ranked labels",
    SubmissionKind.VALUES: "values",
}


def require_fit(metric: Metric, task: Task, kind: SubmissionKind, *, classes: tuple[str, ...], said_by: str) -> None:
    """Nothing, where the metric can score the task and what is submitted.

    Args:
        said_by: who named the metric, in words.

    Raises:
        UsageError: it cannot; the hint names metrics that can.
    """
    require_fits(metric, task=task, classes=classes)
    if scores(metric, kind):
        return
    others = [name for name, other in METRICS.items() if task in other.tasks and scores(other, kind)]
    raise UsageError(
        f"the metric {metric.name}, {said_by}, cannot score a submission of {IN_WORDS[kind]}",
        hint=f"name one of {listed(others, at_most=10)} with --metric, or another task with --task",
    )


def scores(metric: Metric, kind: SubmissionKind) -> bool:
    """Whether a metric can score what is submitted; what a user's own function makes of it is not known."""
    return ":" in metric.name or kind in SCORABLE[metric.needs]


def weighted(metric: Metric, classes: tuple[str, ...], asked: Asked, known: Known | None) -> Metric:
    """The metric with the weights that are told of it; a class that they leave out has weight 1.

    Raises:
        UsageError: they name what is no class, or the metric takes none.
    """
    told = asked.metric_weights
    if told is None and known is not None and asked.metric in (None, known.metric):
        told = known.metric_weights or (() if metric.weighted else None)
    if told is None:
        return metric
    weight_of = dict(told)
    unknown = [name for name in weight_of if name not in classes]
    if unknown and asked.metric_weights is not None:
        raise UsageError(
            f"the metric's weights name {listed(unknown)}, which is no class",
            hint=f"name classes among {listed(classes, at_most=10)}",
        )
    return metric_named(metric.name, weights=tuple(weight_of.get(label, 1.0) for label in classes))
