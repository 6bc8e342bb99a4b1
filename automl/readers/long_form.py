"""Split row ids of the long form, which name an image and one of its targets, such as ID_28fbab7eb_epidural."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from automl.files.tables import Table

MIN_TARGETS, MAX_TARGETS = 2, 60  # to an image; more are images that happen to make a grid
SEPARATOR = re.compile("_+")
TARGET_COLUMN = re.compile(r"target|component|prediction|label|class|finding|type")  # in the lowered name


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfoldedIds:
    """Row ids split into image and target.

    Attributes:
        image_ids: (n_test,) in the order in which the rows first name them.
        targets: (n_classes,) likewise.
        cells: (n_rows,) of (test image, target); each pair occurs once.
    """

    image_ids: tuple[str, ...]
    targets: tuple[str, ...]
    cells: tuple[tuple[int, int], ...]


def unfold(
    ids: Sequence[str], test_table: Table | None = None, *, known_targets: Collection[str] | None = None
) -> UnfoldedIds | None:
    """Split row ids such as `ID_1_epidural` into images and targets; None where they are no complete grid.

    In a complete grid each image has the same 2 to 60 targets once. Of several ways to split the ids it is the one
    with the fewest targets. Whether the ids name images themselves is for the caller to ask first.

    Args:
        test_table: a table with these ids, and perhaps with columns for the image and the target; these go first.
        known_targets: names of training columns or labels; then only targets among them count, and one image will do.
    """
    if test_table is not None:
        stated = _unfold_by_table(ids, test_table)
        if stated is not None:
            return stated
    found = [unfolded for pairs in _iterate_splits(ids) if (unfolded := _build_grid(pairs))]
    fitting = [unfolded for unfolded in found if _is_likely(unfolded, known_targets)]
    return min(fitting, key=lambda unfolded: (len(unfolded.targets), len(unfolded.targets[0])), default=None)


def split_id(row_id: str, targets: Collection[str]) -> tuple[str, str] | None:
    """Split a row id into (image, target) by the longest of these targets that it ends in."""
    for separator in SEPARATOR.finditer(row_id):
        image, target = row_id[: separator.start()], row_id[separator.end() :]
        if image and target in targets:
            return image, target
    return None


def _unfold_by_table(ids: Sequence[str], table: Table) -> UnfoldedIds | None:
    """Split by the columns of a table of the test rows: one for the image, one for the target."""
    named = [column for column in range(len(table.header)) if set(ids) <= set(table.get_column(column))]
    if not named:
        return None
    rows = dict(zip(table.get_column(named[0]), table.rows, strict=True))
    columns = [tuple(rows[row_id][column].strip() for row_id in ids) for column in range(len(table.header))]
    in_ids = [all(map(str.endswith, ids, column)) and all(column) for column in columns]
    is_named = [bool(TARGET_COLUMN.search(name.lower())) for name in table.header]
    targets = [column for column in range(len(columns)) if (in_ids[column] or is_named[column]) and column not in named]
    for target in sorted(targets, key=lambda column: not in_ids[column]):
        for image in range(len(columns)):
            pairs = zip(columns[image], columns[target], strict=True)
            if image not in (target, *named) and (unfolded := _build_grid(pairs)):
                return unfolded
    return None


def _iterate_splits(ids: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """Yield (image, target) of every id, for each part of the first or last id that may name its image."""
    tried: set[frozenset[str]] = set()
    for probed in dict.fromkeys((ids[0], ids[-1]) if ids else ()):
        for separator in SEPARATOR.finditer(probed):
            start = probed[: separator.end()]
            targets = frozenset(_collect_endings(ids, start))
            if separator.start() and MIN_TARGETS <= len(targets) <= MAX_TARGETS and targets not in tried:
                tried.add(targets)
                pairs = [split_id(row_id, targets) for row_id in ids]
                if all(pairs):
                    yield [pair for pair in pairs if pair]


def _collect_endings(ids: Sequence[str], start: str) -> set[str]:
    """Collect what follows the start in the ids; no more than needed to see that these are too many."""
    found: set[str] = set()
    for row_id in ids:
        if row_id.startswith(start):
            found.add(row_id.removeprefix(start))
        if len(found) > MAX_TARGETS:
            break
    return found


def _build_grid(pairs: Iterable[tuple[str, str]]) -> UnfoldedIds | None:
    """Number the pairs, where each image has each of 2 to 60 targets once."""
    images: dict[str, int] = {}
    targets: dict[str, int] = {}
    cells = tuple(
        (images.setdefault(image, len(images)), targets.setdefault(target, len(targets))) for image, target in pairs
    )
    if not MIN_TARGETS <= len(targets) <= MAX_TARGETS or not len(set(cells)) == len(cells) == len(images) * len(
        targets
    ):
        return None
    return UnfoldedIds(image_ids=tuple(images), targets=tuple(targets), cells=cells)


def _is_likely(unfolded: UnfoldedIds, known_targets: Collection[str] | None) -> bool:
    """Whether the targets are known; else whether several images have them, and they are no numbers."""
    if known_targets is not None:
        return set(unfolded.targets) <= set(known_targets)
    return len(unfolded.image_ids) > 1 and not all(target.isdigit() for target in unfolded.targets)
