"""Predictions as a table: a row for each image, a column for each class, and what is decided.

Not responsible for: predicting (automl.ensemble.apply), or the form that a competition wants
(automl.ensemble.submission).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import write_table
from automl.data.competition import Competition
from automl.decisions import ClipRule, Rule
from automl.ensemble.deciding import deciding_metric
from automl.ensemble.submission import WRITTEN
from automl.errors import DataError, UsageError
from automl.files.tables import read_header
from automl.tasks import Task

IMAGE, LABEL, LABELS = "image", "label", "labels"


@dataclass(frozen=True, slots=True)
class Table:
    """What is written: a header and a row for each image."""

    header: tuple[str, ...]
    rows: Iterable[Sequence[str]]


def header_of(competition: Competition) -> tuple[str, ...]:
    """The columns: the image, the classes by their names, and `label`, or `labels` where there may be several.

    Values have no label. Where a class is called as one of the other columns, that one gets a _ behind its name.
    """
    columns = (_free(IMAGE, competition), *competition.classes)
    if competition.task is Task.REGRESSION:
        return columns
    return (*columns, _free(LABELS if _has_several(competition) else LABEL, competition))


def prediction_table(
    competition: Competition, image_ids: Sequence[str], probs: NDArray[np.float64], rule: Rule
) -> Table:
    """The table for probabilities (n, n_classes): with REGRESSION values on their scales, else what is decided besides.

    Several labels have a blank between them, or "; " where a name holds blanks; of ranked ones the first is the best.

    Args:
        rule: the ensemble's, fitted on rows out of fold. Where it decides no labels, the most probable class is the
            label, and labels are those from one half on.
    """
    decided = rule(probs)
    if competition.task is Task.REGRESSION:
        return Table(header_of(competition), _rows(image_ids, decided, None))
    shown = decided if isinstance(rule, ClipRule) else probs
    if competition.task.one_class_each:
        shown = shown / shown.sum(axis=1, keepdims=True)
    return Table(header_of(competition), _rows(image_ids, shown, _labels(competition, decided)))


def write_predictions(path: Path, table: Table) -> None:
    """Put the table at path, atomically: UTF-8, LF, numbers of nine digits."""
    write_table(path, table.header, table.rows)


def require_replaceable(path: Path, header: Sequence[str]) -> None:
    """Raises:
    UsageError: there is something at path that is no table with these columns.
    """
    if not path.exists():
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", hint="make it first, or name another file with --out")
        return
    try:
        replaceable = path.is_file() and read_header(path) == tuple(header)
    except DataError:
        replaceable = False
    if not replaceable:
        raise UsageError(
            f"{path} is there already, and is no table of such predictions",
            hint="name another file with --out, or pass --overwrite",
        )


def _free(name: str, competition: Competition) -> str:
    while name in competition.classes:
        name += "_"
    return name


def _has_several(competition: Competition) -> bool:
    return competition.task is Task.MULTILABEL or deciding_metric(competition).needs == "ranking"


def _rows(image_ids: Sequence[str], values: NDArray[Any], labels: Sequence[str] | None) -> Iterable[Sequence[str]]:
    for row, image_id in enumerate(image_ids):
        numbers = [WRITTEN % value for value in values[row].tolist()]
        yield [image_id, *numbers] if labels is None else [image_id, *numbers, labels[row]]


def _labels(competition: Competition, decided: NDArray[Any]) -> list[str]:
    """What was decided for each image, by name."""
    classes, needs = competition.classes, deciding_metric(competition).needs
    if decided.ndim == 1:
        return [classes[index] for index in decided]
    separator = "; " if any(" " in name for name in classes) else " "
    if needs == "ranking":
        return [separator.join(classes[index] for index in row) for row in decided]
    if competition.task.one_class_each:
        return [classes[index] for index in decided.argmax(axis=1)]
    return [separator.join(classes[index] for index in np.flatnonzero(row >= 0.5)) for row in decided]
