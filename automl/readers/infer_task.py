"""Infer the task from the labels: one class each, several labels, grades or values.

The user's settings go first, then what is known of the competition, then the metric, then the labels themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from automl.errors import DataError, join_names
from automl.metrics.metric import Metric
from automl.readers.labels.cells import has_lists
from automl.readers.labels.source import Labels
from automl.readers.submission_template import SampleSubmission
from automl.tasks import Task

INTEGER = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
ONES, ZEROS = ("1", "1.0"), ("0", "0.0")
MIN_SHARE = 0.5  # of the cells; what stands in fewer of them is a slip
MANY_VALUES = 20  # Source: reference of competitions, section 2.5 step 6; more integers than that may be measurements
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
        DataError: the columns of the labels make no task.
    """
    if given is not None:
        return (Task.MULTICLASS if given[0] is Task.BINARY else given[0]), given[1]
    candidates = _infer_from_columns(labels, metric) if len(labels.columns) > 1 else _infer_from_cells(labels, sample)
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


def _infer_from_columns(labels: Labels, metric: Metric | None) -> list[InferredTask]:
    """List the tasks that several columns allow, the likeliest first."""
    n_columns = len(labels.columns)
    if _is_mostly(labels, ONES + ZEROS):
        require_zeros_and_ones(labels)
        sums = {sum(cell in ONES for cell in row) for row in labels.cells}
        if sums == {1}:
            reason = f"from one 1 in each row of {n_columns} columns"
            return [(Task.MULTICLASS, reason), (Task.MULTILABEL, reason)]
        return [(Task.MULTILABEL, f"from rows with {_format_range(sums)} in {n_columns} columns")]
    cells = [cell for row in labels.cells for cell in row]
    n_numbers = sum(is_number(cell) for cell in cells)
    has_fractions = any(is_number(cell) and not INTEGER.fullmatch(cell) for cell in cells)
    if n_numbers > MIN_SHARE * len(cells) and (has_fractions or (metric is not None and metric.needs == "values")):
        return [(Task.REGRESSION, f"from numbers in {n_columns} columns")]
    raise DataError(
        f"there are {n_columns} columns of labels, each with classes of its own: {_format_example(labels)}",
        hint="automl predicts one column of classes; if these are measurements, say --task regression, "
        "if they say yes or no, write 1 and 0",
    )


def _infer_from_cells(labels: Labels, sample: SampleSubmission) -> list[InferredTask]:
    """List the tasks that the cells of one column allow, the likeliest first."""
    texts = labels.texts
    column = join_names(labels.columns)
    if has_lists(texts, sample.values):
        example = next(text for text in texts if len(text.split()) > 1)
        return [(Task.MULTILABEL, f"from several labels in a cell of column {column} ({join_names([example])})")]
    one_each = (Task.MULTICLASS, "from one label for each image")
    alone = (Task.MULTILABEL, "")  # sets that happen to have one member each
    distinct = set(texts)
    if not all(is_number(text) for text in distinct):
        return [one_each, alone]
    values = (Task.REGRESSION, f"from numbers in column {column}")
    if len(sample.target_columns) == 1 and not all(INTEGER.fullmatch(text) for text in distinct):
        return [values, one_each, alone]
    ordinal = (Task.ORDINAL, "")
    listed_values = {token for value in sample.values for token in value.split()}
    if len(sample.target_columns) == 1 and len(distinct) > MANY_VALUES and not listed_values <= distinct:
        return [values, one_each, ordinal, alone]
    return [one_each, ordinal, values, alone]


def _prefer_task(metric: Metric, labels: Labels) -> Task | None:
    """Return the task that the metric is made for, of several that it scores."""
    if metric.name in ORDINAL_METRICS:
        return Task.ORDINAL
    has_blanks = len(labels.columns) == 1 and any(len(text.split()) > 1 for text in labels.texts)
    return Task.MULTILABEL if metric.average == "samples" and has_blanks else None


def _is_mostly(labels: Labels, allowed: Sequence[str]) -> bool:
    n_allowed = sum(cell in allowed for row in labels.cells for cell in row)
    return n_allowed > MIN_SHARE * len(labels.cells) * len(labels.columns)


def _format_range(sums: set[int]) -> str:
    low, high = min(sums), max(sums)
    return f"{low} to {high} ones" if low != high else f"{low} ones"


def _format_example(labels: Labels) -> str:
    pairs = zip(labels.columns, labels.cells[0], strict=True)
    return join_names([f"{column} {cell or 'blank'}" for column, cell in pairs])
