"""Build labels from the rows of a table: an image for each id, and what repeats, contradicts or misses it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace

from automl.errors import DataError, join_names
from automl.files.addresses import expand_colours
from automl.files.image_index import ImageLookup
from automl.files.image_names import strip_suffix
from automl.files.tables import Table, format_count
from automl.readers.labels.cells import has_lists
from automl.readers.labels.source import Labels, LabelSource
from automl.tasks import Task

MAX_FAULTY_SHARE = 0.01  # of the ids may contradict themselves or name several images; more is no slip


def build_labels(
    table: Table, id_column: int, label_columns: tuple[int, ...], lookup: ImageLookup, source: LabelSource
) -> Labels:
    """Build labels from the rows that name an image; keep all other columns beside them.

    Raises:
        DataError: a label or an id is blank, or ids contradict themselves or name no image.
    """
    table, dropped = _drop_empty_rows(table, id_column, label_columns, lookup)
    if len(label_columns) == 1:
        _require_labels(table, label_columns[0], source)
    row_ids, resolved = _resolve_row_ids(table, id_column, lookup)
    row_of, evidence = _index_first_rows(table, row_ids, label_columns)
    image_of, match_evidence = _match_images(tuple(row_of), table.name, lookup, source)
    rows = [table.rows[row_of[image_id]] for image_id in image_of]
    others = [column for column in range(len(table.header)) if column not in (id_column, *label_columns)]
    cells = tuple(tuple(row[column].strip() for column in label_columns) for row in rows)
    names = [table.header[column] for column in label_columns]
    place = f"column {join_names(names)}" if len(names) == 1 else f"{len(names)} columns"
    return Labels(
        ids=tuple(image_of),
        columns=tuple(name.strip() for name in names),
        cells=cells,
        images=tuple(image_of.values()),
        others={table.header[column]: tuple(row[column].strip() for row in rows) for column in others},
        evidence=(
            f"labels: {len(image_of)} images, from {place} of {table.name}",
            *dropped,
            *resolved,
            *evidence,
            *match_evidence,
            *_compare_with_folders(cells, tuple(image_of.values())),
        ),
    )


def _drop_empty_rows(
    table: Table, id_column: int, label_columns: tuple[int, ...], lookup: ImageLookup
) -> tuple[Table, list[str]]:
    """Drop rows with neither a label nor an image, as long as these are few."""
    blank = [
        number for number, row in enumerate(table.rows) if not any(row[column].strip() for column in label_columns)
    ]
    empty = {number for number in blank if not lookup.find(table.rows[number][id_column])}
    if not empty or len(empty) > MAX_FAULTY_SHARE * len(table.rows) + 1:
        return table, []
    kept = [number for number in range(len(table.rows)) if number not in empty]
    ids = [table.rows[number][id_column].strip() for number in sorted(empty)]
    n_rows = format_count(len(ids), "row")
    line = f"labels: {n_rows} of {table.name} with neither label nor image left out: {join_names(ids)}"
    rows, lines = tuple(table.rows[number] for number in kept), tuple(table.lines[number] for number in kept)
    return replace(table, rows=rows, lines=lines), [line]


def _require_labels(table: Table, column: int, source: LabelSource) -> None:
    """Require a label in every row, unless cells hold lists of labels and an image may have none."""
    cells = [value.strip() for value in table.get_column(column)]
    blank = [str(line) for line, cell in zip(table.lines, cells, strict=True) if not cell]
    task = source.settings.task or (source.known.task if source.known else None)
    if blank and task is not Task.MULTILABEL and not has_lists(cells, source.sample.values):
        raise DataError(
            f"{table.name} has no label in {format_count(len(blank), 'row')}: line {join_names(blank)}",
            hint="add the labels, or remove these rows",
        )


def _resolve_row_ids(table: Table, id_column: int, lookup: ImageLookup) -> tuple[list[str], list[str]]:
    """Return (n_rows,) ids; an id with images in several folders is resolved by the folder that the row names."""
    row_ids = [row[id_column].strip() for row in table.rows]
    several = {name: images for name in set(row_ids) if len(images := lookup.find(name)) > 1}
    resolved = []
    for number, row in enumerate(table.rows):
        images = several.get(row_ids[number], [])
        fitting = [image for image in images if posixpath.basename(posixpath.dirname(image)) in row]
        if len(fitting) == 1:
            resolved.append(row_ids[number])
            row_ids[number] = fitting[0]
    n_rows, names = format_count(len(resolved), "row"), join_names(list(dict.fromkeys(resolved)))
    line = f"labels: {n_rows} whose id names several images resolved by the folder that the row names: {names}"
    return row_ids, [line] if resolved else []


def _index_first_rows(
    table: Table, row_ids: Sequence[str], label_columns: tuple[int, ...]
) -> tuple[dict[str, int], list[str]]:
    """Index each id's first row; ids that contradict themselves are dropped where they are few."""
    first: dict[str, int] = {}
    contradicting: dict[str, int] = {}
    for number, (image_id, row) in enumerate(zip(row_ids, table.rows, strict=True)):
        if not image_id:
            raise DataError(
                f"{table.name} has no id in line {table.lines[number]}", hint="add the id, or remove the row"
            )
        other = table.rows[first.setdefault(image_id, number)]
        if any(row[column].strip() != other[column].strip() for column in label_columns):
            contradicting.setdefault(image_id, number)
    if len(contradicting) > MAX_FAULTY_SHARE * len(first):
        raise _make_contradiction_error(table, label_columns, first, contradicting)
    n_repeated = len(table.rows) - len(first)
    evidence = []
    if contradicting:
        evidence.append(
            f"labels: {format_count(len(contradicting), 'id')} of {table.name} with several labels left out: "
            f"{join_names(list(contradicting))}"
        )
    elif n_repeated:
        evidence.append(f"labels: {format_count(n_repeated, 'row')} of {table.name} left out, repeating another")
    return {image_id: number for image_id, number in first.items() if image_id not in contradicting}, evidence


