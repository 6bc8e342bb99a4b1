"""Encode labels as numbers: class indices, label sets as 0 and 1, or values with the scale they lie on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError, join_names
from automl.files.evidence import format_warning
from automl.multi_output import Head
from automl.readers.infer_submission import SAME_HINT, sort_labels
from automl.readers.infer_task import ONES, is_number, list_head_values, require_zeros_and_ones
from automl.readers.label_lists import LabelLists
from automl.readers.label_names import match_columns, match_spelling, match_targets
from automl.readers.labels.source import Labels
from automl.readers.submission_template import SampleSubmission

MAX_DISTINCT_LABELS = 20  # images; where more of them share no label, it is none but an id or a number
MAX_RELATIVE_MINIMUM = 0.1  # of the largest value; a least value below that says that the scale begins at 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The targets of a task as an array, with its classes.

    Attributes:
        array: as `Competition.targets`.
        scales, heads: as those of `Competition`.
    """

    classes: tuple[str, ...]
    array: NDArray[Any]
    evidence: tuple[str, ...]
    scales: tuple[tuple[float, float], ...] | None = None
    heads: tuple[Head, ...] = ()


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


def encode_heads(labels: Labels, sample: SampleSubmission, *, task_is_set: bool) -> Targets:
    """Encode several columns of labels as (n, n_heads) indices of classes, which are those of one head after the other.

    Args:
        task_is_set: whether the task is given or known; then what the sample holds may stand for nothing.

    Raises:
        DataError: the sample has other columns or other labels, a label is blank, or nothing can be learned.
    """
    columns = _match_heads(labels, sample)
    written = list_head_values(sample)
    read = [
        _read_head(name, [row[at] for row in labels.cells], labels, sample, values, task_is_set=task_is_set)
        for name, at, values in zip(sample.target_columns, columns, written, strict=True)
    ]
    heads = tuple(Head(name.strip(), len(own)) for name, (own, _, _) in zip(sample.target_columns, read, strict=True))
    if all(head.n_classes == 1 for head in heads):
        raise DataError(
            f"all {len(labels.ids)} training images have the labels {join_names([own[0] for own, _, _ in read])}",
            hint="add images with other labels",
        )
    classes = tuple(head.name_class(label) for head, (own, _, _) in zip(heads, read, strict=True) for label in own)
    if len(set(classes)) < len(classes):
        raise DataError(
            f"the columns {join_names([head.name for head in heads])} and their labels cannot be told from one another",
            hint="rename the columns so that none holds the sign =",
        )
    starts = np.cumsum([0, *(head.n_classes for head in heads)])[:-1]
    positions = [{label: position for position, label in enumerate(own)} for own, _, _ in read]
    indices = [[own[text] for text in texts] for own, (_, texts, _) in zip(positions, read, strict=True)]
    array = np.array(indices, dtype=np.int64).T + starts
    return Targets(classes=classes, array=array, heads=heads, evidence=tuple(line for *_, own in read for line in own))


def _match_heads(labels: Labels, sample: SampleSubmission) -> tuple[int, ...]:
    """Return which column of the labels each of the sample's targets is."""
    targets = [target.strip() for target in sample.target_columns]
    found = match_targets(labels.columns, targets) if len(labels.columns) > 1 else None
    if found is None:
        raise DataError(
            f"{sample.name} asks for {join_names(targets)}, but the labels are of {join_names(labels.columns)}",
            hint="name the columns of the labels with --label, with commas between, in the order of the sample's",
        )
    return found


def _read_head(
    name: str, texts: Sequence[str], labels: Labels, sample: SampleSubmission, written: set[str], *, task_is_set: bool
) -> tuple[tuple[str, ...], list[str], list[str]]:
    """Return the labels of a head in their order, (n,) the one of each image, and lines that describe them."""
    blank = [image_id for image_id, text in zip(labels.ids, texts, strict=True) if not text]
    if blank:
        raise DataError(
            f"there is no label of {join_names(blank)} in column {join_names([name])}",
            hint="add the labels, or remove these images",
        )
    if len(set(texts)) == len(texts) > MAX_DISTINCT_LABELS:
        raise DataError(
            f"each of the {len(texts)} training images has a label of its own in column {join_names([name])}: "
            f"{join_names(list(texts))}",
            hint="name the columns of the labels with --label, with commas between",
        )
    matched = match_spelling(set(texts), written - {""}, source=sample.name)
    texts = [matched.renamed.get(text, text) for text in texts]
    classes = sort_labels(set(texts))
    counts = Counter(texts)
    lines = [_describe_counts(classes, [counts[own] for own in classes], head=name.strip()), *matched.lines]
    if len(classes) == 1:
        lines.append(
            format_warning(f"all images have the {name.strip()} {classes[0]}, so that nothing is learnt of it")
        )
    unknown = sort_labels(written - {"", *classes})
    if unknown and not task_is_set and set(unknown) >= written - {""}:
        raise DataError(
            f"{sample.name} holds {join_names(unknown)} for {join_names([name])}, but the training labels of that "
            f"are {join_names(classes)}",
            hint=f"{SAME_HINT}; say --task multioutput if what it holds stands for nothing, or --task regression if "
            "the labels are measurements",
        )
    if unknown:
        stands = "is taken to stand for nothing" if set(unknown) >= written - {""} else "is never predicted"
        lines.append(
            format_warning(
                f"{join_names(unknown)} in {sample.name} is no training label of {name.strip()}, and {stands}"
            )
        )
    return classes, list(texts), lines


