"""Training labels beside the pixels in a CSV file.

Not responsible for: the pixels (automl.files.pixel_tables).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from automl.errors import DataError, UsageError, listed
from automl.files.image_names import is_of_test
from automl.files.pixel_tables import columns_beside_pixels, load_pixel_table, pixel_columns
from automl.files.tables import counted, read_header
from automl.readers.labels.csv_columns import LABEL_COLUMN_NAMES
from automl.readers.labels.source import Labels, NotOfThisKindError, Source

ID_NAMES = frozenset({"id", "image_id", "imageid", "image"})


def labels_from_pixel_table(source: Source) -> Labels:
    """From a table of pixels with a label column; the images are its rows, such as train.csv/17.

    The ids are the numbers of the rows from 0, or those of an id column.

    Raises:
        NotOfThisKindError: there is no such table.
        DataError: there is one, and it is at fault.
        UsageError: the label column that was asked for is not there.
    """
    tables = {name: path for name, path in source.tables.items() if is_pixel_table(path)}
    if not tables:
        raise NotOfThisKindError("no CSV file holds pixels")
    name = _training_table(tables, source)
    beside = columns_beside_pixels(tables[name])
    id_column = id_column_of(beside, source.sample.id_column)
    columns = _label_columns(name, [column for column in beside if column != id_column], source)
    cells = tuple(zip(*(beside[column] for column in columns), strict=True))
    _require_labels(cells, name)
    images = row_addresses(tables[name], source.root, len(load_pixel_table(tables[name])))
    place = f"column {listed(columns)}" if len(columns) == 1 else f"{len(columns)} columns"
    extra = sorted(other for other in tables if other != name and not is_of_test(other))
    left_out = [f"labels: further tables of pixels left out: {listed(extra)}"] if extra else []
    return Labels(
        ids=beside[id_column] if id_column is not None else tuple(str(row) for row in range(len(images))),
        images=images,
        columns=columns,
        cells=cells,
        others={column: values for column, values in beside.items() if column not in (id_column, *columns)},
        evidence=(f"labels: {len(images)} images, from {place} and the pixels of {name}", *left_out),
    )


def is_pixel_table(path: Path) -> bool:
    """Whether a CSV file holds pixels, by its header."""
    try:
        return bool(pixel_columns(read_header(path)))
    except DataError:  # some other table, and a damaged one
        return False


def row_addresses(path: Path, root: Path, n_rows: int) -> tuple[str, ...]:
    """(n_rows,) the addresses of a table's rows as images."""
    table = path.relative_to(root).as_posix()
    return tuple(f"{table}/{row}" for row in range(n_rows))


def id_column_of(beside: Mapping[str, Sequence[str]], sample_id: str) -> str | None:
    """The column of ids, all different, that is called as the sample's or simply so."""
    wanted = {sample_id.strip().lower(), *ID_NAMES}
    called = [column for column in beside if column.lower() in wanted]
    return next((column for column in called if len(set(beside[column])) == len(beside[column])), None)


def _training_table(tables: Mapping[str, Path], source: Source) -> str:
    """The table that is said or known, else the one that is called most plainly so."""
    if source.labels_name in tables:
        return str(source.labels_name)
    names = sorted(name for name in tables if not is_of_test(name))
    called = sorted((name for name in names if "train" in name.lower()), key=lambda name: (len(name), name))
    if not called and len(names) != 1:
        raise NotOfThisKindError(
            f"it is unclear which table of pixels has the labels ({listed(names) or 'all are of the test'})"
        )
    return (called or names)[0]


def _label_columns(name: str, beside: Sequence[str], source: Source) -> tuple[str, ...]:
    if source.asked.label is not None and source.asked.label not in beside:
        raise UsageError(
            f"--label {source.asked.label}: {name} has no such column beside its pixels",
            hint=f"name one of {listed(list(beside), at_most=10) or 'none'}",
        )
    if source.label_name in beside:
        return (str(source.label_name),)
    targets = tuple(target.strip() for target in source.sample.target_columns)
    if set(targets) <= set(beside):
        return targets
    alike = [column for column in beside if column.lower() in {target.lower() for target in targets}]
    called = [column for column in beside if column.lower() in LABEL_COLUMN_NAMES]
    for choice in (alike, called, list(beside)):
        if len(choice) == 1:
            return (choice[0],)
    raise NotOfThisKindError(f"it is unclear which column of {name} holds the label ({listed(list(beside)) or 'none'})")


def _require_labels(cells: Sequence[tuple[str, ...]], name: str) -> None:
    blank = [str(row) for row, labels in enumerate(cells) if not all(labels)]
    if blank:
        raise DataError(
            f"{name} has no label in {counted(len(blank), 'row')}: row {listed(blank)}, counted from 0",
            hint="add the labels, or remove these rows",
        )
