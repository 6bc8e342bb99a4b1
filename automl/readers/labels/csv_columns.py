"""Read training labels from a table with a row for each image: which table it is, and what of it cannot be used.

A table that is there for labels and cannot be used stops the reading: no other reader takes its place. One is there for
labels where its name says so (train, labels), or where one of its columns names the training images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from automl.errors import DataError, UsageError, join_names
from automl.files.containers.members import group_members
from automl.files.evidence import format_suggestion, format_warning
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_test_name
from automl.files.pixel_tables import find_pixel_columns
from automl.files.table_formats import strip_table_suffix
from automl.files.tables import Table, format_count, read_header_or_empty, read_table
from automl.readers.labels.csv_rows import build_labels
from automl.readers.labels.folder_labels import has_other_class_folders, require_no_class_folders
from automl.readers.labels.image_columns import MIN_NAMED_SHARE, ImageColumns, find_image_columns
from automl.readers.labels.label_columns import (
    LabelColumns,
    NoLabelColumnError,
    find_label_columns,
    find_split_column,
    split_label_names,
)
from automl.readers.labels.source import Labels, LabelSource, LayoutMismatchError
from automl.readers.sample_submission import get_table_name
from automl.readers.submission_template import is_sample_name

LABEL_FILE_PATTERNS = (  # of the lowered name without its extensions, the best first
    r"train",
    r"train_?labels",
    r"labels?",
    r"train.*",
    r".*(?<![a-z])train.*",
    r".*labels?(?![a-z]).*",
)
EXPLICIT = 3  # the strength of columns that the user says, or the sample by their names
MIN_COVERED_SHARE = 0.5  # of the training images that a table of another name must name


@dataclass(frozen=True, slots=True, kw_only=True)
class _LabelTable:
    """A table of labels, and its columns.

    Attributes:
        is_called: whether its name says that it holds labels, or the user does.
    """

    table: Table
    images: ImageColumns
    labels: LabelColumns
    is_called: bool


def read_csv_labels(source: LabelSource) -> Labels:
    """Read labels from a table with a row for each image and one label column, or several.

    Raises:
        LayoutMismatchError: no table is one of labels.
        DataError: one is, and it is at fault; or two are, and contradict each other.
        UsageError: the given file or column is not there.
    """
    lookup = ImageLookup(source.files.train, source.files.other, source.files.copies)
    names = _list_label_tables(source)
    passed_over: list[str] = []
    failures: list[DataError] = []
    for name in names:
        try:
            table = _read_table(name, lookup, source)
            try:
                found = _find_columns(table, lookup, source)
            except DataError as error:
                failures.append(error)
                continue
        except LayoutMismatchError as reason:
            passed_over.append(f"{name} ({reason})")
            continue
        if not failures or found.labels.strength == EXPLICIT:
            return _build(found, names, failures, lookup, source)
    if failures:
        raise failures[0]
    raise LayoutMismatchError("; ".join(passed_over) or "no table is named like train.csv or labels.csv", passed_over)


def is_label_name(name: str) -> bool:
    """Whether a file of that name would hold training labels."""
    return _rank_name(name) < len(LABEL_FILE_PATTERNS)


def _rank_name(name: str) -> int:
    """Return the place of the first pattern that the name fits; one behind the last where it fits none."""
    stem = strip_table_suffix(PurePosixPath(name).name.lower())
    fitting = (place for place, pattern in enumerate(LABEL_FILE_PATTERNS) if re.fullmatch(pattern, stem))
    return next(fitting, len(LABEL_FILE_PATTERNS))


def _list_label_tables(source: LabelSource) -> list[str]:
    """List the tables that may hold labels, the likeliest first."""
    requested = source.settings.labels
    if requested is not None and requested not in source.tables and (source.root / requested).is_file():
        raise LayoutMismatchError(f"{requested} is no table")
    if requested is not None:
        return [get_table_name(source.tables, requested, "--labels")]
    names = [
        name
        for name in source.tables
        if not is_test_name(name)
        and not is_test_name(PurePosixPath(name).name)
        and not is_sample_name(name)
        and name != source.sample.name
    ]
    names.sort(key=lambda name: (name != source.labels_name, _rank_name(name), name.count("/"), name))
    return names if source.settings.label is None else _select_with_columns(names, source.settings.label, source)


def _select_with_columns(names: Sequence[str], label: str, source: LabelSource) -> list[str]:
    """Select the tables that have the columns that the user gives.

    Raises:
        UsageError: none has.
        LayoutMismatchError: only a table of pixels has.
    """
    headers = {name: [column.strip() for column in read_header_or_empty(source.tables[name])] for name in names}
    having = [name for name, header in headers.items() if set(split_label_names(label, header)) <= set(header)]
    of_pixels = [name for name in having if find_pixel_columns(headers[name])]
    if having and len(of_pixels) == len(having):
        raise LayoutMismatchError(f"{join_names(of_pixels)} holds pixels")
    if not having and group_members(source.files.training_pool):
        raise LayoutMismatchError("no table has that column")  # what stands beside the images of a file may
    if not having:
        raise UsageError(
            f"--label {label}: no table has such a column",
            hint="name one of a table, and the table with --labels",
            seen=[
                f"{name} has {join_names(header, at_most=10)}"
                for name, header in headers.items()
                if header and not find_pixel_columns(header)
            ],
        )
    return having


def _is_called(name: str, source: LabelSource) -> bool:
    """Whether a table is one of labels by its name, or as the user says."""
    return is_label_name(name) or name == source.labels_name or bool(source.settings.labels or source.settings.label)


def _read_table(name: str, lookup: ImageLookup, source: LabelSource) -> Table:
    """Read a table, unless it cannot hold labels by its header."""
    path = source.tables[name]
    if find_pixel_columns(read_header_or_empty(path)):
        raise LayoutMismatchError("it holds pixels")
    try:
        return read_table(path, name=name, root=source.root, is_image=lambda cell: _names_image(cell, lookup))
    except DataError as error:
        if _is_called(name, source):
            raise
        raise LayoutMismatchError(error.problem) from error  # some other table, and a damaged one, which is not needed


def _names_image(cell: str, lookup: ImageLookup) -> bool:
    return bool(cell) and bool(lookup.find(cell) or lookup.find_several(cell))


def _find_columns(table: Table, lookup: ImageLookup, source: LabelSource) -> _LabelTable:
    """Find a table's columns of images and labels.

    Raises:
        LayoutMismatchError: it is plainly no table of labels.
        DataError: it is one, and it cannot be used.
    """
    is_called = _is_called(table.name, source)
    try:
        images = find_image_columns(table, source.any_lookup, source.sample.id_column)
    except LayoutMismatchError:
        if is_called:
            raise _make_no_images_error(table, lookup, source) from None
        raise LayoutMismatchError("none of its columns names an image") from None
    _require_other_columns(table, images)
    if not is_called:
        _require_training_table(table, images, lookup, source)
    try:
        labels = find_label_columns(table, images, lookup, source)
    except NoLabelColumnError:
        if is_called:
            raise
        raise LayoutMismatchError("none of its columns repeats values as labels do") from None
    return _LabelTable(table=table, images=images, labels=labels, is_called=is_called)


def _require_other_columns(table: Table, images: ImageColumns) -> None:
    """Require a column beside the images, and rows that are no list of classes, each with the name of its own."""
    split = find_split_column(table, images.columns)
    known = {*images.columns, *images.aliases, *([split.column] if split else [])}
    rest = [column for column in range(len(table.header)) if column not in known]
    if not rest:
        raise LayoutMismatchError("it has no column beside the images")
    n_rows = len(table.rows)
    if images.names_several and n_rows > 1 and all(len(set(table.get_column(column))) == n_rows for column in rest):
        raise LayoutMismatchError("its rows are folders of images, each with a name of its own, as of classes")


def _require_training_table(table: Table, images: ImageColumns, lookup: ImageLookup, source: LabelSource) -> None:
    """Require rows of images, each once, and most of the training images among them."""
    if not images.is_distinct or images.share < MIN_NAMED_SHARE:
        raise LayoutMismatchError("hardly each of its rows is of another image")
    ids = [cell.strip() for cell in table.get_column(images.columns[0])]
    is_beside = bool(table.folder) and bool(lookup.find(table.folder + ids[0]))
    if set(ids) <= set(source.sample.ids) and not is_beside:
        raise LayoutMismatchError("its rows are those of the sample submission")
    n_images, n_named = len(source.training_images), lookup.match(ids).n_found
    if n_named < MIN_COVERED_SHARE * n_images and not images.names_several:
        raise LayoutMismatchError(f"it names {n_named} of {format_count(n_images, 'training image')}")


def _make_no_images_error(table: Table, lookup: ImageLookup, source: LabelSource) -> DataError:
    """Build the error for a table of labels none of whose cells names an image."""
    by_name = [c for c, name in enumerate(table.header) if name.strip() == source.sample.id_column.strip()]
    ids = table.get_column((by_name or [0])[0])
    return DataError(
        f"{table.name} has no column that names the training images in {source.files.train_location}",
        hint="unpack the images it names, or name their folder with --images; --labels FILE takes the labels from "
        "another file, --labels folders from the folders",
        seen=[lookup.describe_miss(ids, table.name)],
    )


def _build(
    found: _LabelTable,
    names: Sequence[str],
    failures: Sequence[DataError],
    lookup: ImageLookup,
    source: LabelSource,
) -> Labels:
    """Build the labels, and say what other tables were not taken."""
    table = found.table
    read = build_labels(table, found.images.columns, found.labels.columns, lookup, source)
    doubts: list[str] = []
    if not found.labels.strength and source.settings.label is None and source.settings.labels is None:
        if not found.is_called:
            require_no_class_folders(read, table.name, source)
        elif has_other_class_folders(read, source):
            doubts.append(format_suggestion("--labels folders", "the folders of the images may be the labels as well"))
    read = _read_added(read, found, names, lookup, source)
    rest = names[names.index(table.name) + 1 :] if source.settings.labels is None else []
    lines = (
        *table.notes,
        *found.images.evidence,
        *found.labels.evidence,
        *doubts,
        *(format_warning(f"not read as labels: {error.problem}") for error in failures),
        *_compare_tables(found, read, rest, lookup, source),
        *_describe_pixel_tables(names, source),
    )
    return replace(read, evidence=(*read.evidence, *lines))


def _read_added(
    read: Labels, found: _LabelTable, names: Sequence[str], lookup: ImageLookup, source: LabelSource
) -> Labels:
    """Read the labels of images that the user adds from the other tables with the same columns of labels.

    Raises:
        DataError: one of these images has no label.
    """
    wanted = _get_label_names(found)
    for name in names:
        unlabelled = set(source.files.added).difference(read.images)
        header = [column.strip() for column in read_header_or_empty(source.tables[name])]
        if not unlabelled or name == found.table.name or not set(wanted) <= set(header):
            continue
        try:
            table = _read_table(name, lookup, source)
            images = find_image_columns(table, lookup, source.sample.id_column)
        except LayoutMismatchError:
            continue
        of_added = replace(source, files=replace(source.files, train=()))  # which need no row here
        rows = build_labels(table, images.columns, tuple(map(header.index, wanted)), lookup, of_added)
        if not set(rows.images).isdisjoint(unlabelled) and set(rows.images).isdisjoint(read.images):
            read = _concatenate(read, rows)
    if rest := sorted(set(source.files.added).difference(read.images)):
        raise DataError(
            f"{format_count(len(rest), 'image')} of those that are added have no label in {found.table.name}: "
            f"{join_names(rest)}",
            hint=f"add a table of theirs with column {join_names(wanted)}, or leave --add and --fixed-fold out",
        )
    return read


def _concatenate(read: Labels, added: Labels) -> Labels:
    """Concatenate the labels of two tables; an id that both have is replaced by its image."""
    known = set(read.ids)
    ids = (image if own_id in known else own_id for own_id, image in zip(added.ids, added.images, strict=True))
    blank = ("",) * len(added.ids)
    rows = None
    if read.rows is not None or added.rows is not None:
        first = read.rows or range(len(read.ids))
        rows = (*first, *(1 + max(first) + row for row in added.rows or range(len(added.ids))))
    return replace(
        read,
        ids=(*read.ids, *ids),
        images=(*read.images, *added.images),
        cells=(*read.cells, *added.cells),
        others={name: (*values, *added.others.get(name, blank)) for name, values in read.others.items()},
        evidence=(*read.evidence, *added.evidence),
        rows=rows,
    )


def _compare_tables(
    found: _LabelTable, read: Labels, names: Sequence[str], lookup: ImageLookup, source: LabelSource
) -> Iterable[str]:
    """Compare the labels with those of other tables that might be meant.

    Raises:
        DataError: one contradicts them, and its name and columns speak for it as much.
    """
    wanted = set(_get_label_names(found))
    for name in names:
        header = {column.strip() for column in read_header_or_empty(source.tables[name])}
        if not is_label_name(name) and not wanted <= header:
            continue
        try:
            other = _find_columns(_read_table(name, lookup, source), lookup, source)
        except (LayoutMismatchError, DataError):
            continue  # not needed
        if not other.images.is_distinct or other.images.share < MIN_NAMED_SHARE:
            continue
        yield from _compare_labels(found, other, read, lookup)


def _compare_labels(found: _LabelTable, other: _LabelTable, read: Labels, lookup: ImageLookup) -> list[str]:
    """Compare the labels with those of another table, image by image."""
    names = found.table.name, other.table.name
    label_of = dict(zip(read.images, read.cells, strict=True))
    matched = lookup.match([cell.strip() for cell in other.table.get_column(other.images.columns[0])])
    others = {
        image: tuple(row[column].strip() for column in other.labels.columns)
        for image, row in zip(matched.names, other.table.rows, strict=True)
        if image is not None
    }
    shared = [image for image in others if image in label_of]
    different = [image for image in shared if others[image] != label_of[image]]
    n_images = format_count(len(different), "image")
    if not others:  # each of its ids may be several images
        return []
    if not shared:
        return [format_warning(f"labels: {names[1]} left out, it names {format_count(len(others), 'other image')}")]
    if not different:
        return [f"labels: {names[1]} says the same of {format_count(len(shared), 'image')}"]
    if found.is_called and other.is_called and found.labels.strength <= other.labels.strength:
        image = different[0]
        raise DataError(
            f"{names[0]} and {names[1]} give {n_images} different labels: {join_names([image])} "
            f"is {join_names(label_of[image])} and {join_names(others[image])}",
            hint=f"say --labels {names[0]} or --labels {names[1]}",
        )
    if _get_label_names(found) != _get_label_names(other):
        return []
    line = f"labels: {names[1]} left out, it gives {n_images} another label; --labels {names[1]} takes it instead"
    return [format_warning(line)]


def _get_label_names(found: _LabelTable) -> tuple[str, ...]:
    return tuple(found.table.header[column].strip() for column in found.labels.columns)


def _describe_pixel_tables(names: Sequence[str], source: LabelSource) -> list[str]:
    tables = [name for name in names if find_pixel_columns(read_header_or_empty(source.tables[name]))]
    return [format_warning(f"labels: tables of pixels left out: {join_names(tables)}")] if tables else []