def encode_label_sets(labels: Labels, sample: SampleSubmission, lists: LabelLists | None) -> Targets:
    """Encode label sets as (n, n_classes) of 0 and 1, from columns or from the lists in the cells of one.

    Classes are in the order of the sample's columns, which are matched by name.

    Raises:
        DataError: the sample has other labels than training, or all images have the same.
    """
    if lists is None:
        require_zeros_and_ones(labels)
        classes, positions, matched_lines = _align_columns(labels, sample)
        array = np.array([[row[at] in ONES for at in positions] for row in labels.cells], dtype=np.int8)
    else:
        classes, column_of, matched_lines = _order_labels(lists.labels, sample)
        array = np.zeros((len(labels.ids), len(classes)), dtype=np.int8)
        index_of = {label: classes.index(column_of.get(label, label)) for label in lists.labels}
        for row, text in zip(array, labels.texts, strict=True):
            row[[index_of[label] for label in lists.sets[text]]] = 1
    if len(classes) < 2 or (array == array[0]).all():
        names = [label for label, holds in zip(classes, array[0], strict=True) if holds] if len(classes) else []
        raise DataError(
            f"all {len(array)} training images have the labels {join_names(names) or 'none'}",
            hint="add images with other labels",
        )
    counts: list[int] = array.sum(axis=0).tolist()
    lines = [
        _describe_counts(classes, counts),
        *matched_lines,
        *_describe_spellings(classes),
        *_describe_absent(classes, counts, len(array)),
    ]
    return Targets(classes=classes, array=array, evidence=tuple(lines))


def encode_values(labels: Labels, sample: SampleSubmission, *, in_order: bool = False) -> Targets:
    """Parse (n, n_targets) values in the order of the sample's targets, and compute the scale of each.

    Columns are matched with targets by name.

    A scale goes from the least to the largest value in training, or from 0 where all values are positive and the least
    is less than a tenth of the largest: such a scale begins at 0, as counts, shares and masses do.

    Args:
        in_order: whether the user named the columns, in the order of the targets, so that other names do no harm.

    Raises:
        DataError: a label is no number, all are the same, or the sample has other targets or no numbers.
    """
    _require_numbers(labels)
    _require_value_sample(labels, sample)
    positions, matched_lines = _align_targets(labels, sample, in_order=in_order)
    columns = [labels.columns[at] for at in positions]
    array = np.array([[float(row[at]) for at in positions] for row in labels.cells], dtype=np.float64)
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
        for column, values, mean, (low, high) in zip(columns, array.T, means, scales, strict=True)
    )
    classes = tuple(target.strip() for target in sample.target_columns)
    return Targets(classes=classes, array=array, scales=scales, evidence=(*matched_lines, *lines))


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


def _align_columns(labels: Labels, sample: SampleSubmission) -> tuple[tuple[str, ...], tuple[int, ...], list[str]]:
    """Return the classes in the order of the sample's columns, where each stands in the labels, and what to tell."""
    own = labels.columns
    if len(sample.target_columns) == 1:
        return own, tuple(range(len(own))), []
    classes, column_of, lines = _order_labels(own, sample)
    position = {column_of.get(name, name): at for at, name in enumerate(own)}
    return classes, tuple(position[name] for name in classes), lines


def _order_labels(
    labels: Collection[str], sample: SampleSubmission
) -> tuple[tuple[str, ...], Mapping[str, str], list[str]]:
    """Return the sample's columns where it has one for each label, else sorted labels; and label -> column."""
    if len(sample.target_columns) == 1:
        return sort_labels(labels), {}, []
    classes = tuple(column.strip() for column in sample.target_columns)
    matched = match_columns(classes, labels)
    held = {matched.renamed.get(label, label) for label in labels}
    if set(classes) != held:
        other = sort_labels(set(classes) ^ held)
        raise DataError(f"{sample.name} and the training labels differ in {join_names(other)}", hint=SAME_HINT)
    return classes, matched.renamed, list(matched.lines)


def _align_targets(labels: Labels, sample: SampleSubmission, *, in_order: bool) -> tuple[tuple[int, ...], list[str]]:
    """Return which column each of the sample's targets is, by name; of one target that is clear."""
    targets = [target.strip() for target in sample.target_columns]
    if len(targets) == 1:
        return (0,), []
    positions = match_targets(labels.columns, targets)
    if positions is None and not in_order:
        raise DataError(
            f"{sample.name} asks for {join_names(targets)}, but training has values of {join_names(labels.columns)}",
            hint=f"name the columns in the order of the sample: --label {','.join(labels.columns[:2])}...",
        )
    positions = positions or tuple(range(len(targets)))
    pairs = [(labels.columns[at], target) for at, target in zip(positions, targets, strict=True)]
    renamed = join_names([f"{target} is {column}" for column, target in pairs if column != target], at_most=5)
    return positions, [f"values: {renamed}"] if renamed else []


def _describe_counts(classes: Sequence[str], counts: Sequence[int], *, head: str = "") -> str:
    shown = join_names([f"{label} {count}" for label, count in zip(classes, counts, strict=True)], at_most=10)
    return f"classes{f' of {head}' if head else ''}: {len(classes)}, with so many images: {shown}"


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
