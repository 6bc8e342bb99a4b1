"""Inspect a competition's images before training: class counts, duplicates, dataset shift, leaks and symmetries.

Separability is measured on thumbnails of 8 x 8 pixels, and on sizes of the files.
See also: automl.inspection.recommendations, automl.reports.inspection_page.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.data.duplicates import Duplicates, find_duplicates
from automl.data.survey import ImageFacts, Survey
from automl.inspection.adversarial_validation import Separability, measure_separability

MAX_IMAGES = 2_000  # images of each set in a comparison
BLOCK_SIDE = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """The findings; a separability is None where there are too few images.

    Attributes:
        counts: images of each class, in the competition's order; with REGRESSION of each decile of the images, in the
            order of their values.
        shift_in_files, shift_in_pixels: of training and test images, by file sizes and by pixels.
        label_leak: of the labels by file sizes: width, height, bytes.
        mirror_separability: of images and their mirror images.
        rotation_separability: of images and themselves turned by 90 degrees.
    """

    competition: Competition
    survey: Survey
    duplicates: Duplicates
    counts: tuple[tuple[str, int], ...]
    shift_in_files: Separability | None
    shift_in_pixels: Separability | None
    label_leak: Separability | None
    mirror_separability: Separability | None
    rotation_separability: Separability | None


def inspect_competition(
    competition: Competition, survey: Survey, duplicates: Duplicates | None = None, *, seed: int = 0
) -> Inspection:
    """Inspect the survey of a competition's images; deterministic for a seed.

    Args:
        duplicates: of the survey, where they are found already.
    """
    rng = np.random.default_rng(seed)
    train, test = find_readable_rows(survey.train), find_readable_rows(survey.test)
    train_sample, test_sample = _sample(train, rng), _sample(test, rng)
    blocks, units = _average_blocks(survey.train, train_sample), _assign_units(competition, train_sample, rng)
    return Inspection(
        competition=competition,
        survey=survey,
        duplicates=duplicates or find_duplicates(survey),
        counts=_count_classes(competition),
        shift_in_files=_compare_sets(
            _extract_file_facts(survey.train, train_sample), _extract_file_facts(survey.test, test_sample)
        ),
        shift_in_pixels=_compare_sets(blocks, _average_blocks(survey.test, test_sample)),
        label_leak=_measure_label_leak(
            competition, _extract_file_facts(survey.train, train_sample), train_sample, units
        ),
        mirror_separability=_compare_sets(blocks, blocks[:, :, ::-1], units),
        rotation_separability=_compare_sets(blocks, np.rot90(blocks, axes=(1, 2)), units),
    )


def describe_inspection(inspection: Inspection) -> list[str]:
    """Return the findings as lines for a terminal."""
    compared = (
        ("shift", "training and test images by their files", inspection.shift_in_files),
        ("shift", "training and test images by their pixels", inspection.shift_in_pixels),
        ("leak", "labels by width, height and bytes alone", inspection.label_leak),
        ("mirror", "images and their mirror images", inspection.mirror_separability),
        ("turn", "images and themselves turned by 90 degrees", inspection.rotation_separability),
    )
    has_test = inspection.competition.has_test_images
    comparisons = [comparison for comparison in compared if has_test or comparison[0] != "shift"]
    skipped = [sets for _, sets, separability in comparisons if separability is None]
    return [
        *_format_sizes(inspection.survey),
        *_format_formats(inspection.survey),
        *(
            f"{topic}: {sets} {_format_verdict(separability)} (AUC {separability})"
            for topic, sets, separability in comparisons
            if separability is not None
        ),
        *([f"not compared, too few or all alike: {'; '.join(skipped)}"] if skipped else []),
    ]


def find_readable_rows(facts: ImageFacts) -> NDArray[np.int64]:
    """Return rows of the images that can be decoded."""
    return np.flatnonzero(facts.widths > 0)


def _sample(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.permutation(rows)[:MAX_IMAGES])


def _average_blocks(facts: ImageFacts, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return mean colours (len(rows), 8, 8, 3)."""
    step = facts.thumbnails.shape[1] // BLOCK_SIDE
    blocks = facts.thumbnails[rows].astype(np.float64).reshape(len(rows), BLOCK_SIDE, step, BLOCK_SIDE, step, 3)
    means: NDArray[np.float64] = blocks.mean(axis=(2, 4))
    return means


