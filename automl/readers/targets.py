"""Encode labels as numbers: class indices, label sets as 0 and 1, or values with the scale they lie on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError, join_names
from automl.readers.infer_submission import SAME_HINT, sort_labels
from automl.readers.infer_task import ONES, is_number, require_zeros_and_ones
from automl.readers.labels.cells import collect_labels, find_repetition, split_separated_labels
from automl.readers.labels.source import Labels
from automl.readers.submission_template import SampleSubmission

MAX_DISTINCT_LABELS = 20  # images; where more of them share no label, it is none but an id or a number
MAX_RELATIVE_MINIMUM = 0.1  # of the largest value; a least value below that says that the scale begins at 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The targets of a task as an array, with its classes.

    Attributes:
        array: as `Competition.targets`.
        scales: as `Competition.scales`.
    """

    classes: tuple[str, ...]
    array: NDArray[Any]
    evidence: tuple[str, ...]
    scales: tuple[tuple[float, float], ...] | None = None


def extract_class_labels(labels: Labels) -> tuple[str, ...]:
    """Return the (n,) one class of each image: its cell's text, or the name of the column that holds its 1.

    Raises:
        DataError: an image has none or several, or all images have the same, or each another one.
    """
    texts = labels.texts if len(labels.columns) == 1 else _find_hot_columns(labels)
    blank = [image_id for image_id, text in zip(labels.ids, texts, strict=True) if not text]
    if blank:
        raise DataError(f"there is no label of {join_names(blank)}", hint="add the labels, or remove these images")
    distinct = set(texts)
    if len(distinct) < 2:
        raise DataError(
            f"all {len(texts)} training images have the label {join_names(sorted(distinct))}",
            hint="add images of another class",
        )
    if len(distinct) == len(texts) > MAX_DISTINCT_LABELS:
        raise DataError(
            f"each of the {len(texts)} training images has a label of its own: {join_names(list(texts))}",
            hint="name the column of the labels with --label"
            + (", or say --task regression if these are measurements" if all(map(is_number, distinct)) else ""),
        )
    return texts


def encode_classes(texts: Sequence[str], classes: tuple[str, ...], renamed: Mapping[str, str]) -> Targets:
    """Encode labels as (n,) class indices, renaming those that the submission knows by another name."""
    names = [renamed.get(text, text) for text in texts]
    index_of = {label: index for index, label in enumerate(classes)}
    array = np.array([index_of[name] for name in names], dtype=np.int64)
    counts = np.bincount(array, minlength=len(classes)).tolist()
    return Targets(
        classes=classes, array=array, evidence=(_describe_counts(classes, counts), *_describe_spellings(classes))
    )


def encode_label_sets(labels: Labels, sample: SampleSubmission) -> Targets:
    """Encode label sets as (n, n_classes) of 0 and 1, from columns or from cells with blanks between labels.

    Raises:
        DataError: the sample has other labels than training, or all images have the same.
    """
    if len(labels.columns) > 1:
        require_zeros_and_ones(labels)
        classes = labels.columns
        array = np.array([[cell in ONES for cell in row] for row in labels.cells], dtype=np.int8)
    else:
        _require_sets(labels)
        classes = _order_labels(collect_labels(labels.texts), sample)
        array = np.zeros((len(labels.ids), len(classes)), dtype=np.int8)
        index_of = {label: index for index, label in enumerate(classes)}
        for row, text in zip(array, labels.texts, strict=True):
            row[[index_of[label] for label in text.split()]] = 1
    if len(classes) < 2 or (array == array[0]).all():
        names = [label for label, holds in zip(classes, array[0], strict=True) if holds] if len(classes) else []
        raise DataError(
            f"all {len(array)} training images have the labels {join_names(names) or 'none'}",
            hint="add images with other labels",
        )
    counts: list[int] = array.sum(axis=0).tolist()
    lines = [
        _describe_counts(classes, counts),
        *_describe_spellings(classes),
        *_describe_absent(classes, counts, len(array)),
    ]
    return Targets(classes=classes, array=array, evidence=tuple(lines))


