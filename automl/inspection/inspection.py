"""What is worth knowing of a competition's images before anything is trained.

What can be told apart is asked of thumbnails of 8 x 8 pixels, and of what the files are. Not responsible for: how it is
asked (automl.inspection.adversarial_validation), what follows for a search (automl.inspection.recommendations), or
showing what was found (automl.reports.inspection_page).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.data.duplicates import Duplicates, find_duplicates
from automl.data.survey import ImageFacts, Survey
from automl.inspection.adversarial_validation import Told, told_apart
from automl.tasks import Task

MAX_ASKED = 2_000  # images of a kind in a question
SEEN_SIDE = 8
FILE_FACTS = ("width", "height", "aspect ratio", "bytes for each pixel")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """What was found; a question that too few images could answer is None.

    Attributes:
        counts: images of each class, in the competition's order; with REGRESSION of each tenth of the images, in the
            order of their values.
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


def inspect_competition(
    competition: Competition, survey: Survey, duplicates: Duplicates | None = None, *, seed: int = 0
) -> Inspection:
    """What the survey of a competition's images tells; the same every time.

    Args:
        duplicates: of the survey, where they are found already.
    """
    rng = np.random.default_rng(seed)
    train, test = readable_rows(survey.train), readable_rows(survey.test)
    some_train, some_test = _some(train, rng), _some(test, rng)
    seen, units = _seen(survey.train, some_train), _units(competition, some_train, rng)
    return Inspection(
        competition=competition,
        survey=survey,
        duplicates=duplicates or find_duplicates(survey),
        counts=_counts(competition),
        shift_in_files=_compared(_file_facts(survey.train, some_train), _file_facts(survey.test, some_test)),
        shift_in_pixels=_compared(seen, _seen(survey.test, some_test)),
        label_in_files=_label_told(competition, _file_facts(survey.train, some_train), some_train, units),
        mirrored=_compared(seen, seen[:, :, ::-1], units),
        turned=_compared(seen, np.rot90(seen, axes=(1, 2)), units),
    )


