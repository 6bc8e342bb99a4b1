"""What labels and sample submission mean together: task, classes, targets, what is submitted, and the metric.

What the user says goes first, then what is known of the competition, then what is inferred; the evidence says which.
Not responsible for: reading the labels (automl.readers.read), or which images belong together
(automl.readers.groups).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError, listed
from automl.metrics.metric import Metric
from automl.metrics.registry import METRICS, metric_named, require_fits
from automl.readers.infer_submission import Submitted, Wish, find_submitted, natural_order, shown_values
from automl.readers.infer_task import ORDINAL_METRICS, Finding, find_task, grades_in, is_number
from automl.readers.known_competitions import Known
from automl.readers.labels.cells import separated_labels
from automl.readers.labels.source import Labels
from automl.readers.settings import Asked
from automl.readers.submission_template import Sample
from automl.readers.targets import Targets, class_targets, class_texts, label_set_targets, value_targets
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


PROPOSED = "proposed for such a submission"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What was understood; the fields are those of `Competition` and of its submission template."""

    task: Task
    classes: tuple[str, ...]
    targets: NDArray[Any]
    scales: tuple[tuple[float, float], ...] | None
    kind: SubmissionKind
    n_ranked: int
    metric: Metric
    metric_given: bool
    flips: bool
    evidence: tuple[str, ...]


def understand(labels: Labels, sample: Sample, asked: Asked, known: Known | None = None) -> Meaning:
    """What the labels and the sample submission mean.

    Raises:
        DataError: labels and sample do not fit each other.
        UsageError: what was asked fits neither.
    """
    told = told_metric(asked, known)
    metric = metric_named(told[0]) if told else None
    task, reason = find_task(labels, sample, said=_said_task(asked, known), metric=metric)
    if task is Task.REGRESSION:
        targets, submitted = _values(labels, sample)
    elif task is Task.MULTILABEL:
        targets, submitted = _label_sets(labels, sample, metric)
    else:
        targets, submitted = _classes(labels, sample, _wish(asked, known, metric), ordinal=task is Task.ORDINAL)
    if task is Task.MULTICLASS and len(targets.classes) == 2:
        task = Task.BINARY
    _require_as_asked(asked, task, targets)
    metric, said_by = _not_contradicted(metric, told, submitted.kind, asked, sample)
    chosen = weighted(metric or metric_named(_proposed(task, submitted)), targets.classes, asked, known)
    require_fit(chosen, task, submitted.kind, classes=targets.classes, said_by=said_by)
    flips = asked.flips if asked.flips is not None else (known.flips if known else True)
    return Meaning(
        task=task,
        classes=targets.classes,
        targets=targets.array,
        scales=targets.scales,
        kind=submitted.kind,
        n_ranked=submitted.n_ranked,
        metric=chosen,
        metric_given=metric is not None,
        flips=flips,
        evidence=(
            f"task: {task}, {reason}",
            *_task_lines(labels, task, targets.classes, chosen),
            *targets.evidence,
            *submitted.evidence,
            f"metric: {chosen.name}, {said_by}",
            *_flip_lines(asked, known),
        ),
    )


def told_metric(asked: Asked, known: Known | None) -> tuple[str, str] | None:
    """The metric that the user or the competition's name tells, and which of them in words."""
    if asked.metric is not None:
        return asked.metric, "as asked"
    return (known.metric, f"known of {known.slug}") if known else None


def _not_contradicted(
    metric: Metric | None, told: tuple[str, str] | None, kind: SubmissionKind, asked: Asked, sample: Sample
) -> tuple[Metric | None, str]:
    """The metric that was told and by whom; none where it is known for labels, but the sample wants a probability."""
    if metric is None or told is None:
        return None, PROPOSED
    if asked.metric is None and metric.needs_labels and kind is SubmissionKind.PROBABILITY:
        return None, f"{PROPOSED}; {metric.name}, {told[1]}, is not scored on what {sample.name} asks for"
    return metric, told[1]


def _require_as_asked(asked: Asked, task: Task, targets: Targets) -> None:
    """Nothing asked is left undone in silence."""
    if asked.task is Task.BINARY and task is not Task.BINARY:
        raise UsageError(
            f"--task binary was asked, but there are {len(targets.classes)} classes: {listed(targets.classes)}",
            hint="leave --task out, or name the class that is 0 with --negative",
        )
    if asked.negative is not None and not task.one_class_each:
        raise UsageError(
            f"--negative {asked.negative} was asked, but with a {task} task there is no such class",
            hint="leave --negative out, or name another task with --task",
        )


