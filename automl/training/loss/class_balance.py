"""Class imbalance: how often an epoch samples each class, and how much each class weighs in the loss.

Both correct for the same thing: with class_sampling and class_weights together, rare classes are favoured twice. Where
an image has several labels, or a class of each of several heads, its rarest one decides how often it is shown, and the
mean of their weights how much it counts. Where it has values, tenths of the scale take the place of classes, so that
rare values are favoured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition

# Parts of a scale, of equal width. Source: Yang et al. 2021, Delving into Deep Imbalanced Regression, section 3, which
# weighs by the frequency of bins of equal width; their number is ours, for competitions of a thousand images.

# A class's chance is its count to this power. Source: Kang et al. 2020, Decoupling, section 3, equation 1.
EXPONENTS = {"natural": 1.0, "sqrt": 0.5, "balanced": 0.0}


def sample_epoch_rows(
    rows: NDArray[np.int64], strata: NDArray[np.int64] | None, sampling: str, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Sample (len(rows),) the rows of an epoch in random order: each once if natural, else by the classes' chances.

    The classes have equal chances if balanced, and in proportion to the square roots of their counts with sqrt. A class
    has its expected number of images, rounded up or down at random, and each of its images once before any comes a
    second time. An epoch has always the same length, so that the learning rate's schedule does not depend on the
    sampling.
    Source: Buda et al. 2018, A systematic study of the class imbalance problem, for balanced; Mahajan et al. 2018,
    Exploring the Limits of Weakly Supervised Pretraining, after Mikolov et al. 2013, for sqrt.

    Args:
        rows: (n_train,) row numbers.
        strata: (n,) of all rows, as `get_sampling_strata` tells them; natural needs none.
        sampling: "natural", "sqrt" or "balanced".
    """
    if sampling == "natural" or strata is None:
        return rng.permutation(rows)
    classes, counts = np.unique(strata[rows], return_counts=True)
    numbers = _allocate_images(counts.astype(np.float64) ** EXPONENTS[sampling], len(rows), rng)
    own = (rng.permutation(rows[strata[rows] == number]) for number in classes)
    # A second round in the order of the first is as good as any: all rows are shuffled again.
    return rng.permutation(np.concatenate([np.resize(found, n) for found, n in zip(own, numbers, strict=True)]))


def get_sampling_strata(competition: Competition) -> NDArray[np.int64]:
    """Return (n,) what sampling evens out: the class, the rarest label or class, or the tenth of the scale.

    Not `competition.strata`, with values: those are equally frequent already.
    """
    return competition.target_kind.compute_sampling_strata(competition.targets, scales=competition.scales)


def count_for_weights(competition: Competition, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count how many of the rows have each class (n_classes,), each label (n_classes,), or lie in each tenth (10,)."""
    return competition.target_kind.count_for_weights(
        competition.targets[rows], n_classes=competition.n_classes, scales=competition.scales
    )


def compute_class_weights(weighting: str, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute (n_classes,) weight of an image by its class, whose mean over all images is 1; 0 for a class without any.

    Of labels the mean is that over all labels of all images.
    Balanced weights are the inverse of a class's count, effective ones that of its effective number (1 - beta ** count)
    / (1 - beta), with beta = (N - 1) / N and N the mean count: rare classes are weighted as if balanced, while classes
    above the mean hardly differ from one another. The paper, which tries N of 10 to 10000, leaves the choice open.
    Source: King and Zeng 2001, Logistic Regression in Rare Events Data, section 4.2, as scikit-learn has it, for
    balanced; Cui et al. 2019, Class-Balanced Loss, sections 3 and 4, for effective.

    Args:
        weighting: "balanced" or "effective".
        counts: (n_classes,) images of each class.
    """
    present = counts > 0
    if not present.any():
        return np.zeros(len(counts))
    numbers = counts[present].astype(np.float64)
    if weighting == "effective":
        beta = 1.0 - 1.0 / numbers.mean()
        numbers = (1.0 - beta**numbers) / (1.0 - beta)
    weights = np.zeros(len(counts))
    weights[present] = 1.0 / numbers
    mean: float = np.average(weights, weights=counts)
    return weights / mean


def _allocate_images(chances: NDArray[np.float64], n_images: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Allocate (n_classes,) n_images in proportion to the chances: each its expectation, rounded without bias.

    Source: systematic sampling, Madow 1949: the expectations laid end to end, and counted at whole distances.
    """
    ends = np.cumsum(chances) * (n_images / chances.sum())
    marks = np.floor(ends + rng.random()).astype(np.int64)
    marks[-1] = n_images  # without its rounding error, which could cost an image
    numbers: NDArray[np.int64] = np.diff(marks, prepend=0)
    return numbers
