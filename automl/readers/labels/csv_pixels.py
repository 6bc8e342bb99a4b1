"""Read training labels that stand beside the images in one file: a CSV file of pixels, or a file of many images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from automl.errors import DataError, UsageError, join_names
from automl.files.containers.members import group_members
from automl.files.containers.opening import open_container
from automl.files.evidence import format_suggestion
from automl.files.image_names import is_test_name
from automl.files.pixel_tables import find_pixel_columns, load_pixel_table, read_other_columns
from automl.files.tables import format_count, read_header_or_empty
from automl.readers.labels.label_columns import LABEL_COLUMN_NAMES
from automl.readers.labels.source import LabelOrigin, Labels, LabelSource, LayoutMismatchError

ID_NAMES = frozenset({"id", "image_id", "imageid", "image", "_id", "path"})


def read_pixel_labels(source: LabelSource) -> Labels:
    """Read labels from a table of pixels with a label column, or from what stands beside images in a file of many.

    The images are rows, such as train.csv/17, or members, such as train.tfrec/a7. The ids are the numbers of the rows
    from 0, or those of an id column.

    Raises:
        LayoutMismatchError: there is no such table or file.
        DataError: there is one, and it is at fault.
        UsageError: the given label column is not there.
    """
    tables = {name: path for name, path in source.tables.items() if is_pixel_table(path)}
    members = group_members(image for image in source.files.training_pool if image not in source.test_images)
    if members and source.settings.labels is None:
        return _read_member_labels(members, source)
    if not tables:
        raise LayoutMismatchError("no file holds pixels with labels beside them")
    name = _choose_training_table(tables, source)
    other_columns = read_other_columns(tables[name])
    id_column = find_id_column(other_columns, source.sample.id_column)
    columns = _find_label_columns(name, [column for column in other_columns if column != id_column], source)
    images = list_row_addresses(tables[name], source.root, len(load_pixel_table(tables[name])))
    unused = sorted(other for other in tables if other != name and not is_test_name(other))
    left_out = [f"labels: further tables of pixels left out: {join_names(unused)}"] if unused else []
    return _build_labels(name, "the pixels of ", images, other_columns, id_column, columns, left_out)


def _build_labels(
    name: str,
    beside: str,
    images: Sequence[str],
    other_columns: Mapping[str, tuple[str, ...]],
    id_column: str | None,
    columns: tuple[str, ...],
    evidence: Sequence[str],
) -> Labels:
    cells = tuple(zip(*(other_columns[column] for column in columns), strict=True))
    _require_labels(cells, name)
    place = f"column {join_names(columns)}" if len(columns) == 1 else f"{len(columns)} columns"
    ids = other_columns[id_column] if id_column is not None else tuple(str(row) for row in range(len(images)))
    number_of = {image_id: number for number, image_id in enumerate(dict.fromkeys(ids))}
    n_images_of = Counter(ids)
    return Labels(
        ids=tuple(
            image_id if n_images_of[image_id] == 1 else image for image_id, image in zip(ids, images, strict=True)
        ),
        rows=tuple(number_of[image_id] for image_id in ids) if len(number_of) < len(ids) else None,
        images=tuple(images),
        columns=columns,
        cells=cells,
        others={column: values for column, values in other_columns.items() if column not in (id_column, *columns)},
        evidence=(f"labels: {len(images)} images, from {place} and {beside}{name}", *evidence),
        origin=LabelOrigin.PIXELS,
        place=f"{place} of {name}",
    )


def _read_member_labels(members: Mapping[str, Sequence[str]], source: LabelSource) -> Labels:
    """Read labels beside images in files of many, taken together as the shards of one set.

    Raises:
        LayoutMismatchError: nothing stands beside the images, so that their names may hold the labels.
        DataError: it is unclear which column holds the label, or some have none.
    """
    name = join_names(sorted(members))
    columns_of = {file: open_container(source.root / file).read_columns() for file in members}
    common = [
        column
        for column in next(iter(columns_of.values()))
        if all(column in columns for columns in columns_of.values())
    ]
    if not common:
        raise LayoutMismatchError(f"nothing stands beside the images of {name}")
    images = [f"{file}/{key}" for file, keys in members.items() for key in keys]
    other_columns = {column: _join_column(column, members, columns_of, source) for column in common}
    id_column = _find_member_ids(other_columns, images, source)
    rest = [column for column in common if column != id_column]
    try:
        columns = _find_label_columns(name, rest, source)
    except LayoutMismatchError as reason:
        raise DataError(
            f"{reason}", hint="name it with --label, or add a train.csv with an id and a label column"
        ) from reason
    lines = _suggest_validation(columns, source)
    return _build_labels(name, "the images of ", images, other_columns, id_column, columns, lines)


def _suggest_validation(columns: Sequence[str], source: LabelSource) -> list[str]:
    """Suggest the images of a validation set that have labels too and are not added."""
    folders: dict[str, int] = {}
    for file, keys in group_members(source.files.validation).items():
        folder = source.files.get_role_folder(f"{file}/{keys[0]}")
        if folder and set(columns) <= open_container(source.root / file).read_columns().keys():
            folders[folder] = folders.get(folder, 0) + len(keys)
    return [
        format_suggestion(f"--add {folder}", f"trains on its {format_count(n, 'image')} with labels too")
        for folder, n in folders.items()
    ]


def _join_column(
    column: str,
    members: Mapping[str, Sequence[str]],
    columns_of: Mapping[str, Mapping[str, tuple[str, ...]]],
    source: LabelSource,
) -> tuple[str, ...]:
    """Join a column's values of all files, in the order of the images."""
    joined: list[str] = []
    for file, keys in members.items():
        value_of = dict(zip(open_container(source.root / file).keys, columns_of[file][column], strict=True))
        joined += [value_of[key] for key in keys]
    return tuple(joined)


def _find_member_ids(
    other_columns: Mapping[str, tuple[str, ...]], images: Sequence[str], source: LabelSource
) -> str | None:
    """Return the column of ids: one of distinct values, else one whose values the addresses of the images hold."""
    found = find_id_column(other_columns, source.sample.id_column)
    if found is not None:
        return found
    folders = [f"/{image}/" for image in images]
    return next(
        (
            column
            for column, values in other_columns.items()
            if all(value and f"/{value}/" in folder for value, folder in zip(values, folders, strict=True))
        ),
        None,
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
