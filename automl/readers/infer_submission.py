"""Infer what is submitted of an image with one class: probabilities, a ranking, a label, or one probability."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from automl.data.competition import BLANK, SubmissionKind
from automl.errors import DataError, UsageError, join_names
from automl.files.evidence import format_suggestion, format_warning
from automl.files.tables import format_count
from automl.metrics.metric import Metric
from automl.readers.infer_task import is_number, list_head_values
from automl.readers.label_names import (
    Matched,
    find_boolean_words,
    find_named_label,
    match_columns,
    match_spelling,
    normalize_label,
    order_two_classes,
)
from automl.readers.submission_template import SampleSubmission
from automl.tasks import BINARY_TASKS

SAME_HINT = "check that labels and sample submission are of the same competition"
MIN_KNOWN_TOKENS = 0.5  # of a ranking's labels must be known from training; the test may have others
MAX_UNKNOWN_COLUMNS = 0.5  # of the sample's may lack training images; the test may have further classes


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionForm:
    """What is submitted for each image: its kind and its classes.

    Attributes:
        classes: (n_classes,) in the order of the submission's columns, or the one that is submitted last of two.
        renamed: label -> class, where the submission knows a label by another name.
        separator: of lists of labels, as `SubmissionTemplate.separator`.
        has_negative: whether one class is 0, so that which one it is counts.
        evidence: lines that say what is submitted, and from what it was inferred.
    """

    submission_kind: SubmissionKind
    classes: tuple[str, ...]
    evidence: tuple[str, ...]
    n_ranked: int = 0
    renamed: Mapping[str, str] = field(default_factory=dict)
    separator: str = BLANK
    has_negative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionHints:
    """What the user gives, or is known, beside the sample submission.

    Attributes:
        metric: None where neither the user gives it nor it is known.
        metric_is_set: whether the user gave it.
        negative: the class that is 0 where one probability is submitted; negative_is_set as above.
        task_is_set: whether the user gave the task; then values of the sample that are no labels stand for
            nothing.
        submission: "labels" or "probabilities", where the user says which.
    """

    metric: Metric | None = None
    metric_is_set: bool = False
    negative: str | None = None
    negative_is_set: bool = False
    task_is_set: bool = False
    submission: str | None = None

    @property
    def needs_probability(self) -> bool:
        """Whether the metric scores probabilities, or they are asked for; not known of the user's own metric."""
        if self.submission is not None:
            return self.submission == "probabilities"
        own = self.metric is not None and ":" in self.metric.name
        return self.metric is not None and self.metric.needs in ("probabilities", "order") and not own

    @property
    def needs_label(self) -> bool:
        """Whether the metric scores labels, or they are asked for."""
        if self.submission is not None:
            return self.submission == "labels"
        return self.metric is not None and self.metric.needs in ("label", "labels")

    @property
    def reason(self) -> str:
        """What asks for labels or for probabilities, in words."""
        return f"because of the metric {self.metric_name}" if self.submission is None else "as asked"

    @property
    def scores_second_class(self) -> bool:
        """Whether the metric scores the second of two classes alone, as F1 does."""
        return self.metric is not None and self.metric.tasks == BINARY_TASKS

    @property
    def needs_ranking(self) -> bool:
        return self.metric is not None and self.metric.needs == "ranking"

    @property
    def metric_name(self) -> str:
        return self.metric.name if self.metric else "none"


def infer_submission_form(sample: SampleSubmission, labels: Collection[str], hints: SubmissionHints) -> SubmissionForm:
    """Infer what is submitted: several columns are probabilities or flags, one is a label, a ranking or a probability.

    Args:
        labels: the distinct training labels, at least two.

    Raises:
        DataError: the sample fits no kind of submission with these labels.
        UsageError: the negative class is no label, or no such class is needed.
    """
    _require_negative(labels, hints)
    _require_no_confidences(sample, labels)
    if len(sample.target_columns) > 1:
        found = _infer_class_columns(sample, labels, hints)
    elif n_ranked := _count_ranked(sample, labels, hints):
        found = _infer_ranking(sample, labels, n_ranked)
    elif len(labels) == 2:
        found = _infer_for_two_classes(sample, labels, hints)
    else:
        found = _infer_for_many_classes(sample, labels, hints)
    if hints.negative_is_set and not found.has_negative and not hints.scores_second_class:
        raise UsageError(
            f"--negative {hints.negative} was asked, but {sample.name} wants no single probability",
            hint="leave --negative out, or name the metric that is scored on one probability",
        )
    return found


