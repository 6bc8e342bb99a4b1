"""Weigh whether the numbers of a column are classes or values, piece of evidence by piece of evidence.

Each piece has a weight and its words, so that what decided is printed; where the sides are close, nobody is believed
and the user is asked. A sample submission that holds one constant is a placeholder, and never decides alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from automl.errors import join_names

# Nouns by which tables call what is a class, and what is measured or counted.
CLASS_TEXT = """
artist band bin brand breed bucket category character class classe cls code color colour country digit diagnosis
disease emotion expression family flower gender genre genus grade grapheme group hotel id identity idx index individual
key kind label landmark letter level make material model object person plant product range severity shape sign species
stage style subject symbol tag tier token type variety whale
"""
VALUE_TEXT = """
age amount angle area average avg biomass bmi boneage calorie concentration cost count day degree density depth
distance dose duration energy fraction glucose height hour humidity income intensity kcal kg lat latitude length
like lon longitude mass mean median minute mm month num number percent percentage point popularity power pressure
price quantity rate rating ratio salary score second size speed step sum temp temperature time total view volume vote
weight width year yield
"""
CLASS_WORDS, VALUE_WORDS = frozenset(CLASS_TEXT.split()), frozenset(VALUE_TEXT.split())
VALUE_ENDINGS = ("count", "score", "price", "weight", "temperature", "percent", "percentage", "width", "height")
# Where that is all the name says: measurements are filed under these too, and digits.
WEAK_NAMES = frozenset({"grade", "label", "level", "number", "severity", "stage"})
SEPARATE_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
FEW_NUMBERS = 20  # Source: reference of competitions, section 2.5 step 6; more whole numbers may be measurements
CLEAR_LEAD = 2  # of one side's weight over the other's
RARELY_REPEATED = 1.5  # images for each number; measurements of few images hardly repeat
BALANCED = 2.0  # times as many images as the least has the most frequent class of a data set that somebody collected
MIN_IMAGES_EACH = 3  # such numbers, far apart, are codes; such fractions may be names
SPARSE = 0.1  # of the numbers between the least and the largest occur
MAX_LISTED = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of evidence: how much it weighs, 1 to 4, for classes or for values, and its words."""

    weight: int
    for_values: bool
    words: str


@dataclass(frozen=True, slots=True)
class Weighing:
    """What speaks for classes and what for values.

    Attributes:
        n_numbers: how many distinct numbers there are.
        column: of the labels.
    """

    n_numbers: int
    column: str
    pieces: tuple[Piece, ...]
    are_whole: bool = True

    @property
    def lead_of_values(self) -> int:
        """By how much values outweigh classes; negative where classes outweigh values."""
        return sum(piece.weight if piece.for_values else -piece.weight for piece in self.pieces)

    @property
    def is_values(self) -> bool:
        return self.lead_of_values >= CLEAR_LEAD

    @property
    def is_classes(self) -> bool:
        return self.lead_of_values <= -CLEAR_LEAD

    @property
    def is_doubtful(self) -> bool:
        """Whether lines say what decided, and which flag decides otherwise: not of fractions alone, which are clear."""
        return self.are_whole or any(not piece.for_values for piece in self.pieces)

    def describe(self, *, for_values: bool) -> str:
        """Describe what speaks for a side, the weightiest first."""
        own = sorted((piece for piece in self.pieces if piece.for_values is for_values), key=lambda own: -own.weight)
        return join_names([piece.words for piece in own], at_most=MAX_LISTED) or "nothing"

    @property
    def subject(self) -> str:
        """What was weighed."""
        whole = "whole " if self.are_whole else ""
        return f"{self.n_numbers} {whole}numbers in column {join_names([self.column])}"


def weigh_numbers(texts: Sequence[str], column: str, sample_column: str, sample_values: Sequence[str]) -> Weighing:
    """Weigh whether (n,) numbers, as text, are classes or values.

    Args:
        sample_column: the target of the sample submission.
        sample_values: the distinct values of the sample, without blanks; one alone is a placeholder.
    """
    counts = Counter(texts)
    pieces = (
        *_weigh_names(column, sample_column),
        *_weigh_sample(sample_values, counts),
        *_weigh_spelling(counts),
        *_weigh_repetition(counts),
    )
    return Weighing(n_numbers=len(counts), column=column, pieces=pieces, are_whole=not any(map(_has_fraction, counts)))


def weigh_name(column: str) -> int:
    """Weigh what a column's name says: above 0 for values, below for classes, 0 for neither."""
    return sum(piece.weight if piece.for_values else -piece.weight for piece in _weigh_names(column))


