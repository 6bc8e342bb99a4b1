"""Read training labels beside the pixels in a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from automl.errors import DataError, UsageError, join_names
from automl.files.image_names import is_test_name
from automl.files.pixel_tables import find_pixel_columns, load_pixel_table, read_other_columns
from automl.files.tables import format_count, read_header_or_empty
from automl.readers.labels.csv_columns import LABEL_COLUMN_NAMES
from automl.readers.labels.source import Labels, LabelSource, LayoutMismatchError

ID_NAMES = frozenset({"id", "image_id", "imageid", "image"})


def read_pixel_labels(source: LabelSource) -> Labels:
    """Read labels from a table of pixels with a label column; the images are its rows, such as train.csv/17.

    The ids are the numbers of the rows from 0, or those of an id column.

    Raises:
        LayoutMismatchError: there is no such table.
        DataError: there is one, and it is at fault.
        UsageError: the given label column is not there.
    """
    tables = {name: path for name, path in source.tables.items() if is_pixel_table(path)}
    if not tables:
        raise LayoutMismatchError("no CSV file holds pixels")
    name = _choose_training_table(tables, source)
    other_columns = read_other_columns(tables[name])
    id_column = find_id_column(other_columns, source.sample.id_column)
    columns = _find_label_columns(name, [column for column in other_columns if column != id_column], source)
    cells = tuple(zip(*(other_columns[column] for column in columns), strict=True))
    _require_labels(cells, name)
    images = list_row_addresses(tables[name], source.root, len(load_pixel_table(tables[name])))
    place = f"column {join_names(columns)}" if len(columns) == 1 else f"{len(columns)} columns"
    unused = sorted(other for other in tables if other != name and not is_test_name(other))
    left_out = [f"labels: further tables of pixels left out: {join_names(unused)}"] if unused else []
    return Labels(
        ids=other_columns[id_column] if id_column is not None else tuple(str(row) for row in range(len(images))),
        images=images,
        columns=columns,
        cells=cells,
        others={column: values for column, values in other_columns.items() if column not in (id_column, *columns)},
        evidence=(f"labels: {len(images)} images, from {place} and the pixels of {name}", *left_out),
    )


def is_pixel_table(path: Path) -> bool:
    """Whether a CSV file holds pixels, by its header."""
    return bool(find_pixel_columns(read_header_or_empty(path)))


def list_row_addresses(path: Path, root: Path, n_rows: int) -> tuple[str, ...]:
    """List the (n_rows,) addresses of a table's rows as images."""
    table = path.relative_to(root).as_posix()
    return tuple(f"{table}/{row}" for row in range(n_rows))


def find_id_column(other_columns: Mapping[str, Sequence[str]], sample_id: str) -> str | None:
    """Return the column of distinct ids that is named as the sample's, or "id", "image" and the like."""
    wanted = {sample_id.strip().lower(), *ID_NAMES}
    conventional = [column for column in other_columns if column.lower() in wanted]
    return next(
        (column for column in conventional if len(set(other_columns[column])) == len(other_columns[column])), None
    )


def _choose_training_table(tables: Mapping[str, Path], source: LabelSource) -> str:
    """Choose the table that is given or known, else the one most plainly named train."""
    if source.labels_name in tables:
        return str(source.labels_name)
    names = sorted(name for name in tables if not is_test_name(name))
    conventional = sorted((name for name in names if "train" in name.lower()), key=lambda name: (len(name), name))
    if not conventional and len(names) != 1:
        raise LayoutMismatchError(
            f"it is unclear which table of pixels has the labels ({join_names(names) or 'all are of the test'})"
        )
    return (conventional or names)[0]


def _find_label_columns(name: str, other_columns: Sequence[str], source: LabelSource) -> tuple[str, ...]:
    if source.settings.label is not None and source.settings.label not in other_columns:
        raise UsageError(
            f"--label {source.settings.label}: {name} has no such column beside its pixels",
            hint=f"name one of {join_names(list(other_columns), at_most=10) or 'none'}",
        )
    if source.label_name in other_columns:
        return (str(source.label_name),)
    targets = tuple(target.strip() for target in source.sample.target_columns)
    if set(targets) <= set(other_columns):
        return targets
    alike = [column for column in other_columns if column.lower() in {target.lower() for target in targets}]
    conventional = [column for column in other_columns if column.lower() in LABEL_COLUMN_NAMES]
    for choice in (alike, conventional, list(other_columns)):
        if len(choice) == 1:
            return (choice[0],)
    raise LayoutMismatchError(
        f"it is unclear which column of {name} holds the label ({join_names(list(other_columns)) or 'none'})"
    )


def _require_labels(cells: Sequence[tuple[str, ...]], name: str) -> None:
    blank = [str(row) for row, labels in enumerate(cells) if not all(labels)]
    if blank:
        raise DataError(
            f"{name} has no label in {format_count(len(blank), 'row')}: row {join_names(blank)}, counted from 0",
            hint="add the labels, or remove these rows",
        )
