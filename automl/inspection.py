"""What is worth knowing of a competition's images before anything is trained.

The questions that need a classifier are asked of thumbnails of 8 x 8 pixels: what such a one can tell apart, a network
can as well; what it cannot, a network may. Not responsible for: what follows for a search (automl.suggestions), or
showing what was found (automl.inspect_page).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from automl.data.competition import Competition
from automl.data.duplicates import Duplicates, find_duplicates
from automl.data.survey import ImageFacts, Survey
from automl.tasks import Task

MAX_ASKED = 2_000  # images of a kind in a question
MIN_ASKED = 40  # below that an area under the curve says nothing
SEEN_SIDE = 8
FOLDS = 5
RIDGE = 0.01  # of the images; features have spread 1
CLEAR = 0.7  # area under the curve from which on two kinds are plainly different
SLIGHT = 0.55
FILE_FACTS = ("width", "height", "aspect ratio", "bytes for each pixel")


class Told(NamedTuple):
    """How well two kinds of images can be told apart: 0.5 not at all, 1 always.

    Attributes:
        auc: area under the ROC curve, cross-validated.
        error: its standard error.
    """

    auc: float
    error: float

    @property
    def is_slight(self) -> bool:
        """Whether it is beyond chance."""
        return self.auc >= SLIGHT and self.auc - 2 * self.error > 0.5

    @property
    def is_clear(self) -> bool:
        return self.auc >= CLEAR and self.auc - 2 * self.error > SLIGHT

    def __str__(self) -> str:
        return f"{self.auc:.2f} +- {self.error:.2f}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """What was found; a question that too few images could answer is None.

    Attributes:
        counts: images of each class, in the competition's order; tenths of the scale with REGRESSION.
        shift_in_files, shift_in_pixels: training from test images, by what the files are, and by what they show.
        label_in_files: labels by what the files are: width, height, bytes.
        mirrored, turned: images from their mirror images, and from themselves turned by 90 degrees.
    """

    competition: Competition
    survey: Survey
    duplicates: Duplicates
    counts: tuple[tuple[str, int], ...]
    shift_in_files: Told | None
    shift_in_pixels: Told | None
    label_in_files: Told | None
    mirrored: Told | None
    turned: Told | None


def inspect_competition(competition: Competition, survey: Survey, *, seed: int = 0) -> Inspection:
    """What the survey of a competition's images tells; the same every time."""
    rng = np.random.default_rng(seed)
    train, test = readable_rows(survey.train), readable_rows(survey.test)
    some_train, some_test = _some(train, rng), _some(test, rng)
    seen = _seen(survey.train, some_train)
    return Inspection(
        competition=competition,
        survey=survey,
        duplicates=find_duplicates(survey),
        counts=_counts(competition),
        shift_in_files=_told(_file_facts(survey.train, some_train), _file_facts(survey.test, some_test)),
        shift_in_pixels=_told(_flat(seen), _flat(_seen(survey.test, some_test))),
        label_in_files=_label_told(competition, _file_facts(survey.train, some_train), some_train),
        mirrored=_told(_flat(seen), _flat(seen[:, :, ::-1]), paired=True),
        turned=_told(_flat(seen), _flat(np.rot90(seen, axes=(1, 2))), paired=True),
    )


def described(inspection: Inspection) -> list[str]:
    """The findings as lines for a terminal."""
    survey = inspection.survey
    return [
        *_size_lines(survey),
        *_format_lines(survey),
        *_told_line("shift", "training and test images by their files", inspection.shift_in_files),
        *_told_line("shift", "training and test images by their pixels", inspection.shift_in_pixels),
        *_told_line("leak", "labels by width, height and bytes alone", inspection.label_in_files),
        *_told_line("mirror", "images and their mirror images", inspection.mirrored),
        *_told_line("turn", "images and themselves turned by 90 degrees", inspection.turned),
    ]


def readable_rows(facts: ImageFacts) -> NDArray[np.int64]:
    """Rows of the images that can be decoded."""
    return np.flatnonzero(facts.widths > 0)


def _some(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.permutation(rows)[:MAX_ASKED])