def infer_column_kind(sample: SampleSubmission, hints: SubmissionHints, *, is_single_class: bool) -> SubmissionForm:
    """Infer whether a column for each class holds a probability, or 0 or 1; classes are left to the caller.

    Labels they are where the metric that is given scores labels: of several labels always, of one class where the
    sample holds nothing but 0 and 1, since a scorer can find the most probable one itself.
    """
    values = set[str]().union(*list_head_values(sample))
    holds_flags, place = values <= {"0", "1", ""}, "rows" if sample.cells else "columns"
    noun, n_columns = "classes" if is_single_class else "labels", len(sample.target_columns)
    labels = SubmissionKind.LABEL if is_single_class else SubmissionKind.LABELS
    may_be_set = hints.metric_is_set and not is_single_class
    if hints.needs_label and (holds_flags or may_be_set or hints.submission is not None):
        reason = f"{hints.reason}, in the {place} of {sample.name}"
        line = f"submission: 0 or 1 for each of {n_columns} {noun}, {reason}"
        return SubmissionForm(submission_kind=labels, classes=(), evidence=(line,))
    lines = [f"submission: a probability for each of {n_columns} {noun}, from the {place} of {sample.name}"]
    if holds_flags and values - {""} and hints.metric is None and hints.submission is None:
        metric = "accuracy" if is_single_class else "f1_samples"
        lines.append(format_suggestion(f"--metric {metric}", "writes 0 or 1 for each, where that is what is scored"))
    return SubmissionForm(submission_kind=SubmissionKind.PROBABILITIES, classes=(), evidence=tuple(lines))


def match_class_spelling(labels: Collection[str], sample: SampleSubmission) -> Matched:
    """Match classes with how the sample's cells write them, in other letters or accents; its columns come later."""
    if len(sample.target_columns) > 1:
        return Matched({})
    values, folded = set(list_distinct_values(sample)), {normalize_label(label) for label in labels}
    words = {word for value in values if normalize_label(value) not in folded for word in value.split()}
    return match_spelling(labels, values | words, source=sample.name)


def sort_labels(labels: Collection[str]) -> tuple[str, ...]:
    """Sort labels by number where all are integers, by their text otherwise."""
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def describe_values(sample: SampleSubmission) -> str:
    """Describe the sample's values for a message."""
    if not sample.is_given:
        return sample.name
    values = list_distinct_values(sample)
    if not values:
        return f"{sample.name} (blank in every row)"
    every = f"{join_names(values)} in every row" if len(values) == 1 else join_names(values)
    return f"{sample.name} ({every})"


def list_distinct_values(sample: SampleSubmission) -> list[str]:
    """List the distinct values of the sample's first target, without blanks."""
    return sorted(set(sample.values) - {""})


def _require_negative(labels: Collection[str], hints: SubmissionHints) -> None:
    if hints.negative is not None and hints.negative_is_set and hints.negative not in labels:
        raise UsageError(
            f"--negative {hints.negative} is no class",
            hint=f"name one of {join_names(sort_labels(labels), at_most=10)}",
        )


def _require_no_confidences(sample: SampleSubmission, labels: Collection[str]) -> None:
    """Refuse labels with a confidence behind each, such as 137790 0.1: that form is not written."""
    rows = [value.split() for value in set(sample.values) if value and value not in labels]
    fractions = [row for row in rows if len(row) > 1 and any("." in part and is_number(part) for part in row[1::2])]
    if len(fractions) > MIN_KNOWN_TOKENS * len(rows) and not {part for row in fractions for part in row[1::2]} & set(
        labels
    ):
        raise DataError(
            f"{sample.name} asks for labels with a confidence behind each: {join_names([' '.join(fractions[0])])}",
            hint="leave the labels alone in it, and add the confidences to what automl writes",
        )


def _infer_class_columns(sample: SampleSubmission, labels: Collection[str], hints: SubmissionHints) -> SubmissionForm:
    columns = tuple(column.strip() for column in sample.target_columns)
    matched = match_columns(columns, labels)
    renamed, lines = matched.renamed, list(matched.lines)
    held = {renamed.get(label, label) for label in labels}
    unknown = [column for column in columns if column not in held]
    absent = [label for label in sort_labels(labels) if renamed.get(label, label) not in columns]
    if absent:
        raise DataError(f"{sample.name} has no column for the training labels {join_names(absent)}", hint=SAME_HINT)
    if len(unknown) > MAX_UNKNOWN_COLUMNS * len(columns):
        raise DataError(
            f"{sample.name} has {format_count(len(unknown), 'column')} without a training image: {join_names(unknown)}",
            hint=SAME_HINT,
        )
    if unknown:
        lines.append(f"classes: no training image has {join_names(unknown)}, so that nothing is learnt of it")
    form = infer_column_kind(sample, hints, is_single_class=True)
    return replace(form, classes=columns, renamed=renamed, evidence=(*form.evidence, *lines))


