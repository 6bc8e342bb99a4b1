"""Training labels: what a reader of them may look at, what it returns, and the readers that look at names alone.

A reader either reads the labels or says in a few words why the folder is not of its kind. Not responsible for: labels
in CSV files (automl.readers.labels.csv_columns), the order of readers (automl.readers.read), or what is submitted.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from automl.errors import DataError, listed
from automl.files.image_names import split_folder
from automl.files.images import ImageFiles
from automl.readers.known_competitions import Known
from automl.readers.settings import Asked
from automl.readers.submission_template import Sample

LABEL_IN_NAME = re.compile(r"([A-Za-z]+)[._-]\d+")
CHANCE_FRACTION = 0.5  # of the images; where no more of them fit a pattern, it fits by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is said of every training image, as text; what it means is found out later (automl.readers.infer).

    Attributes:
        ids: (n,) as the labels write them.
        images: (n,) relative addresses of the images.
        columns: (n_columns,) names of the target columns; one where each image has one text.
        cells: (n, n_columns) as the labels write them, without surrounding blanks.
        others: all other columns by name, (n,) each, such as a patient's id.
        evidence: what was read, and from what.
    """

    ids: tuple[str, ...]
    images: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    evidence: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, ...]:
        """(n,) the cells of the only column."""
        return tuple(cell for (cell,) in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a reader may look at.

    Attributes:
        tables, documents: the CSV and JSON files by name, "train.csv" also where it lies in an archive.
        test_images: what the sample submission names, and so no training images.
        asked, known: what the user says, and what is known by the competition's name.
    """

    root: Path
    files: ImageFiles
    tables: Mapping[str, Path]
    documents: Mapping[str, Path]
    sample: Sample
    test_images: frozenset[str]
    asked: Asked = field(default_factory=Asked)
    known: Known | None = None

    @property
    def skip_missing(self) -> bool:
        """Whether a labelled image without a file is left out instead of refused."""
        return self.asked.skip_missing

    @property
    def trainable(self) -> tuple[str, ...]:
        """Images that may carry their label in their name or folder."""
        pool = self.files.train or self.files.other
        return tuple(image for image in pool if image not in self.test_images)

    @property
    def labels_name(self) -> str | None:
        """The file of the labels, where it is said or known."""
        return self.asked.labels or (self.known.labels if self.known else None)

    @property
    def label_name(self) -> str | None:
        """The column of the labels, where it is said or known."""
        return self.asked.label or (self.known.label if self.known else None)


class NotOfThisKindError(Exception):
    """Why a reader does not fit the folder, in a few words; caught before a user could see it."""


def labels_from_folders(source: Source) -> Labels:
    """From a folder for each class, such as train/cat/0.jpg.

    Raises:
        NotOfThisKindError: the training images do not all lie in such folders.
    """
    _require_no_table_asked(source)
    images = source.trainable
    below = _below_common_folder([image.removeprefix(split_folder(image)) for image in images])
    loose = [image for image, rest in zip(images, below, strict=True) if "/" not in rest]
    if loose or not images:
        raise NotOfThisKindError(f"{source.files.train_place} has no folder for each class")
    labels = tuple(rest.partition("/")[0] for rest in below)
    evidence = f"labels: {len(images)} images, from the folder of each class ({listed([images[0]])})"
    return Labels(ids=images, columns=("label",), cells=_one_column(labels), images=images, evidence=(evidence,))


def labels_from_file_names(source: Source) -> Labels:
    """From the letters before a number in the file name, such as cat.0.jpg.

    Raises:
        NotOfThisKindError: hardly any name has them, or all have the same.
        DataError: most names have them, and some have not.
    """
    _require_no_table_asked(source)
    images = source.trainable
    matches = [LABEL_IN_NAME.match(PurePosixPath(image).name) for image in images]
    labels = tuple(match[1] for match in matches if match)
    if len(labels) <= CHANCE_FRACTION * len(images):
        raise NotOfThisKindError("the file names are not like cat.0.jpg")
    if len(set(labels)) == 1:
        raise NotOfThisKindError(f"the file names have one class alone, '{labels[0]}'")
    unlabelled = [image for image, match in zip(images, matches, strict=True) if not match]
    example = PurePosixPath(images[0]).name
    if unlabelled:
        raise DataError(
            f"{len(labels)} images have the label in their name, but {len(unlabelled)} have not: {listed(unlabelled)}",
            hint="rename these files, or move them out of the competition's folder",
        )
    evidence = f"labels: {len(images)} images, from the file names ({listed([example])})"
    return Labels(ids=images, columns=("label",), cells=_one_column(labels), images=images, evidence=(evidence,))


def _require_no_table_asked(source: Source) -> None:
    if source.asked.labels or source.asked.label:
        raise NotOfThisKindError("--labels and --label ask for a table, not for names")


def _one_column(labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((label,) for label in labels)


def _below_common_folder(names: Sequence[str]) -> list[str]:
    """The names without the folders that all of them share: archives unpack into doubled folders."""
    folders = [posixpath.dirname(name) for name in names]
    common = posixpath.commonpath(folders) if folders else ""
    prefix = f"{common}/" if common else ""
    return [name.removeprefix(prefix) for name in names]
