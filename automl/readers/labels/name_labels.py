"""Read labels from file names, such as cat.0.jpg, american_bulldog_12.jpg or 0001_cat.jpg.

A name is a fixed beginning, words and numbers; the words are labels where they repeat and all names have them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import basename

from automl.errors import DataError, join_names
from automl.files.image_names import DERIVED_WORDS, ORIGINAL_WORDS, strip_suffix
from automl.readers.labels.class_names import THING_WORDS, VIEW_WORDS, find_doubt
from automl.readers.labels.folder_labels import describe_alike, describe_unused_parts
from automl.readers.labels.source import NAMES, LabelOrigin, Labels, LabelSource, LayoutMismatchError, normalize_name

GAP, LETTER = r"[ ._-]", r"(?:[^\W\d_]|['’&+])"
WORD = rf"{LETTER}+(?:{GAP}+{LETTER}+)*"
NUMBER = r"\(?\d+\)?"
TAIL = rf"(?:{GAP}*{NUMBER})*"
COPY = re.compile(rf"(?:{GAP}+(?:copy|flip|flipped|aug|augmented|rot|rotated|mirrored))+$", re.IGNORECASE)
PATTERNS = {
    "before the number": re.compile(rf"(?P<label>{WORD})(?:{GAP}+{NUMBER}.*|(?<={LETTER}{{3}})\d+)"),
    "behind the number": re.compile(rf"(?P<id>[^\W_]*\d[^\W_]*(?:{GAP}+\d+)*){GAP}+(?P<label>{WORD}){TAIL}"),
    "between or behind numbers": re.compile(
        rf"(?P<id>{WORD}{GAP}*{NUMBER}(?:{GAP}+\d+)*){GAP}+(?P<label>{WORD}){TAIL}"
    ),
}
NUMBERED_LABEL = re.compile(rf"(?P<label>.*\w){GAP}+{NUMBER}")  # n02085620_12: a label with a number in it
FIXED_TEXT = """img image photo pic picture dsc dscn dscf pxl frame sample scan file foto vid dji mvimg mvi gopr gopro
screenshot whatsapp received snapchat vlcsnap"""
FIXED_WORDS = frozenset(FIXED_TEXT.split())
TABLE_HINT = "write a train.csv: a line id,label and a line such as img_1_left.jpg,cat for each image"
MIN_LABELLED_SHARE = 0.5  # of the images; where no more of them fit a pattern, it fits by chance
MAX_PER_NUMBER = 4  # images that a number may have, one of each of a few labels
SEVERAL_NUMBERS = re.compile(r"\d+(?:_\d+){2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Labels by one pattern.

    Attributes:
        labels: (n,) of each image; None where its name does not fit.
        place: where in the name they stand, in words.
    """

    labels: tuple[str | None, ...]
    place: str

    @property
    def n_read(self) -> int:
        return sum(label is not None for label in self.labels)

    @property
    def distinct(self) -> list[str]:
        return sorted({label for label in self.labels if label is not None})


def read_file_name_labels(source: LabelSource) -> Labels:
    """Read labels from the words in the file names, before a number or behind it.

    Raises:
        LayoutMismatchError: hardly any name has them, all have the same, or they are hardly labels.
        DataError: most names have them, and some have not; or words stand in two places.
    """
    source.require_no_table(NAMES)
    images = source.training_images
    stems = [COPY.sub("", normalize_name(strip_suffix(basename(image)))) for image in images]
    reading = _choose_reading(stems, source)
    _require_all_read(reading, images)
    labels = [source.sample_labels.get(label, label) for label in reading.labels if label is not None]
    evidence = (
        f"labels: {len(images)} images, from the file names ({basename(images[0])})",
        *([] if reading.place == next(iter(PATTERNS)) else [f"labels: the words {reading.place}, such as {labels[0]}"]),
        *describe_alike(labels),
        *describe_unused_parts(source),
    )
    return Labels(
        ids=images,
        columns=("label",),
        cells=tuple((label,) for label in labels),
        images=images,
        evidence=evidence,
        origin=LabelOrigin.NAMES,
        place="the file names",
    )


