"""Tell cells with one label, whose name may have blanks, from cells with several labels, and split these."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from automl.errors import join_names
from automl.readers.labels.source import Labels
from automl.readers.submission_template import SampleSubmission

BOOLEANS = {  # of the lowered cell; what the columns of 0 and 1 of several tools hold
    **dict.fromkeys(("1", "1.0", "true", "yes", "t", "y"), "1"),
    **dict.fromkeys(("0", "0.0", "false", "no", "f", "n"), "0"),
}
WHOLE = re.compile(r"([+-]?\d+)(?:\.0+)?")
MIN_SHARE = 0.5  # of the cells; what holds for more of them is no chance
SEPARATORS = "|;,"  # of labels, beside blanks
QUOTED = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,'"]+?))\s*(?:,|$)""")  # an element of ['scab', 'rust']
MAX_CELL_LENGTH = 40  # signs of a cell; masks have thousands
MAX_REPEATING_SHARE = (
    0.1  # of the lists; labels of an image are named once, runs of a mask and corners of boxes are not
)


def has_lists(cells: Iterable[str], sample_values: Collection[str] = ()) -> bool:
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
    return is_reused([cell.split() for cell in distinct])


def split_separated_labels(cells: Iterable[str]) -> Mapping[str, tuple[str, ...]] | None:
    """Split each distinct cell of lists such as a|b, a;b, "a, b" or ['a', 'b']; None where these are no lists.

    Lists they are where cells have different numbers of parts, and in most of those with several each part also occurs
    in another cell: "Apple, scab" is a name where every name has such a comma.
    """
    distinct = sorted(set(cells) - {""})
    for lists in _split_cells(distinct):
        lengths = {len(parts) for parts in lists.values()}
        if _is_bracketed(distinct) or (len(lengths) > 1 and is_reused(list(lists.values()))):
            return lists
    return None


def split_into_classes(cells: Iterable[str], classes: Collection[str]) -> Mapping[str, tuple[str, ...]] | None:
    """Split each distinct cell into the classes that it lists; None where these are no lists of classes.

    A label that is no class and always stands alone, such as "No Finding", is a name for none of them.
    """
    for lists in _split_cells(sorted(set(cells) - {""})):
        unknown = {part for parts in lists.values() for part in parts if part not in classes}
        alone = all(len(parts) == 1 or unknown.isdisjoint(parts) for parts in lists.values())
        if alone and len(unknown) <= 1:
            return {cell: tuple(part for part in parts if part in classes) for cell, parts in lists.items()}
    return None


def find_repetition(cells: Iterable[str]) -> str | None:
    """Return the beginning of a cell that repeats itself, where many do: such cells hold masks or boxes."""
    lists = {cell: cell.split() for cell in set(cells)}
    several = [cell for cell, parts in lists.items() if len(parts) > 1]
    repeating = sorted(cell for cell in several if len(set(lists[cell])) < len(lists[cell]))
    return repeating[0][:MAX_CELL_LENGTH] if len(repeating) > MAX_REPEATING_SHARE * len(several) else None


def expand_to_columns(labels: Labels, sample: SampleSubmission) -> Labels:
    """Expand lists in one column to a 0/1 column for each class, where the sample has these columns."""
    classes = tuple(column.strip() for column in sample.target_columns)
    if len(labels.columns) > 1 or len(classes) < 2:
        return labels
    sets = split_into_classes(labels.texts, classes)
    if sets is None:
        return labels
    negative_cells = sorted(cell for cell, members in sets.items() if not members)
    remark = f", none of them where it is {join_names(negative_cells)}" if negative_cells else ""
    example = max(sets, key=lambda cell: (len(sets[cell]), cell))
    line = f"labels: lists in column {join_names(labels.columns)} ({join_names([example])}) taken apart{remark}"
    rows = {cell: tuple("1" if name in members else "0" for name in classes) for cell, members in sets.items()}
    blank = ("0",) * len(classes)
    cells = tuple(rows.get(text, blank) for text in labels.texts)
    return replace(labels, columns=classes, cells=cells, evidence=(*labels.evidence, line))


def normalize_cells(labels: Labels, sample: SampleSubmission) -> Labels:
    """Normalize numbers that were written otherwise: True and False in several columns, 2.0 where 2 is meant.

    In one column True and False stay the names of two classes. Whole numbers lose their .0 where the sample
    submission does not write it, or where some cells have it and others of the same number have not.
    """
    if len(labels.columns) > 1:
        return _number_booleans(labels, sample)
    texts = set(labels.texts) - {""}
    whole = {text: match[1] for text in texts if (match := WHOLE.fullmatch(text))}
    changed = {text: number for text, number in whole.items() if text != number}
    if not changed or len(whole) < len(texts):
        return labels
    columns = {column.strip() for column in sample.target_columns}
    written = {value for value in sample.values if value} if len(columns) < 2 else columns
    if any(not re.fullmatch(r"[+-]?\d+", value) for value in written) and len(set(whole.values())) == len(whole):
        return labels
    old = min(changed)
    line = f"labels: {join_names([old])} and the like of column {join_names(labels.columns)} read as {changed[old]}"
    cells = tuple((whole.get(text, text),) for text in labels.texts)
    return replace(labels, cells=cells, evidence=(*labels.evidence, line))


def _number_booleans(labels: Labels, sample: SampleSubmission) -> Labels:
    """Number the cells of several columns by 1 and 0, where these hold True and False, yes and no, or 1 and -1."""
    texts = {cell for row in labels.cells for cell in row if cell}
    words = sorted(text for text in texts if text not in BOOLEANS.values() and not WHOLE.fullmatch(text))
    of_text = {text: BOOLEANS[text.lower()] for text in texts if text.lower() in BOOLEANS}
    if texts == {"1", "-1"} and "-1" not in sample.values:
        of_text, words = {"1": "1", "-1": "0"}, ["-1", "1"]
    if not words or len(of_text) < len(texts):
        return labels
    line = f"labels: {join_names(words)} in {len(labels.columns)} columns read as 1 and 0"
    cells = tuple(tuple(of_text.get(cell, cell) for cell in row) for row in labels.cells)
    return replace(labels, cells=cells, evidence=(*labels.evidence, line))


def _split_cells(cells: Sequence[str]) -> Iterator[Mapping[str, tuple[str, ...]]]:
    """Yield the parts of each cell, for each separator that may be meant."""
    if _is_bracketed(cells):
        yield {cell: _parse_elements(cell) for cell in cells}
        return
    for separator in SEPARATORS:
        lists = {cell: tuple(part.strip() for part in cell.split(separator)) for cell in cells}
        if any(len(parts) > 1 for parts in lists.values()):
            yield lists


def _is_bracketed(cells: Sequence[str]) -> bool:
    return bool(cells) and all(cell.startswith("[") and cell.endswith("]") for cell in cells)


def _parse_elements(cell: str) -> tuple[str, ...]:
    return tuple(next(part for part in match.groups() if part is not None) for match in QUOTED.finditer(cell[1:-1]))


def is_reused(lists: Sequence[Sequence[str]]) -> bool:
    """Whether in most of the distinct lists of several parts each part also occurs in another list."""
    n_lists_with = Counter(part for parts in lists for part in set(parts))
    reused = [all(n_lists_with[part] > 1 for part in parts) for parts in lists if len(parts) > 1]
    return sum(reused) > MIN_SHARE * len(reused)