def _count_ranked(sample: SampleSubmission, labels: Collection[str], hints: SubmissionHints) -> int:
    """Count the labels that the sample lists for an image, 0 where it lists none."""
    if hints.metric and hints.needs_ranking:
        return hints.metric.n_ranked
    rows = [value.split() for value in sample.values if value and value not in labels]
    tokens = {token for row in rows for token in row}
    common = Counter(len(row) for row in rows).most_common(1)
    known = len(tokens & set(labels)) >= MIN_KNOWN_TOKENS * len(tokens)
    return common[0][0] if common and common[0][0] > 1 and known else 0


def _infer_ranking(sample: SampleSubmission, labels: Collection[str], n_ranked: int) -> SubmissionForm:
    classes = sort_labels(labels)
    with_blanks = [label for label in classes if len(label.split()) > 1]
    if with_blanks:
        raise DataError(
            f"{sample.name} wants lists with blanks between the labels, but these have blanks: "
            f"{join_names(with_blanks)}",
            hint="check the metric and the column of the labels; --label COLUMN says another",
        )
    lines = [f"submission: the {n_ranked} most probable classes, from {describe_values(sample)}"]
    others = sorted({token for value in sample.values for token in value.split()} - set(classes))
    if others:
        lines.append(
            f"submission: the sample lists labels without a training image, never predicted: {join_names(others)}"
        )
    return SubmissionForm(
        submission_kind=SubmissionKind.RANKING, classes=classes, n_ranked=n_ranked, evidence=tuple(lines)
    )


def _infer_for_two_classes(sample: SampleSubmission, labels: Collection[str], hints: SubmissionHints) -> SubmissionForm:
    """Infer what one column holds where there are two classes."""
    classes, why = _order_two_classes(sample, labels, hints)
    values, values_text = list_distinct_values(sample), describe_values(sample)
    words = find_boolean_words(values)
    if words is not None and not set(values) & set(labels):
        return _rename_two(classes, words, f"from {values_text}", why)
    if not all(_is_probability(value) for value in values):
        lines = _describe_unknown_values(sample, values, labels, hints)
        return _make_label(classes, f"from {values_text}", [*lines, *(why if hints.scores_second_class else ())])
    if any(float(value) not in (0.0, 1.0) for value in values) and not set(values) <= set(labels):
        if not (hints.needs_label and (hints.metric_is_set or hints.submission is not None)):
            return _make_probability(classes, f"from {values_text}", why)
        reason = f"{hints.reason}; {values_text} would fit a probability"
        return _make_label_of_two(sample, classes, hints, reason, why)
    if hints.needs_probability:
        return _make_probability(classes, f"{hints.reason}; {values_text} would fit a label as well", why)
    if not values and not all(_is_probability(label) for label in classes):
        return _make_label(classes, f"from {values_text}", why if hints.scores_second_class else ())
    advice = "" if hints.metric else "; the metric roc_auc would ask for that"
    return _make_label_of_two(
        sample, classes, hints, f"from {values_text}, which would fit a probability as well{advice}", why
    )


