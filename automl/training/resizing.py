"""Progressive resizing: which image size is trained in which epoch, and with how large a batch.

Pure functions of the schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

from automl.config import TrialConfig


def get_stage(n_stages: int, epoch: int, epochs: int) -> int:
    """Return the stage (0-based) that epoch (0-based) of `epochs` belongs to.

    The stages follow each other and last epochs // n_stages epochs each; the last one has the remainder too, because
    the final size is the one that predicts.
    Source: Howard 2018, fast.ai's DAWNBench entry, where training goes from 128 to 224 and 288 pixels.

    Raises:
        ValueError: the epoch is outside [0, epochs), or there are fewer epochs than stages.
    """
    if not 0 <= epoch < epochs or epochs < n_stages:
        raise ValueError(f"epoch {epoch} of {epochs} does not fit into {n_stages} stages")
    return min(epoch // (epochs // n_stages), n_stages - 1)


def get_image_size(image_sizes: Sequence[int], epoch: int, epochs: int) -> int:
    """Return the size in pixels per side that the epoch trains on."""
    return image_sizes[get_stage(len(image_sizes), epoch, epochs)]


def is_end_of_stage(image_sizes: Sequence[int], epoch: int, epochs: int) -> bool:
    """Whether another stage begins after this epoch."""
    n_stages = len(image_sizes)
    return epoch + 1 < epochs and get_stage(n_stages, epoch, epochs) != get_stage(n_stages, epoch + 1, epochs)


def get_batch_size(config: TrialConfig, epoch: int) -> int:
    """Return how many images a step of the epoch has: as many more as they are smaller, where the schedule says so.

    Activations, which fill the memory, grow with the number of pixels.
    Source: Howard 2018, fast.ai's DAWNBench entry, where smaller images have larger batches.
    """
    sizes = config.resize.image_sizes
    if not config.resize.scale_batch:
        return config.batch_size
    size = get_image_size(sizes, epoch, config.epochs)
    return max(2, config.batch_size * sizes[-1] ** 2 // size**2)


def count_batches(n_images: int, batch_size: int) -> int:
    """Count how many batches an epoch has, where a last batch of one image is merged into the one before."""
    full, rest = divmod(n_images, batch_size)
    return max(1, full + (rest > 1))


def count_steps(config: TrialConfig, n_images: int, epochs: int) -> int:
    """Count how many steps the first `epochs` epochs of the trial have."""
    return sum(count_batches(n_images, get_batch_size(config, epoch)) for epoch in range(epochs))
