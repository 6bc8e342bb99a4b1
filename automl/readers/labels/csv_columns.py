"""Training labels in a CSV file: which file, which column names the images, which ones hold the labels.

Not responsible for: parsing CSV (automl.files.tables), what an id finds (automl.files.images), or what the labels mean
(automl.readers.infer).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from automl.errors import DataError, UsageError, listed
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_of_test
from automl.files.pixel_tables import pixel_columns
from automl.files.tables import Table, read_header, read_table
from automl.readers.labels.cells import sets_of
from automl.readers.labels.csv_rows import labels_of_rows
from automl.readers.labels.source import Labels, NotOfThisKindError, Source
from automl.readers.sample_submission import asked_table
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
MOST_PROBED = 0.9  # of the rows of a table that is not called so must name training images
MOST_TOKENS = 0.5  # of the sample's labels; the test may have more classes than training


def labels_from_table(source: Source) -> Labels:
    """From a CSV file with a row for each image and one column of labels or several of numbers.

    Raises:
        NotOfThisKindError: no CSV file is one of labels.
        DataError: one is, and it is at fault.
        UsageError: the file or the column that was asked for is not there.
    """
    lookup = ImageLookup(source.files.train, source.files.other)
    reasons = []
    for name in _label_files(source):
        try:
            table = _label_table(name, source)
            id_column = _id_column(table, lookup, source)
            label_columns = _label_columns(table, id_column, source)
        except NotOfThisKindError as reason:
            reasons.append(str(reason))
            continue
        return labels_of_rows(table, id_column, label_columns, lookup, source)
    raise NotOfThisKindError("; ".join(reasons) or "no CSV file is named like train.csv or labels.csv")


def is_label_name(name: str) -> bool:
    """Whether a file of that name would be one of training labels."""
    lowered = PurePosixPath(name).name.lower()
    return any(fnmatchcase(lowered, pattern) for pattern in LABEL_FILE_PATTERNS)


def _label_files(source: Source) -> list[str]:
    """The tables that may hold labels, the likeliest first."""
    if source.asked.labels in source.documents:
        raise NotOfThisKindError(f"{source.asked.labels} is no CSV file")
    if source.asked.labels:
        path = asked_table(source.tables, source.asked.labels, "--labels")
        return [name for name in source.tables if source.tables[name] == path]
    names = [name for name in sorted(source.tables) if not is_of_test(name)]
    candidates = [name for name in names if not is_sample_name(name) and name != source.sample.name]
    ranked = [name for pattern in LABEL_FILE_PATTERNS for name in candidates if fnmatchcase(name.lower(), pattern)]
    known = [name for name in candidates if name == source.labels_name]
    return list(dict.fromkeys([*known, *ranked, *candidates]))


def _label_table(name: str, source: Source) -> Table:
    """The table, unless it cannot be one of labels by its header."""
    path = source.tables[name]
    try:
        if pixel_columns(read_header(path)):
            raise NotOfThisKindError(f"{name} is a table of pixels")
        return read_table(path)
    except DataError as error:
        if is_label_name(name) or source.asked.labels:
            raise
        raise NotOfThisKindError(error.problem) from error  # some other table, and a damaged one: nobody needs it


def _id_column(table: Table, lookup: ImageLookup, source: Source) -> int:
    """The column named as the sample's where it names images, else the one that names the most different images."""
    rows = table.rows[:: max(1, len(table.rows) // PROBED_ROWS)]
    distinct = [{row[column] for row in rows} for column in range(len(table.header))]
    n_named = [sum(1 for value in values if lookup.candidates(value)) for values in distinct]
    if not any(n_named):
        raise NotOfThisKindError(f"{table.name} has no column that names the training images")
    position = {_plain(name): column for column, name in enumerate(table.header)}
    position |= {name: column for column, name in enumerate(table.header)}
    same = position.get(source.sample.id_column, position.get(_plain(source.sample.id_column)))
    likelihood = [(n, not _is_row_number(name)) for n, name in zip(n_named, table.header, strict=True)]
    chosen = same if same is not None and n_named[same] else likelihood.index(max(likelihood))
    is_called = is_label_name(table.name) or table.name == source.labels_name or bool(source.asked.labels)
    least = MOST_PROBED * len(distinct[chosen])
    if not is_called and (n_named[chosen] < least or len(distinct[chosen]) < MOST_PROBED * len(rows)):
        raise NotOfThisKindError(f"{table.name} is no table of the training images")
    return chosen


def _label_columns(table: Table, id_column: int, source: Source) -> tuple[int, ...]:
    """The columns of the labels: as said, as the sample names them, or the one column that is left or fits it best."""
    said = _said_column(table, source)
    if said is not None:
        return (said,)
    rest = [column for column in range(len(table.header)) if column != id_column]
    position = {table.header[column].strip(): column for column in rest}
    targets = [target.strip() for target in source.sample.target_columns]
    if all(name in position for name in targets):
        return tuple(position[name] for name in targets)
    rest = _trained_only(table, rest, source)
    if len(rest) == 1:
        return (rest[0],)
    called = [column for column in rest if table.header[column].strip().lower() in LABEL_COLUMN_NAMES]
    alike = [column for column in rest if _alike(table.header[column], targets)]
    for choice in (_holding_classes(table, rest, source), alike, _holding_tokens(table, rest, source), called):
        if len(choice) == 1:
            return (choice[0],)
    columns = listed([table.header[column] for column in rest]) or "none"
    raise NotOfThisKindError(
        f"it is unclear which column of {table.name} holds the label ({columns}); --label COLUMN says it"
    )


def _said_column(table: Table, source: Source) -> int | None:
    """The column that the user names, or that is known."""
    position = {name.strip(): column for column, name in enumerate(table.header)}
    if source.asked.label is not None:
        if source.asked.label not in position:
            raise UsageError(
                f"--label {source.asked.label}: {table.name} has no such column",
                hint=f"name one of {listed(table.header, at_most=10)}",
            )
        return position[source.asked.label]
    return None if source.label_name is None else position.get(source.label_name)


def _trained_only(table: Table, columns: list[int], source: Source) -> list[int]:
    """The columns that may hold labels: no row numbers, and nothing that the test rows have too."""
    columns = [column for column in columns if not _is_row_number(table.header[column])]
    given: set[str] = set()
    for name in ("test.csv", "test-metadata.csv", "test_metadata.csv"):
        if name in source.tables:
            given |= set(read_header(source.tables[name]))
    return [column for column in columns if table.header[column] not in given] or columns


def _is_row_number(name: str) -> bool:
    """Whether a column is called as those that pandas writes unasked."""
    return name.strip().lower() in ROW_NUMBER_NAMES


def _holding_classes(table: Table, columns: Sequence[int], source: Source) -> list[int]:
    """The columns whose every value is one of the sample's columns, or a list of these."""
    classes = {target.strip() for target in source.sample.target_columns}
    if len(classes) < 2:
        return []
    values = {column: {value.strip() for value in table.column(column)} for column in columns}
    return [column for column, held in values.items() if held <= classes or sets_of(held, classes) is not None]


def _holding_tokens(table: Table, columns: Sequence[int], source: Source) -> list[int]:
    """The columns that hold the most of the sample's values, as far as these are words and not numbers."""
    if len(source.sample.target_columns) > 1:
        return []
    values = set(source.sample.values)
    tokens = {token for value in values for token in value.split()}
    shares = [max(_share(table, column, values), _share(table, column, tokens)) for column in columns]
    best = max(shares, default=0.0)
    return [column for column, share in zip(columns, shares, strict=True) if share == best and best > MOST_TOKENS]


def _share(table: Table, column: int, wanted: set[str]) -> float:
    words = {word for word in wanted if word and not re.fullmatch(r"[01]?(\.\d*)?", word)}
    held = {value.strip() for value in table.column(column)}
    return len(words & held) / len(words) if words else 0.0


def _alike(name: str, targets: Sequence[str]) -> bool:
    """Whether a column is named as a target but for its case, its signs and an id in the end."""
    return len(targets) == 1 and bool(_plain(name)) and _plain(name) == _plain(targets[0])


def _plain(name: str) -> str:
    letters = re.sub(r"[\W_]", "", name.lower())
    return letters.removesuffix("id") or letters