def described(inspection: Inspection) -> list[str]:
    """The findings as lines for a terminal."""
    questions = (
        ("shift", "training and test images by their files", inspection.shift_in_files),
        ("shift", "training and test images by their pixels", inspection.shift_in_pixels),
        ("leak", "labels by width, height and bytes alone", inspection.label_in_files),
        ("mirror", "images and their mirror images", inspection.mirrored),
        ("turn", "images and themselves turned by 90 degrees", inspection.turned),
    )
    open_ones = [kinds for _, kinds, told in questions if told is None]
    return [
        *_size_lines(inspection.survey),
        *_format_lines(inspection.survey),
        *(f"{noun}: {kinds} {_verdict(told)} (AUC {told})" for noun, kinds, told in questions if told is not None),
        *([f"not compared, too few or all alike: {'; '.join(open_ones)}"] if open_ones else []),
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


def _file_facts(facts: ImageFacts, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(len(rows), 4) the logarithms of what FILE_FACTS names."""
    widths, heights = facts.widths[rows].astype(np.float64), facts.heights[rows].astype(np.float64)
    per_pixel = np.maximum(facts.n_bytes[rows], 1) / (widths * heights)
    return np.log(np.stack([widths, heights, widths / heights, per_pixel], axis=1))


def _counts(competition: Competition) -> tuple[tuple[str, int], ...]:
    if competition.task is Task.REGRESSION:
        tenths = _tenths(competition)
        return tuple((_range_of(competition, rows), len(rows)) for rows in tenths)
    if competition.task is Task.MULTILABEL:
        numbers = competition.targets.sum(axis=0)
    else:
        numbers = np.bincount(competition.targets, minlength=competition.n_classes)
    return tuple(zip(competition.classes, map(int, numbers), strict=True))


def _tenths(competition: Competition) -> list[NDArray[np.int64]]:
    """Rows of the images of each tenth that there is, in the order of their values."""
    return [np.flatnonzero(competition.strata == tenth) for tenth in np.unique(competition.strata)]


def _range_of(competition: Competition, rows: NDArray[np.int64]) -> str:
    """The values of these images in words; places on the scales where there are several targets."""
    of_one = len(competition.classes) == 1
    values = competition.targets[rows, 0] if of_one else competition.shares[rows].mean(axis=1)
    low, high = float(values.min()), float(values.max())
    if of_one:
        return f"{low:g}" if low == high else f"{low:.4g} to {high:.4g}"
    return f"{low:.2f} to {high:.2f} of the scale"


def _units(competition: Competition, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(len(rows),) what is held out together: images of one group, as a group's own look would be learned."""
    groups = np.arange(len(rows)) if competition.groups is None else competition.groups[rows]
    distinct, places = np.unique(groups, return_inverse=True)
    units: NDArray[np.int64] = rng.permutation(len(distinct))[places]
    return units


def _compared(
    one: NDArray[np.float64], other: NDArray[np.float64], units: NDArray[np.int64] | None = None
) -> Told | None:
    """How well the rows of one kind are told from those of another.

    Args:
        units: where row i of both is the same image; what of them is held out together.
    """
    features = np.concatenate([one.reshape(len(one), -1), other.reshape(len(other), -1)])
    is_other = np.repeat([0, 1], [len(one), len(other)])
    apart = np.random.default_rng(0).permutation(len(is_other)) if units is None else np.tile(units, 2)
    return told_apart(features, is_other, apart)


def _label_told(
    competition: Competition, facts: NDArray[np.float64], rows: NDArray[np.int64], units: NDArray[np.int64]
) -> Told | None:
    """How well the most frequent class, or the upper half of the values, is told from the rest."""
    strata = competition.strata[rows]
    values, counts = np.unique(strata, return_counts=True)
    commonest = values[counts.argmax()] if len(values) else 0
    is_class = strata >= 5 if competition.task is Task.REGRESSION else strata == commonest
    return told_apart(facts, is_class.astype(np.int64), units)


def _size_lines(survey: Survey) -> list[str]:
    lines = []
    for name, facts in (("training", survey.train), ("test", survey.test)):
        if len(rows := readable_rows(facts)):
            low, middle, high = (_quantile(facts, rows, part) for part in (0.0, 0.5, 1.0))
            spread = f"from {low} to {high} px, {middle} in the middle" if low != high else f"of {low} px, all of them"
            lines.append(f"sizes: {name} images {spread}")
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


def _verdict(told: Told) -> str:
    return "clearly differ" if told.is_clear else "differ a little" if told.is_slight else "cannot be told apart"


def rows_to_show(inspection: Inspection, *, n_classes: int, n_images: int) -> list[tuple[str, list[int]]]:
    """Names of classes with rows of some of their images: the most frequent and the rarest classes.

    Tenths of values, of which there are no more than ten, are in the order of the values.
    """
    competition = inspection.competition
    readable = set(readable_rows(inspection.survey.train).tolist())
    order = list(range(len(inspection.counts)))
    if competition.task is not Task.REGRESSION:
        order.sort(key=lambda index: -inspection.counts[index][1])
    chosen = order if len(order) <= n_classes else [*order[: n_classes // 2], *order[-(n_classes // 2) :]]
    return [
        (inspection.counts[index][0], [row for row in _members(competition, index) if row in readable][:n_images])
        for index in chosen
    ]


def _members(competition: Competition, index: int) -> list[int]:
    """Rows of the images that one of the inspection's counts counts."""
    targets: NDArray[Any] = competition.targets
    if competition.task is Task.REGRESSION:
        rows = _tenths(competition)[index]
    else:
        rows = np.flatnonzero(targets[:, index] if competition.task is Task.MULTILABEL else targets == index)
    members: list[int] = rows.tolist()
    return members


def label_of(competition: Competition, row: int) -> str:
    """What a training image is labelled with, in words."""
    target = competition.targets[row]
    if competition.task is Task.REGRESSION:
        return ", ".join(f"{value:g}" for value in target)
    if competition.task is Task.MULTILABEL:
        return ", ".join(competition.classes[index] for index in np.flatnonzero(target)) or "no label"
    return competition.classes[int(target)]
