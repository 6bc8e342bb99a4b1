"""Training labels in a CSV file: which file, which column names the images, which one holds the label.

Not responsible for: parsing CSV (automl.data.tables) or what an id finds (automl.data.images).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from automl.data.images import ImageFiles, ImageLookup
from automl.data.labels import Labels, NotOfThisKindError, Source
from automl.data.tables import Table, counted, read_table
from automl.data.templates import is_sample_name
from automl.errors import DataError, listed

LABEL_FILE_PATTERNS = (  # of the lowered name, the best first
    "train.csv",
    "trainlabels.csv",
    "train_labels.csv",
    "labels.csv",
    "train*.csv",
    "*labels*.csv",
)
LABEL_COLUMN_NAMES = frozenset({"label", "labels", "class", "target", "category"})
PROBED_ROWS = 1000  # enough to tell the column of ids in a table of any length


def labels_from_table(source: Source) -> Labels:
    """From a CSV file with a row for each image and one label column, or a column of 0 and 1 for each class.

    Raises:
        NotOfThisKindError: no CSV file is one of labels.
        DataError: one is, and it is at fault.
    """
    lookup = ImageLookup(source.files.train, source.files.other)
    reasons = []
    for path in _label_files(source.files.root):
        table = read_table(path)
        try:
            id_column = _id_column(table, lookup, source.sample.id_column)
            label_columns = _label_columns(table, id_column, source.sample.target_columns)
        except NotOfThisKindError as reason:
            reasons.append(str(reason))
            continue
        return _read(table, id_column, label_columns, lookup, source)
    raise NotOfThisKindError("; ".join(reasons) or "no CSV file is named like train.csv or labels.csv")


def _label_files(root: Path) -> list[Path]:
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith((".", "test")))
    candidates = [name for name in names if not is_sample_name(name)]
    ranked = [name for pattern in LABEL_FILE_PATTERNS for name in candidates if fnmatchcase(name.lower(), pattern)]
    return [root / name for name in dict.fromkeys(ranked)]


def _id_column(table: Table, lookup: ImageLookup, sample_id: str) -> int:
    """The column named as the sample's where it names images, else the one that names the most different images."""
    rows = table.rows[:: max(1, len(table.rows) // PROBED_ROWS)]
    n_named = [
        sum(1 for value in {row[column] for row in rows} if lookup.candidates(value))
        for column in range(len(table.header))
    ]
    if not any(n_named):
        raise NotOfThisKindError(f"{table.name} has no column that names the training images")
    if sample_id in table.header and n_named[table.header.index(sample_id)]:
        return table.header.index(sample_id)
    return n_named.index(max(n_named))


def _label_columns(table: Table, id_column: int, targets: Sequence[str]) -> tuple[int, ...]:
    """One column of labels, or the columns of the sample's classes, which hold 0 and 1."""
    rest = [column for column in range(len(table.header)) if column != id_column]
    position = {table.header[column].strip(): column for column in rest}
    classes = [target.strip() for target in targets]
    if all(name in position for name in classes):
        return tuple(position[name] for name in classes)
    if len(rest) == 1:
        return (rest[0],)
    fitting = [column for column in rest if {value.strip() for value in table.column(column)} <= set(classes)]
    named = [column for column in rest if table.header[column].strip().lower() in LABEL_COLUMN_NAMES]
    for choice in (fitting, named):
        if len(choice) == 1:
            return (choice[0],)
    columns = listed([table.header[column] for column in rest]) or "none"
    raise NotOfThisKindError(f"it is unclear which column of {table.name} holds the label ({columns})")


def _read(table: Table, id_column: int, label_columns: tuple[int, ...], lookup: ImageLookup, source: Source) -> Labels:
    if len(label_columns) == 1:
        labels = _stripped_labels(table, label_columns[0])
        place = f"column {listed([table.header[label_columns[0]]])} of {table.name}"
    else:
        labels = _one_hot_labels(table, label_columns)
        place = f"{len(label_columns)} columns of {table.name}"
    label_of = _label_of_each_id(table, id_column, labels)
    image_of, evidence = _images_of(list(label_of), table.name, lookup, source)
    n_repeated = len(table.rows) - len(label_of)
    if n_repeated:
        evidence.append(f"labels: {counted(n_repeated, 'row')} of {table.name} left out, repeating another")
    return Labels(
        ids=tuple(image_of),
        columns=("label",),
        cells=tuple((label_of[image_id],) for image_id in image_of),
        images=tuple(image_of.values()),
        evidence=(f"labels: {len(image_of)} images, from {place}", *evidence),
    )


def _stripped_labels(table: Table, column: int) -> list[str]:
    labels = [value.strip() for value in table.column(column)]
    blank = [str(line) for line, label in zip(table.lines, labels, strict=True) if not label]
    if blank:
        raise DataError(
            f"{table.name} has no label in {counted(len(blank), 'row')}: line {listed(blank)}",
            hint="add the labels, or remove these rows",
        )
    if any(_is_fractional(label) for label in set(labels)) and all(_is_number(label) for label in set(labels)):
        raise DataError(
            f"column {listed([table.header[column]])} of {table.name} holds measurements, not classes: "
            f"{listed(sorted(set(labels)))}",
            hint="give classes as labels; values on a scale cannot be predicted yet",
        )
    return labels


def _one_hot_labels(table: Table, columns: tuple[int, ...]) -> list[str]:
    labels = []
    for line, row in zip(table.lines, table.rows, strict=True):
        chosen = [column for column in columns if row[column].strip() in ("1", "1.0")]
        if len(chosen) != 1 or any(row[column].strip() not in ("0", "0.0", "1", "1.0") for column in columns):
            raise DataError(
                f"{table.name}: line {line} does not hold one 1 and else 0 in its {len(columns)} class columns",
                hint="give each image exactly one class",
            )
        labels.append(table.header[chosen[0]].strip())
    return labels


def _label_of_each_id(table: Table, id_column: int, labels: Sequence[str]) -> dict[str, str]:
    """Each id's label; a repeated row counts once."""
    first: dict[str, tuple[str, int]] = {}
    for image_id, label, line in zip(table.column(id_column), labels, table.lines, strict=True):
        known, known_line = first.setdefault(image_id.strip(), (label, line))
        if not image_id.strip():
            raise DataError(f"{table.name} has no id in line {line}", hint="add the id, or remove the row")
        if known != label:
            raise DataError(
                f"{table.name}: id {listed([image_id.strip()])} has the labels {listed([known, label])} "
                f"(lines {known_line} and {line})",
                hint="leave the right one of these rows",
            )
    return {image_id: label for image_id, (label, _) in first.items()}


def _images_of(
    image_ids: Sequence[str], name: str, lookup: ImageLookup, source: Source
) -> tuple[dict[str, str], list[str]]:
    """Each id's image, and what is worth telling about the others."""
    joined = lookup.join(image_ids)
    if joined.ambiguous:
        raise DataError(
            f"{name} has {counted(len(joined.ambiguous), 'id')} that may be several images: {listed(joined.ambiguous)}",
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
    return image_of, _leftovers(joined.missing, image_of, name, source.files)


def _require_one_id_each(image_of: dict[str, str], name: str) -> None:
    id_of: dict[str, str] = {}
    for image_id, image in image_of.items():
        if id_of.setdefault(image, image_id) != image_id:
            raise DataError(
                f"{name} names the image {listed([image])} by two ids: {listed([id_of[image], image_id])}",
                hint="leave one row for each image",
            )


def _leftovers(missing: tuple[str, ...], image_of: dict[str, str], name: str, files: ImageFiles) -> list[str]:
    lines = []
    if missing:
        lines.append(f"labels: {counted(len(missing), 'row')} of {name} without an image left out: {listed(missing)}")
    unlabelled = sorted(set(files.train) - set(image_of.values()))
    if unlabelled:
        n_images = counted(len(unlabelled), "training image")
        lines.append(f"labels: {n_images} without a row in {name} left out: {listed(unlabelled)}")
    return lines


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _is_fractional(label: str) -> bool:
    return _is_number(label) and not float(label).is_integer()