def _seen(facts: ImageFacts, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(len(rows), 8, 8, 3) mean colours."""
    step = facts.thumbnails.shape[1] // SEEN_SIDE
    blocks = facts.thumbnails[rows].astype(np.float64).reshape(-1, SEEN_SIDE, step, SEEN_SIDE, step, 3)
    means: NDArray[np.float64] = blocks.mean(axis=(2, 4))
    return means


def _flat(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    return seen.reshape(len(seen), -1)


def _file_facts(facts: ImageFacts, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(len(rows), 4) the logarithms of what FILE_FACTS names."""
    widths, heights = facts.widths[rows].astype(np.float64), facts.heights[rows].astype(np.float64)
    per_pixel = np.maximum(facts.n_bytes[rows], 1) / (widths * heights)
    return np.log(np.stack([widths, heights, widths / heights, per_pixel], axis=1))


def _counts(competition: Competition) -> tuple[tuple[str, int], ...]:
    if competition.task is Task.MULTILABEL:
        numbers = competition.targets.sum(axis=0)
    elif competition.task is Task.REGRESSION:
        return tuple((f"tenth {tenth + 1}", int((competition.strata == tenth).sum())) for tenth in range(10))
    else:
        numbers = np.bincount(competition.targets, minlength=competition.n_classes)
    return tuple(zip(competition.classes, map(int, numbers), strict=True))


def _told(one: NDArray[np.float64], other: NDArray[np.float64], *, paired: bool = False) -> Told | None:
    """How well the rows of one kind are told from those of another.

    Args:
        paired: row i of both shows the same image, and stays in one fold with it.
    """
    if min(len(one), len(other)) < MIN_ASKED:
        return None
    is_other = np.repeat([0, 1], [len(one), len(other)])
    image = np.arange(len(is_other)) % len(one) if paired else np.random.default_rng(0).permutation(len(is_other))
    return _cross_validated(np.concatenate([one, other]), is_other, image)


def _label_told(competition: Competition, facts: NDArray[np.float64], rows: NDArray[np.int64]) -> Told | None:
    """How well the most frequent class, or the upper half of the values, is told from the rest."""
    strata = competition.strata[rows]
    values, counts = np.unique(strata, return_counts=True)
    commonest = values[counts.argmax()] if len(values) else 0
    is_class = strata >= 5 if competition.task is Task.REGRESSION else strata == commonest
    if min(is_class.sum(), (~is_class).sum()) < MIN_ASKED or (facts.std(axis=0) < 1e-9).all():
        return None
    return _cross_validated(facts, is_class.astype(np.int64), np.random.default_rng(0).permutation(len(rows)))


def _cross_validated(features: NDArray[np.float64], is_other: NDArray[np.int64], image: NDArray[np.int64]) -> Told:
    """Squares of the features are given as well, since a network is no linear model either.

    Ridge regression ranks as logistic regression does, and is solved in one step.
    """
    model = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE * len(is_other)))
    both = np.concatenate([features, features**2], axis=1)
    order = cross_val_predict(model, both, is_other, groups=image, cv=GroupKFold(FOLDS))
    auc = float(roc_auc_score(is_other, order))
    return Told(auc, _error_of_auc(auc, int((is_other == 0).sum()), int((is_other == 1).sum())))


def _error_of_auc(auc: float, n_one: int, n_other: int) -> float:
    """Source: Hanley and McNeil 1982, The Meaning and Use of the Area under a ROC Curve, equation 2."""
    q1, q2 = auc / (2.0 - auc), 2.0 * auc**2 / (1.0 + auc)
    variance = auc * (1.0 - auc) + (n_other - 1) * (q1 - auc**2) + (n_one - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_one * n_other)))


def _size_lines(survey: Survey) -> list[str]:
    lines = []
    for name, facts in (("training", survey.train), ("test", survey.test)):
        rows = readable_rows(facts)
        if len(rows):
            low, middle, high = (_quantile(facts, rows, part) for part in (0.0, 0.5, 1.0))
            lines.append(f"sizes: {name} images from {low} to {high} px, {middle} in the middle")
    return lines


def _quantile(facts: ImageFacts, rows: NDArray[np.int64], part: float) -> str:
    width, height = (np.quantile(sides[rows], part) for sides in (facts.widths, facts.heights))
    return f"{width:.0f}x{height:.0f}"


def _format_lines(survey: Survey) -> list[str]:
    kinds: dict[str, int] = {}
    for facts in (survey.train, survey.test):
        for kind, n_images in facts.formats.items():
            kinds[kind] = kinds.get(kind, 0) + n_images
    ordered = sorted(kinds.items(), key=lambda item: -item[1])
    return [f"files: {', '.join(f'{n_images} {kind}' for kind, n_images in ordered)}"] if ordered else []


def _told_line(noun: str, kinds: str, told: Told | None) -> list[str]:
    if told is None:
        return [f"{noun}: {kinds} cannot be compared, as there are too few or all are alike"]
    verdict = "clearly differ" if told.is_clear else "differ a little" if told.is_slight else "cannot be told apart"
    return [f"{noun}: {kinds} {verdict} (AUC {told})"]


def rows_to_show(inspection: Inspection, *, n_classes: int, n_images: int) -> list[tuple[str, list[int]]]:
    """Names of classes with rows of some of their images: the most frequent and the rarest classes."""
    competition = inspection.competition
    readable = set(readable_rows(inspection.survey.train).tolist())
    order = sorted(range(len(inspection.counts)), key=lambda index: -inspection.counts[index][1])
    chosen = order if len(order) <= n_classes else [*order[: n_classes // 2], *order[-(n_classes // 2) :]]
    return [
        (inspection.counts[index][0], [row for row in _members(competition, index) if row in readable][:n_images])
        for index in chosen
    ]


def _members(competition: Competition, index: int) -> list[int]:
    targets: NDArray[Any] = competition.targets
    if competition.task is Task.MULTILABEL:
        return np.flatnonzero(targets[:, index]).tolist()
    of_kind = competition.strata if competition.task is Task.REGRESSION else targets
    return np.flatnonzero(of_kind == index).tolist()
