"""What is submitted of an image that has one class: probabilities of all classes, a ranking, or what one column holds.

Not responsible for: finding out that an image has one class (automl.reading.task_finding), or what a single label or
probability means (automl.reading.single_column).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError, listed
from automl.files.tables import counted
from automl.reading.single_column import of_several, of_two
from automl.reading.submitted import SAME_HINT, Submitted, Wish, natural_order, shown_values
from automl.reading.task_finding import is_number
from automl.reading.templates import Sample

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
