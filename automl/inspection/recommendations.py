"""What to search, from what was measured of a competition's images: sizes, augmentation, balance; what not to trust.

Not responsible for: the measurements (automl.inspection.inspection).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from automl.files.tables import counted
from automl.inspection.adversarial_validation import Told
from automl.inspection.inspection import Inspection, readable_rows
from automl.tasks import Task

SIZES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384)  # 384: more pays for a few competitions only, and dearly
FIRST_STAGE = 0.6  # of the last size; about the quarter to half of the pixels of fast.ai's progressive resizing
FEW_IMAGES = 2_000  # below, strong augmentation is worth trying
UNBALANCED = 10  # times as many images as the rarest class has


class Suggestion(NamedTuple):
    """Something to do, as it would be typed, and what speaks for it."""

    what: str
    why: str


def suggestions_of(inspection: Inspection) -> list[Suggestion]:
    """What to search, and why."""
    return [
        *_of_broken(inspection),
        *_of_sizes(inspection),
        *_of_augmentation(inspection),
        *_of_balance(inspection),
        *_of_shift(inspection),
    ]


def _of_broken(inspection: Inspection) -> list[Suggestion]:
    n_broken = len(inspection.survey.train.problems) + len(inspection.survey.test.problems)
    why = f"{counted(n_broken, 'image')} cannot be decoded, and a search stops at them otherwise"
    return [Suggestion("--skip-broken, or whole images in their place", why)] if n_broken else []


def _of_sizes(inspection: Inspection) -> list[Suggestion]:
    facts = inspection.survey.train
    rows = readable_rows(facts)
    if len(rows) == 0:
        return []
    side = float(np.median(np.minimum(facts.widths[rows], facts.heights[rows])))
    last = max((size for size in SIZES if size <= side), default=SIZES[0])
    first = min(SIZES, key=lambda size: abs(size - FIRST_STAGE * last))
    sizes = f"{first}-{last},{last}" if first < last else f"{last}"
    why = f"the shorter side of the median image has {side:.0f} px"
    return [Suggestion(f"--choices resize={sizes}", why)]


def _of_augmentation(inspection: Inspection) -> list[Suggestion]:
    competition, mirrored, turned = inspection.competition, inspection.mirrored, inspection.turned
    if mirrored is None or turned is None:
        return []
    if not competition.flips:
        return [Suggestion("--choices augment=none,light,photometric", "a mirrored image may have another label")]
    if mirrored.is_slight:
        why = f"mirror images look unlike these (AUC {mirrored}): something has a side, as text and digits have"
        return [Suggestion("--no-flips, unless you know better", why)]
    if not turned.is_slight:
        why = f"turned images look like these (AUC {turned}): nothing is up"
        return [Suggestion("--choices augment=dihedral,light", why)]
    few = len(competition.image_ids) < FEW_IMAGES
    policies = "light,medium,heavy" if few else "light,medium"
    why = f"images have an up (AUC {turned}) but no side (AUC {mirrored})"
    return [Suggestion(f"--choices augment={policies}", f"{why}; there are {len(competition.image_ids)} of them")]


def _of_balance(inspection: Inspection) -> list[Suggestion]:
    numbers = [n_images for _, n_images in inspection.counts if n_images]
    if inspection.competition.task is Task.REGRESSION or not numbers or max(numbers) < UNBALANCED * min(numbers):
        return []
    why = f"the most frequent class has {max(numbers)} images, the rarest {min(numbers)}"
    return [Suggestion("--space recipe, which asks class_sampling and class_weights", why)]


def _of_shift(inspection: Inspection) -> list[Suggestion]:
    found = []
    shifts: Sequence[tuple[str, Told | None]] = (
        ("files", inspection.shift_in_files),
        ("pixels", inspection.shift_in_pixels),
    )
    for name, told in shifts:
        if told is not None and told.is_clear:
            why = f"{name} tell training from test images (AUC {told})"
            found.append(Suggestion("trust the validation score less", why))
    if inspection.label_in_files is not None and inspection.label_in_files.is_clear:
        why = f"they tell the label (AUC {inspection.label_in_files}), perhaps by how the images were collected"
        found.append(Suggestion("look at sizes and bytes of the files", why))
    return found
