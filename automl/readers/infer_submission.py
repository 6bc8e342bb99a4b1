"""What is submitted of an image that has one class: probabilities of all classes, a ranking, or what one column holds.

Not responsible for: finding out that an image has one class (automl.readers.infer_task), or what a single label or
probability means (automl.readers.infer_submission).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError, listed
from automl.files.tables import counted
from automl.metrics.metric import Metric
from automl.readers.infer_task import is_number
from automl.readers.submission_template import Sample


def of_two(sample: Sample, labels: Collection[str], wish: Wish) -> Submitted:
    """What is submitted where there are two classes."""
    classes, values = _two_classes(sample, labels, wish), distinct_values(sample)
    shown = shown_values(sample)
    if not all(_is_probability(value) for value in values):
        return _label(classes, f"from {shown}", _unknown_lines(sample, values, labels, wish))
    if any(float(value) not in (0.0, 1.0) for value in values) and not set(values) <= set(labels):
        if not (wish.needs_label and wish.metric_asked):
            return _probability(classes, f"from {shown}")
        reason = f"because of the metric {wish.metric_name}; {shown} would fit a probability"
        return _label_of_two(sample, classes, wish, reason)
    if wish.needs_probability:
        return _probability(classes, f"because of the metric {wish.metric_name}; {shown} would fit a label as well")
    if not values and not all(_is_probability(label) for label in classes):
        return _label(classes, f"from {shown}")
    asking = "" if wish.metric else "; the metric roc_auc would ask for that"
    return _label_of_two(sample, classes, wish, f"from {shown}, which would fit a probability as well{asking}")


def _two_classes(sample: Sample, labels: Collection[str], wish: Wish) -> tuple[str, ...]:
    """The second is the one whose probability would be submitted: not the negative one, or the column's own name."""
    ordered = natural_order(labels)
    column = sample.target_columns[0].strip()
    first = wish.negative == ordered[1] or (wish.negative != ordered[0] and column == ordered[0])
    return ordered[::-1] if first else ordered


def of_several(sample: Sample, labels: Collection[str], wish: Wish) -> Submitted:
    """What is submitted where there are more than two classes.

    Raises:
        DataError: it is one probability and unclear of what, or the sample's values are no labels.
    """
    values, ordered = distinct_values(sample), natural_order(labels)
    numbers = bool(values) and all(_is_probability(value) for value in values)
    if wish.negative in labels and (wish.needs_probability or (numbers and not set(values) <= set(labels))):
        return _merged(sample, ordered, str(wish.negative))
    because_of_metric = wish.needs_probability and (numbers or not values)
    has_fractions = numbers and any(float(value) % 1 for value in values) and not set(values) <= set(labels)
    if because_of_metric or has_fractions:
        reason = f"because of the metric {wish.metric_name}" if because_of_metric else f"from {shown_values(sample)}"
        raise DataError(
            f"{sample.name} wants one probability in column {listed(sample.value_columns)}, {reason}, "
            f"but the training labels are {listed(ordered)}",
            hint="name with --negative the class whose images are 0, all others being 1",
        )
    return _label(ordered, f"from {shown_values(sample)}", _unknown_lines(sample, values, labels, wish))


def _merged(sample: Sample, ordered: Sequence[str], negative: str) -> Submitted:
    """One probability of several classes: that of all but one together."""
    merged = f"not {negative}"
    others = [label for label in ordered if label != negative]
    found = _probability((negative, merged), f"from {shown_values(sample)}")
    line = f"classes: {listed(others, at_most=10)} together, as the opposite of {negative}"
    return Submitted(
        kind=found.kind,
        classes=found.classes,
        renamed=dict.fromkeys(others, merged),
        evidence=(*found.evidence, line),
    )


def _unknown_lines(sample: Sample, values: Sequence[str], labels: Collection[str], wish: Wish) -> list[str]:
    """What to tell of values that are no labels.

    Raises:
        DataError: there are such, and the user has not said that they are to be labels.
    """
    strange = [value for value in values if value not in labels]
    if not strange:
        return []
    if wish.task_asked:
        return [f"submission: {listed(strange)} in {sample.name} is no training label and taken to stand for nothing"]
    numbers = all(is_number(text) for text in (*strange, *labels))
    values_hint = ", and --task regression if the labels are measurements" if numbers else ""
    raise DataError(
        f"{sample.name} holds {listed(strange)} in column {listed(sample.target_columns)}, "
        f"but the training labels are {listed(natural_order(labels))}",
        hint=f"{SAME_HINT}; say --task multiclass if what it holds stands for nothing{values_hint}",
    )