def _extract_file_facts(facts: ImageFacts, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return logarithms of width, height, aspect ratio and bytes for each pixel (len(rows), 4)."""
    widths, heights = facts.widths[rows].astype(np.float64), facts.heights[rows].astype(np.float64)
    per_pixel = np.maximum(facts.n_bytes[rows], 1) / (widths * heights)
    return np.log(np.stack([widths, heights, widths / heights, per_pixel], axis=1))


def _count_classes(competition: Competition) -> tuple[tuple[str, int], ...]:
    groups = competition.target_kind.list_groups(
        competition.targets, competition.strata, competition.classes, scales=competition.scales
    )
    return tuple(groups)


def _assign_units(competition: Competition, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return units (len(rows),) that are held out together: images of one group, as groups would be learned."""
    groups = np.arange(len(rows)) if competition.groups is None else competition.groups[rows]
    distinct, indices = np.unique(groups, return_inverse=True)
    units: NDArray[np.int64] = rng.permutation(len(distinct))[indices]
    return units


def _compare_sets(
    one: NDArray[np.float64], other: NDArray[np.float64], units: NDArray[np.int64] | None = None
) -> Separability | None:
    """Return how well the rows of two sets are separated.

    Args:
        units: where row i of both is the same image; what of them is held out together.
    """
    if not len(one) or not len(other):
        return None
    features = np.concatenate([one.reshape(len(one), -1), other.reshape(len(other), -1)])
    is_other = np.repeat([0, 1], [len(one), len(other)])
    unit_of_row = np.random.default_rng(0).permutation(len(is_other)) if units is None else np.tile(units, 2)
    return measure_separability(features, is_other, unit_of_row)


def _measure_label_leak(
    competition: Competition, facts: NDArray[np.float64], rows: NDArray[np.int64], units: NDArray[np.int64]
) -> Separability | None:
    """Return how well the most frequent class, or the upper half of the values, is separated from the rest."""
    is_second_set = competition.target_kind.binarize_strata(competition.strata[rows])
    return measure_separability(facts, is_second_set.astype(np.int64), units)


def _format_sizes(survey: Survey) -> list[str]:
    lines = []
    for name, facts in (("training", survey.train), ("test", survey.test)):
        if len(rows := find_readable_rows(facts)):
            low, middle, high = (_format_quantile(facts, rows, part) for part in (0.0, 0.5, 1.0))
            spread = f"from {low} to {high} px, {middle} in the middle" if low != high else f"of {low} px, all of them"
            lines.append(f"sizes: {name} images {spread}")
    return lines


def _format_quantile(facts: ImageFacts, rows: NDArray[np.int64], part: float) -> str:
    width, height = (np.quantile(sides[rows], part) for sides in (facts.widths, facts.heights))
    return f"{width:.0f}x{height:.0f}"


def _format_formats(survey: Survey) -> list[str]:
    n_images_by_format: dict[str, int] = {}
    for facts in (survey.train, survey.test):
        for format_name, n_images in facts.formats.items():
            n_images_by_format[format_name] = n_images_by_format.get(format_name, 0) + n_images
    ordered = sorted(n_images_by_format.items(), key=lambda item: -item[1])
    return [f"files: {', '.join(f'{n_images} {format_name}' for format_name, n_images in ordered)}"] if ordered else []


def _format_verdict(separability: Separability) -> str:
    return (
        "clearly differ"
        if separability.is_clear
        else "differ a little"
        if separability.is_slight
        else "are not separable"
    )


def select_example_rows(inspection: Inspection, *, n_classes: int, n_images: int) -> list[tuple[str, list[int]]]:
    """Return names of classes with rows of some of their images: the most frequent and the rarest classes.

    Tenths of values, of which there are no more than ten, are in the order of the values.
    """
    competition = inspection.competition
    target_kind, strata = competition.target_kind, competition.strata
    readable = set(find_readable_rows(inspection.survey.train).tolist())
    order = target_kind.sort_groups([n_images for _, n_images in inspection.counts])
    chosen = order if len(order) <= n_classes else [*order[: n_classes // 2], *order[-(n_classes // 2) :]]
    members = {index: target_kind.find_group_rows(competition.targets, strata, index).tolist() for index in chosen}
    return [
        (inspection.counts[index][0], [row for row in members[index] if row in readable][:n_images]) for index in chosen
    ]


def format_label(competition: Competition, row: int) -> str:
    """Format the label of a training image."""
    return competition.target_kind.format_label(competition.targets[row], competition.classes)