def _said_task(asked: Asked, known: Known | None) -> Finding | None:
    if asked.task is not None:
        return asked.task, "as asked"
    return (known.task, f"known of {known.slug}") if known and known.task else None


def _wish(asked: Asked, known: Known | None, metric: Metric | None) -> Wish:
    return Wish(
        metric=metric,
        metric_asked=asked.metric is not None,
        negative=asked.negative or (known.negative if known else None),
        negative_asked=asked.negative is not None,
        task_asked=asked.task is not None,
    )


def _values(labels: Labels, sample: Sample) -> tuple[Targets, Submitted]:
    targets = value_targets(labels, sample)
    n_targets = len(targets.classes)
    each = f" and each of {n_targets} targets" if n_targets > 1 else ""
    line = f"submission: a value for each image{each}, from the form of {sample.name}"
    return targets, Submitted(kind=SubmissionKind.VALUES, classes=targets.classes, evidence=(line,))


def _label_sets(labels: Labels, sample: Sample, metric: Metric | None) -> tuple[Targets, Submitted]:
    targets = label_set_targets(labels, sample)
    n_classes = len(targets.classes)
    if len(sample.target_columns) > 1:
        place = "rows" if sample.cells else "columns"
        line = f"submission: a probability for each of {n_classes} labels, from the {place} of {sample.name}"
        return targets, Submitted(kind=SubmissionKind.PROBABILITIES, classes=targets.classes, evidence=(line,))
    _require_known_labels(targets, sample)
    if metric is not None and metric.needs == "ranking":
        line = f"submission: the {metric.n_ranked} most probable labels, because of the metric {metric.name}"
        kind, n_ranked = SubmissionKind.RANKING, metric.n_ranked
    else:
        line = f"submission: all labels of an image with blanks between, from {shown_values(sample)}"
        kind, n_ranked = SubmissionKind.LABELS, 0
    return targets, Submitted(kind=kind, classes=targets.classes, n_ranked=n_ranked, evidence=(line,))


def _require_known_labels(targets: Targets, sample: Sample) -> None:
    tokens = {token for value in sample.values for token in value.split()}
    if tokens and not tokens & set(targets.classes):
        raise DataError(
            f"{sample.name} holds {listed(sorted(tokens))} in column {listed(sample.target_columns)}, "
            f"but the training labels are {listed(targets.classes)}",
            hint="check that labels and sample submission are of the same competition",
        )


def _classes(labels: Labels, sample: Sample, wish: Wish, *, ordinal: bool) -> tuple[Targets, Submitted]:
    texts = class_texts(labels)
    submitted = find_submitted(sample, set(texts), wish)
    classes = natural_order(submitted.classes) if ordinal and len(sample.target_columns) == 1 else submitted.classes
    return class_targets(texts, classes, submitted.renamed), submitted


def _proposed(task: Task, submitted: Submitted) -> str:
    """The metric that most competitions of such a form have. Source: reference of competitions, section 2.5 step 8."""
    match submitted.kind:
        case SubmissionKind.PROBABILITY:
            return "roc_auc"
        case SubmissionKind.PROBABILITIES:
            return "roc_auc" if task is Task.MULTILABEL else "log_loss"
        case SubmissionKind.LABEL:
            return "qwk" if task is Task.ORDINAL else "accuracy"
        case SubmissionKind.LABELS:
            return "f1_samples"
        case SubmissionKind.RANKING:
            return f"map@{submitted.n_ranked}"
        case SubmissionKind.VALUES:
            return "rmse"


def _task_lines(labels: Labels, task: Task, classes: tuple[str, ...], metric: Metric) -> list[str]:
    in_order = task is Task.ORDINAL or metric.name in ORDINAL_METRICS
    if in_order and not all(is_number(label) for label in classes):
        return [f"task: the classes in the order {listed(classes, at_most=10)}, from their names"]
    if in_order or not task.one_class_each:
        return []
    grades = grades_in(labels)
    lists = separated_labels(labels.texts) if len(labels.columns) == 1 else None
    lines = [f"task: {grades}; --task ordinal would take them in their order"] if grades else []
    if lists is not None:
        example = listed([max(lists, key=len)])
        lines.append(f"task: labels such as {example} look like lists; each of them is taken for a class of its own")
    return lines


def _flip_lines(asked: Asked, known: Known | None) -> list[str]:
    if asked.flips is not None:
        return [] if asked.flips else ["flips: off, as asked"]
    return [f"flips: off, known of {known.slug}"] if known and not known.flips else []