def _label_of_two(sample: Sample, classes: tuple[str, ...], wish: Wish, reason: str) -> Submitted:
    """A label, by the numbers 0 and 1 where the classes have names and the sample has numbers."""
    values = distinct_values(sample)
    if not values or all(_is_probability(label) for label in classes):  # 0 and 1: a number may be a label as well
        return _label(classes, reason)
    if set(values) <= set(classes) or any(is_number(label) for label in classes):
        return _label(classes, reason, _unknown_lines(sample, values, classes, wish))
    renamed = {classes[0]: "0", classes[1]: "1"}
    pairs = listed([f"{number} is {label}" for label, number in renamed.items()])
    line = f"classes: {pairs}, as the sample has numbers"
    found = _label(("0", "1"), reason)
    return Submitted(kind=found.kind, classes=found.classes, renamed=renamed, evidence=(*found.evidence, line))


def _label(classes: tuple[str, ...], reason: str, lines: Sequence[str] = ()) -> Submitted:
    evidence = f"submission: the label itself, {reason}"
    return Submitted(kind=SubmissionKind.LABEL, classes=classes, evidence=(evidence, *lines))


def _probability(classes: tuple[str, ...], reason: str) -> Submitted:
    evidence = f"submission: probability of '{listed(classes[1:])}', {reason}"
    return Submitted(kind=SubmissionKind.PROBABILITY, classes=classes, evidence=(evidence,))


def _is_probability(value: str) -> bool:
    return is_number(value) and 0.0 <= float(value) <= 1.0


SAME_HINT = "check that labels and sample submission are of the same competition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What the sample submission means, given the training labels.

    Attributes:
        classes: (n_classes,) in the order of the submission's columns, or the one asked for the last of two.
        renamed: label -> class, where the submission knows a label by another name.
        evidence: lines that say what is submitted, and from what it was inferred.
    """

    kind: SubmissionKind
    classes: tuple[str, ...]
    evidence: tuple[str, ...]
    n_ranked: int = 0
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is known beside the sample.

    Attributes:
        metric: None where neither the user nor the competition's name tells it.
        metric_asked: whether the user told it.
        negative: the class that is 0 where one probability is submitted; negative_asked as above.
        task_asked: whether the user said what is predicted; then values of the sample that are no labels stand for
            nothing.
    """

    metric: Metric | None = None
    metric_asked: bool = False
    negative: str | None = None
    negative_asked: bool = False
    task_asked: bool = False

    @property
    def needs_probability(self) -> bool:
        """Not where the metric is the user's own: what it is given here is not what the competition is given."""
        own = self.metric is not None and ":" in self.metric.name
        return self.metric is not None and self.metric.needs in ("probabilities", "order") and not own

    @property
    def needs_label(self) -> bool:
        return self.metric is not None and self.metric.needs in ("label", "labels")

    @property
    def needs_ranking(self) -> bool:
        return self.metric is not None and self.metric.needs == "ranking"

    @property
    def metric_name(self) -> str:
        return self.metric.name if self.metric else "none"


def natural_order(labels: Collection[str]) -> tuple[str, ...]:
    """Labels by number where all are integers, by their text otherwise."""
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def shown_values(sample: Sample) -> str:
    """The sample's values, in words for a message."""
    values = distinct_values(sample)
    if not values:
        return f"{sample.name} (blank in every row)"
    every = f"{listed(values)} in every row" if len(values) == 1 else listed(values)
    return f"{sample.name} ({every})"


def distinct_values(sample: Sample) -> list[str]:
    """What the sample holds in its first target, each once and blanks left out."""
    return sorted(set(sample.values) - {""})


MOST_TOKENS = 0.5  # of a ranking's labels are known from training; the test may have others
MOST_COLUMNS = 0.5  # of the sample's have training images; the test may have further classes


def find_submitted(sample: Sample, labels: Collection[str], wish: Wish) -> Submitted:
    """What to submit: several columns are probabilities of classes, one is a label, a ranking or a probability.

    Args:
        labels: the distinct training labels, at least two.

    Raises:
        DataError: the sample fits no kind of submission with these labels.
        UsageError: the class that is said to be 0 is no label, or no such class is needed.
    """
    _require_negative(labels, wish)
    _require_no_confidences(sample, labels)
    if len(sample.target_columns) > 1:
        found = _probabilities(sample, labels)
    elif n_ranked := _n_ranked(sample, labels, wish):
        found = _ranking(sample, labels, n_ranked)
    elif len(labels) == 2:
        found = of_two(sample, labels, wish)
    else:
        found = of_several(sample, labels, wish)
    if wish.negative_asked and found.kind is not SubmissionKind.PROBABILITY:
        raise UsageError(
            f"--negative {wish.negative} was asked, but {sample.name} wants no single probability",
            hint="leave --negative out, or name the metric that is scored on one probability",
        )
    return found


