"""The interface of label readers: what they are given, and what they return.

A reader either reads the labels or says in a few words why the folder has not its layout. Not responsible for: labels
in CSV files (automl.readers.labels.csv_columns), the order of readers (automl.readers.read), or what is submitted.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from automl.files.image_index import ImageLookup
from automl.files.images import ImageFiles
from automl.readers.known_competitions import KnownCompetition
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import SampleSubmission

FOLDERS, NAMES = "folders", "names"  # what --labels gives where no table is to be read
FOLDER = "folder"  # the column of folders that are no classes, such as those of patients


class LabelOrigin(enum.StrEnum):
    """Where labels were read; those of folders and names are classes for sure."""

    TABLE = "table"
    DOCUMENT = "document"
    PIXELS = "pixels"
    FOLDERS = "folders"
    NAMES = "names"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of every training image as text, not yet interpreted (automl.readers.infer).

    Attributes:
        ids: (n,) as the labels write them.
        images: (n,) relative addresses of the images.
        columns: (n_columns,) names of the target columns; one where each image has one text.
        cells: (n, n_columns) as the labels write them, without surrounding blanks.
        others: all other columns by name, (n,) each, such as a patient's id.
        evidence: what was read, and from what.
        origin: what they were read from.
        place: the same in words, such as "column label of train.csv".
        rows: (n,) the row of the labels that each image is of, where a row stands for several images; else None.
    """

    ids: tuple[str, ...]
    images: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    evidence: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    origin: LabelOrigin = LabelOrigin.TABLE
    place: str = ""
    rows: tuple[int, ...] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """(n,) the cells of the only column."""
        return tuple(cell for (cell,) in self.cells)


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """The input of a label reader: the folder's files, the sample submission, settings.

    Attributes:
        tables, documents: the CSV and JSON files by name, "train.csv" also where it lies in an archive.
        test_images: what the sample submission names, and so no training images.
        settings, known: the user's settings, and what is known by the competition's name.
    """

    root: Path
    files: ImageFiles
    tables: Mapping[str, Path]
    documents: Mapping[str, Path]
    sample: SampleSubmission
    test_images: frozenset[str]
    settings: CompetitionSettings = field(default_factory=CompetitionSettings)
    known: KnownCompetition | None = None

    @property
    def skip_missing(self) -> bool:
        """Whether a labelled image without a file is left out instead of refused."""
        return self.settings.skip_missing

    @property
    def training_images(self) -> tuple[str, ...]:
        """Images that may have their label in their name or folder."""
        return tuple(image for image in self.files.training_pool if image not in self.test_images)

    @cached_property
    def any_lookup(self) -> ImageLookup:
        """What finds the images of training, else others, else those of the test."""
        return ImageLookup(self.files.train, self.files.other, self.files.test, self.files.copies)

    @cached_property
    def sample_labels(self) -> Mapping[str, str]:
        """What may be a label in the sample submission, by its name in one Unicode form."""
        columns = self.sample.target_columns if len(self.sample.target_columns) > 1 else ()
        values = set(self.sample.values)
        texts = {*columns, *values, *(token for value in values for token in value.split())} - {""}
        return {normalize_name(text.strip()): text.strip() for text in texts}

    @property
    def has_word_labels(self) -> bool:
        """Whether a label of the sample is more than a number, which may stand there for all of them."""
        return any(not re.fullmatch(r"-?[\d.]*", label) for label in self.sample_labels)

    def require_no_table(self, wanted: str) -> None:
        """Require that no setting asks for labels from elsewhere.

        Raises:
            LayoutMismatchError: one does.
        """
        if self.settings.labels != wanted and (self.settings.labels or self.settings.label):
            raise LayoutMismatchError("--labels and --label ask for a table, not for names")

    @property
    def labels_name(self) -> str | None:
        """The file of the labels, where it is given or known."""
        return self.settings.labels or (self.known.labels if self.known else None)

    @property
    def label_name(self) -> str | None:
        """The column of the labels, where it is given or known."""
        return self.settings.label or (self.known.label if self.known else None)


def normalize_name(name: str) -> str:
    """Return a name in the one Unicode form by which names are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class LayoutMismatchError(Exception):
    """The folder has not the layout of a reader; the next reader is tried.

    Attributes:
        passed_over: files that might have been of labels, each with the reason why they are not, to be told.
    """

    def __init__(self, reason: str, passed_over: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.passed_over = tuple(passed_over)
