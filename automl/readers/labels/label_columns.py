"""Find which columns of a table hold the labels: as asked, as the sample names them, or the one that fits alone.

Where several could be it, reading stops: their names and a few of their values are shown, and --label says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from automl.errors import DataError, UsageError, join_names
from automl.files.evidence import format_suggestion
from automl.files.image_index import ImageLookup
from automl.files.image_names import get_folder, is_test_name
from automl.files.tables import Table, read_header_or_empty
from automl.readers.labels.cells import BOOLEANS, split_into_classes
from automl.readers.labels.image_columns import ImageColumns, is_row_number, normalize_name
from automl.readers.labels.source import LabelSource

LABEL_COLUMN_NAMES = frozenset({"label", "labels", "class", "target", "category"})
MIN_TOKEN_SHARE = 0.5  # of the sample's labels; the test may have more classes than training
MIN_ROWS = 20  # in fewer rows, a column of labels may hold another in each
LISTED = re.compile(r"[\s|;,]")  # between labels of one cell, which are repeated where no cell is
CLASS_WORDS = re.compile(r"class|label|categor|target|species", re.IGNORECASE)
MIN_AGREEMENT = 0.99  # of the rows, whose cell is a folder of their image
PROBED_ROWS = 1000
NUMBER_OR_BLANK = re.compile(r"[01]?(\.\d*)?")
SPLIT_NAMES = frozenset(
    ("split", "set", "dataset", "datasplit", "subset", "partition", "phase", "fold", "usage", "part", "mode")
)
SPLIT_FLAGS = {  # of columns with yes and no: the part of each
    **dict.fromkeys(("istrain", "train", "training"), ("train", "test")),
    **dict.fromkeys(("istest", "test"), ("test", "train")),
    **dict.fromkeys(("isvalid", "isval", "valid", "validation"), ("val", "train")),
}
SPLIT_VALUES = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "publictest", "privatetest", "public", "private"), "test"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumns:
    """The columns that hold the labels.

    Attributes:
        columns: their positions.
        strength: 3 where the user, or the sample by their names, says so, 2 where they hold or are called what the
            sample has, 1 where they are called as labels usually are, or are the folders, 0 where no other is left.
        evidence: how they were chosen of several.
    """

    columns: tuple[int, ...]
    strength: int
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitColumn:
    """A column that says which rows are of the test.

    Attributes:
        parts: (n_rows,) "train", "val" or "test".
    """

    column: int
    parts: tuple[str, ...]


class NoLabelColumnError(DataError):
    """No column of a table holds what may be labels."""


def find_label_columns(table: Table, images: ImageColumns, lookup: ImageLookup, source: LabelSource) -> LabelColumns:
    """Find the label columns: as given, as the sample names them, or the one that is left or fits best.

    Raises:
        DataError: it is unclear which column it is.
        UsageError: there is no column of the name that the user gives.
    """
    named = find_named_columns(table.header, table.name, source)
    if named is not None:
        return LabelColumns(columns=named, strength=3)
    rest = [column for column in range(len(table.header)) if column not in images.columns]
    targets = _list_targets(source)
    position = {table.header[column].strip(): column for column in rest}
    if targets and all(name in position for name in targets):
        exact = tuple(position[name] for name in targets)
        return _prefer_written_column(table, exact, rest, source)
    longer = _match_spellings(table, rest, targets) or _match_longer_names(table, rest, targets)
    if longer is not None:
        names = join_names([table.header[column] for column in longer], at_most=10)
        line = f"labels: the targets {join_names(targets, at_most=10)} are the columns {names} of {table.name}"
        return LabelColumns(columns=longer, strength=3, evidence=(line,))
    candidates = _drop_other_columns(table, rest, images, source)
    if not candidates:
        names = join_names([table.header[column] for column in rest], at_most=10)
        raise NoLabelColumnError(
            f"no column of {table.name} repeats values as labels do, and more than one ({names})",
            hint="say it with --label COLUMN; --labels FILE takes another file, --labels folders the folders",
        )
    return _choose_column(table, candidates, images, lookup, source)


def find_named_columns(header: Sequence[str], name: str, source: LabelSource) -> tuple[int, ...] | None:
    """Find the columns that the user gives, or that are known; None where none is.

    Raises:
        UsageError: there is no column of a name that the user gives.
    """
    position = {column_name.strip(): column for column, column_name in enumerate(header)}
    if source.settings.label is not None:
        wanted = split_label_names(source.settings.label, header)
        unknown = [one for one in wanted if one not in position]
        if unknown:
            raise UsageError(
                f"--label {source.settings.label}: {name} has no such column"
                + (f" as {join_names(unknown)}" if len(wanted) > 1 else ""),
                hint=f"name one of {join_names(list(header), at_most=10)}",
            )
        return tuple(position[one] for one in wanted)
    known = None if source.label_name is None else position.get(source.label_name)
    return None if known is None else (known,)


def split_label_names(label: str, header: Collection[str]) -> list[str]:
    """Split the names that --label gives, joined by commas, unless one column is called so."""
    if label.strip() in {name.strip() for name in header}:
        return [label.strip()]
    return [name.strip() for name in label.split(",") if name.strip()] or [label]


def find_split_column(table: Table, taken: Collection[int] = ()) -> SplitColumn | None:
    """Find the column that says of each row whether it is of training, validation or test; None where none does.

    Args:
        taken: positions of the columns that hold images and labels.
    """
    for column, name in enumerate(table.header):
        if column in taken:
            continue
        of_value = _get_split_words(re.sub(r"[\W_]", "", name.lower()))
        cells = [re.sub(r"[\s_-]", "", cell.lower()) for cell in table.get_column(column)] if of_value else []
        if of_value and set(cells) <= of_value.keys():
            return SplitColumn(column=column, parts=tuple(of_value[cell] for cell in cells))
    return None


def _get_split_words(name: str) -> dict[str, str]:
    """Return the part of each value that a column of that name may hold."""
    if name in SPLIT_NAMES:
        return SPLIT_VALUES
    yes, no = SPLIT_FLAGS.get(name, ("", ""))
    return {word: yes if number == "1" else no for word, number in BOOLEANS.items()} if yes else {}


def _list_targets(source: LabelSource) -> list[str]:
    """List what the sample calls its targets; nothing where there is no sample."""
    return [target.strip() for target in source.sample.target_columns] if source.sample.is_given else []


def _prefer_written_column(
    table: Table, exact: tuple[int, ...], rest: Sequence[int], source: LabelSource
) -> LabelColumns:
    """Prefer, to a column that the sample names, one that says the same in the words that the sample writes."""
    written = {value for value in source.sample.values if value and not NUMBER_OR_BLANK.fullmatch(value)}
    if len(exact) == 1 and written and not written & _get_values(table, exact[0]):
        same = [column for column in rest if column != exact[0] and _say_the_same(table, (column, exact[0]))]
        spelt = [column for column in same if written <= _get_values(table, column)]
        if len(spelt) == 1:
            names = table.header[spelt[0]], table.header[exact[0]]
            line = f"labels: column {names[0]} taken, which says the same as {names[1]} in the words of the sample"
            return LabelColumns(columns=(spelt[0],), strength=3, evidence=(line,))
    return LabelColumns(columns=exact, strength=3)


def _match_spellings(table: Table, rest: Sequence[int], targets: Sequence[str]) -> tuple[int, ...] | None:
    """Match each of several targets to the one column that is called so but for case and signs."""
    wanted = [re.sub(r"[\W_]", "", target.lower()) for target in targets]
    names = [re.sub(r"[\W_]", "", table.header[column].lower()) for column in rest]
    if len(targets) < 2 or len(set(wanted)) < len(wanted) or any(names.count(name) != 1 for name in wanted):
        return None
    return tuple(rest[names.index(name)] for name in wanted)


def _match_longer_names(table: Table, rest: Sequence[int], targets: Sequence[str]) -> tuple[int, ...] | None:
    """Match each of several targets to the one column whose name is longer by what it is for all of them: X4_mean.

    Of several such endings it is the one whose columns are filled where those of the others have blanks.
    """
    if len(targets) < 2:
        return None
    names = {table.header[column].strip(): column for column in rest}
    first = targets[0]
    around = {(name[: name.index(first)], name[name.index(first) + len(first) :]) for name in names if first in name}
    groups = [
        tuple(names[f"{before}{target}{after}"] for target in targets)
        for before, after in sorted(around)
        if re.match(r"|.*[\W_]$", before) and all(f"{before}{target}{after}" in names for target in targets)
    ]
    filled = [
        group for group in groups if not any(not cell.strip() for row in table.rows for cell in _pick(row, group))
    ]
    best = filled if len(groups) > 1 else groups
    return best[0] if len(best) == 1 else None


def _pick(row: Sequence[str], columns: Sequence[int]) -> list[str]:
    return [row[column] for column in columns]


def _drop_other_columns(table: Table, columns: Sequence[int], images: ImageColumns, source: LabelSource) -> list[int]:
    """Drop what holds no labels: row numbers, other names of the images, the split, what the test tables have too.

    Further, one value alone, or another text in each of many rows.
    """
    split = find_split_column(table, images.columns)
    columns = [
        column
        for column in columns
        if not is_row_number(table.header[column])
        and column not in images.aliases
        and (split is None or column != split.column)
    ]
    given, has_sample = set[str](), source.sample.is_given
    for name, path in source.tables.items():
        if is_test_name(name) and not (has_sample and name == source.sample.name):
            # Without a sample submission the test may be one that has labels too.
            given |= {title for title in read_header_or_empty(path) if has_sample or not CLASS_WORDS.search(title)}
    columns = [column for column in columns if table.header[column] not in given] or columns
    return [column for column in columns if _may_be_label(table, column)]


def _may_be_label(table: Table, column: int) -> bool:
    values = _get_values(table, column)
    if len(values) < 2:
        return len(table.rows) < MIN_ROWS
    may_repeat = all(re.fullmatch(r"[-+.\deE]+", value) for value in values) or any(map(LISTED.search, values))
    return may_repeat or not len(values) == len(table.rows) >= MIN_ROWS


def _choose_column(
    table: Table, candidates: Sequence[int], images: ImageColumns, lookup: ImageLookup, source: LabelSource
) -> LabelColumns:
    """Choose the column by the first reason that fits one alone."""
    targets = _list_targets(source)
    reasons: list[tuple[int, str, Callable[[], list[int]]]] = [
        (2, "its values are those of the sample", lambda: _find_class_columns(table, candidates, source)),
        (2, "it is called as the sample's", lambda: [c for c in candidates if _is_alike(table.header[c], targets)]),
        (2, "it holds labels of the sample", lambda: _find_token_columns(table, candidates, source)),
        (
            1,
            "labels are usually called so",
            lambda: [c for c in candidates if table.header[c].strip().lower() in LABEL_COLUMN_NAMES],
        ),
        (1, "it names the folder of each image", lambda: _find_folder_columns(table, candidates, images, lookup)),
    ]
    for strength, reason, find in reasons:
        if len(found := find()) == 1:
            evidence = _describe_choice(table, found[0], candidates, reason)
            return LabelColumns(columns=(found[0],), strength=strength, evidence=evidence)
    if len(candidates) == 1:
        return LabelColumns(columns=(candidates[0],), strength=0)
    wide = _find_one_hot_columns(table, candidates, source)
    if wide:
        line = f"labels: one of {len(wide)} columns of {table.name} is 1 in each row, so that they are the classes"
        return LabelColumns(columns=wide, strength=1, evidence=(line,))
    raise _make_unclear_error(table, candidates)


def _make_unclear_error(table: Table, candidates: Sequence[int]) -> DataError:
    names = [table.header[column] for column in candidates]
    example = ",".join(names[:10]) if len(names) > 1 else "COLUMN"
    shown = [
        f"column {join_names([table.header[column]])}: {join_names(sorted(_get_values(table, column)))}"
        for column in candidates[:10]
    ]
    return DataError(
        f"it is unclear which column of {table.name} holds the label ({join_names(names, at_most=10) or 'none'})",
        hint=f"say it with --label COLUMN, several columns by --label {example}; "
        "--labels FILE takes another file, --labels folders the folders",
        seen=shown,
    )


def _describe_choice(table: Table, chosen: int, candidates: Sequence[int], reason: str) -> tuple[str, ...]:
    """Name the other columns that could be meant, unless they say the same."""
    others = [c for c in candidates if c != chosen and not _say_the_same(table, (c, chosen))]
    names = join_names([table.header[column] for column in others], at_most=5)
    taken = f"column {join_names([table.header[chosen]])} of {table.name} is taken, as {reason}"
    return (format_suggestion("--label COLUMN", f"{taken}; others are {names}"),) if others else ()


def _find_class_columns(table: Table, columns: Sequence[int], source: LabelSource) -> list[int]:
    """Find the columns whose every value is one of the sample's columns, or a list of these."""
    classes = {target.strip() for target in source.sample.target_columns}
    if len(classes) < 2:
        return []
    values = {column: {value.strip() for value in table.get_column(column)} for column in columns}
    return [
        column for column, held in values.items() if held <= classes or split_into_classes(held, classes) is not None
    ]