def _require_negative(labels: Collection[str], wish: Wish) -> None:
    if wish.negative is not None and wish.negative_asked and wish.negative not in labels:
        raise UsageError(
            f"--negative {wish.negative} is no class",
            hint=f"name one of {listed(natural_order(labels), at_most=10)}",
        )


def _probabilities(sample: Sample, labels: Collection[str]) -> Submitted:
    columns = tuple(column.strip() for column in sample.target_columns)
    renamed, lines = _columns_of_labels(columns, labels)
    held = {renamed.get(label, label) for label in labels}
    unknown = [column for column in columns if column not in held]
    absent = [label for label in natural_order(labels) if renamed.get(label, label) not in columns]
    if absent:
        raise DataError(f"{sample.name} has no column for the training labels {listed(absent)}", hint=SAME_HINT)
    if len(unknown) > MOST_COLUMNS * len(columns):
        raise DataError(
            f"{sample.name} has {counted(len(unknown), 'column')} without a training image: {listed(unknown)}",
            hint=SAME_HINT,
        )
    if unknown:
        lines = [*lines, f"classes: no training image has {listed(unknown)}, so that nothing is learnt of it"]
    place = "rows" if sample.cells else "columns"
    first = f"submission: a probability for each of {len(columns)} classes, from the {place} of {sample.name}"
    return Submitted(kind=SubmissionKind.PROBABILITIES, classes=columns, renamed=renamed, evidence=(first, *lines))


def _columns_of_labels(columns: Sequence[str], labels: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The column of each label where all columns begin alike and go on with a label, such as class_cat."""
    for length in range(1, len(columns[0]) + 1):
        beginning = columns[0][:length]
        if not all(column.startswith(beginning) for column in columns):
            break
        column_of = {column[length:]: column for column in columns}
        if column_of.keys() == set(labels):
            return column_of, [f"classes: each column of the sample is called {beginning} and a label"]
    return {}, []


def _require_no_confidences(sample: Sample, labels: Collection[str]) -> None:
    """A label and how sure it is, such as 137790 0.1, is a form that is not written."""
    rows = [value.split() for value in set(sample.values) if value and value not in labels]
    fractions = [row for row in rows if len(row) > 1 and any("." in part and is_number(part) for part in row[1::2])]
    if len(fractions) > MOST_TOKENS * len(rows) and not {part for row in fractions for part in row[1::2]} & set(labels):
        raise DataError(
            f"{sample.name} asks for labels with a confidence behind each: {listed([' '.join(fractions[0])])}",
            hint="leave the labels alone in it, and add the confidences to what automl writes",
        )


def _n_ranked(sample: Sample, labels: Collection[str], wish: Wish) -> int:
    """How many labels the sample lists for an image, 0 where it lists none."""
    if wish.metric and wish.needs_ranking:
        return wish.metric.n_ranked
    rows = [value.split() for value in sample.values if value and value not in labels]
    tokens = {token for row in rows for token in row}
    common = Counter(len(row) for row in rows).most_common(1)
    known = len(tokens & set(labels)) >= MOST_TOKENS * len(tokens)
    return common[0][0] if common and common[0][0] > 1 and known else 0


def _ranking(sample: Sample, labels: Collection[str], n_ranked: int) -> Submitted:
    classes = natural_order(labels)
    parted = [label for label in classes if len(label.split()) > 1]
    if parted:
        raise DataError(
            f"{sample.name} wants lists with blanks between the labels, but these have blanks: {listed(parted)}",
            hint="check the metric and the column of the labels; --label COLUMN says another",
        )
    lines = [f"submission: the {n_ranked} most probable classes, from {shown_values(sample)}"]
    others = sorted({token for value in sample.values for token in value.split()} - set(classes))
    if others:
        lines.append(f"submission: the sample lists labels without a training image, never predicted: {listed(others)}")
    return Submitted(kind=SubmissionKind.RANKING, classes=classes, n_ranked=n_ranked, evidence=tuple(lines))
