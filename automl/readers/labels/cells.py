"""Whether a cell of labels holds one label whose name may have blanks, or several labels, and how these are separated.

Not responsible for: what follows from it for the task (automl.readers.infer).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from automl.errors import listed
from automl.readers.labels.source import Labels
from automl.readers.submission_template import Sample

MOST = 0.5  # of the cells; what holds for more of them is no chance
SEPARATORS = "|;,"  # of labels, beside blanks
QUOTED = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,'"]+?))\s*(?:,|$)""")  # an element of ['scab', 'rust']
SHOWN = 40  # signs of a cell; masks have thousands
REPEATING = 0.1  # of the lists; labels of an image are named once, runs of a mask and corners of boxes are not


def holds_lists(cells: Iterable[str], sample_values: Collection[str] = ()) -> bool:
    """Whether the cells hold several labels each, such as "scab rust", and not names such as "Sugar beet".

    Several they are where every label is a number, where the sample submission combines labels as no training cell
    does, or where in most of the cells with a blank each part also occurs in another cell.
    """
    distinct = {" ".join(cell.split()) for cell in cells} - {""}
    combined = [cell.split() for cell in distinct if " " in cell]
    if not combined:
        return False
    parts = {part for cell in distinct for part in cell.split()}
    if all(re.fullmatch(r"\d+", part) for part in parts):
        return True
    new_combinations = [value.split() for value in sample_values if " " in value.strip() and value not in distinct]
    if any(set(value) <= parts for value in new_combinations):
        return True
    return _are_reused([cell.split() for cell in distinct])


def labels_in(cells: Iterable[str]) -> set[str]:
    """The distinct labels of cells that hold lists with blanks."""
    return {label for cell in cells for label in cell.split()}


def separated_labels(cells: Iterable[str]) -> Mapping[str, tuple[str, ...]] | None:
    """The labels in each distinct cell where these are lists such as a|b, a;b, "a, b" or ['a', 'b'], else None.

    Lists they are where cells have different numbers of parts, and in most of those with several each part also occurs
    in another cell: "Apple, scab" is a name where every name has such a comma.
    """
    distinct = sorted(set(cells) - {""})
    for lists in _taken_apart(distinct):
        lengths = {len(parts) for parts in lists.values()}
        if _in_brackets(distinct) or (len(lengths) > 1 and _are_reused(list(lists.values()))):
            return lists
    return None


def sets_of(cells: Iterable[str], classes: Collection[str]) -> Mapping[str, tuple[str, ...]] | None:
    """The classes in each distinct cell where these are lists of them, else None.

    A label that is no class and always stands alone, such as "No Finding", is a name for none of them.
    """
    for lists in _taken_apart(sorted(set(cells) - {""})):
        strange = {part for parts in lists.values() for part in parts if part not in classes}
        alone = all(len(parts) == 1 or strange.isdisjoint(parts) for parts in lists.values())
        if alone and len(strange) <= 1:
            return {cell: tuple(part for part in parts if part in classes) for cell, parts in lists.items()}
    return None


def repeats_itself(cells: Iterable[str]) -> str | None:
    """The beginning of a cell that names something twice, where that is no slip: then cells hold masks or boxes."""
    lists = {cell: cell.split() for cell in set(cells)}
    several = [cell for cell, parts in lists.items() if len(parts) > 1]
    repeating = sorted(cell for cell in several if len(set(lists[cell])) < len(lists[cell]))
    return repeating[0][:SHOWN] if len(repeating) > REPEATING * len(several) else None


def _taken_apart(cells: Sequence[str]) -> Iterator[Mapping[str, tuple[str, ...]]]:
    """The parts of each cell, for each way to take one of them apart."""
    if _in_brackets(cells):
        yield {cell: _elements(cell) for cell in cells}
        return
    for separator in SEPARATORS:
        lists = {cell: tuple(part.strip() for part in cell.split(separator)) for cell in cells}
        if any(len(parts) > 1 for parts in lists.values()):
            yield lists


def _in_brackets(cells: Sequence[str]) -> bool:
    return bool(cells) and all(cell.startswith("[") and cell.endswith("]") for cell in cells)


def _elements(cell: str) -> tuple[str, ...]:
    return tuple(next(part for part in match.groups() if part is not None) for match in QUOTED.finditer(cell[1:-1]))


def _are_reused(lists: Sequence[Sequence[str]]) -> bool:
    """Whether in most of the distinct lists of several parts each part also occurs in another list."""
    n_lists_with = Counter(part for parts in lists for part in set(parts))
    reused = [all(n_lists_with[part] > 1 for part in parts) for parts in lists if len(parts) > 1]
    return sum(reused) > MOST * len(reused)


def in_columns(labels: Labels, sample: Sample) -> Labels:
    """The same labels, in columns where the sample has one for each class and cells hold lists of these classes."""
    classes = tuple(column.strip() for column in sample.target_columns)
    if len(labels.columns) > 1 or len(classes) < 2:
        return labels
    sets = sets_of(labels.texts, classes)
    if sets is None:
        return labels
    none = sorted(cell for cell, members in sets.items() if not members)
    also = f", none of them where it is {listed(none)}" if none else ""
    example = max(sets, key=lambda cell: (len(sets[cell]), cell))
    line = f"labels: lists in column {listed(labels.columns)} ({listed([example])}) taken apart{also}"
    rows = {cell: tuple("1" if name in members else "0" for name in classes) for cell, members in sets.items()}
    blank = ("0",) * len(classes)
    cells = tuple(rows.get(text, blank) for text in labels.texts)
    return replace(labels, columns=classes, cells=cells, evidence=(*labels.evidence, line))