def _find_token_columns(table: Table, columns: Sequence[int], source: LabelSource) -> list[int]:
    """Find the columns that hold the most of the sample's values, as far as these are words, not numbers."""
    if len(source.sample.target_columns) > 1:
        return []
    values = set(source.sample.values)
    tokens = {token for value in values for token in value.split()}
    shares = [max(_compute_share(table, column, values), _compute_share(table, column, tokens)) for column in columns]
    best = max(shares, default=0.0)
    return [column for column, share in zip(columns, shares, strict=True) if share == best and best > MIN_TOKEN_SHARE]


def _compute_share(table: Table, column: int, wanted: set[str]) -> float:
    words = {word for word in wanted if word and not NUMBER_OR_BLANK.fullmatch(word)}
    return len(words & _get_values(table, column)) / len(words) if words else 0.0


def _find_folder_columns(table: Table, columns: Sequence[int], images: ImageColumns, lookup: ImageLookup) -> list[int]:
    """Find the columns that name a folder of each image, and are called so or hold all words of the others.

    Labels of which some were made wrong have the words of the right ones.
    """
    rows = table.rows[:: max(1, len(table.rows) // PROBED_ROWS)]
    ids = [row[images.columns[0]] for row in rows]
    fitted = lookup.fit(ids)
    found = [fitted.find(image_id) for image_id in ids]
    folders = [set(get_folder(one[0]).split("/")) if one else set() for one in found]
    agreeing = []
    for column in columns:
        n_agreeing = sum(row[column].strip() in names for row, names in zip(rows, folders, strict=True))
        words = _get_values(table, column)
        is_called = bool(CLASS_WORDS.search(table.header[column]))
        has_all_words = all(_get_values(table, other) <= words for other in columns)
        if n_agreeing >= MIN_AGREEMENT * len(rows) and (is_called or has_all_words):
            agreeing.append(column)
    return agreeing


def _find_one_hot_columns(table: Table, columns: Sequence[int], source: LabelSource) -> tuple[int, ...]:
    """Find several columns of which one alone is 1 in each row, where the sample has one target at most."""
    wide = [column for column in columns if {v.lower() for v in _get_values(table, column)} <= BOOLEANS.keys()]
    names = {table.header[column].strip() for column in wide}
    written = {value for value in source.sample.values if not NUMBER_OR_BLANK.fullmatch(value)}
    if len(wide) < 2 or len(source.sample.target_columns) > 1 or not written <= names:
        return ()
    n_ones = {sum(BOOLEANS.get(cell.strip().lower()) == "1" for cell in _pick(row, wide)) for row in table.rows}
    return tuple(wide) if n_ones == {1} else ()


def _is_alike(name: str, targets: Sequence[str]) -> bool:
    """Whether a column is named as a target but for case, signs and a final "id"."""
    return len(targets) == 1 and bool(normalize_name(name)) and normalize_name(name) == normalize_name(targets[0])


def _say_the_same(table: Table, pair: tuple[int, int]) -> bool:
    """Whether two columns of repeating values tell the same rows apart."""
    first, second = (table.get_column(column) for column in pair)
    n_pairs, n_first, n_second = len(set(zip(first, second, strict=True))), len(set(first)), len(set(second))
    return n_pairs == n_first == n_second <= max(2, len(table.rows) / 2)


def _get_values(table: Table, column: int) -> set[str]:
    return {value for cell in table.get_column(column) if (value := cell.strip())}
