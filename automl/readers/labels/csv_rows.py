"""The rows of a table of labels: an image for each id, and what repeats, contradicts or misses it.

Not responsible for: which columns hold ids and labels (automl.readers.labels.csv_columns).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace

from automl.errors import DataError, listed
from automl.files.addresses import expanded
from automl.files.image_index import ImageLookup
from automl.files.image_names import without_suffix
from automl.files.tables import Table, counted
from automl.readers.labels.cells import holds_lists
from automl.readers.labels.source import Labels, Source
from automl.tasks import Task

TOLERATED = 0.01  # of the ids may contradict themselves or name several images; more is no slip


def labels_of_rows(
    table: Table, id_column: int, label_columns: tuple[int, ...], lookup: ImageLookup, source: Source
) -> Labels:
    """The labels of all rows that name an image, and all other columns beside them.

    Raises:
        DataError: a label or an id is blank, or ids contradict themselves or name no image.
    """
    table, nothing = _without_nothing(table, id_column, label_columns, lookup)
    if len(label_columns) == 1:
        _require_labels(table, label_columns[0], source)
    row_ids, told_apart = _row_ids(table, id_column, lookup)
    row_of, evidence = _row_of_each_id(table, row_ids, label_columns)
    image_of, more = _images_of(tuple(row_of), table.name, lookup, source)
    rows = [table.rows[row_of[image_id]] for image_id in image_of]
    others = [column for column in range(len(table.header)) if column not in (id_column, *label_columns)]
    cells = tuple(tuple(row[column].strip() for column in label_columns) for row in rows)
    names = [table.header[column] for column in label_columns]
    place = f"column {listed(names)}" if len(names) == 1 else f"{len(names)} columns"
    return Labels(
        ids=tuple(image_of),
        columns=tuple(name.strip() for name in names),
        cells=cells,
        images=tuple(image_of.values()),
        others={table.header[column]: tuple(row[column].strip() for row in rows) for column in others},
        evidence=(
            f"labels: {len(image_of)} images, from {place} of {table.name}",
            *nothing,
            *told_apart,
            *evidence,
            *more,
            *_folder_evidence(cells, tuple(image_of.values())),
        ),
    )


def _without_nothing(
    table: Table, id_column: int, label_columns: tuple[int, ...], lookup: ImageLookup
) -> tuple[Table, list[str]]:
    """The table without rows that have neither a label nor an image, as long as these are few."""
    blank = [
        number for number, row in enumerate(table.rows) if not any(row[column].strip() for column in label_columns)
    ]
    empty = {number for number in blank if not lookup.candidates(table.rows[number][id_column])}
    if not empty or len(empty) > TOLERATED * len(table.rows) + 1:
        return table, []
    kept = [number for number in range(len(table.rows)) if number not in empty]
    ids = [table.rows[number][id_column].strip() for number in sorted(empty)]
    line = f"labels: {counted(len(ids), 'row')} of {table.name} with neither label nor image left out: {listed(ids)}"
    rows, lines = tuple(table.rows[number] for number in kept), tuple(table.lines[number] for number in kept)
    return replace(table, rows=rows, lines=lines), [line]


def _require_labels(table: Table, column: int, source: Source) -> None:
    """No cell is empty, but where cells hold lists of labels and an image may have none."""
    cells = [value.strip() for value in table.column(column)]
    blank = [str(line) for line, cell in zip(table.lines, cells, strict=True) if not cell]
    task = source.asked.task or (source.known.task if source.known else None)
    if blank and task is not Task.MULTILABEL and not holds_lists(cells, source.sample.values):
        raise DataError(
            f"{table.name} has no label in {counted(len(blank), 'row')}: line {listed(blank)}",
            hint="add the labels, or remove these rows",
        )


def _row_ids(table: Table, id_column: int, lookup: ImageLookup) -> tuple[list[str], list[str]]:
    """(n_rows,) ids; where one names images in several folders, and the row names one of these, the image's address."""
    row_ids = [row[id_column].strip() for row in table.rows]
    several = {name: images for name in set(row_ids) if len(images := lookup.candidates(name)) > 1}
    told_apart = []
    for number, row in enumerate(table.rows):
        images = several.get(row_ids[number], [])
        fitting = [image for image in images if posixpath.basename(posixpath.dirname(image)) in row]
        if len(fitting) == 1:
            told_apart.append(row_ids[number])
            row_ids[number] = fitting[0]
    n_rows, names = counted(len(told_apart), "row"), listed(list(dict.fromkeys(told_apart)))
    line = f"labels: {n_rows} whose id names several images told apart by the folder that the row names: {names}"
    return row_ids, [line] if told_apart else []


