"""Read cells that hold several labels each, and in what form the submission lists them: a b, a,b, a|b, ["a", "b"].

See also: automl.readers.labels.cells tells lists from names; automl.data.competition writes them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from automl.data.competition import BLANK, split_list
from automl.errors import DataError, join_names
from automl.readers.label_names import match_spelling, normalize_label
from automl.readers.labels.cells import find_repetition, has_lists, is_reused
from automl.readers.labels.source import LabelOrigin, Labels
from automl.readers.submission_template import SampleSubmission

SIGNS = ("|", ";", ",")  # between labels, beside blanks
# A folder is one class, and so is the category of an annotation, whatever it is called.
SURE_ORIGINS = frozenset({LabelOrigin.FOLDERS, LabelOrigin.NAMES, LabelOrigin.DOCUMENT})


@dataclass(frozen=True, slots=True)
class LabelLists:
    """What the cells of one column list.

    Attributes:
        sets: cell -> its labels.
        separator: what stands between two labels, as `SubmissionTemplate.separator`.
        is_sure: whether these are lists for sure, and not names of several words.
    """

    sets: Mapping[str, tuple[str, ...]]
    separator: str
    is_sure: bool = True

    @property
    def labels(self) -> set[str]:
        """The distinct labels."""
        return {label for labels in self.sets.values() for label in labels}

    @property
    def example(self) -> str:
        """A cell that lists the most."""
        return max(self.sets, key=lambda cell: (len(self.sets[cell]), cell))

    @property
    def has_several(self) -> bool:
        """Whether any cell lists more than one label."""
        return any(len(labels) > 1 for labels in self.sets.values())


def find_lists(labels: Labels, sample: SampleSubmission) -> LabelLists | None:
    """Find the lists that the cells of one column are; None where they are names of one class each.

    Lists they are where most parts of the cells occur in other cells too, or the sample combines them as no cell does.
    "Apple, scab" and "Apple, rust" are names; of "fresh apple", "rotten apple", "fresh pear" and "rotten pear" it is
    unclear.
    """
    if len(labels.columns) > 1 or labels.origin in SURE_ORIGINS:
        return None
    cells = set(labels.texts)
    for separator in _list_separators(cells):
        lists, is_bracketed = _split_cells(cells, separator), separator.startswith("[")
        if not lists.has_several and not is_bracketed:
            continue
        is_new = _has_new_sets(lists, sample.values)
        is_list = has_lists(cells, sample.values) if separator == BLANK else is_reused(list(lists.sets.values()))
        if is_bracketed or is_list or is_new:
            return replace(lists, is_sure=is_new or is_bracketed or _are_sure(lists))
    return None


def read_lists(labels: Labels, sample: SampleSubmission) -> LabelLists:
    """Read the cells of one column as lists, as is asked for: by what separates them, or else of one label each.

    Raises:
        DataError: the cells are no lists of labels, but of masks or boxes.
    """
    cells = set(labels.texts)
    repeating = find_repetition(cells)
    if repeating is not None:
        raise DataError(
            f"column {join_names(labels.columns)} holds lists that name something twice, as masks and boxes do: "
            f"{join_names([repeating])}",
            hint="use a tool for segmentation or detection; automl predicts classes and values",
        )
    if labels.origin in SURE_ORIGINS:
        return LabelLists({cell: (cell,) for cell in cells}, BLANK)
    found = find_lists(labels, sample)
    if found is not None:
        return found
    tried = [_split_cells(cells, separator) for separator in _list_separators(cells)]
    return next((lists for lists in tried if lists.has_several), tried[-1])


def choose_separator(lists: LabelLists, sample: SampleSubmission) -> LabelLists:
    """Choose the separator of the sample's lists, where it has any; else that of the training labels is kept.

    Raises:
        DataError: labels hold blanks, and nothing but blanks would stand between them.
    """
    labels = lists.labels
    folded = {normalize_label(label) for label in labels}
    values = {value for value in sample.values if value and normalize_label(value) not in folded}
    separators = dict.fromkeys((lists.separator, *_list_separators(values)))
    separator = next((own for own in separators if _lists_known(values, folded, own)), lists.separator)
    with_blanks = sorted(label for label in labels if BLANK in label)
    if separator == BLANK and with_blanks and lists.has_several:
        raise DataError(
            f"{sample.name} wants lists with blanks between the labels, but these have blanks: "
            f"{join_names(with_blanks)}",
            hint="check the column of the labels; --label COLUMN says another",
        )
    return replace(lists, separator=separator)


def match_list_spelling(lists: LabelLists, sample: SampleSubmission) -> tuple[LabelLists, tuple[str, ...]]:
    """Write the labels as the sample's lists do, where these differ in case or accents; also return what to tell."""
    written = {label for value in set(sample.values) for label in split_list(value, lists.separator)}
    matched = match_spelling(lists.labels, written, source=sample.name)
    sets = {cell: tuple(matched.renamed.get(label, label) for label in own) for cell, own in lists.sets.items()}
    return replace(lists, sets=sets), matched.lines


def _list_separators(cells: Collection[str]) -> list[str]:
    """List the separators that may stand in these cells, in the form of `SubmissionTemplate.separator`."""
    filled = [cell for cell in cells if cell]
    if filled and all(cell.startswith("[") and cell.endswith("]") for cell in filled):
        return [_read_brackets(max(filled, key=len))]
    signs = [sign for sign in SIGNS if any(sign in cell for cell in filled)]
    return [*(_read_separator(filled, sign) for sign in signs), BLANK]


def _read_separator(cells: Sequence[str], sign: str) -> str:
    """Read whether a blank stands behind the sign, as it does in most cells."""
    holding = [cell for cell in cells if sign in cell]
    return f"{sign} " if 2 * sum(f"{sign} " in cell for cell in holding) > len(holding) else sign


def _read_brackets(cell: str) -> str:
    inside = cell[1:-1].strip()
    mark = inside[0] if inside[:1] in ("'", '"') else ""
    return f"[{mark},{mark}]" if "," in inside and ", " not in inside else f"[{mark}, {mark}]"


def _split_cells(cells: Collection[str], separator: str) -> LabelLists:
    return LabelLists({cell: tuple(split_list(cell, separator)) for cell in cells}, separator)


def _are_sure(lists: LabelLists) -> bool:
    """Whether lists of several differ in length, or a part of one also stands alone, or all parts are numbers.

    Not of two numbers with a comma, which may be the decimals of one.
    """
    several = [own for own in lists.sets.values() if len(own) > 1]
    parts = {label for own in several for label in own}
    alone = {own[0] for own in lists.sets.values() if len(own) == 1}
    are_numbers, lengths = all(map(str.isdigit, lists.labels)), {len(own) for own in several}
    if are_numbers and lists.separator == "," and lengths == {2}:
        return False
    return are_numbers or len(lengths) > 1 or bool(parts & alone)


def _has_new_sets(lists: LabelLists, sample_values: Sequence[str]) -> bool:
    """Whether the sample lists labels as no cell of the training images does."""
    known, labels = {frozenset(own) for own in lists.sets.values()}, lists.labels
    separators = {lists.separator, *_list_separators(sample_values)}
    new = (frozenset(split_list(value, own)) for value in set(sample_values) for own in separators)
    return any(len(own) > 1 and own <= labels and own not in known for own in new)


def _lists_known(values: Collection[str], folded: set[str], separator: str) -> bool:
    """Whether some of the values list several labels, and all of them known ones, however they are written."""
    lists = [split_list(value, separator) for value in values]
    known = (normalize_label(label) in folded for own in lists for label in own)
    return any(len(own) > 1 for own in lists) and all(known)
