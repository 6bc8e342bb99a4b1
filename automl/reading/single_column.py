"""What the one target column of a sample submission holds: a label, or a probability, and of which class.

Not responsible for: several columns, or rankings (automl.reading.submission_finding).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from automl.data.competition import SubmissionKind
from automl.errors import DataError, listed
from automl.reading.submitted import SAME_HINT, Submitted, Wish, distinct_values, natural_order, shown_values
from automl.reading.task_finding import is_number
from automl.reading.templates import Sample


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
