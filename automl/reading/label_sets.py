"""Lists of labels in one column, such as Effusion|Mass, as a column of 0 and 1 for each class of the sample submission.

Not responsible for: which cells are lists (automl.reading.label_lists), or lists with blanks, which submissions have
too (automl.reading.targets).
"""

from __future__ import annotations

from dataclasses import replace

from automl.errors import listed
from automl.reading.label_lists import sets_of
from automl.reading.labels import Labels
from automl.reading.templates import Sample


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
