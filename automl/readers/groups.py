"""Which images belong together, such as those of one patient, so that no fold tests on what it has trained on.

Not responsible for: duplicates, which are found by looking at the images (automl.data.cleaning), or the folds.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError, listed
from automl.files.image_names import is_of_test, without_suffix
from automl.files.pixel_tables import pixel_columns
from automl.files.tables import counted, read_header, read_table
from automl.readers.labels.source import Labels, Source
from automl.readers.submission_template import is_sample_name

NO_GROUPS = "none"
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
MOST = 0.9  # of the images must be found in another table, and of the prefixes have all suffixes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """Which images belong together.

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


def find_groups(labels: Labels, source: Source) -> Groups:
    """The groups by the column that is asked for or known, else by one that looks like it, else by pairs of ids.

    A column is used unasked where its name is a word of GROUP_WORDS, with or without "id", where some of its values
    have several images, and where folds can be made of them. Images without a value are groups of their own.

    Raises:
        DataError: no table has the column that was asked for.
    """
    if source.asked.group is not None:
        return _as_asked(source.asked.group, labels, source)
    if source.known is not None and source.known.group is not None:
        known = _named(source.known.group, labels, source)
        reason = f"known of {source.known.slug}"
        if known is None:
            return _none(f"groups: none, no table has the column {source.known.group} that is {reason}")
        return _grouped(known, reason)
    return _inferred(labels, source)


def _as_asked(name: str, labels: Labels, source: Source) -> Groups:
    if name.strip().lower() == NO_GROUPS:
        return _none("groups: none, as asked")
    column = _named(name, labels, source)
    if column is None:
        others = [column for header in _other_headers(source).values() for column in header]
        names = dict.fromkeys([*labels.others, *others])
        raise DataError(
            f"--group {name}: no table has such a column beside the images",
            hint=f"name one of {listed([*names, FILE_NAME], at_most=20)}, or {NO_GROUPS}",
        )
    return _grouped(column, "as asked")


def _none(*evidence: str) -> Groups:
    return Groups(numbers=None, grouped_by=None, evidence=evidence)


def _grouped(column: _Column, reason: str) -> Groups:
    """The groups of a column, unless it tells all images apart or none."""
    numbers = _numbers(column.values)
    n_groups = len(set(numbers.tolist()))
    if n_groups in (1, len(numbers)):
        held = "one value" if n_groups == 1 else "another value for each image"
        return _none(f"groups: none, {column.place} has {held}, {reason}")
    largest = max(Counter(numbers.tolist()).values())
    line = f"groups: {n_groups} of up to {counted(largest, 'image')}, from {column.place}, {reason}"
    return Groups(numbers=numbers, grouped_by=column.name, evidence=(line,))


def _numbers(values: Sequence[str]) -> NDArray[np.int64]:
    """(n,) equal for equal values, in the order in which they occur; a blank is equal to nothing."""
    keys = [(value, -1 if value else row) for row, value in enumerate(values)]
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([number_of[key] for key in keys], dtype=np.int64)


def _named(name: str, labels: Labels, source: Source) -> _Column | None:
    """The column of that name: of the labels' own table, else of one that names the images; or the file names."""
    wanted = name.strip().lower()
    if wanted == FILE_NAME:
        return _file_names(labels)
    for spelling, values in labels.others.items():
        if spelling.strip().lower() == wanted:
            return _Column(name=spelling.strip(), place=f"column {listed([spelling.strip()])}", values=values)
    for table, header in _other_headers(source).items():
        for column, spelling in enumerate(header):
            if spelling.strip().lower() == wanted:
                found = _joined(table, column, labels, source)
                if found is not None:
                    return found
    return None


def _other_headers(source: Source) -> Mapping[str, tuple[str, ...]]:
    """The columns of the tables that may say something of the training images."""
    headers: dict[str, tuple[str, ...]] = {}
    for name in sorted(source.tables):
        if is_sample_name(name) or name == source.sample.name or is_of_test(name):
            continue
        try:
            header = read_header(source.tables[name])
        except DataError:  # some other table, and a damaged one: nobody needs it
            continue
        if not pixel_columns(header):
            headers[name] = header
    return headers


