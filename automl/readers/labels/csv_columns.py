"""Read training labels from a CSV file: which file, which column names the images, which ones hold the labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from automl.errors import DataError, UsageError, join_names
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_test_name
from automl.files.pixel_tables import find_pixel_columns
from automl.files.tables import Table, read_header, read_table
from automl.readers.labels.cells import split_into_classes
from automl.readers.labels.csv_rows import build_labels
from automl.readers.labels.source import Labels, LabelSource, LayoutMismatchError
from automl.readers.sample_submission import get_table
from automl.readers.submission_template import is_sample_name

LABEL_FILE_PATTERNS = (  # of the lowered name, the best first
    "train.csv",
    "trainlabels.csv",
    "train_labels.csv",
    "labels.csv",
    "train*.csv",
    "*train*.csv",
    "*labels*.csv",
)
LABEL_COLUMN_NAMES = frozenset({"label", "labels", "class", "target", "category"})
ROW_NUMBER_NAMES = frozenset({"", "unnamed: 0", "index"})
PROBED_ROWS = 1000  # enough to tell the column of ids in a table of any length
MIN_NAMED_SHARE = 0.9  # of the rows of a table that is not called so must name training images
MIN_TOKEN_SHARE = 0.5  # of the sample's labels; the test may have more classes than training


def read_csv_labels(source: LabelSource) -> Labels:
    """Read labels from a CSV file with a row for each image and one label column or several of numbers.

    Raises:
        LayoutMismatchError: no CSV file is one of labels.
        DataError: one is, and it is at fault.
        UsageError: the given file or column is not there.
    """
    lookup = ImageLookup(source.files.train, source.files.other)
    reasons = []
    for name in _list_label_files(source):
        try:
            table = _read_label_table(name, source)
            id_column = _find_id_column(table, lookup, source)
            label_columns = _find_label_columns(table, id_column, source)
        except LayoutMismatchError as reason:
            reasons.append(str(reason))
            continue
        return build_labels(table, id_column, label_columns, lookup, source)
    raise LayoutMismatchError("; ".join(reasons) or "no CSV file is named like train.csv or labels.csv")


def is_label_name(name: str) -> bool:
    """Whether a file of that name would hold training labels."""
    lowered = PurePosixPath(name).name.lower()
    return any(fnmatchcase(lowered, pattern) for pattern in LABEL_FILE_PATTERNS)


def _list_label_files(source: LabelSource) -> list[str]:
    """List the tables that may hold labels, the likeliest first."""
    if source.settings.labels in source.documents:
        raise LayoutMismatchError(f"{source.settings.labels} is no CSV file")
    if source.settings.labels:
        path = get_table(source.tables, source.settings.labels, "--labels")
        return [name for name in source.tables if source.tables[name] == path]
    names = [name for name in sorted(source.tables) if not is_test_name(name)]
    candidates = [name for name in names if not is_sample_name(name) and name != source.sample.name]
    ranked = [name for pattern in LABEL_FILE_PATTERNS for name in candidates if fnmatchcase(name.lower(), pattern)]
    known = [name for name in candidates if name == source.labels_name]
    return list(dict.fromkeys([*known, *ranked, *candidates]))


def _read_label_table(name: str, source: LabelSource) -> Table:
    """Read the table, unless it cannot hold labels by its header."""
    path = source.tables[name]
    try:
        if find_pixel_columns(read_header(path)):
            raise LayoutMismatchError(f"{name} is a table of pixels")
        return read_table(path)
    except DataError as error:
        if is_label_name(name) or source.settings.labels:
            raise
        raise LayoutMismatchError(error.problem) from error  # some other table, and a damaged one, which is not needed


def _find_id_column(table: Table, lookup: ImageLookup, source: LabelSource) -> int:
    """Return the column named as the sample's where it names images, else the one that names the most images."""
    rows = table.rows[:: max(1, len(table.rows) // PROBED_ROWS)]
    distinct = [{row[column] for row in rows} for column in range(len(table.header))]
    n_named = [sum(1 for value in values if lookup.find(value)) for values in distinct]
    if not any(n_named):
        raise LayoutMismatchError(f"{table.name} has no column that names the training images")
    position = {_normalize(name): column for column, name in enumerate(table.header)}
    position |= {name: column for column, name in enumerate(table.header)}
    same = position.get(source.sample.id_column, position.get(_normalize(source.sample.id_column)))
    likelihood = [(n, not _is_row_number(name)) for n, name in zip(n_named, table.header, strict=True)]
    chosen = same if same is not None and n_named[same] else likelihood.index(max(likelihood))
    is_called = is_label_name(table.name) or table.name == source.labels_name or bool(source.settings.labels)
    least = MIN_NAMED_SHARE * len(distinct[chosen])
    if not is_called and (n_named[chosen] < least or len(distinct[chosen]) < MIN_NAMED_SHARE * len(rows)):
        raise LayoutMismatchError(f"{table.name} is no table of the training images")
    return chosen


def _find_label_columns(table: Table, id_column: int, source: LabelSource) -> tuple[int, ...]:
    """Return the label columns: as given, as the sample names them, or the one that is left or fits best."""
    named = _find_named_column(table, source)
    if named is not None:
        return (named,)
    rest = [column for column in range(len(table.header)) if column != id_column]
    position = {table.header[column].strip(): column for column in rest}
    targets = [target.strip() for target in source.sample.target_columns]
    if all(name in position for name in targets):
        return tuple(position[name] for name in targets)
    rest = _drop_test_columns(table, rest, source)
    if len(rest) == 1:
        return (rest[0],)
    conventional = [column for column in rest if table.header[column].strip().lower() in LABEL_COLUMN_NAMES]
    alike = [column for column in rest if _is_alike(table.header[column], targets)]
    for choice in (
        _find_class_columns(table, rest, source),
        alike,
        _find_token_columns(table, rest, source),
        conventional,
    ):
        if len(choice) == 1:
            return (choice[0],)
    columns = join_names([table.header[column] for column in rest]) or "none"
    raise LayoutMismatchError(
        f"it is unclear which column of {table.name} holds the label ({columns}); --label COLUMN says it"
    )


def _find_named_column(table: Table, source: LabelSource) -> int | None:
    """Return the column that the user gives, or that is known."""
    position = {name.strip(): column for column, name in enumerate(table.header)}
    if source.settings.label is not None:
        if source.settings.label not in position:
            raise UsageError(
                f"--label {source.settings.label}: {table.name} has no such column",
                hint=f"name one of {join_names(table.header, at_most=10)}",
            )
        return position[source.settings.label]
    return None if source.label_name is None else position.get(source.label_name)


def _drop_test_columns(table: Table, columns: list[int], source: LabelSource) -> list[int]:
    """Return the columns that may hold labels: no row numbers, nothing that the test tables have too."""
    columns = [column for column in columns if not _is_row_number(table.header[column])]
    given: set[str] = set()
    for name in ("test.csv", "test-metadata.csv", "test_metadata.csv"):
        if name in source.tables:
            given |= set(read_header(source.tables[name]))
    return [column for column in columns if table.header[column] not in given] or columns


def _is_row_number(name: str) -> bool:
    """Whether a column is named as those that pandas writes for the index."""
    return name.strip().lower() in ROW_NUMBER_NAMES


def _find_class_columns(table: Table, columns: Sequence[int], source: LabelSource) -> list[int]:
    """Return the columns whose every value is one of the sample's columns, or a list of these."""
    classes = {target.strip() for target in source.sample.target_columns}
    if len(classes) < 2:
        return []
    values = {column: {value.strip() for value in table.get_column(column)} for column in columns}
    return [
        column for column, held in values.items() if held <= classes or split_into_classes(held, classes) is not None
    ]


def _find_token_columns(table: Table, columns: Sequence[int], source: LabelSource) -> list[int]:
    """Return the columns that hold the most of the sample's values, as far as these are words, not numbers."""
    if len(source.sample.target_columns) > 1:
        return []
    values = set(source.sample.values)
    tokens = {token for value in values for token in value.split()}
    shares = [max(_compute_share(table, column, values), _compute_share(table, column, tokens)) for column in columns]
    best = max(shares, default=0.0)
    return [column for column, share in zip(columns, shares, strict=True) if share == best and best > MIN_TOKEN_SHARE]


def _compute_share(table: Table, column: int, wanted: set[str]) -> float:
    words = {word for word in wanted if word and not re.fullmatch(r"[01]?(\.\d*)?", word)}
    held = {value.strip() for value in table.get_column(column)}
    return len(words & held) / len(words) if words else 0.0


def _is_alike(name: str, targets: Sequence[str]) -> bool:
    """Whether a column is named as a target but for case, signs and a final "id"."""
    return len(targets) == 1 and bool(_normalize(name)) and _normalize(name) == _normalize(targets[0])


def _normalize(name: str) -> str:
    letters = re.sub(r"[\W_]", "", name.lower())
    return letters.removesuffix("id") or letters
