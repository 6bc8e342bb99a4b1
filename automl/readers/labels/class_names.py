"""Tell names that may be those of classes from those of parts of a set, patients, cameras or dates."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from automl.files.image_names import DERIVED_WORDS, MASK_WORDS, ORIGINAL_WORDS, find_role, has_own_word, split_words

PART_TEXT = """part parts shard shards batch batches chunk chunks fold folds split splits subset subsets volume vol
archive image images img imgs picture pictures pic pics photo photos data dataset set folder dir disk pack package
section block tar zip"""
THING_TEXT = """patient patients subject person user case study site hospital center centre camera cam view session day
week month year run seq sequence video clip frame slide scan exam location scanner device sample item object scene
specimen instance"""
VIEW_TEXT = "left right l r front back rear top bottom side od os axial sagittal coronal"
HOLDER_TEXT = "files inputs labels jpg jpeg png tif tiff bmp misc"
CLASS_TEXT = "class label type grade category cat level stage"
PART_WORDS, THING_WORDS, VIEW_WORDS, HOLDER_WORDS, CLASS_WORDS = (
    frozenset(text.split()) for text in (PART_TEXT, THING_TEXT, VIEW_TEXT, HOLDER_TEXT, CLASS_TEXT)
)
DATE = re.compile(r"(?:19|20)\d\d(?:[-_. ]?\d\d?(?:[-_. ]?\d\d?)?)?|\d\d?[-_. ]\d\d?[-_. ](?:19|20)\d\d")
NUMBER_RANGE = re.compile(r"\d+ ?[-_] ?\d+")
HASH = re.compile(r"(?=.*\d)[0-9a-f]{8,}(?:-[0-9a-f]+)*", re.IGNORECASE)
BYTE_IN_HEX = re.compile(r"[0-9a-f]{1,2}")
MIN_HASHED = 8  # folders of one or two hexadecimal digits; fewer may be classes such as 0 to 5, A and B


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why the folders of a level are hardly classes.

    Attributes:
        reason: what they look like, in words.
        makes_groups: whether what lies in one such folder belongs together.
    """

    reason: str
    makes_groups: bool = False


def find_doubt(names: Sequence[str], stems: Sequence[str]) -> Doubt | None:
    """Find why names of folders, or words of file names, are hardly those of classes; None where they may be.

    Args:
        names: (n,) of each image.
        stems: (n,) the images' file names without extension.
    """
    distinct = sorted(set(names))
    for looks_so, doubt in DOUBTS:
        if all(looks_so(name) for name in distinct):
            return doubt
    firsts = {next(iter(split_words(name)), "") for name in distinct}
    if len(firsts) == 1 and firsts <= THING_WORDS:
        return Doubt(reason="are called as places, times or persons are", makes_groups=True)
    if len(distinct) > max(2, len(names) // 2):
        return Doubt(reason="hold hardly more than one image each", makes_groups=True)
    if all(name.isascii() and name.isdigit() for name in distinct) and not _is_counted(distinct):
        return Doubt(reason="are numbers that do not count up from 0 or 1", makes_groups=True)
    if len(distinct) >= MIN_HASHED and all(map(BYTE_IN_HEX.fullmatch, distinct)) and _has_both(distinct):
        return Doubt(reason="are hexadecimal digits, as of files that are spread by their names")
    if len({re.sub(r"\d+", "#", name) for name in distinct}) == 1 and not firsts & CLASS_WORDS:
        return _find_run_on(names, stems)
    return None


def find_level_doubt(names: Sequence[str], stems: Sequence[str]) -> Doubt | None:
    """Find why folders are hardly classes where those of another level may be: numbers and views are none there.

    Args:
        names, stems: as in `find_doubt`.
    """
    doubt, distinct = find_doubt(names, stems), set(names)
    if doubt is not None:
        return doubt
    if all(set(split_words(name)) <= VIEW_WORDS and split_words(name) for name in distinct):
        return Doubt(reason="are called as views are")
    words = {tuple(split_words(name)) for name in distinct}
    is_numbered = len({re.sub(r"\d+", "#", name) for name in distinct}) == 1
    if is_numbered and words.isdisjoint({()}) and not set(next(iter(words))) & CLASS_WORDS:
        return Doubt(reason="are numbered alike", makes_groups=True)
    return None


def _is_counted(numbers: Sequence[str]) -> bool:
    values = sorted({int(number) for number in numbers})
    return values[0] <= 1 and values[-1] <= 2 * len(values)


def _has_both(names: Sequence[str]) -> bool:
    return any(name.isdigit() for name in names) and any(not name.isdigit() for name in names)


def _is_numbered_part(name: str) -> bool:
    words = split_words(name)
    return any(character.isdigit() for character in name) and bool(words) and set(words) <= PART_WORDS


def _is_holder(name: str) -> bool:
    words = split_words(name)
    return bool(words) and set(words) <= PART_WORDS | HOLDER_WORDS | MASK_WORDS | ORIGINAL_WORDS | DERIVED_WORDS


def _is_role(name: str) -> bool:
    return find_role(name, first_word=True) is not None and not has_own_word(name)


DOUBTS: tuple[tuple[Callable[[str], object], Doubt], ...] = (
    (_is_numbered_part, Doubt(reason="are numbered as the parts of one set are")),
    (DATE.fullmatch, Doubt(reason="are dates", makes_groups=True)),
    (NUMBER_RANGE.fullmatch, Doubt(reason="are ranges of numbers")),
    (HASH.fullmatch, Doubt(reason="are ids", makes_groups=True)),
    (_is_holder, Doubt(reason="are called as what holds images, masks or parts of them")),
    (_is_role, Doubt(reason="are called as the parts of a data set are")),
)


def _find_run_on(names: Sequence[str], stems: Sequence[str]) -> Doubt | None:
    """Doubt numbered folders of one size whose files are counted on from one to the next, as shards of one set are."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for name, stem in zip(names, stems, strict=True):
        found = re.findall(r"\d+", stem)
        if not found:
            return None
        numbers[name].append(int(found[-1]))
    runs = sorted((min(found), max(found), len(found)) for found in numbers.values())
    *sizes, rest = (size for _, _, size in runs)
    is_even = max(sizes) - min(sizes) <= 1 < rest <= max(sizes)
    is_dense = all(high - low + 1 == size for low, high, size in runs)
    goes_on = all(before[1] + 1 == after[0] for before, after in pairwise(runs))
    is_run = is_even and is_dense and goes_on
    return Doubt(reason="are numbered, and their files count on from one to the next") if is_run else None


def is_odd_class(name: str) -> bool:
    """Whether a class of that name is odd, though it may be one: images, masks, train."""
    return _is_holder(name) or _is_role(name)
