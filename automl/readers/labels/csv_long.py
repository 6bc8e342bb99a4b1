"""Read training labels in the long form: a row for an image and a target, pivoted to a row for each image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_test_name
from automl.files.pixel_tables import find_pixel_columns
from automl.files.tables import Table, format_count, read_header_or_empty, read_table
from automl.readers.labels.csv_columns import is_label_name
from automl.readers.labels.csv_rows import build_labels
from automl.readers.labels.label_columns import LABEL_COLUMN_NAMES, PROBED_ROWS
from automl.readers.labels.source import Labels, LabelSource, LayoutMismatchError
from automl.readers.long_form import split_id
from automl.readers.submission_template import is_sample_name


@dataclass(frozen=True, slots=True, kw_only=True)
class _LongRows:
    """A table of labels seen as rows of (image, target, value).

    Attributes:
        images: (n_rows,) what names the image of each row.
        targets: (n_rows,)
        values: (n_rows,)
        image_column: how the images are called.
        others: positions of the columns that hold none of these.
    """

    table: Table
    images: Sequence[str]
    targets: Sequence[str]
    values: Sequence[str]
    image_column: str
    others: tuple[int, ...]


def read_long_csv_labels(source: LabelSource) -> Labels:
    """Read labels from a table with a row for each image and target, one column for each target.

    Raises:
        LayoutMismatchError: the sample is not of the long form, or no table is.
        DataError: a table is, and a cell is missing or given twice with different values.
    """
    if source.sample.cells is None:
        raise LayoutMismatchError("the sample submission has a row for each image")
    targets = tuple(target.strip() for target in source.sample.target_columns)
    lookup = ImageLookup(source.files.train, source.files.other, source.files.copies)
    for name, path in _list_label_tables(source).items():
        rows = _find_long_rows(read_table(path, name=name, root=source.root), targets, lookup, source)
        if rows is not None:
            wide = _widen(rows, targets)
            read = build_labels(wide, (0,), tuple(range(1, 1 + len(targets))), lookup, source)
            n_images = format_count(len(read.ids), "image")
            first = f"labels: {n_images}, from the rows of {name} for each of {len(targets)} targets"
            return replace(read, evidence=(first, *rows.table.notes, *read.evidence[1:]), place=f"the rows of {name}")
    raise LayoutMismatchError("no CSV file has a row for each image and target")


def _list_label_tables(source: LabelSource) -> Mapping[str, Path]:
    requested = source.settings.labels
    if requested is not None:
        found = [name for name in source.tables if name == requested]  # else automl.readers.labels.csv_columns says so
        return {name: source.tables[name] for name in found}
    labels_name = source.labels_name
    if labels_name is not None and labels_name in source.tables:
        return {labels_name: source.tables[labels_name]}
    names = [name for name in sorted(source.tables) if is_label_name(name) or "train" in name.lower()]
    return {
        name: source.tables[name]
        for name in names
        if name != source.sample.name
        and not is_sample_name(name)
        and not is_test_name(name)
        and not find_pixel_columns(read_header_or_empty(source.tables[name]))
    }


def _find_long_rows(table: Table, targets: Sequence[str], lookup: ImageLookup, source: LabelSource) -> _LongRows | None:
    """Return the table's rows where it has columns for image, target and value, or ids that end in the target."""
    value_column = _find_value_column(table, source)
    if value_column is None:
        return None
    columns = [column for column in range(len(table.header)) if column != value_column]
    target_column = next((column for column in columns if _has_exactly(table, column, targets)), None)
    if target_column is not None:
        columns.remove(target_column)
        image_column = _find_image_column(table, columns, lookup)
        if image_column is not None:
            return _LongRows(
                table=table,
                images=table.get_column(image_column),
                targets=[target.strip() for target in table.get_column(target_column)],
                values=table.get_column(value_column),
                image_column=table.header[image_column],
                others=tuple(column for column in columns if column != image_column),
            )
    return _split_ids(table, value_column, targets, source)


def _find_value_column(table: Table, source: LabelSource) -> int | None:
    """Return the value column: given or known, named as the sample's, or named as labels usually are."""
    names = [name.strip() for name in table.header]
    named = [column for column, name in enumerate(names) if name == source.label_name]
    same = [column for column, name in enumerate(names) if name == source.sample.value_columns[0].strip()]
    conventional = [column for column, name in enumerate(names) if name.lower() in LABEL_COLUMN_NAMES]
    return next((choice[0] for choice in (named, same, conventional) if len(choice) == 1), None)


