"""Recommend what to search from an inspection: image sizes, augmentation, class balance; warn of shift and leaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from automl.files.evidence import format_suggestion, format_warning
from automl.files.tables import format_count
from automl.inspection.adversarial_validation import Separability
from automl.inspection.inspection import Inspection, find_readable_rows

SIZES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384)  # 384: more pays for a few competitions only, and dearly
FIRST_STAGE = 0.6  # of the last size; about the quarter to half of the pixels of fast.ai's progressive resizing
FEW_IMAGES = 2_000  # below, strong augmentation is worth trying
UNBALANCED = 10  # times as many images as the rarest class has


class Recommendation(NamedTuple):
    """A flag or, where none helps, an action, and the reason for it."""

    what: str
    why: str

    def format_line(self) -> str:
        """Format a suggestion where it is a flag, a warning else."""
        if self.what.startswith("--"):
            return format_suggestion(self.what, self.why)
        return format_warning(f"{self.what}: {self.why}")


def recommend(inspection: Inspection) -> list[Recommendation]:
    """Return recommendations for a search, each with its reason."""
    return [
        *_recommend_for_broken(inspection),
        *_recommend_sizes(inspection),
        *_recommend_augmentation(inspection),
        *_recommend_balance(inspection),
        *_warn_of_shift(inspection),
    ]


def _recommend_for_broken(inspection: Inspection) -> list[Recommendation]:
    n_broken = len(inspection.survey.train.problems) + len(inspection.survey.test.problems)
    why = f"{format_count(n_broken, 'image')} cannot be decoded, and a search stops at them unless they are replaced"
    return [Recommendation("--skip-broken", why)] if n_broken else []


def _recommend_sizes(inspection: Inspection) -> list[Recommendation]:
    facts = inspection.survey.train
    rows = find_readable_rows(facts)
    if len(rows) == 0:
        return []
    side = float(np.median(np.minimum(facts.widths[rows], facts.heights[rows])))
    last = max((size for size in SIZES if size <= side), default=SIZES[0])
    first = min(SIZES, key=lambda size: abs(size - FIRST_STAGE * last))
    sizes = f"{first}-{last},{last}" if first < last else f"{last}"
    why = f"the shorter side of the median image has {side:.0f} px"
    return [Recommendation(f"--choices resize={sizes}", why)]


def _recommend_augmentation(inspection: Inspection) -> list[Recommendation]:
    competition, mirror, rotation = (
        inspection.competition,
        inspection.mirror_separability,
        inspection.rotation_separability,
    )
    if mirror is None or rotation is None:
        return []
    if not competition.flips:
        return [Recommendation("--choices augment=none,light,photometric", "a mirrored image may have another label")]
    if mirror.is_slight:
        why = f"mirror images look unlike these (AUC {mirror}): something has a side, as text and digits have"
        return [Recommendation("--no-flips", why)]
    if not rotation.is_slight:
        why = f"turned images look like these (AUC {rotation}): nothing is up"
        return [Recommendation("--choices augment=dihedral,light", why)]
    few = len(competition.image_ids) < FEW_IMAGES
    policies = "light,medium,heavy" if few else "light,medium"
    why = f"images have an up (AUC {rotation}) but no side (AUC {mirror})"
    return [Recommendation(f"--choices augment={policies}", f"{why}; there are {len(competition.image_ids)} of them")]


def _recommend_balance(inspection: Inspection) -> list[Recommendation]:
    numbers = [n_images for _, n_images in inspection.counts if n_images]
    if inspection.competition.target_kind.compute_imbalance(numbers) < UNBALANCED:
        return []
    why = f"the most frequent class has {max(numbers)} images, the rarest {min(numbers)}"
    return [Recommendation("--space recipe", f"{why}; it asks class_sampling and class_weights")]


def _warn_of_shift(inspection: Inspection) -> list[Recommendation]:
    found = []
    shifts: Sequence[tuple[str, Separability | None]] = (
        ("files", inspection.shift_in_files),
        ("pixels", inspection.shift_in_pixels),
    )
    for name, separability in shifts:
        if separability is not None and separability.is_clear:
            why = f"{name} tell training from test images (AUC {separability})"
            found.append(Recommendation("trust the validation score less", why))
    if inspection.label_leak is not None and inspection.label_leak.is_clear:
        why = f"they tell the label (AUC {inspection.label_leak}), perhaps by how the images were collected"
        found.append(Recommendation("look at sizes and bytes of the files", why))
    return found