def _order_two_classes(
    sample: SampleSubmission, labels: Collection[str], hints: SubmissionHints
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Order two classes so that the second is the one whose probability is submitted; also return why, in lines."""
    ordered = sort_labels(labels)
    if hints.negative in ordered:
        return (ordered[::-1] if hints.negative == ordered[1] else ordered), ()
    return order_two_classes(ordered, sample.target_columns[0].strip(), sample.name)


def _infer_for_many_classes(
    sample: SampleSubmission, labels: Collection[str], hints: SubmissionHints
) -> SubmissionForm:
    """Infer what one column holds where there are more than two classes.

    Raises:
        DataError: it is one probability and unclear of what, or the sample's values are no labels.
    """
    values, ordered = list_distinct_values(sample), sort_labels(labels)
    numbers = bool(values) and all(_is_probability(value) for value in values)
    if hints.negative in labels and (hints.needs_probability or (numbers and not set(values) <= set(labels))):
        return _merge_classes(sample, ordered, str(hints.negative))
    because_of_metric = hints.needs_probability and (numbers or not values)
    has_fractions = numbers and any(float(value) % 1 for value in values) and not set(values) <= set(labels)
    if because_of_metric or has_fractions:
        reason = hints.reason if because_of_metric else f"from {describe_values(sample)}"
        named = find_named_label(sample.target_columns[0], labels)
        if named is not None:
            return _merge_classes(sample, ordered, named.label, is_positive=not named.negated)
        raise DataError(
            f"{sample.name} wants one probability in column {join_names(sample.value_columns)}, {reason}, "
            f"but the training labels are {join_names(ordered)}",
            hint="name with --negative the class whose images are 0, all others being 1"
            + (", or say --task regression if the labels are values" if all(map(is_number, labels)) else ""),
        )
    return _make_label(
        ordered, f"from {describe_values(sample)}", _describe_unknown_values(sample, values, labels, hints)
    )


def _merge_classes(
    sample: SampleSubmission, ordered: Sequence[str], single: str, *, is_positive: bool = False
) -> SubmissionForm:
    """Merge all classes but a single one, for one probability: of that class, or of the others together."""
    merged = f"not {single}"
    others = [label for label in ordered if label != single]
    classes = (merged, single) if is_positive else (single, merged)
    line = f"classes: {join_names(others, at_most=10)} together, as the opposite of {single}"
    form = _make_probability(classes, f"from {describe_values(sample)}", (line,))
    return replace(form, renamed=dict.fromkeys(others, merged))


def _describe_unknown_values(
    sample: SampleSubmission, values: Sequence[str], labels: Collection[str], hints: SubmissionHints
) -> list[str]:
    """Describe the sample's values that are no labels.

    Raises:
        DataError: there are such, and the user has not given the task.
    """
    not_labels = [value for value in values if value not in labels]
    if not not_labels:
        return []
    numbers = all(is_number(text) for text in (*not_labels, *labels))
    line = f"submission: {join_names(not_labels)} in {sample.name} is no training label and taken to stand for nothing"
    if hints.task_is_set:
        return [line]
    if numbers and len(values) == 1 and len(labels) > 2:  # more than two are classes by other evidence
        return [format_warning(line.removeprefix("submission: "))]
    values_hint = ", and --task regression if the labels are measurements" if numbers else ""
    raise DataError(
        f"{sample.name} holds {join_names(not_labels)} in column {join_names(sample.target_columns)}, "
        f"but the training labels are {join_names(sort_labels(labels))}",
        hint=f"{SAME_HINT}; say --task multiclass if what it holds stands for nothing{values_hint}",
    )


def _make_label_of_two(
    sample: SampleSubmission, classes: tuple[str, ...], hints: SubmissionHints, reason: str, why: Sequence[str]
) -> SubmissionForm:
    """Build the form of a label, by 0 and 1 where the classes have names and the sample has numbers."""
    values = list_distinct_values(sample)
    if not values or all(_is_probability(label) for label in classes):  # 0 and 1: a number may be a label as well
        return _make_label(classes, reason)
    if set(values) <= set(classes) or any(is_number(label) for label in classes):
        return _make_label(classes, reason, _describe_unknown_values(sample, values, classes, hints))
    return _rename_two(classes, ("0", "1"), reason, why)


def _rename_two(classes: tuple[str, ...], written: tuple[str, str], reason: str, why: Sequence[str]) -> SubmissionForm:
    """Build the form of a label by which the sample knows two classes: 0 and 1, or a no and a yes."""
    renamed = dict(zip(classes, written, strict=True))
    pairs = join_names([f"{text} is {label}" for label, text in renamed.items()])
    noun = "numbers" if written == ("0", "1") else "these words"
    form = _make_label(written, reason, (f"classes: {pairs}, as the sample has {noun}", *why))
    return replace(form, renamed=renamed, has_negative=True)


def _make_label(classes: tuple[str, ...], reason: str, lines: Sequence[str] = ()) -> SubmissionForm:
    evidence = f"submission: the label itself, {reason}"
    return SubmissionForm(submission_kind=SubmissionKind.LABEL, classes=classes, evidence=(evidence, *lines))


def _make_probability(classes: tuple[str, ...], reason: str, lines: Sequence[str] = ()) -> SubmissionForm:
    evidence = f"submission: probability of '{join_names(classes[1:])}', {reason}"
    return SubmissionForm(
        submission_kind=SubmissionKind.PROBABILITY, classes=classes, evidence=(evidence, *lines), has_negative=True
    )


def _is_probability(value: str) -> bool:
    return is_number(value) and 0.0 <= float(value) <= 1.0
