"""Check a submission's values: those that are no number, no label, or not of the required form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from automl.data.competition import BLANK, Competition, SubmissionKind
from automl.multi_output import list_head_slices
from automl.submission.check_file import Findings, Row, SubmissionFile

SUM_TOLERANCE = 1e-6  # Source: mle-bench's graders refuse rows whose sum is further from 1

Check = Callable[[Row, Sequence[str], Findings], None]


def find_value_problems(competition: Competition, file: SubmissionFile) -> list[str]:
    """Find values that a scorer would refuse, a line for each type; none where the columns are not the sample's."""
    if not file.positions:
        return []
    found = Findings()
    check = _choose_check(competition, file)
    for row, values in iterate_values(competition, file):
        check(row, values, found)
    if competition.submission.cells is not None and _requires_sums(competition):
        _check_sums_of_images(competition, file, found)
    return found.format_lines()


def iterate_values(competition: Competition, file: SubmissionFile) -> Iterator[tuple[Row, list[str]]]:
    """Iterate over rows and what each holds beside its id, in the sample's order of columns."""
    id_column = competition.submission.id_column
    positions = [at for column, at in enumerate(file.positions) if column != id_column]
    for row in file.rows:
        yield row, [row.values[at] for at in positions]


def parse_number(text: str) -> float | None:
    """Parse a number as a scorer would; None where it would not."""
    if not text.isascii() or "_" in text:  # Python reads those, pandas does not
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _choose_check(competition: Competition, file: SubmissionFile) -> Check:
    long = competition.submission.cells is not None
    match competition.submission.submission_kind:
        case SubmissionKind.VALUES:
            return _check_values
        case SubmissionKind.PROBABILITY | SubmissionKind.PROBABILITIES:
            return _check_rows_sums if _requires_sums(competition) and not long else _check_probabilities
        case SubmissionKind.RANKING:
            return _LabelList(competition, at_most=max(1, competition.submission.n_ranked), may_be_empty=False)
        case SubmissionKind.LABEL if competition.heads:
            return _HeadLabels(competition, file.positions[competition.submission.id_column])
        case SubmissionKind.LABEL if competition.has_flags and not long:
            return _check_one_flag
        case _ if competition.has_flags:
            return _check_flags
        case SubmissionKind.LABELS:
            return _LabelList(competition, at_most=competition.n_classes, may_be_empty=True)
        case SubmissionKind.LABEL:
            return _Label(competition.classes)


def _requires_sums(competition: Competition) -> bool:
    """Whether an image's probabilities must sum to 1: not of labels side by side, nor where only the order is scored.

    A metric that was merely proposed may be another one in truth, so there they must.
    """
    submission_kind = competition.submission.submission_kind
    if submission_kind is not SubmissionKind.PROBABILITIES or not competition.target_kind.is_single_class:
        return False
    return not (competition.metric_given and competition.metric.needs == "order")


def _check_values(row: Row, values: Sequence[str], found: Findings) -> None:
    for text in values:
        _parse_finite(row, text, "a value", found)


def _check_probabilities(row: Row, values: Sequence[str], found: Findings) -> None:
    if _sum_probabilities(values) is not None:
        return
    for text in values:
        _parse_probability(row, text, found)


def _check_rows_sums(row: Row, values: Sequence[str], found: Findings) -> None:
    quick = _sum_probabilities(values)
    if quick is not None and abs(quick - 1.0) <= SUM_TOLERANCE:
        return
    numbers = [_parse_probability(row, text, found) for text in values]
    total = math.fsum(number for number in numbers if number is not None)
    if None not in numbers and abs(total - 1.0) > SUM_TOLERANCE:
        found.add("sum", f"line {row.line} has probabilities that sum to {total:.9g}, not 1")


def _sum_probabilities(values: Sequence[str]) -> float | None:
    """Of a whole row at once, as millions of cells take minutes one by one; None where one of them is at fault."""
    together = "".join(values)
    if not together.isascii() or "_" in together:
        return None
    try:
        numbers = [*map(float, values)]
    except ValueError:
        return None
    total = math.fsum(numbers) if min(numbers) >= 0.0 and max(numbers) <= 1.0 else math.nan
    return total if math.isfinite(total) else None


def _check_flags(row: Row, values: Sequence[str], found: Findings) -> None:
    for text in values:
        if text not in ("0", "1"):
            found.add("flag", f"line {row.line} has '{text}', not 0 or 1")


def _check_one_flag(row: Row, values: Sequence[str], found: Findings) -> None:
    _check_flags(row, values, found)
    n_ones = values.count("1")
    if n_ones != 1 and {*values} <= {"0", "1"}:
        found.add("one", f"line {row.line} has {n_ones} columns of 1, where one class is asked")


def _parse_probability(row: Row, text: str, found: Findings) -> float | None:
    number = _parse_finite(row, text, "a probability", found)
    if number is not None and not 0.0 <= number <= 1.0:
        found.add("range", f"line {row.line} has the probability {text}, which is not in [0, 1]")
        return None
    return number