def split_words(name: str) -> list[str]:
    """Split a column's name into words of lower letters: isFake, is_fake and IS-FAKE are is, fake."""
    return [word.lower() for word in SEPARATE_WORDS.findall(name)]


def _weigh_names(*names: str) -> Iterator[Piece]:
    """What the names say, the labels' own first; of several telling words the last is the noun, as in age_group."""
    own, *_ = names
    for name in dict.fromkeys(name.strip() for name in names):
        words = [word if word in CLASS_WORDS | VALUE_WORDS else word.removesuffix("s") for word in split_words(name)]
        telling = [word for word in words if word in CLASS_WORDS or _is_value_word(word)]
        if telling and telling[-1] == "number" and CLASS_WORDS & set(telling):
            telling = telling[:-1]  # class_number
        if telling:
            for_values = telling[-1] not in CLASS_WORDS
            is_weak = words[-1:] == telling and telling[-1] in WEAK_NAMES
            if not is_weak or name == own.strip():
                yield Piece(1 if is_weak else 4, for_values, f"the column's name {join_names([name])}")


def _is_value_word(word: str) -> bool:
    return word in VALUE_WORDS or word.endswith(VALUE_ENDINGS)


def _weigh_sample(values: Sequence[str], counts: Counter[str]) -> Iterator[Piece]:
    """What the sample holds, where it varies; lists of numbers are ranked classes."""
    tokens = [value.split() for value in values]
    if any(len(row) > 1 and counts.keys() & set(row) for row in tokens):
        yield Piece(4, False, "lists of them in the sample submission")
    elif len(values) > 1 and any(_has_fraction(value) for value in values):
        yield Piece(4, True, "fractions in the sample submission")
    elif len(values) > 1 and counts.keys() >= set(values):
        yield Piece(1, False, "no other number in the sample submission")
    elif len(values) > 1:
        yield Piece(1, True, "other numbers in the sample submission")
    elif values and _has_fraction(values[0]) and float(values[0]) > 1.0:
        yield Piece(1, True, f"{values[0]} in the sample submission")
    elif values and values[0] not in counts and values[0] not in ("", "-1"):
        yield Piece(1, True, f"{values[0]} in the sample submission, which is none of them")


def _has_fraction(text: str) -> bool:
    try:
        return not float(text).is_integer()
    except (ValueError, OverflowError):
        return False


def _weigh_spelling(counts: Counter[str]) -> Iterator[Piece]:
    digits = [text for text in counts if len(text) > 1 and text.isdigit()]
    if any(text.startswith("0") for text in digits):
        yield Piece(4, False, "zeros before them")
    if sum(float(text) < 0 for text in counts) > 1:
        yield Piece(2, True, "negative ones among them")


def _weigh_repetition(counts: Counter[str]) -> Iterator[Piece]:
    """How many distinct ones there are, with which gaps, and of how many images each is."""
    if not counts:
        return
    if any(map(_has_fraction, counts)):
        yield Piece(4, True, "fractions among them")
        if len(counts) <= FEW_NUMBERS and counts.total() >= MIN_IMAGES_EACH * len(counts):
            yield Piece(1, False, "so few of them")
        return
    numbers = sorted({int(float(text)) for text in counts})
    n_each = counts.total() / len(counts)
    span = numbers[-1] - numbers[0] + 1
    is_consecutive = numbers[0] in (0, 1) and span == len(numbers)
    each = f"{n_each:.3g} images of each"
    if len(numbers) <= FEW_NUMBERS:
        yield Piece(2 if n_each >= RARELY_REPEATED else 1, False, "so few of them")
        if is_consecutive:
            yield Piece(1, False, f"{numbers[0]} to {numbers[-1]} without a gap")
    elif n_each < RARELY_REPEATED:
        yield Piece(1 if is_consecutive else 2, True, each)
    elif is_consecutive:
        yield Piece(1, False, f"{numbers[0]} to {numbers[-1]} without a gap")
        if n_each >= 2 and max(counts.values()) <= BALANCED * min(counts.values()):
            yield Piece(1, False, f"about {each}")
    elif len(numbers) > SPARSE * span:
        gaps = f"{numbers[0]} to {numbers[-1]}, not from 0 or 1" if span == len(numbers) else "gaps between them"
        yield Piece(1, True, gaps)
    elif n_each >= MIN_IMAGES_EACH:
        yield Piece(1, False, f"{each}, far apart")
