"""The interface of label readers, and the readers that need names of files alone.

A reader either reads the labels or says in a few words why the folder has not its layout. Not responsible for: labels
in CSV files (automl.readers.labels.csv_columns), the order of readers (automl.readers.read), or what is submitted.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from automl.errors import DataError, join_names
from automl.files.image_names import get_split_folder
from automl.files.images import ImageFiles
from automl.readers.known_competitions import KnownCompetition
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import SampleSubmission

LABEL_IN_NAME = re.compile(r"([A-Za-z]+)[._-]\d+")
MIN_LABELLED_SHARE = 0.5  # of the images; where no more of them fit a pattern, it fits by chance


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
        pool = self.files.train or self.files.other
        return tuple(image for image in pool if image not in self.test_images)

    @property
    def labels_name(self) -> str | None:
        """The file of the labels, where it is given or known."""
        return self.settings.labels or (self.known.labels if self.known else None)

    @property
    def label_name(self) -> str | None:
        """The column of the labels, where it is given or known."""
        return self.settings.label or (self.known.label if self.known else None)


class LayoutMismatchError(Exception):
    """The folder has not the layout of a reader; the next reader is tried."""


def read_folder_labels(source: LabelSource) -> Labels:
    """Read labels from a folder for each class, such as train/cat/0.jpg.

    Raises:
        LayoutMismatchError: the training images do not all lie in such folders.
    """
    _require_no_table_settings(source)
    images = source.training_images
    below = _strip_common_folder([image.removeprefix(get_split_folder(image)) for image in images])
    unsorted = [image for image, rest in zip(images, below, strict=True) if "/" not in rest]
    if unsorted or not images:
        raise LayoutMismatchError(f"{source.files.train_location} has no folder for each class")
    labels = tuple(rest.partition("/")[0] for rest in below)
    evidence = f"labels: {len(images)} images, from the folder of each class ({join_names([images[0]])})"
    return Labels(ids=images, columns=("label",), cells=_to_column(labels), images=images, evidence=(evidence,))


def read_file_name_labels(source: LabelSource) -> Labels:
    """Read labels from the letters before a number in the file name, such as cat.0.jpg.

    Raises:
        LayoutMismatchError: hardly any name has them, or all have the same.
        DataError: most names have them, and some have not.
    """
    _require_no_table_settings(source)
    images = source.training_images
    matches = [LABEL_IN_NAME.match(PurePosixPath(image).name) for image in images]
    labels = tuple(match[1] for match in matches if match)
    if len(labels) <= MIN_LABELLED_SHARE * len(images):
        raise LayoutMismatchError("the file names are not like cat.0.jpg")
    if len(set(labels)) == 1:
        raise LayoutMismatchError(f"the file names have one class alone, '{labels[0]}'")
    unlabelled = [image for image, match in zip(images, matches, strict=True) if not match]
    example = PurePosixPath(images[0]).name
    if unlabelled:
        raise DataError(
            f"{len(labels)} images have the label in their name, but {len(unlabelled)} have not: "
            f"{join_names(unlabelled)}",
            hint="rename these files, or move them out of the competition's folder",
        )
    evidence = f"labels: {len(images)} images, from the file names ({join_names([example])})"
    return Labels(ids=images, columns=("label",), cells=_to_column(labels), images=images, evidence=(evidence,))


def _require_no_table_settings(source: LabelSource) -> None:
    if source.settings.labels or source.settings.label:
        raise LayoutMismatchError("--labels and --label ask for a table, not for names")


def _to_column(labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((label,) for label in labels)


def _strip_common_folder(names: Sequence[str]) -> list[str]:
    """Strip the folders that all names share: archives unpack into doubled folders."""
    folders = [posixpath.dirname(name) for name in names]
    common = posixpath.commonpath(folders) if folders else ""
    prefix = f"{common}/" if common else ""
    return [name.removeprefix(prefix) for name in names]
