"""Whether a cell of labels holds one label whose name may have blanks, or several labels with blanks between them.

Not responsible for: what follows from it for the task (automl.reading.meaning).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

MOST = 0.5  # of the cells; what holds for more of them is no chance


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
    n_cells_with = Counter(part for cell in distinct for part in set(cell.split()))
    reused = [all(n_cells_with[part] > 1 for part in cell) for cell in combined]
    return sum(reused) > MOST * len(reused)


def labels_in(cells: Iterable[str]) -> set[str]:
    """The distinct labels of cells that hold lists."""
    return {label for cell in cells for label in cell.split()}
