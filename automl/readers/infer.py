"""Infer task, classes, targets, submission and metric from the labels and the sample submission.

The user's settings go first, then what is known of the competition, then what is inferred; the evidence says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from automl.data.competition import BLANK, SubmissionKind, join_list, split_list
from automl.errors import DataError, UsageError, join_names
from automl.metrics.metric import Metric
from automl.metrics.registry import METRICS, get_metric, require_fits
from automl.multi_output import Head
from automl.readers.infer_submission import (
    SubmissionForm,
    SubmissionHints,
    describe_values,
    infer_column_kind,
    infer_submission_form,
    match_class_spelling,
    sort_labels,
)
from automl.readers.infer_task import (
    ORDINAL_METRICS,
    InferredTask,
    describe_grades,
    infer_task,
    is_number,
    suggest_other_task,
)
from automl.readers.known_competitions import KnownCompetition
from automl.readers.label_lists import choose_separator, find_lists, match_list_spelling, read_lists
from automl.readers.label_names import merge_unicode_forms
from automl.readers.labels.source import Labels
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import SampleSubmission
from automl.readers.targets import (
    Targets,
    encode_classes,
    encode_heads,
    encode_label_sets,
    encode_values,
    extract_class_labels,
)
from automl.tasks import Task

# Labels can be read off probabilities, so a metric of labels scores these too; probabilities cannot be read off labels.
SCORABLE_SUBMISSIONS: dict[str, frozenset[SubmissionKind]] = {
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
SUBMISSION_NAMES = {
    SubmissionKind.PROBABILITY: "one probability",
    SubmissionKind.PROBABILITIES: "a probability for each class",
    SubmissionKind.LABEL: "labels",
    SubmissionKind.LABELS: "lists of labels",
    SubmissionKind.RANKING: "ranked labels",
    SubmissionKind.VALUES: "values",
}
PROPOSED = "proposed for such a submission"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredCompetition:
    """Task, targets, submission and metric; the fields are those of `Competition` and its submission template."""

    task: Task
    classes: tuple[str, ...]
    targets: NDArray[Any]
    scales: tuple[tuple[float, float], ...] | None
    heads: tuple[Head, ...]
    submission_kind: SubmissionKind
    n_ranked: int
    separator: str
    metric: Metric
    metric_given: bool
    flips: bool
    evidence: tuple[str, ...]


def infer_competition(
    labels: Labels, sample: SampleSubmission, settings: CompetitionSettings, known: KnownCompetition | None = None
) -> InferredCompetition:
    """Infer task, targets, submission and metric from the labels and the sample submission.

    Raises:
        DataError: labels and sample do not fit each other.
        UsageError: a setting fits neither.
    """
    given = find_given_metric(settings, known)
    metric = get_metric(given[0]) if given else None
    hints = _collect_hints(settings, known, metric)
    labels, unified_lines = merge_unicode_forms(labels)
    given_task = _find_given_task(settings, known)
    task, reason = infer_task(labels, sample, given=given_task, metric=metric)
    doubts = [] if given_task or metric else suggest_other_task(labels, sample, task)
    if task is Task.REGRESSION:
        targets, form = _infer_values(labels, sample, in_order="," in (settings.label or ""))
    elif task is Task.MULTILABEL:
        targets, form = _infer_label_sets(labels, sample, hints)
    elif task is Task.MULTIOUTPUT:
        targets, form = _infer_heads(labels, sample, task_is_set=given_task is not None)
    else:
        targets, form = _infer_classes(labels, sample, hints, ordinal=task is Task.ORDINAL)
    if task is Task.MULTICLASS and len(targets.classes) == 2:
        task = Task.BINARY
    _require_settings_met(settings, task, targets)
    metric, metric_source = _drop_contradicted_metric(metric, given, form.submission_kind, settings, sample)
    final_metric = apply_metric_weights(
        metric or get_metric(_propose_metric(task, form)), targets.classes, settings, known, heads=targets.heads
    )
    require_scorable(final_metric, task, form.submission_kind, classes=targets.classes, metric_source=metric_source)
    flips = settings.flips if settings.flips is not None else (known.flips if known else True)
    return InferredCompetition(
        task=task,
        classes=targets.classes,
        targets=targets.array,
        scales=targets.scales,
        heads=targets.heads,
        submission_kind=form.submission_kind,
        n_ranked=form.n_ranked,
        separator=form.separator,
        metric=final_metric,
        metric_given=metric is not None,
        flips=flips,
        evidence=(
            f"task: {task}, {reason}",
            *_describe_task(labels, sample, task, targets.classes, final_metric),
            *doubts,
            *unified_lines,
            *targets.evidence,
            *form.evidence,
            f"metric: {final_metric.name}, {metric_source}",
            *_describe_mean(final_metric, targets.heads),
            *_describe_flips(settings, known),
        ),
    )


def find_given_metric(settings: CompetitionSettings, known: KnownCompetition | None) -> tuple[str, str] | None:
    """Return the metric that the user gives or that is known of the competition, and its source in words."""
    if settings.metric is not None:
        return settings.metric, "as asked"
    return (known.metric, f"known of {known.slug}") if known else None


def _find_given_task(settings: CompetitionSettings, known: KnownCompetition | None) -> InferredTask | None:
    if settings.task is not None:
        return settings.task, "as asked"
    return (known.task, f"known of {known.slug}") if known and known.task else None


def _collect_hints(
    settings: CompetitionSettings, known: KnownCompetition | None, metric: Metric | None
) -> SubmissionHints:
    return SubmissionHints(
        metric=metric,
        metric_is_set=settings.metric is not None,
        negative=settings.negative or (known.negative if known else None),
        negative_is_set=settings.negative is not None,
        task_is_set=settings.task is not None,
        submission=settings.submission,
    )


def _infer_values(labels: Labels, sample: SampleSubmission, *, in_order: bool) -> tuple[Targets, SubmissionForm]:
    targets = encode_values(labels, sample, in_order=in_order)
    n_targets = len(targets.classes)
    each = f" and each of {n_targets} targets" if n_targets > 1 else ""
    line = f"submission: a value for each image{each}, from the form of {sample.name}"
    return targets, SubmissionForm(submission_kind=SubmissionKind.VALUES, classes=targets.classes, evidence=(line,))


def _infer_label_sets(
    labels: Labels, sample: SampleSubmission, hints: SubmissionHints
) -> tuple[Targets, SubmissionForm]:
    lists = read_lists(labels, sample) if len(labels.columns) == 1 else None
    if len(sample.target_columns) > 1:
        targets = encode_label_sets(labels, sample, lists)
        columns = infer_column_kind(sample, hints, is_single_class=False)
        return targets, replace(columns, classes=targets.classes)
    spelling_lines: tuple[str, ...] = ()
    if lists is not None:
        lists, spelling_lines = match_list_spelling(choose_separator(lists, sample), sample)
    targets = encode_label_sets(labels, sample, lists)
    separator, metric = lists.separator if lists is not None else BLANK, hints.metric
    _require_known_labels(targets, sample, separator)
    if metric is not None and metric.needs == "ranking":
        line = f"submission: the {metric.n_ranked} most probable labels, because of the metric {metric.name}"
        submission_kind, n_ranked = SubmissionKind.RANKING, metric.n_ranked
    else:
        example = join_names([join_list(targets.classes[:2], separator)])
        form = "with blanks between" if separator == BLANK else f"such as {example}"
        line = f"submission: all labels of an image {form}, from {describe_values(sample)}"
        submission_kind, n_ranked = SubmissionKind.LABELS, 0
    return targets, SubmissionForm(
        submission_kind=submission_kind,
        classes=targets.classes,
        n_ranked=n_ranked,
        separator=separator,
        evidence=(line, *spelling_lines),
    )


def _infer_heads(labels: Labels, sample: SampleSubmission, *, task_is_set: bool) -> tuple[Targets, SubmissionForm]:
    targets = encode_heads(labels, sample, task_is_set=task_is_set)
    place = "row" if sample.cells else "column"
    line = f"submission: the label itself, in a {place} for each of {len(targets.heads)} heads, from {sample.name}"
    return targets, SubmissionForm(submission_kind=SubmissionKind.LABEL, classes=targets.classes, evidence=(line,))


def _require_known_labels(targets: Targets, sample: SampleSubmission, separator: str) -> None:
    tokens = {token for value in sample.values for token in split_list(value, separator)}
    if tokens and not tokens & set(targets.classes):
        raise DataError(
            f"{sample.name} holds {join_names(sorted(tokens))} in column {join_names(sample.target_columns)}, "
            f"but the training labels are {join_names(targets.classes)}",
            hint="check that labels and sample submission are of the same competition",
        )


def _infer_classes(
    labels: Labels, sample: SampleSubmission, hints: SubmissionHints, *, ordinal: bool
) -> tuple[Targets, SubmissionForm]:
    texts = extract_class_labels(labels)
    spelling = match_class_spelling(set(texts), sample)
    texts = tuple(spelling.renamed.get(text, text) for text in texts)
    hints = replace(hints, negative=spelling.renamed.get(hints.negative or "", hints.negative))
    form = infer_submission_form(sample, set(texts), hints)
    form = replace(form, evidence=(*form.evidence, *spelling.lines))
    classes = sort_labels(form.classes) if ordinal and len(sample.target_columns) == 1 else form.classes
    return encode_classes(texts, classes, form.renamed), form


def _drop_contradicted_metric(
    metric: Metric | None,
    given: tuple[str, str] | None,
    submission_kind: SubmissionKind,
    settings: CompetitionSettings,
    sample: SampleSubmission,
) -> tuple[Metric | None, str]:
    """Return the metric and its source; none where it is known for labels but the sample wants a probability."""
    if metric is None or given is None:
        return None, PROPOSED
    if settings.metric is None and metric.needs_labels and submission_kind is SubmissionKind.PROBABILITY:
        return None, f"{PROPOSED}; {metric.name}, {given[1]}, is not scored on what {sample.name} asks for"
    return metric, given[1]


def _propose_metric(task: Task, form: SubmissionForm) -> str:
    """Return the metric most common for such a form. Source: reference of competitions, section 2.5 step 8."""
    match form.submission_kind:
        case SubmissionKind.PROBABILITY:
            return "roc_auc"
        case SubmissionKind.PROBABILITIES:
            return "roc_auc" if task is Task.MULTILABEL else "log_loss"
        case SubmissionKind.LABEL:
            return "qwk" if task is Task.ORDINAL else "accuracy"
        case SubmissionKind.LABELS:
            return "f1_samples"
        case SubmissionKind.RANKING:
            return f"map@{form.n_ranked}"
        case SubmissionKind.VALUES:
            return "rmse"


def apply_metric_weights(
    metric: Metric,
    classes: tuple[str, ...],
    settings: CompetitionSettings,
    known: KnownCompetition | None,
    *,
    heads: tuple[Head, ...] = (),
) -> Metric:
    """Return the metric with its given or known weights of classes or heads; those that they leave out have weight 1.

    Raises:
        UsageError: they name what is no class, or the metric takes none.
    """
    given = settings.metric_weights
    if given is None and known is not None and settings.metric in (None, known.metric):
        given = known.metric_weights or (() if metric.weighted else None)
    head_sizes = tuple(head.n_classes for head in heads)
    if given is None:
        return replace(metric, head_sizes=head_sizes)
    classes, weight_of = tuple(head.name for head in heads) or classes, dict(given)
    unknown = [name for name in weight_of if name not in classes]
    if unknown and settings.metric_weights is not None:
        raise UsageError(
            f"the metric's weights name {join_names(unknown)}, which is no class",
            hint=f"name classes among {join_names(classes, at_most=10)}",
        )
    return get_metric(metric.name, weights=tuple(weight_of.get(label, 1.0) for label in classes), head_sizes=head_sizes)


def require_scorable(
    metric: Metric, task: Task, submission_kind: SubmissionKind, *, classes: tuple[str, ...], metric_source: str
) -> None:
    """Require a metric that can score the task and the kind of submission.

    Args:
        metric_source: where the metric is from, in words.

    Raises:
        UsageError: it cannot; the hint names metrics that can.
    """
    require_fits(metric, task=task, classes=classes)
    if can_score(metric, submission_kind):
        return
    others = [name for name, other in METRICS.items() if task in other.tasks and can_score(other, submission_kind)]
    raise UsageError(
        f"the metric {metric.name}, {metric_source}, cannot score a submission of {SUBMISSION_NAMES[submission_kind]}",
        hint=f"name one of {join_names(others, at_most=10)} with --metric, or another task with --task",
    )


def can_score(metric: Metric, submission_kind: SubmissionKind) -> bool:
    """Whether a metric can score such a submission; always for a user's own function."""
    return ":" in metric.name or submission_kind in SCORABLE_SUBMISSIONS[metric.needs]


