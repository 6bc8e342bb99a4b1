"""Find which images belong together, such as those of one patient, so that no fold validates on what it trained on."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError, UsageError, join_names
from automl.files.evidence import format_warning
from automl.files.image_names import is_test_name, strip_suffix
from automl.files.pixel_tables import find_pixel_columns
from automl.files.tables import format_count, read_header, read_table
from automl.readers.labels.source import FOLDER, LabelOrigin, Labels, LabelSource
from automl.readers.submission_template import is_sample_name

NO_GROUPS, ROW = "none", "row"
FILE_NAME = "file name"
# Source: reference of competitions, section 2.5 step 7; in the order in which one is preferred to another.
GROUP_WORDS = (
    *("patient", "subject", "driver", "person", "user", "individual", "case", "study", "plant", "location", "site"),
    *("camera", "slide", "session"),
)
ID_WORDS = frozenset({"id", "ids", "uid", "uuid", "instance", "name", "no", "num", "nr", "number", "key", "hash"})
MIN_GROUPS = 5  # as many as there are folds; fewer cannot be spread
MAX_SHARE = 0.5  # of the images; a fold cannot hold more than it is given
SUFFIX = re.compile(r"(.+)[_-]([^_-]+)")
MAX_SUFFIXES = 6  # left, right, or a few views; more are numbers
MIN_COVERAGE = 0.9  # of the images must be found in another table, and of the prefixes have all suffixes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """The group of each image, for group-wise folds.

    Attributes:
        numbers: (n,) as `Competition.groups`.
        grouped_by: what they were made from, in a word.
    """

    numbers: NDArray[np.int64] | None
    grouped_by: str | None
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A value for each image, "" where there is none, and where it stands."""

    name: str
    place: str
    values: tuple[str, ...]


def find_groups(labels: Labels, source: LabelSource) -> Groups:
    """Find groups by the given or known column, else by one whose name and values look like groups.

    A column is used by itself where its name is a word of GROUP_WORDS, with or without "id", where some of its values
    have several images, and where folds can be made of them. Images without a value are groups of their own. The images
    of one row of the labels always belong together.

    Raises:
        DataError: no table has the given column.
    """
    groups = _find_groups_of_images(labels, source)
    if labels.rows is None or len(set(labels.rows)) == len(labels.rows):
        return groups
    numbers = _merge_rows(groups.numbers, labels.rows)
    line = f"groups: the images of one row stay together, {len(set(labels.rows))} rows"
    return Groups(numbers=numbers, grouped_by=groups.grouped_by or ROW, evidence=(*groups.evidence, line))


def _find_groups_of_images(labels: Labels, source: LabelSource) -> Groups:
    if source.settings.group is not None:
        return _group_by_setting(source.settings.group, labels, source)
    if source.known is not None and source.known.group is not None:
        known_column = _find_named_column(source.known.group, labels, source)
        reason = f"known of {source.known.slug}"
        if known_column is None:
            return _make_no_groups(f"groups: none, no table has the column {source.known.group} that is {reason}")
        return _group_by_column(known_column, reason)
    return _infer_groups(labels, source)