def _joined(name: str, column: int, labels: Labels, source: Source) -> _Column | None:
    """A column of another table for each image, by whichever of its columns names the most images."""
    try:
        table = read_table(source.tables[name])
    except DataError:
        return None
    keys = [_keys(image_id, image) for image_id, image in zip(labels.ids, labels.images, strict=True)]
    best: list[str] = []
    for key_column in range(len(table.header)):
        if key_column == column:
            continue
        value_of = {without_suffix(row[key_column].strip()): row[column].strip() for row in table.rows}
        values = [next((value_of[key] for key in options if key in value_of), "") for options in keys]
        best = max(best, values, key=lambda found: sum(1 for value in found if value))
    if sum(1 for value in best if value) < MOST * len(keys):
        return None
    spelling = table.header[column].strip()
    return _Column(name=spelling, place=f"column {listed([spelling])} of {name}", values=tuple(best))


def _keys(image_id: str, image: str) -> tuple[str, ...]:
    """What a table may call an image: its id, its address, or its file name, each without its extension."""
    return tuple(without_suffix(name) for name in (image_id, image, posixpath.basename(image)))


def _inferred(labels: Labels, source: Source) -> Groups:
    """Groups by what looks like it, and what was seen but not used."""
    columns = sorted(_candidates(labels, source), key=lambda column: GROUP_WORDS.index(str(_group_word(column.name))))
    usable = [column for column in columns if _is_usable(column, labels)]
    if usable:
        return _grouped(usable[0], f"which looks like it; --group {NO_GROUPS} ignores it")
    names = _prefixes(labels) or _same_names(labels)
    if names is not None:
        return _grouped(names, f"which look like it; --group {NO_GROUPS} ignores them")
    return _none(
        *(f"groups: none; --group {listed([column.name])} would hold equal ones together" for column in columns)
    )


def _candidates(labels: Labels, source: Source) -> list[_Column]:
    """Columns that are called like groups, of the labels' own table or else of others, and that part the images."""
    own = [
        _Column(name=name.strip(), place=f"column {listed([name.strip()])}", values=values)
        for name, values in labels.others.items()
        if _group_word(name)
    ]
    found = own or [
        joined
        for table, header in _other_headers(source).items()
        for column, name in enumerate(header)
        if _group_word(name) and name.strip() not in labels.columns
        if (joined := _joined(table, column, labels, source)) is not None
    ]
    return [column for column in found if 1 < len(set(column.values)) < len(labels.ids)]


def _group_word(name: str) -> str | None:
    """The word of GROUP_WORDS that a column is called by, where nothing but an id is added to it."""
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


def _prefixes(labels: Labels) -> _Column | None:
    """What ids such as 10_left and 10_right begin with, where each beginning has the same few endings."""
    matches = [SUFFIX.fullmatch(without_suffix(posixpath.basename(image_id))) for image_id in labels.ids]
    parted = [(match[1], match[2]) for match in matches if match]
    suffixes = {suffix for _, suffix in parted}
    if len(parted) < len(labels.ids) or not 1 < len(suffixes) <= MAX_SUFFIXES:
        return None
    n_endings = Counter(prefix for prefix, _ in set(parted))
    n_whole = sum(1 for n in n_endings.values() if n == len(suffixes))
    column = _Column(name="id", place="the beginnings of the ids", values=tuple(prefix for prefix, _ in parted))
    return column if n_whole >= MOST * len(n_endings) and _is_usable(column, labels) else None


def _same_names(labels: Labels) -> _Column | None:
    """The file names, where each occurs in every folder: images of one thing in the folders of several classes."""
    column = _file_names(labels)
    folders = [posixpath.dirname(image) for image in labels.images]
    n_folders_with = Counter(name for name, _ in set(zip(column.values, folders, strict=True)))
    n_folders = len(set(folders))
    n_everywhere = sum(1 for n in n_folders_with.values() if n == n_folders)
    is_grid = n_folders > 1 and n_everywhere >= MOST * len(n_folders_with)
    return column if is_grid and _is_usable(column, labels) else None


def _file_names(labels: Labels) -> _Column:
    stems = tuple(without_suffix(posixpath.basename(image)) for image in labels.images)
    return _Column(name=FILE_NAME, place="the file names", values=stems)