def _require_settings_met(settings: CompetitionSettings, task: Task, targets: Targets) -> None:
    """Require that no setting is ignored silently."""
    if settings.task is Task.BINARY and task is not Task.BINARY:
        raise UsageError(
            f"--task binary was asked, but there are {len(targets.classes)} classes: {join_names(targets.classes)}",
            hint="leave --task out, or name the class that is 0 with --negative",
        )
    if settings.negative is not None and not task.target_kind.is_single_class:
        raise UsageError(
            f"--negative {settings.negative} was asked, but with a {task} task there is no such class",
            hint="leave --negative out, or name another task with --task",
        )


def _describe_task(
    labels: Labels, sample: SampleSubmission, task: Task, classes: tuple[str, ...], metric: Metric
) -> list[str]:
    in_order = task is Task.ORDINAL or metric.name in ORDINAL_METRICS
    if in_order and not all(is_number(label) for label in classes):
        return [f"task: the classes in the order {join_names(classes, at_most=10)}, from their names"]
    if in_order or not task.target_kind.is_single_class:
        return []
    grades = describe_grades(labels)
    lists = find_lists(labels, sample)
    lines = [f"task: {grades}; --task ordinal would take them in their order"] if grades else []
    if lists is not None:
        example = join_names([lists.example])
        lines.append(f"task: labels such as {example} look like lists; each of them is taken for a class of its own")
    return lines


def _describe_mean(metric: Metric, heads: tuple[Head, ...]) -> list[str]:
    """Describe over what the metric is averaged, where there are several heads."""
    if not heads:
        return []
    weights = metric.weights or (1.0,) * len(heads)
    weighed = join_names([f"{head.name} {weight:g}" for head, weight in zip(heads, weights, strict=True)], at_most=10)
    return [f"metric: the mean over the heads, weighted {weighed}"]


def _describe_flips(settings: CompetitionSettings, known: KnownCompetition | None) -> list[str]:
    if settings.flips is not None:
        return [] if settings.flips else ["flips: off, as asked"]
    return [f"flips: off, known of {known.slug}"] if known and not known.flips else []