def _choose_reading(stems: list[str], source: LabelSource) -> _Reading:
    """Choose the place in the names whose words repeat as labels do."""
    readings = [_read_by_pattern(stems, place, pattern) for place, pattern in PATTERNS.items()]
    readings = list({reading.labels: reading for reading in readings}.values())
    readings = [reading for reading in readings if reading.n_read > MIN_LABELLED_SHARE * len(stems)]
    if not readings or all(len(reading.distinct) == 1 for reading in readings):
        numbered = _read_by_pattern(stems, "before the last number", NUMBERED_LABEL)
        if source.sample_labels.keys() & set(numbered.distinct):
            return numbered
        raise LayoutMismatchError(_describe_names(stems, readings))
    several = [reading for reading in readings if len(reading.distinct) > 1]
    named = [reading for reading in several if source.sample_labels.keys() & set(reading.distinct)]
    if len(named) == 1:
        return named[0]
    doubts = [_find_name_doubt(reading, stems) for reading in several]
    likely = [reading for reading, doubt in zip(several, doubts, strict=True) if doubt is None]
    if not likely:
        shown = join_names(several[0].distinct)
        raise LayoutMismatchError(f"the words in the file names ({shown}) {doubts[0]}")
    full = [reading for reading in likely if reading.n_read == len(stems)] or likely[:1]
    if len(full) > 1:
        places = " or ".join(f"{reading.place} ({join_names(reading.distinct)})" for reading in full)
        raise DataError(f"the label in the file names may stand {places}", hint=TABLE_HINT)
    return full[0]


def _read_by_pattern(stems: Sequence[str], place: str, pattern: re.Pattern[str]) -> _Reading:
    matches = [pattern.fullmatch(stem) for stem in stems]
    ids = {match["id"] for match in matches if match and "id" in pattern.groupindex}
    if ids and len(ids) < len(stems) / MAX_PER_NUMBER and not all(image_id[:1].isdigit() for image_id in ids):
        matches = [None] * len(stems)  # the number is part of a label, as in type2_diabetes
    found = [_strip_fixed_words(match["label"]) if match else None for match in matches]
    known = set(found)
    labels = tuple(stem if label is None and stem in known else label for label, stem in zip(found, stems, strict=True))
    return _Reading(labels=labels, place=place)


def _strip_fixed_words(label: str) -> str:
    """Strip words such as img before others: img_cat is a cat."""
    first, gap, rest = re.match(rf"({LETTER}*)({GAP}*)(.*)", label).groups()  # type: ignore[union-attr]
    return _strip_fixed_words(rest) if gap and rest and first.lower() in FIXED_WORDS else label


def _find_name_doubt(reading: _Reading, stems: Sequence[str]) -> str | None:
    pairs = [(label, stem) for label, stem in zip(reading.labels, stems, strict=True) if label is not None]
    words = {word.lower() for label in reading.distinct for word in re.split(GAP, label)}
    if (
        any(label.lower() in FIXED_WORDS for label in reading.distinct)
        or words <= FIXED_WORDS | VIEW_WORDS | THING_WORDS | ORIGINAL_WORDS | DERIVED_WORDS
    ):
        return "name views or cameras, not classes"
    doubt = find_doubt([label for label, _ in pairs], [stem for _, stem in pairs])
    return doubt.reason if doubt else None


def _describe_names(stems: list[str], readings: Sequence[_Reading]) -> str:
    if all(map(SEVERAL_NUMBERS.match, stems)):
        return f"the file names hold several numbers each ({join_names(stems[:1])}), and none is plainly the label"
    if readings:
        return f"the file names have one class alone, '{readings[0].distinct[0]}'"
    return "the file names are not like cat.0.jpg"


def _require_all_read(reading: _Reading, images: Sequence[str]) -> None:
    unlabelled = [image for image, label in zip(images, reading.labels, strict=True) if label is None]
    if unlabelled:
        raise DataError(
            f"{reading.n_read} images have the label in their name, but {len(unlabelled)} have not: "
            f"{join_names(unlabelled)}",
            hint="rename these files, or move them out of the competition's folder",
        )