def _make_contradiction_error(
    table: Table, label_columns: tuple[int, ...], first: Mapping[str, int], contradicting: Mapping[str, int]
) -> DataError:
    image_id, number = next(iter(contradicting.items()))
    rows = (table.rows[first[image_id]], table.rows[number])
    column = next(column for column in label_columns if rows[0][column].strip() != rows[1][column].strip())
    lines = f"(lines {table.lines[first[image_id]]} and {table.lines[number]})"
    labels = join_names([row[column].strip() for row in rows])
    return DataError(
        f"{table.name}: id {join_names([image_id])} has the labels {labels} {lines}",
        hint="leave the right one of these rows",
    )


def _match_images(
    image_ids: Sequence[str], name: str, lookup: ImageLookup, source: LabelSource
) -> tuple[dict[str, str], list[str]]:
    """Match each id to its image, and report the others."""
    matched = lookup.match(image_ids)
    n_ambiguous = len(matched.ambiguous)
    if n_ambiguous > MAX_FAULTY_SHARE * len(image_ids):
        raise DataError(
            f"{name} has {format_count(n_ambiguous, 'id')} that may be several images: {join_names(matched.ambiguous)}",
            hint="leave one image for each id",
        )
    if matched.missing and not source.skip_missing:
        verb = "is" if len(matched.missing) == 1 else "are"
        raise DataError(
            f"{name} names {format_count(len(matched.missing), 'image')} that {verb} "
            f"not in {source.files.train_location}: {join_names(matched.missing)}",
            hint="check the folder, or pass --skip-missing to leave those rows out",
        )
    pairs = zip(image_ids, matched.names, strict=True)
    image_of = {image_id: image for image_id, image in pairs if image is not None}
    _require_one_id_each(image_of, name)
    lines = list(matched.notes)
    if matched.ambiguous:
        ambiguous = join_names(matched.ambiguous)
        lines.append(
            f"labels: {format_count(n_ambiguous, 'id')} of {name} that may be several images left out: {ambiguous}"
        )
    return image_of, [*lines, *_describe_leftovers(matched.missing, image_of, name, lookup, source)]


def _require_one_id_each(image_of: dict[str, str], name: str) -> None:
    id_of: dict[str, str] = {}
    for image_id, image in image_of.items():
        if id_of.setdefault(image, image_id) != image_id:
            raise DataError(
                f"{name} names the image {join_names([image])} by two ids: {join_names([id_of[image], image_id])}",
                hint="leave one row for each image",
            )


def _describe_leftovers(
    missing: tuple[str, ...], image_of: dict[str, str], name: str, lookup: ImageLookup, source: LabelSource
) -> list[str]:
    lines = []
    if missing:
        lines.append(
            f"labels: {format_count(len(missing), 'row')} of {name} without an image left out: {join_names(missing)}"
        )
    used = set(image_of.values())
    seen = {file for image in used for file in expand_colours(image)}
    rest = sorted(set(source.files.train) - seen)
    unlabelled = [image for image in rest if not used.issuperset(lookup.find(_get_stem(image)))]
    if unlabelled:
        n_images = format_count(len(unlabelled), "training image")
        lines.append(f"labels: {n_images} without a row in {name} left out: {join_names(unlabelled)}")
    return lines


def _get_stem(image: str) -> str:
    """Return what would name the image, its other formats and its thumbnail."""
    return strip_suffix(posixpath.basename(image))


def _compare_with_folders(cells: Sequence[tuple[str, ...]], images: Sequence[str]) -> list[str]:
    """Report whether the folders of the images, where they are named as labels, agree with the table."""
    folders = [posixpath.basename(posixpath.dirname(image)) for image in images]
    labels = {cell[0] for cell in cells if len(cell) == 1}
    if not labels or not set(folders) <= labels:
        return []
    other = [image for image, folder, cell in zip(images, folders, cells, strict=True) if folder != cell[0]]
    if not other:
        return ["labels: the folders of the images say the same"]
    n_images = format_count(len(other), "image")
    return [f"labels: {n_images} in the folder of another label, the table is believed: {join_names(other)}"]