def _merge_rows(numbers: NDArray[np.int64] | None, rows: Sequence[int]) -> NDArray[np.int64]:
    """Return groups (n,) in which the images of one row have one number, and so have groups that share a row."""
    own = list(range(len(rows))) if numbers is None else [int(number) for number in numbers]
    parent = {number: number for number in own}

    def find(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[int, int] = {}
    for number, row in zip(own, rows, strict=True):
        parent[find(number)] = find(first.setdefault(row, number))
    return _number_groups([str(find(number)) for number in own])


def find_fixed_fold(labels: Labels, groups: Groups, source: LabelSource) -> tuple[str | None, list[str]]:
    """Return the folder whose images are the fold that trials validate on, if the user names one, and evidence.

    Raises:
        UsageError: no labelled image lies in it, or all do.
    """
    folder = source.files.fixed_fold
    if folder is None:
        return None, []
    is_inside = [image.startswith(folder) for image in labels.images]
    n_inside = sum(is_inside)
    if n_inside in (0, len(is_inside)):
        raise UsageError(
            f"--fixed-fold {folder}: {'no' if not n_inside else 'every'} labelled image lies in it",
            hint="name a folder that holds some of the labelled images, such as one for validation",
        )
    lines = [f"folds: {format_count(n_inside, 'image')} of {folder} are the fold that trials validate on, as asked"]
    if groups.numbers is not None:
        inside, outside = (
            {number for number, flag in zip(groups.numbers.tolist(), is_inside, strict=True) if flag is side}
            for side in (True, False)
        )
        if inside & outside:
            n_groups = format_count(len(inside & outside), "group")
            lines.append(
                format_warning(f"folds: {n_groups} lie both in {folder} and outside: its scores will be too good")
            )
    return folder, lines


def _group_by_setting(name: str, labels: Labels, source: LabelSource) -> Groups:
    if name.strip().lower() == NO_GROUPS:
        return _make_no_groups("groups: none, as asked")
    column = _find_named_column(name, labels, source)
    if column is None:
        others = [column for header in _read_other_headers(source).values() for column in header]
        names = dict.fromkeys([*labels.others, *others])
        raise DataError(
            f"--group {name}: no table has such a column beside the images",
            hint=f"name one of {join_names([*names, FILE_NAME], at_most=20)}, or {NO_GROUPS}",
        )
    return _group_by_column(column, "as asked")


def _make_no_groups(*evidence: str) -> Groups:
    return Groups(numbers=None, grouped_by=None, evidence=evidence)


def _group_by_column(column: _Column, reason: str) -> Groups:
    """Group by a column, unless its values are all equal or all different."""
    numbers = _number_groups(column.values)
    n_groups = len(set(numbers.tolist()))
    if n_groups in (1, len(numbers)):
        content = "one value" if n_groups == 1 else "another value for each image"
        return _make_no_groups(f"groups: none, {column.place} has {content}, {reason}")
    largest = max(Counter(numbers.tolist()).values())
    line = f"groups: {n_groups} of up to {format_count(largest, 'image')}, from {column.place}, {reason}"
    return Groups(numbers=numbers, grouped_by=column.name, evidence=(line,))


def _number_groups(values: Sequence[str]) -> NDArray[np.int64]:
    """Number equal values alike, (n,) in the order in which they occur; a blank is equal to nothing."""
    keys = [(value, -1 if value else row) for row, value in enumerate(values)]
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([number_of[key] for key in keys], dtype=np.int64)


def _find_named_column(name: str, labels: Labels, source: LabelSource) -> _Column | None:
    """Return the column of that name: of the labels' table, else of one that names the images; or the file names."""
    wanted = name.strip().lower()
    if wanted == FILE_NAME:
        return _make_file_name_column(labels)
    for spelling, values in labels.others.items():
        if spelling.strip().lower() == wanted:
            return _Column(name=spelling.strip(), place=f"column {join_names([spelling.strip()])}", values=values)
    for table, header in _read_other_headers(source).items():
        for column, spelling in enumerate(header):
            if spelling.strip().lower() == wanted:
                found = _join_column(table, column, labels, source)
                if found is not None:
                    return found
    return None


def _read_other_headers(source: LabelSource) -> Mapping[str, tuple[str, ...]]:
    """Read the headers of the tables that may describe the training images."""
    headers: dict[str, tuple[str, ...]] = {}
    for name in sorted(source.tables):
        if is_sample_name(name) or name == source.sample.name or is_test_name(name):
            continue
        try:
            header = read_header(source.tables[name])
        except DataError:  # some other table, and a damaged one, which is not needed
            continue
        if not find_pixel_columns(header):
            headers[name] = header
    return headers


def _join_column(name: str, column: int, labels: Labels, source: LabelSource) -> _Column | None:
    """Join a column of another table to the images, by whichever of its columns names the most images."""
    try:
        table = read_table(source.tables[name])
    except DataError:
        return None
    keys = [_list_keys(image_id, image) for image_id, image in zip(labels.ids, labels.images, strict=True)]
    best: list[str] = []
    for key_column in range(len(table.header)):
        if key_column == column:
            continue
        value_of = {strip_suffix(row[key_column].strip()): row[column].strip() for row in table.rows}
        values = [next((value_of[key] for key in options if key in value_of), "") for options in keys]
        best = max(best, values, key=lambda found: sum(1 for value in found if value))
    if sum(1 for value in best if value) < MIN_COVERAGE * len(keys):
        return None
    spelling = table.header[column].strip()
    return _Column(name=spelling, place=f"column {join_names([spelling])} of {name}", values=tuple(best))


def _list_keys(image_id: str, image: str) -> tuple[str, ...]:
    """List the keys of an image in other tables: its id, address and file name, each without extension."""
    return tuple(strip_suffix(name) for name in (image_id, image, posixpath.basename(image)))


def _infer_groups(labels: Labels, source: LabelSource) -> Groups:
    """Infer groups from columns, ids or file names; report candidates that were not used."""
    columns = sorted(
        _find_candidates(labels, source), key=lambda column: GROUP_WORDS.index(str(_match_group_word(column.name)))
    )
    usable = [column for column in columns if _is_usable(column, labels)]
    if usable:
        return _group_by_column(usable[0], f"which looks like it; --group {NO_GROUPS} ignores it")
    names = _group_by_folder(labels) or _group_by_prefix(labels) or _group_by_file_name(labels)
    if names is not None:
        return _group_by_column(names, f"which look like it; --group {NO_GROUPS} ignores them")
    return _make_no_groups(
        *(f"groups: none; --group {join_names([column.name])} would hold equal ones together" for column in columns)
    )


def _find_candidates(labels: Labels, source: LabelSource) -> list[_Column]:
    """Find columns with a group's name, in the labels' table or else in others, that separate some images."""
    own = [
        _Column(name=name.strip(), place=f"column {join_names([name.strip()])}", values=values)
        for name, values in labels.others.items()
        if _match_group_word(name)
    ]
    found = own or [
        joined
        for table, header in _read_other_headers(source).items()
        for column, name in enumerate(header)
        if _match_group_word(name) and name.strip() not in labels.columns
        if (joined := _join_column(table, column, labels, source)) is not None
    ]
    return [column for column in found if 1 < len(set(column.values)) < len(labels.ids)]


def _match_group_word(name: str) -> str | None:
    """Return the word of GROUP_WORDS that is the column's name, with or without "id"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    words = [word for word in re.split(r"[\W_]+", spaced.lower()) if word and word not in ID_WORDS]
    if len(words) != 1:
        return None
    return next((word for word in GROUP_WORDS if words[0] in (word, f"{word}s", f"{word}id")), None)


def _is_usable(column: _Column, labels: Labels) -> bool:
    """Whether the groups can be spread over folds, and are not the classes by another name."""
    sizes = Counter(value for value in column.values if value)
    pairs = set(zip(column.values, labels.cells, strict=True))
    is_target = len(pairs) == len(set(column.values)) == len(set(labels.cells))
    n_images = len(column.values)
    spreads = len(sizes) >= MIN_GROUPS and max(sizes.values()) <= MAX_SHARE * n_images
    return spreads and max(sizes.values()) > 1 and not is_target


def _group_by_folder(labels: Labels) -> _Column | None:
    """Group by the folders that are no classes, such as those of patients."""
    values = labels.others.get(FOLDER) if labels.origin is LabelOrigin.FOLDERS else None
    column = None if values is None else _Column(name=FOLDER, place="the folders that are no classes", values=values)
    return column if column is not None and _is_usable(column, labels) else None


def _group_by_prefix(labels: Labels) -> _Column | None:
    """Group ids such as 10_left and 10_right by their beginning, where each has the same few endings."""
    matches = [SUFFIX.fullmatch(strip_suffix(posixpath.basename(image_id))) for image_id in labels.ids]
    split_ids = [(match[1], match[2]) for match in matches if match]
    suffixes = {suffix for _, suffix in split_ids}
    if len(split_ids) < len(labels.ids) or not 1 < len(suffixes) <= MAX_SUFFIXES:
        return None
    n_endings = Counter(prefix for prefix, _ in set(split_ids))
    n_whole = sum(1 for n in n_endings.values() if n == len(suffixes))
    column = _Column(name="id", place="the beginnings of the ids", values=tuple(prefix for prefix, _ in split_ids))
    return column if n_whole >= MIN_COVERAGE * len(n_endings) and _is_usable(column, labels) else None


def _group_by_file_name(labels: Labels) -> _Column | None:
    """Group by file name, where each name occurs in every folder: one thing in the folders of several classes."""
    if labels.origin is LabelOrigin.PIXELS:  # no files, and rows of several shards have equal numbers
        return None
    column = _make_file_name_column(labels)
    folders = [posixpath.dirname(image) for image in labels.images]
    n_folders_with = Counter(name for name, _ in set(zip(column.values, folders, strict=True)))
    n_folders = len(set(folders))
    n_everywhere = sum(1 for n in n_folders_with.values() if n == n_folders)
    is_grid = n_folders > 1 and n_everywhere >= MIN_COVERAGE * len(n_folders_with)
    return column if is_grid and _is_usable(column, labels) else None


def _make_file_name_column(labels: Labels) -> _Column:
    stems = tuple(strip_suffix(posixpath.basename(image)) for image in labels.images)
    return _Column(name=FILE_NAME, place="the file names", values=stems)
