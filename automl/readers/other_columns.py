"""Describe the columns beside the label: which the test has too, and how far their values differ between the two.

A column that only training has tells nothing of a test image, and may be the label by another name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from automl.errors import DataError, join_names
from automl.files.evidence import format_warning
from automl.files.image_names import is_test_name
from automl.files.listing import walk
from automl.files.pixel_tables import find_pixel_columns
from automl.files.tables import format_count, read_header_or_empty, read_table
from automl.readers.infer_task import is_number
from automl.readers.labels.label_columns import SPLIT_NAMES
from automl.readers.labels.source import LabelOrigin, Labels, LabelSource

MAX_DISTINCT_SHARE = 0.5  # of the rows; a column with more values than that is an id or free text
N_BINS = 10  # of numbers, with about as many training rows in each
LIST_NAME = re.compile(r"(?:train|trainval|val|valid|validation|test)(?:_?list|_?split|_?files)?\.(?:txt|lst)")
N_SIGMA = 4.0  # by which the differences exceed what chance makes of equal distributions


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherColumn:
    """A column of the training table that is neither id nor label.

    Attributes:
        in_test: whether a table of the test has it too.
        difference: total variation distance of its values in training and test, 0 to 1; None where it was not measured,
            as of ids and free text.
        is_clear: whether chance alone would hardly make as large a difference.
    """

    name: str
    in_test: bool
    difference: float | None = None
    is_clear: bool = False


def find_other_columns(labels: Labels, source: LabelSource) -> tuple[OtherColumn, ...]:
    """Find the columns beside the label that say something, in the training table's order."""
    if labels.origin is LabelOrigin.FOLDERS:
        return ()  # what stands beside are folders, not columns
    in_test = _read_test_columns(source)
    named = {name.strip(): values for name, values in labels.others.items() if name.strip() and any(values)}
    return tuple(
        _compare(name, values, in_test[name]) if name in in_test else OtherColumn(name=name, in_test=False)
        for name, values in named.items()
    )


def describe_other_columns(columns: Sequence[OtherColumn]) -> list[str]:
    """Describe in a line each the columns of both sets, those of training alone, and those that clearly differ."""
    shared = [column for column in columns if column.in_test]
    alone = [column.name for column in columns if not column.in_test]
    lines = []
    if shared:
        shown = [
            column.name if column.difference is None else f"{column.name} {column.difference:.2f}" for column in shared
        ]
        lines.append(
            f"columns: {format_count(len(shared), 'column')} beside the label in training and test, with how far their "
            f"values differ (0 to 1): {join_names(shown, at_most=12)}"
        )
    if alone:
        lines.append(
            f"columns: {format_count(len(alone), 'column')} beside the label in training alone, of no use for test "
            f"images: {join_names(alone, at_most=12)}"
        )
    clear = [column.name for column in shared if column.is_clear]
    if clear:
        verb = "differs" if len(clear) == 1 else "differ"
        lines.append(format_warning(f"columns: {join_names(clear, at_most=12)} {verb} between training and test"))
    return lines


def describe_unread_splits(labels: Labels, source: LabelSource) -> list[str]:
    """Describe the tables and lists that say which images are of training and test, and that nobody reads."""
    tables = [
        name
        for name, path in source.tables.items()
        if name not in labels.place and name != source.sample.name and _has_split_column(read_header_or_empty(path))
    ]
    lists: list[str] = []
    if labels.origin is not LabelOrigin.TABLE:
        follow_links = source.settings.follow_links
        lists += walk(source.root, lambda name: bool(LIST_NAME.fullmatch(name)), follow_links=follow_links)
    names = join_names(sorted({*tables, *lists}))
    advice = "--labels FILE takes a table with a column split"
    line = format_warning(f"images: not split as {names} would have it, but as they lie: {advice}")
    return [line] if names else []


def _has_split_column(header: Sequence[str]) -> bool:
    return any(re.sub(r"[\W_]", "", name.lower()) in SPLIT_NAMES for name in header)


def _read_test_columns(source: LabelSource) -> Mapping[str, Sequence[str]]:
    """Read the columns of the tables of the test; the first table that has a column counts."""
    columns: dict[str, Sequence[str]] = {}
    for name, path in source.tables.items():
        is_sample = source.sample.is_given and name == source.sample.name
        if not is_test_name(name) or is_sample or find_pixel_columns(read_header_or_empty(path)):
            continue
        try:
            table = read_table(path)
        except DataError:  # reported where its ids are needed
            continue
        for position, title in enumerate(table.header):
            columns.setdefault(title.strip(), [value.strip() for value in table.get_column(position)])
    return columns


def _compare(name: str, train: Sequence[str], test: Sequence[str]) -> OtherColumn:
    """Measure how far the values of a column differ, where they are few or numbers."""
    keys_train, keys_test = _bin_values(train, test)
    n_train, n_test = len(keys_train), len(keys_test)
    counts_train, counts_test = Counter(keys_train), Counter(keys_test)
    keys = sorted(counts_train.keys() | counts_test.keys())
    if len(keys) > MAX_DISTINCT_SHARE * min(n_train, n_test) or len(keys) < 2:
        return OtherColumn(name=name, in_test=True, difference=0.0 if len(keys) < 2 else None)
    first = np.array([counts_train[key] for key in keys]) / n_train
    second = np.array([counts_test[key] for key in keys]) / n_test
    pooled = (first * n_train + second * n_test) / (n_train + n_test)
    chi_square = float(((first - second) ** 2 / pooled).sum()) / (1 / n_train + 1 / n_test)
    freedom = len(keys) - 1  # mean of chi-square under equal distributions; its variance is twice that
    return OtherColumn(
        name=name,
        in_test=True,
        difference=float(np.abs(first - second).sum()) / 2,
        is_clear=chi_square > freedom + N_SIGMA * (2 * freedom) ** 0.5,
    )


def _bin_values(train: Sequence[str], test: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return a key for each value: the value itself, or of many numbers the bin of about equal training counts."""
    distinct = {*train, *test} - {""}
    if len(distinct) <= N_BINS or not all(map(is_number, distinct)):
        return list(train), list(test)
    numbers = np.array([float(value) for value in train if value])
    if not len(numbers):
        return list(train), list(test)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, N_BINS + 1)[1:-1]))

    def find_bin(value: str) -> str:
        return str(int(np.searchsorted(edges, float(value), side="right"))) if value else ""

    return [find_bin(value) for value in train], [find_bin(value) for value in test]