def encode_values(labels: Labels, sample: SampleSubmission) -> Targets:
    """Parse (n, n_targets) values, and compute the scale of each target.

    A scale goes from the least to the largest value in training, or from 0 where all values are positive and the least
    is less than a tenth of the largest: such a scale begins at 0, as counts, shares and masses do.

    Raises:
        DataError: a label is no number, all are the same, or the sample has other targets or no numbers.
    """
    _require_numbers(labels)
    _require_value_sample(labels, sample)
    array = np.array([[float(cell) for cell in row] for row in labels.cells], dtype=np.float64)
    if (array == array[0]).all():
        raise DataError(
            f"all {len(array)} training images have the value {join_names(labels.cells[0])}",
            hint="add images with other values",
        )
    scales = tuple(_compute_scale(column) for column in array.T)
    means: list[float] = array.mean(axis=0).tolist()
    lines = tuple(
        f"values: {join_names([column])} from {values.min():g} to {values.max():g}, on average {mean:g}; "
        f"scale from {low:g} to {high:g}"
        for column, values, mean, (low, high) in zip(labels.columns, array.T, means, scales, strict=True)
    )
    classes = tuple(target.strip() for target in sample.target_columns)
    return Targets(classes=classes, array=array, scales=scales, evidence=lines)


def _find_hot_columns(labels: Labels) -> tuple[str, ...]:
    require_zeros_and_ones(labels)
    chosen = []
    for image_id, row in zip(labels.ids, labels.cells, strict=True):
        ones = [column for column, cell in zip(labels.columns, row, strict=True) if cell in ONES]
        if len(ones) != 1:
            raise DataError(
                f"{join_names([image_id])} has {len(ones)} of the {len(labels.columns)} classes: "
                f"{join_names(ones) or 'none'}",
                hint="give each image exactly one class, or say --task multilabel",
            )
        chosen.append(ones[0])
    return tuple(chosen)


def _require_sets(labels: Labels) -> None:
    """Require cells that name each label once, with only blanks between them, as the submission would."""
    column = join_names(labels.columns)
    repeating = find_repetition(labels.texts)
    if repeating is not None:
        raise DataError(
            f"column {column} holds lists that name something twice, as masks and boxes do: {join_names([repeating])}",
            hint="use a tool for segmentation or detection; automl predicts classes and values",
        )
    lists = split_separated_labels(labels.texts)
    if lists is not None:
        raise DataError(
            f"column {column} holds lists without blanks between the labels, which a submission would have: "
            f"{join_names([max(lists, key=len)])}",
            hint="give a sample submission with a column for each label, or put blanks between the labels",
        )


def _order_labels(labels: Collection[str], sample: SampleSubmission) -> tuple[str, ...]:
    """Return the sample's columns where it has one for each label, else sort by number or text."""
    if len(sample.target_columns) == 1:
        return sort_labels(labels)
    classes = tuple(column.strip() for column in sample.target_columns)
    if set(classes) != set(labels):
        other = sort_labels(set(classes) ^ set(labels))
        raise DataError(f"{sample.name} and the training labels differ in {join_names(other)}", hint=SAME_HINT)
    return classes


def _describe_counts(classes: Sequence[str], counts: Sequence[int]) -> str:
    shown = join_names([f"{label} {count}" for label, count in zip(classes, counts, strict=True)], at_most=10)
    return f"classes: {len(classes)}, with so many images: {shown}"


def _describe_spellings(classes: Sequence[str]) -> list[str]:
    spellings = Counter(label.lower() for label in classes)
    ambiguous = [label for label in classes if spellings[label.lower()] > 1]
    return [f"classes: some differ only in upper and lower case: {join_names(ambiguous)}"] if ambiguous else []


def _describe_absent(classes: Sequence[str], counts: Sequence[int], n_images: int) -> list[str]:
    constant = [label for label, count in zip(classes, counts, strict=True) if count in (0, n_images)]
    return (
        [f"classes: every image or none has {join_names(constant)}, so that nothing is learnt of it"]
        if constant
        else []
    )


def _require_numbers(labels: Labels) -> None:
    for image_id, row in zip(labels.ids, labels.cells, strict=True):
        for column, cell in zip(labels.columns, row, strict=True):
            if not is_number(cell):
                raise DataError(
                    f"the value of {join_names([image_id])} in column {join_names([column])} is no number: "
                    f"{join_names([cell]) or 'blank'}",
                    hint="give a number, remove the row, or say --task multiclass",
                )


def _require_value_sample(labels: Labels, sample: SampleSubmission) -> None:
    if len(labels.columns) != len(sample.target_columns):
        raise DataError(
            f"{sample.name} has {len(sample.target_columns)} targets, but training has values of {len(labels.columns)}",
            hint=SAME_HINT,
        )
    targets = [column for column in range(len(sample.table.header)) if column != sample.id_position]
    fields = {row[column].strip() for row in sample.table.rows for column in targets}
    not_numbers = sorted(field for field in fields if field and not is_number(field))
    if not_numbers:
        raise DataError(
            f"{sample.name} holds {join_names(not_numbers)} in column {join_names(sample.value_columns)}, "
            "but the training labels are numbers",
            hint=SAME_HINT,
        )


def _compute_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (0.0 if 0.0 <= low <= MAX_RELATIVE_MINIMUM * high else low), high