def _row_of_each_id(
    table: Table, row_ids: Sequence[str], label_columns: tuple[int, ...]
) -> tuple[dict[str, int], list[str]]:
    """Each id's first row; ids that contradict themselves are left out where they are few."""
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
    if len(contradicting) > TOLERATED * len(first):
        raise _contradiction(table, label_columns, first, contradicting)
    n_repeated = len(table.rows) - len(first)
    evidence = []
    if contradicting:
        evidence.append(
            f"labels: {counted(len(contradicting), 'id')} of {table.name} with several labels left out: "
            f"{listed(list(contradicting))}"
        )
    elif n_repeated:
        evidence.append(f"labels: {counted(n_repeated, 'row')} of {table.name} left out, repeating another")
    return {image_id: number for image_id, number in first.items() if image_id not in contradicting}, evidence


def _contradiction(
    table: Table, label_columns: tuple[int, ...], first: Mapping[str, int], contradicting: Mapping[str, int]
) -> DataError:
    image_id, number = next(iter(contradicting.items()))
    rows = (table.rows[first[image_id]], table.rows[number])
    column = next(column for column in label_columns if rows[0][column].strip() != rows[1][column].strip())
    lines = f"(lines {table.lines[first[image_id]]} and {table.lines[number]})"
    return DataError(
        f"{table.name}: id {listed([image_id])} has the labels {listed([row[column].strip() for row in rows])} {lines}",
        hint="leave the right one of these rows",
    )


def _images_of(
    image_ids: Sequence[str], name: str, lookup: ImageLookup, source: Source
) -> tuple[dict[str, str], list[str]]:
    """Each id's image, and what is worth telling about the others."""
    joined = lookup.join(image_ids)
    n_ambiguous = len(joined.ambiguous)
    if n_ambiguous > TOLERATED * len(image_ids):
        raise DataError(
            f"{name} has {counted(n_ambiguous, 'id')} that may be several images: {listed(joined.ambiguous)}",
            hint="leave one image for each id",
        )
    if joined.missing and not source.skip_missing:
        verb = "is" if len(joined.missing) == 1 else "are"
        raise DataError(
            f"{name} names {counted(len(joined.missing), 'image')} that {verb} not in {source.files.train_place}: "
            f"{listed(joined.missing)}",
            hint="check the folder, or pass --skip-missing to leave those rows out",
        )
    pairs = zip(image_ids, joined.names, strict=True)
    image_of = {image_id: image for image_id, image in pairs if image is not None}
    _require_one_id_each(image_of, name)
    lines = list(joined.notes)
    if joined.ambiguous:
        ambiguous = listed(joined.ambiguous)
        lines.append(f"labels: {counted(n_ambiguous, 'id')} of {name} that may be several images left out: {ambiguous}")
    return image_of, [*lines, *_leftovers(joined.missing, image_of, name, lookup, source)]


def _require_one_id_each(image_of: dict[str, str], name: str) -> None:
    id_of: dict[str, str] = {}
    for image_id, image in image_of.items():
        if id_of.setdefault(image, image_id) != image_id:
            raise DataError(
                f"{name} names the image {listed([image])} by two ids: {listed([id_of[image], image_id])}",
                hint="leave one row for each image",
            )


def _leftovers(
    missing: tuple[str, ...], image_of: dict[str, str], name: str, lookup: ImageLookup, source: Source
) -> list[str]:
    lines = []
    if missing:
        lines.append(f"labels: {counted(len(missing), 'row')} of {name} without an image left out: {listed(missing)}")
    used = set(image_of.values())
    seen = {file for image in used for file in expanded(image)}
    rest = sorted(set(source.files.train) - seen)
    unlabelled = [image for image in rest if not used.issuperset(lookup.candidates(_stem(image)))]
    if unlabelled:
        n_images = counted(len(unlabelled), "training image")
        lines.append(f"labels: {n_images} without a row in {name} left out: {listed(unlabelled)}")
    return lines


def _stem(image: str) -> str:
    """What would name the image, and also its other formats and its thumbnail."""
    return without_suffix(posixpath.basename(image))


def _folder_evidence(cells: Sequence[tuple[str, ...]], images: Sequence[str]) -> list[str]:
    """Whether the folder of each image, where it is called as a label, says the same as the table."""
    folders = [posixpath.basename(posixpath.dirname(image)) for image in images]
    labels = {cell[0] for cell in cells if len(cell) == 1}
    if not labels or not set(folders) <= labels:
        return []
    other = [image for image, folder, cell in zip(images, folders, cells, strict=True) if folder != cell[0]]
    if not other:
        return ["labels: the folders of the images say the same"]
    n_images = counted(len(other), "image")
    return [f"labels: {n_images} in the folder of another label, the table is believed: {listed(other)}"]