def _has_exactly(table: Table, column: int, targets: Collection[str]) -> bool:
    return {value.strip() for value in table.get_column(column)} == set(targets)


def _find_image_column(table: Table, columns: Sequence[int], lookup: ImageLookup) -> int | None:
    """Return the column that names the most different images."""
    rows = table.rows[:: max(1, len(table.rows) // PROBED_ROWS)]
    distinct = {column: list(dict.fromkeys(row[column] for row in rows)) for column in columns}
    n_named = {column: len(values) - len(lookup.match(values).missing) for column, values in distinct.items()}
    best = max(n_named, key=lambda column: n_named[column], default=None)
    return best if best is not None and n_named[best] else None


def _split_ids(table: Table, value_column: int, targets: Sequence[str], source: LabelSource) -> _LongRows | None:
    id_column = next(
        (column for column, name in enumerate(table.header) if name.strip() == source.sample.id_column.strip()), 0
    )
    known = frozenset(targets)
    pairs = [split_id(row_id.strip(), known) for row_id in table.get_column(id_column)]
    n_split = sum(1 for pair in pairs if pair)
    if not n_split or id_column == value_column:
        return None
    unsplit = [str(line) for line, pair in zip(table.lines, pairs, strict=True) if not pair]
    if unsplit:
        raise DataError(
            f"{table.name} has {format_count(len(unsplit), 'row')} whose id does not end in a target as the others do: "
            f"line {join_names(unsplit)}",
            hint=f"end the ids in {join_names(list(targets))}, or remove these rows",
        )
    images, of_rows = zip(*(pair for pair in pairs if pair), strict=True)
    others = tuple(column for column in range(len(table.header)) if column not in (id_column, value_column))
    return _LongRows(
        table=table,
        images=images,
        targets=of_rows,
        values=table.get_column(value_column),
        image_column=table.header[id_column],
        others=others,
    )


def _widen(rows: _LongRows, targets: Sequence[str]) -> Table:
    """Pivot to a row for each image: what names it, its values, and the columns that are constant within images."""
    place = {target: number for number, target in enumerate(targets)}
    values: dict[str, list[str | None]] = {}
    first_row: dict[str, int] = {}
    for row, (image, target, value) in enumerate(zip(rows.images, rows.targets, rows.values, strict=True)):
        image_id, text = image.strip(), value.strip()
        first_row.setdefault(image_id, row)
        cells = values.setdefault(image_id, [None] * len(targets))
        known = cells[place[target]]
        if known is not None and known != text:
            raise DataError(
                f"{rows.table.name}: image {join_names([image_id])} has the values {join_names([known, text])} for "
                f"{join_names([target])} (line {rows.table.lines[row]})",
                hint="leave the right one of these rows",
            )
        cells[place[target]] = text
    _require_whole(values, targets, rows.table.name)
    others = [column for column in rows.others if _is_constant(rows, column, first_row)]
    fields = rows.table.rows
    return Table(
        name=rows.table.name,
        folder=rows.table.folder,
        delimiter=rows.table.delimiter,
        header=(rows.image_column, *targets, *(rows.table.header[column] for column in others)),
        rows=tuple(
            (image_id, *(cell or "" for cell in cells), *(fields[first_row[image_id]][column] for column in others))
            for image_id, cells in values.items()
        ),
        lines=tuple(rows.table.lines[first_row[image_id]] for image_id in values),
    )


def _require_whole(values: Mapping[str, Sequence[str | None]], targets: Sequence[str], name: str) -> None:
    for image_id, cells in values.items():
        missing = [target for target, cell in zip(targets, cells, strict=True) if not cell]
        if missing:
            raise DataError(
                f"{name}: image {join_names([image_id])} has no value for {join_names(missing)}",
                hint="add the rows, or remove all rows of this image",
            )


def _is_constant(rows: _LongRows, column: int, first_row: Mapping[str, int]) -> bool:
    fields = rows.table.rows
    return all(fields[row][column] == fields[first_row[image.strip()]][column] for row, image in enumerate(rows.images))
