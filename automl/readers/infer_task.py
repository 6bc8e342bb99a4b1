"""Infer the task from the labels: one class each, several labels, grades or values.

The user's settings go first, then what is known of the competition, then the metric, then the labels themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from automl.data.competition import BLANK
from automl.errors import DataError, join_names
from automl.files.evidence import format_suggestion
from automl.metrics.metric import Metric
from automl.readers.label_lists import SURE_ORIGINS, find_lists
from automl.readers.labels.source import Labels
from automl.readers.submission_template import SampleSubmission
from automl.readers.whole_numbers import Weighing, weigh_name, weigh_numbers
from automl.tasks import Task

INTEGER = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
ONES, ZEROS, UNKNOWN = ("1", "1.0"), ("0", "0.0"), ("-1", "-1.0")
MIN_SHARE = 0.5  # of the cells; what stands in fewer of them is a slip
MAX_SLIPS, MIN_SLIPS = 0.1, 2  # in one column, as a share of its cells, and in all; more are classes of their own
MAX_GRADES = 10  # 0 to 9
GRADE_NAME = re.compile(r"grade|level|diagnosis|severity|stage|score|rating|degree", re.IGNORECASE)
ORDINAL_METRICS = frozenset({"qwk"})

InferredTask = tuple[Task, str]  # and from what it was found, in words


def infer_task(
    labels: Labels, sample: SampleSubmission, *, given: InferredTask | None, metric: Metric | None
) -> InferredTask:
    """Infer the task, MULTICLASS also where there are two classes, and the reason in words.

    Args:
        given: the task that the user gives or that is known, and its source in words.
        metric: the given or known one; of several tasks that the labels allow it takes one that it can score.

    Raises:
        DataError: the columns of the labels make no task, or it is unclear which, and the metric does not say it.
    """
    if given is not None:
        return (Task.MULTICLASS if given[0] is Task.BINARY else given[0]), given[1]
    several = len(labels.columns) > 1
    candidates = _infer_from_columns(labels, sample, metric) if several else _infer_from_cells(labels, sample)
    _require_clear(labels, sample, metric)
    if metric is None:
        return candidates[0]
    wanted = _prefer_task(metric, labels)
    candidates.sort(key=lambda finding: finding[0] is not wanted)
    for place, (task, reason) in enumerate(candidates):
        if task in metric.tasks or (task is Task.MULTICLASS and Task.BINARY in metric.tasks):
            return task, (f"because of the metric {metric.name}" if place or task is wanted else reason)
    return candidates[0]


def describe_grades(labels: Labels) -> str | None:
    """Describe labels that look like grades, in words; None where they do not."""
    numbers = {cell[0] for cell in labels.cells}
    is_range = 2 < len(numbers) <= MAX_GRADES and numbers == {str(number) for number in range(len(numbers))}
    if len(labels.columns) > 1 or not is_range or not GRADE_NAME.search(labels.columns[0]):
        return None
    return f"the labels 0 to {len(numbers) - 1} of column {join_names(labels.columns)} look like grades"


def is_number(text: str) -> bool:
    """Whether a cell is a finite number, written with ASCII digits."""
    return bool(NUMBER.fullmatch(text)) and math.isfinite(float(text))


def require_zeros_and_ones(labels: Labels) -> None:
    """Require cells of 0 and 1.

    Raises:
        DataError: a cell is neither 0 nor 1.
    """
    for image_id, row in zip(labels.ids, labels.cells, strict=True):
        for column, cell in zip(labels.columns, row, strict=True):
            if cell not in ONES + ZEROS:
                raise DataError(
                    f"the label of {join_names([image_id])} in column {join_names([column])} "
                    f"is {join_names([cell]) or 'blank'}, neither 0 nor 1",
                    hint="give 0 or 1, remove the row, or say another --task",
                )


def _infer_from_columns(labels: Labels, sample: SampleSubmission, metric: Metric | None) -> list[InferredTask]:
    """List the tasks that several columns allow, the likeliest first."""
    n_columns = len(labels.columns)
    cells = [cell for row in labels.cells for cell in row]
    wants_values = metric is not None and metric.needs == "values"
    are_marks = not wants_values and all(cell in ("", *ONES, *ZEROS, *UNKNOWN) for cell in cells)
    if are_marks or (_is_mostly(labels, ONES + ZEROS) and not _has_other_classes(labels)):
        require_zeros_and_ones(labels)
        sums = {sum(cell in ONES for cell in row) for row in labels.cells}
        if sums == {1}:
            reason = f"from one 1 in each row of {n_columns} columns"
            return [(Task.MULTICLASS, reason), (Task.MULTILABEL, reason)]
        heads = (Task.MULTIOUTPUT, "")  # each of them of two classes
        return [(Task.MULTILABEL, f"from rows with {_format_range(sums)} in {n_columns} columns"), heads]
    n_numbers = sum(is_number(cell) for cell in cells)
    has_fractions = any(is_number(cell) and not INTEGER.fullmatch(cell) for cell in cells)
    if n_numbers > MIN_SHARE * len(cells) and (has_fractions or wants_values):
        return [(Task.REGRESSION, f"from numbers in {n_columns} columns")]
    if has_fractions:
        raise DataError(
            f"there are {n_columns} columns of labels, some with names and some with measurements: "
            f"{_format_example(labels)}",
            hint="name one of them with --label, or those that are alike, with commas between",
        )
    return _infer_heads(labels, sample, metric)


def _infer_heads(labels: Labels, sample: SampleSubmission, metric: Metric | None) -> list[InferredTask]:
    """List the tasks that columns of names or of whole numbers allow; of several numbers each column is weighed."""
    heads = (Task.MULTIOUTPUT, f"from {len(labels.columns)} columns, each with classes of its own")
    columns = list(zip(*labels.cells, strict=True))
    if not all(map(is_number, {cell for column in columns for cell in column if cell})):
        return [heads]
    written = list_head_values(sample)
    weighings = [
        weigh_numbers([cell for cell in column if cell], name, name, sorted(values - {""}))
        for name, column, values in zip(labels.columns, columns, written or [set()] * len(columns), strict=False)
    ]
    values = (Task.REGRESSION, f"from whole numbers in {len(labels.columns)} columns")
    if metric is not None or all(weighing.is_classes for weighing in weighings):
        return [heads, values]
    if all(weighing.is_values for weighing in weighings):
        return [values, heads]
    unclear = next(weighing for weighing in weighings if not weighing.is_classes)
    raise DataError(
        f"it is unclear whether {len(labels.columns)} columns of whole numbers are classes or values: "
        f"{unclear.subject}",
        hint="say --task multioutput where they are classes, --task regression where they are values",
        seen=[
            f"for values: {unclear.describe(for_values=True)}",
            f"for classes: {unclear.describe(for_values=False)}",
        ],
    )


def list_head_values(sample: SampleSubmission) -> list[set[str]]:
    """List what the sample holds for each of its targets, in their order."""
    columns = [column for column in range(len(sample.table.header)) if column != sample.id_position]
    if sample.cells is None:
        return [{value.strip() for value in sample.table.get_column(column)} for column in columns]
    values: list[set[str]] = [set() for _ in sample.target_columns]
    for (_, target), value in zip(sample.cells, sample.values, strict=True):
        values[target].add(value)
    return values


def _infer_from_cells(labels: Labels, sample: SampleSubmission) -> list[InferredTask]:
    """List the tasks that the cells of one column allow, the likeliest first."""
    one_each = (Task.MULTICLASS, "from one label for each image")
    alone = (Task.MULTILABEL, "")  # sets that happen to have one member each
    ordinal = (Task.ORDINAL, "")
    if labels.origin in SURE_ORIGINS:
        return [one_each, ordinal, alone]
    column = join_names(labels.columns)
    lists = find_lists(labels, sample)
    if lists is not None:
        several = f"from several labels in a cell of column {column} ({join_names([lists.example])})"
        return [(Task.MULTILABEL, several), *([] if lists.is_sure else [one_each])]
    if not all(is_number(text) for text in set(labels.texts)):
        return [one_each, alone]
    values = (Task.REGRESSION, f"from numbers in column {column}")
    weighing = weigh_label_numbers(labels, sample)
    if weighing is None:
        are_whole = all(INTEGER.fullmatch(text) for text in set(labels.texts)) or len(sample.target_columns) > 1
        return [one_each, ordinal, values, alone] if are_whole else [values, one_each, alone]
    if weighing.is_values:
        reason = f"from {weighing.subject}: {weighing.describe(for_values=True)}"
        return [(Task.REGRESSION, reason) if weighing.is_doubtful else values, one_each, ordinal, alone]
    if weighing.is_doubtful:
        one_each = (Task.MULTICLASS, f"from {weighing.subject}: {weighing.describe(for_values=False)}")
    return [one_each, ordinal, values, alone]


def weigh_label_numbers(labels: Labels, sample: SampleSubmission) -> Weighing | None:
    """Weigh whether the numbers of one column are classes or values; None where that is no question.

    It is none where the labels are of folders or names, no numbers, two at most, or grades; nor where the sample has a
    column for each.
    """
    distinct = set(labels.texts) if len(labels.columns) == 1 else set()
    if len(distinct) <= 2 or labels.origin in SURE_ORIGINS or len(sample.target_columns) > 1:
        return None
    if not all(map(is_number, distinct)) or describe_grades(labels) is not None:
        return None
    sample_values = sorted(set(sample.values) - {""})
    return weigh_numbers(labels.texts, labels.columns[0], sample.target_columns[0], sample_values)


def suggest_other_task(labels: Labels, sample: SampleSubmission, task: Task) -> list[str]:
    """Suggest the flag that takes numbers, or lists, for something else, where one might think so."""
    if task in (Task.REGRESSION, Task.MULTIOUTPUT) and len(labels.columns) > 1 and _is_whole(labels):
        other, noun = ("multioutput", "classes") if task is Task.REGRESSION else ("regression", "values")
        return [format_suggestion(f"--task {other}", f"takes the numbers of these columns for {noun}")]
    wants_values = labels.origin in SURE_ORIGINS and weigh_name(sample.target_columns[0]) > 0
    if wants_values and all(is_number(cell) for row in labels.cells for cell in row):
        return [format_suggestion("--task regression", f"takes {labels.place or 'the labels'} for values")]
    weighing = weigh_label_numbers(labels, sample)
    if weighing is not None and weighing.is_doubtful:
        other, noun = ("multiclass", "classes") if task is Task.REGRESSION else ("regression", "values")
        return [format_suggestion(f"--task {other}", f"takes the {weighing.subject} for {noun}")]
    if task is not Task.REGRESSION and describe_grades(labels) and weigh_name(labels.columns[0]) > 0:
        return [format_suggestion("--task regression", f"takes the numbers of column {labels.columns[0]} for values")]
    lists = find_lists(labels, sample)
    if lists is not None and lists.separator != BLANK:
        return [format_suggestion("--task multiclass", f"takes {join_names([lists.example])} for a class of its own")]
    return []


def _require_clear(labels: Labels, sample: SampleSubmission, metric: Metric | None) -> None:
    """Refuse to guess whether numbers are classes or values, and words lists or names, where the metric says neither.

    Raises:
        DataError: it is unclear.
    """
    is_open = metric is None or ":" in metric.name
    weighing = weigh_label_numbers(labels, sample) if is_open else None
    if weighing is not None and not weighing.is_values and not weighing.is_classes:
        sides = [weighing.describe(for_values=for_values) for for_values in (True, False)]
        raise DataError(
            f"it is unclear whether the {weighing.subject} are classes or values",
            hint="say --task regression if they are values, or --task multiclass if each is a class",
            seen=[f"for values: {sides[0]}", f"for classes: {sides[1]}"],
        )
    is_open = metric is None or ({Task.MULTICLASS, Task.MULTILABEL} <= metric.tasks and metric.average != "samples")
    lists = find_lists(labels, sample) if is_open else None
    if lists is not None and not lists.is_sure:
        example = join_names([lists.example])
        raise DataError(
            f"it is unclear whether cells of column {join_names(labels.columns)} such as {example} are lists or names",
            hint="say --task multilabel if they list several labels, or --task multiclass if each is one class"
            + ("; write decimals with a point" if all(map(str.isdigit, lists.labels)) else ""),
            seen=[f"as lists they would have the labels {join_names(sorted(lists.labels), at_most=10)}"],
        )


def _prefer_task(metric: Metric, labels: Labels) -> Task | None:
    """Return the task that the metric is made for, of several that it scores."""
    if metric.name in ORDINAL_METRICS:
        return Task.ORDINAL
    may_be_lists = len(labels.columns) == 1 and labels.origin not in SURE_ORIGINS
    has_blanks = may_be_lists and any(len(text.split()) > 1 for text in labels.texts)
    return Task.MULTILABEL if metric.average == "samples" and has_blanks else None


def _is_whole(labels: Labels) -> bool:
    return all(INTEGER.fullmatch(cell) for row in labels.cells for cell in row)


def _has_other_classes(labels: Labels) -> bool:
    """Whether a column holds more than 0 and 1, so often that these are no slips; -1 says that nobody knows."""
    columns = zip(*labels.cells, strict=True)
    others = [[cell for cell in column if cell and cell not in ONES + ZEROS + UNKNOWN] for column in columns]
    return any(len(found) > MAX_SLIPS * len(labels.cells) and len(found) > MIN_SLIPS for found in others)


def _is_mostly(labels: Labels, allowed: Sequence[str]) -> bool:
    n_allowed = sum(cell in allowed for row in labels.cells for cell in row)
    return n_allowed > MIN_SHARE * len(labels.cells) * len(labels.columns)


def _format_range(sums: set[int]) -> str:
    low, high = min(sums), max(sums)
    return f"{low} to {high} ones" if low != high else f"{low} ones"


def _format_example(labels: Labels) -> str:
    pairs = zip(labels.columns, labels.cells[0], strict=True)
    return join_names([f"{column} {cell or 'blank'}" for column, cell in pairs])
