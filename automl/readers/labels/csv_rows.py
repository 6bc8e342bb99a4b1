"""Build labels from the rows of a table: an image for each id, and what repeats, contradicts or misses it."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from automl.errors import DataError, join_names
from automl.files.addresses import expand_colours
from automl.files.evidence import format_warning
from automl.files.image_index import ImageLookup
from automl.files.image_names import strip_suffix
from automl.files.tables import Table, format_count
from automl.files.unread import require_read
from automl.readers.labels.cells import has_lists, split_separated_labels
from automl.readers.labels.image_columns import FOLDER_FORM, find_row_images, split_paths
from automl.readers.labels.label_columns import find_split_column
from automl.readers.labels.source import Labels, LabelSource
from automl.tasks import Task

MAX_FAULTY_SHARE = 0.01  # of the ids may contradict themselves or name several images; more is no slip


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowImages:
    """The images of each id, in the order of the ids; most have one."""

    of_id: Mapping[str, tuple[str, ...]]
    evidence: tuple[str, ...]

    @property
    def has_several(self) -> bool:
        return any(len(images) > 1 for images in self.of_id.values())


def build_labels(
    table: Table,
    id_columns: tuple[int, ...],
    label_columns: tuple[int, ...],
    lookup: ImageLookup,
    source: LabelSource,
) -> Labels:
    """Build labels from the rows that name an image; keep all other columns beside them.

    Rows of the test, by a column that says so or by a blank label, are left out. Where a row names several images,
    each of them gets its label, and `Labels.rows` says which belong together.

    Args:
        id_columns: the column of ids, and those that name further images of the same rows.

    Raises:
        DataError: a label or an id is blank, or ids contradict themselves or name no image.
    """
    id_column = id_columns[0]
    table, of_test = _drop_test_rows(table, id_columns, label_columns, lookup, source)
    lookup = lookup.fit(table.get_column(id_column))
    table, dropped = _drop_empty_rows(table, id_column, label_columns, lookup)
    if len(label_columns) == 1:
        _require_labels(table, label_columns[0], source)
    row_ids, resolved = _resolve_row_ids(table, id_column, lookup)
    table, joined = _join_repeated_labels(table, row_ids, label_columns, source)
    row_of, evidence = _index_first_rows(table, row_ids, label_columns)
    matched = _match_images(row_of, table, id_columns, lookup, source)
    flat = [(image_id, image) for image_id, images in matched.of_id.items() for image in images]
    rows = [table.rows[row_of[image_id]] for image_id, _ in flat]
    others = [column for column in range(len(table.header)) if column not in (*id_columns, *label_columns)]
    cells = tuple(tuple(row[column].strip() for column in label_columns) for row in rows)
    names = [table.header[column].strip() for column in label_columns]
    where = f"column {join_names(names)}" if len(names) == 1 else f"{len(names)} columns"
    images = tuple(image for _, image in flat)
    lines = (*of_test, *dropped, *resolved, *joined, *evidence, *matched.evidence, *_describe_several(matched))
    return Labels(
        ids=tuple(image if len(matched.of_id[image_id]) > 1 else image_id for image_id, image in flat),
        columns=tuple(names) if table.has_header or len(names) > 1 else ("label",),
        cells=cells,
        images=images,
        others={table.header[column]: tuple(row[column].strip() for row in rows) for column in others},
        evidence=(
            f"labels: {len(images)} images, from {where} of {table.name}",
            *lines,
            *_compare_with_folders(cells, images),
        ),
        place=f"{where} of {table.name}",
        rows=_number_rows(matched) if matched.has_several else None,
    )


def _number_rows(matched: _RowImages) -> tuple[int, ...]:
    return tuple(row for row, images in enumerate(matched.of_id.values()) for _ in images)


def _describe_several(matched: _RowImages) -> list[str]:
    n_images = sum(len(images) for images in matched.of_id.values())
    rows = format_count(len(matched.of_id), "row")
    line = f"labels: {rows} with {n_images} images: those of a row stay in one fold, and their predictions are averaged"
    return [line] if matched.has_several else []


def _drop_test_rows(
    table: Table,
    id_columns: tuple[int, ...],
    label_columns: tuple[int, ...],
    lookup: ImageLookup,
    source: LabelSource,
) -> tuple[Table, list[str]]:
    """Drop the rows of the test: by the column of the split, and those of images that the sample names.

    Rows with labels stay, unless they all have the same, as where one stands for the unknown ones.
    """
    split = find_split_column(table, (*id_columns, *label_columns))
    parts = split.parts if split else ("train",) * len(table.rows)
    lines = []
    if split and set(parts) != {"train"}:
        n_rows = {part: parts.count(part) for part in ("train", "val", "test")}
        counts = ", ".join(f"{format_count(n, 'row')} of {part}" for part, n in n_rows.items() if n)
        use = "; those of val are trained on too" if n_rows["val"] else ""
        name = join_names([table.header[split.column]])
        lines.append(f"labels: {counts} by column {name} of {table.name}{use}")
    of_split = {row for row, part in enumerate(parts) if part == "test"}
    blank, labelled = _find_rows_of_test(table, id_columns[0], label_columns, lookup, source)
    if blank := blank - of_split:
        n_blank = format_count(len(blank), "row")
        lines.append(f"labels: {n_blank} of {table.name} without a label, of images that the test has")
    labels = {tuple(table.rows[row][column].strip() for column in label_columns) for row in labelled - of_split}
    if len(labels) != 1 or len(labelled - of_split) < 2:
        return _keep_rows(table, of_split | blank), lines
    n_labelled = format_count(len(labelled), "row")
    (label,) = labels
    line = f"labels: {n_labelled} of {table.name} left out, of images that the test has, all with {join_names(label)}"
    return _keep_rows(table, of_split | blank | labelled), [*lines, format_warning(line)]


def _find_rows_of_test(
    table: Table, id_column: int, label_columns: tuple[int, ...], lookup: ImageLookup, source: LabelSource
) -> tuple[set[int], set[int]]:
    """Find the rows of images that the sample names: those without a label, and those with one."""
    names = {_get_stem(name) for name in (*source.sample.image_ids, *source.test_images)}
    has_shared = not source.test_images.isdisjoint((*source.files.train, *source.files.other))
    blank: set[int] = set()
    labelled: set[int] = set()
    has_label = [any(fields[column].strip() for column in label_columns) for fields in table.rows]
    ids = table.get_column(id_column)
    fitted = lookup.fit(ids)
    of_test = ImageLookup(source.test_images).fit(ids[row] for row in range(len(ids)) if not has_label[row])
    for row, image_id in enumerate(ids):
        if has_label[row] and not has_shared:
            continue
        found = fitted.find(image_id)
        is_requested = not has_label[row] and (_get_stem(image_id.strip()) in names or bool(of_test.find(image_id)))
        if source.test_images.issuperset(found) if found else is_requested:
            (labelled if has_label[row] else blank).add(row)
    return blank, labelled


def _keep_rows(table: Table, dropped: Collection[int]) -> Table:
    """Return the table without these rows."""
    if not dropped:
        return table
    kept = [row for row in range(len(table.rows)) if row not in dropped]
    if not kept:
        raise DataError(
            f"every row of {table.name} is of the test", hint="name the table of the training rows with --labels"
        )
    return replace(table, rows=tuple(table.rows[row] for row in kept), lines=tuple(table.lines[row] for row in kept))


def _join_repeated_labels(
    table: Table, row_ids: Sequence[str], label_columns: tuple[int, ...], source: LabelSource
) -> tuple[Table, list[str]]:
    """Join the labels of rows with the same id where images have several labels, as the sample or the user says."""
    if len(label_columns) > 1 or len(set(row_ids)) == len(row_ids):
        return table, []
    column = label_columns[0]
    of_id: dict[str, dict[str, None]] = {}
    for image_id, row in zip(row_ids, table.rows, strict=True):
        of_id.setdefault(image_id, {})[row[column].strip()] = None
    labels = {label for found in of_id.values() for label in found}
    task = source.settings.task or (source.known.task if source.known else None)
    lists = [value.split() for value in source.sample.values if len(value.split()) > 1]
    if max(map(len, of_id.values())) < 2 or not (
        task is Task.MULTILABEL or (lists and all(set(parts) <= labels for parts in lists))
    ):
        return table, []
    separator = "|" if any(" " in label for label in labels) else " "
    joined = {image_id: separator.join(filter(None, found)) for image_id, found in of_id.items()}
    rows = tuple(
        (*row[:column], joined[image_id], *row[column + 1 :]) for image_id, row in zip(row_ids, table.rows, strict=True)
    )
    line = f"labels: {len(of_id)} images of {format_count(len(rows), 'row')}, one for each label of an image"
    return replace(table, rows=rows), [line]


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
    ids = [table.rows[number][id_column].strip() for number in sorted(empty)]
    n_rows = format_count(len(ids), "row")
    line = format_warning(f"labels: {n_rows} of {table.name} with neither label nor image left out: {join_names(ids)}")
    return _keep_rows(table, empty), [line]


def _require_labels(table: Table, column: int, source: LabelSource) -> None:
    """Require a label in every row, unless cells hold lists of labels and an image may have none."""
    cells = [value.strip() for value in table.get_column(column)]
    blank = [str(line) for line, cell in zip(table.lines, cells, strict=True) if not cell]
    task = source.settings.task or (source.known.task if source.known else None)
    are_lists = has_lists(cells, source.sample.values) or split_separated_labels(cells) is not None
    if blank and task is not Task.MULTILABEL and not are_lists:
        raise DataError(
            f"{table.name} has no label in {format_count(len(blank), 'row')}: line {join_names(blank)}",
            hint="add the labels, or remove these rows",
        )


def _resolve_row_ids(table: Table, id_column: int, lookup: ImageLookup) -> tuple[list[str], list[str]]:
    """Return (n_rows,) ids; an id with images in several folders is resolved by the folder that the row names."""
    row_ids = [_add_folder(row[id_column].strip(), table.folder, lookup) for row in table.rows]
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


def _add_folder(image_id: str, folder: str, lookup: ImageLookup) -> str:
    """Return the id with the folder of its table before it, where only that names the one image meant."""
    if not folder or not image_id:
        return image_id
    below = lookup.find(folder + image_id)
    return folder + image_id if len(below) == 1 and below != lookup.find(image_id) else image_id


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
        n_ids, names = format_count(len(contradicting), "id"), join_names(list(contradicting))
        evidence.append(format_warning(f"labels: {n_ids} of {table.name} with several labels left out: {names}"))
    elif n_repeated:
        n_rows = format_count(n_repeated, "row")
        evidence.append(format_warning(f"labels: {n_rows} of {table.name} left out, repeating another"))
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
        hint="leave the right one of these rows; --task multilabel takes them for several labels of an image",
    )


def _match_images(
    row_of: Mapping[str, int], table: Table, id_columns: tuple[int, ...], lookup: ImageLookup, source: LabelSource
) -> _RowImages:
    """Match each id to the images of its row, and report the others."""
    matched = lookup.match(tuple(row_of))
    n_ambiguous = len(matched.ambiguous)
    if n_ambiguous > MAX_FAULTY_SHARE * len(row_of):
        raise DataError(
            f"{table.name} has {format_count(n_ambiguous, 'id')} that may be several images: "
            f"{join_names(matched.ambiguous)}",
            hint="leave one image for each id, or name the folder of the training images with --images",
        )
    taken = set(matched.names)
    # Where ids are names of files, one that misses its own does not stand for those that begin with it.
    by_file = matched.form not in ("", FOLDER_FORM)
    several = {
        image_id: images
        for image_id, images in find_row_images(matched.missing, lookup).items()
        if taken.isdisjoint(images) and (not by_file or len(split_paths(image_id)) > 1)
    }
    missing = tuple(image_id for image_id in matched.missing if image_id not in several)
    if missing and not source.skip_missing:
        require_read(missing, table.name, source.files.unread_by_stem)
        raise _make_missing_error(missing, table.name, lookup, source)
    of_id = {
        image_id: (image,) if image is not None else several[image_id]
        for image_id, image in zip(row_of, matched.names, strict=True)
        if image is not None or image_id in several
    }
    for column in id_columns[1:]:
        further = lookup.match([table.rows[row_of[image_id]][column].strip() for image_id in of_id])
        absent = [cell for cell in (*further.missing, *further.ambiguous) if cell]
        if absent and not source.skip_missing:
            raise _make_missing_error(absent, table.name, lookup, source)
        missing = (*missing, *absent)
        of_id = {
            image_id: images if image is None else (*images, image)
            for (image_id, images), image in zip(of_id.items(), further.names, strict=True)
        }
    _require_one_id_each(of_id, table.name)
    lines = list(matched.notes)
    if matched.ambiguous:
        n_ids, ambiguous = format_count(n_ambiguous, "id"), join_names(matched.ambiguous)
        lines.append(
            format_warning(f"labels: {n_ids} of {table.name} that may be several images left out: {ambiguous}")
        )
    return _RowImages(of_id=of_id, evidence=(*lines, *_describe_leftovers(missing, of_id, table.name, lookup, source)))


def _make_missing_error(missing: Sequence[str], name: str, lookup: ImageLookup, source: LabelSource) -> DataError:
    verb = "is" if len(missing) == 1 else "are"
    return DataError(
        f"{name} names {format_count(len(missing), 'image')} that {verb} "
        f"not in {source.files.train_location}: {join_names(tuple(missing))}",
        hint="check the folder, or pass --skip-missing to leave those rows out",
        seen=(lookup.describe_miss(missing, name),),
    )


def _require_one_id_each(of_id: Mapping[str, Sequence[str]], name: str) -> None:
    id_of: dict[str, str] = {}
    for image_id, images in of_id.items():
        for image in images:
            if id_of.setdefault(image, image_id) != image_id:
                raise DataError(
                    f"{name} names the image {join_names([image])} by two ids: {join_names([id_of[image], image_id])}",
                    hint="leave one row for each image",
                )


def _describe_leftovers(
    missing: Sequence[str], of_id: Mapping[str, Sequence[str]], name: str, lookup: ImageLookup, source: LabelSource
) -> list[str]:
    lines = []
    if missing:
        n_rows = format_count(len(missing), "row")
        lines.append(
            format_warning(f"labels: {n_rows} of {name} without an image left out: {join_names(tuple(missing))}")
        )
    used = {image for images in of_id.values() for image in images}
    seen = {file for image in used for file in expand_colours(image)}
    rest = sorted(set(source.files.train) - seen)
    unlabelled = [image for image in rest if not used.issuperset(lookup.find(_get_stem(image)))]
    if unlabelled:
        n_images = format_count(len(unlabelled), "training image")
        lines.append(format_warning(f"labels: {n_images} without a row in {name} left out: {join_names(unlabelled)}"))
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
    line = f"labels: {n_images} in the folder of another label, the table is believed: {join_names(other)}"
    return [format_warning(line)]