def _parse_finite(row: Row, text: str, noun: str, found: Findings) -> float | None:
    number = parse_number(text)
    if number is None:
        found.add("number", f"line {row.line} has '{text}' for {noun}")
        return None
    if not math.isfinite(number):
        found.add("finite", f"line {row.line} has {noun} that is not finite: {text}")
        return None
    return number


class _Label:
    """Checks that there is one label, written as the classes are."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._labels = frozenset(classes)
        self._spelling = _Spelling(classes)

    def __call__(self, row: Row, values: Sequence[str], found: Findings) -> None:
        for text in values:
            if text in self._labels:
                continue
            tokens = text.split()
            if not tokens:
                found.add("empty", f"line {row.line} has no label")
            elif len(tokens) > 1 and self._labels.issuperset(tokens):
                found.add("several", f"line {row.line} has {len(tokens)} labels, where one is asked: {text}")
            else:
                self._spelling.report(row, text, found)


class _HeadLabels:
    """Checks that each head has one of its own labels: in its column, or in its row in the long form."""

    def __init__(self, competition: Competition, id_position: int) -> None:
        template, texts = competition.submission, competition.label_texts
        self._checks = [_Label(texts[own]) for own in list_head_slices(competition.head_sizes)]
        pairs = zip(template.ids, template.cells, strict=True) if template.cells is not None else ()
        self._head_of_row = {row_id: head for row_id, (_, head) in pairs}
        self._is_long = template.cells is not None
        self._id_position = id_position

    def __call__(self, row: Row, values: Sequence[str], found: Findings) -> None:
        if not self._is_long:
            for check, text in zip(self._checks, values, strict=True):
                check(row, [text], found)
        elif (head := self._head_of_row.get(row.values[self._id_position])) is not None:
            self._checks[head](row, values, found)


class _LabelList:
    """Checks a list of labels, separated as the sample separates them."""

    def __init__(self, competition: Competition, *, at_most: int, may_be_empty: bool) -> None:
        self._labels = frozenset(competition.classes)
        self._spelling = _Spelling(competition.classes)
        self._at_most = at_most
        self._may_be_empty = may_be_empty
        self._template = competition.submission

    def __call__(self, row: Row, values: Sequence[str], found: Findings) -> None:
        for text in values:
            tokens = self._template.split_labels(text)
            if not tokens and not self._may_be_empty:
                found.add("empty", f"line {row.line} has no label")
            if len(tokens) > self._at_most:
                found.add("many", f"line {row.line} has {len(tokens)} labels, not at most {self._at_most}")
            if len(set(tokens)) < len(tokens):
                twice = next(token for token in tokens if tokens.count(token) > 1)
                found.add("twice", f"line {row.line} names '{twice}' more than once")
            unknown = next((token for token in tokens if token not in self._labels), None)
            if unknown is not None:
                self._spelling.report(row, unknown, found)
            elif self._template.separator != BLANK and text != (written := self._template.join_labels(tokens)):
                found.add("separator", f"line {row.line} has the list '{text}', which is written '{written}'")


class _Spelling:
    """Reports which class a label would be, were it written as the training labels are."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._by_number = {number: name for name in classes if (number := parse_number(name)) is not None}
        self._by_letters = {name.strip().casefold(): name for name in classes}

    def report(self, row: Row, text: str, found: Findings) -> None:
        number = parse_number(text)
        meant = self._by_letters.get(text.strip().casefold())
        if meant is None and number is not None:
            meant = self._by_number.get(number)
        if meant is None:
            found.add("label", f"line {row.line} has the label '{text}', which is not one of the classes")
        else:
            found.add("spelling", f"line {row.line} has the label '{text}', which is written '{meant}'")


def _check_sums_of_images(competition: Competition, file: SubmissionFile, found: Findings) -> None:
    """The long form: the rows of an image, or of several together, must sum to 1, where each can be read."""
    template = competition.submission
    cells, images_of_row = template.cells or (), template.images_of_row
    image_of = {row_id: image for row_id, (image, _) in zip(template.ids, cells, strict=True)}
    totals, first_lines = np.zeros(max(image_of.values()) + 1), dict[int, int]()
    at_id = file.positions[template.id_column]
    for row, values in iterate_values(competition, file):
        image, number = image_of.get(row.values[at_id]), parse_number(values[0])
        if image is not None:
            totals[image] += np.nan if number is None else number
            first_lines.setdefault(image, row.line)
    n_cells = np.bincount([image for image, _ in cells], minlength=len(totals))
    for image, line in first_lines.items():
        if n_cells[image] == competition.n_classes and abs(totals[image] - 1.0) > SUM_TOLERANCE:
            name = competition.test_ids[image if images_of_row is None else images_of_row[image][0]]
            found.add("sum", f"line {line} begins the image '{name}', whose probabilities sum to {totals[image]:.9g}")
