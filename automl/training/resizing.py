"""Progressive resizing: which image size is trained in which epoch.

A pure function of the schedule. Not responsible for: the pixels of a size (automl.data.cache).
"""

from __future__ import annotations

from collections.abc import Sequence


def image_size_of_epoch(image_sizes: Sequence[int], epoch: int, epochs: int) -> int:
    """The size in pixels per side that epoch (0-based) of `epochs` trains on.

    The stages follow each other in the order given and last epochs // n_stages epochs each; the last one has the
    remainder too, because the final size is the one that predicts.

    Raises:
        ValueError: the epoch is outside [0, epochs), or there are fewer epochs than stages.
    """
    if not 0 <= epoch < epochs or epochs < len(image_sizes):
        raise ValueError(f"epoch {epoch} of {epochs} has no place in {len(image_sizes)} stages")
    stage = epoch // (epochs // len(image_sizes))
    return image_sizes[min(stage, len(image_sizes) - 1)]
