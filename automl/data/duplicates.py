"""Which images of a competition are copies of another: the same, or nearly so.

A pair that looks alike in training and validation makes scores too good; a test image that is also a training image
is worth knowing. Not responsible for: what looks alike (automl.data.perceptual_hash) or what is done about it
(automl.data.cleaning).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from automl.data.perceptual_hash import FLAT, Pairs, contrasts, look_alikes
from automl.data.survey import ImageFacts, Survey

SWALLOWED = 0.05  # a chain of look-alikes longer than this fraction of the images is no set of copies
MIN_SWALLOWED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Copies among the training images, and training images among the test images.

    Attributes:
        clusters: rows of the training images that are copies of each other, ascending; at least two in each.
        n_exact: how many training images are exact copies of an earlier one: equal files, or equal size and thumbnail.
        shared: (training row, test row) for each test image that is a copy of a training image; its first one.
        n_exact_shared: how many of those are exact copies.
        n_chained: how many training images hang together in chains that are too long to be copies. Only exact copies
            among them are in clusters.
    """

    clusters: tuple[tuple[int, ...], ...]
    n_exact: int
    shared: tuple[tuple[int, int], ...]
    n_exact_shared: int
    n_chained: int

    @property
    def n_copies(self) -> int:
        """How many training images are copies of an earlier one."""
        return sum(len(cluster) - 1 for cluster in self.clusters)

    def conflicting(self, targets: NDArray[Any]) -> tuple[int, ...]:
        """Rows of the training images in clusters whose images do not all have the same target."""
        rows = [row for cluster in self.clusters if _differ(targets[list(cluster)]) for row in cluster]
        return tuple(sorted(rows))


def find_duplicates(survey: Survey) -> Duplicates:
    """The copies among the images of a survey; images that cannot be decoded are copies of nothing."""
    n_train = len(survey.train.content)
    thumbnails = np.concatenate([survey.train.thumbnails, survey.test.thumbnails])
    readable = np.array([content != "" for content in (*survey.train.content, *survey.test.content)], dtype=bool)
    patterned = readable & (contrasts(thumbnails) >= FLAT)
    originals = _originals(survey, thumbnails, patterned)
    searched = np.flatnonzero(patterned & (originals == np.arange(len(originals))))
    pairs = searched[look_alikes(thumbnails[searched])]
    trained = np.unique(originals[:n_train])  # an original of a test image alone comes after the training images
    clusters, chained = _clusters(
        pairs[(pairs < n_train).all(axis=1)], len(originals), n_allowed=_allowed(len(trained))
    )
    pairs = pairs[~np.isin(pairs, chained).any(axis=1)]
    shared, n_exact_shared = _shared(originals, pairs, n_train)
    return Duplicates(
        clusters=_rows_of_clusters(clusters[originals[:n_train]]),
        n_exact=n_train - len(trained),
        shared=shared,
        n_exact_shared=n_exact_shared,
        n_chained=int(np.isin(originals[:n_train], chained).sum()),
    )


def _differ(targets: NDArray[Any]) -> bool:
    return bool((targets != targets[0]).any())


def _originals(survey: Survey, thumbnails: NDArray[np.uint8], patterned: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n_train + n_test,) the first image that each is an exact copy of; itself where it is the first."""
    by_content = _firsts([*survey.train.content, *survey.test.content])
    sizes = [*_sizes(survey.train), *_sizes(survey.test)]
    # Equal pixels in another file. A flat thumbnail says nothing of what is too fine to be seen on it.
    by_pixels = _firsts(
        [
            (size, blake2b(thumbnail, digest_size=16).digest()) if told else ""
            for size, thumbnail, told in zip(sizes, thumbnails, patterned.tolist(), strict=True)
        ]
    )
    rows = np.arange(len(sizes))
    links = np.concatenate([np.stack([rows, by_content], axis=1), np.stack([rows, by_pixels], axis=1)])
    return _firsts_of_components(links, len(rows))


def _sizes(facts: ImageFacts) -> list[tuple[int, int]]:
    return list(zip(facts.widths.tolist(), facts.heights.tolist(), strict=True))


def _firsts(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """(n,) the first row with the same key; itself where the key is empty."""
    first: dict[Hashable, int] = {}
    rows = [first.setdefault(key, row) if key else row for row, key in enumerate(keys)]
    return np.array(rows, dtype=np.int64)


def _firsts_of_components(links: Pairs, n: int) -> NDArray[np.int64]:
    """(n,) the first row that each hangs together with."""
    graph = sparse.coo_array((np.ones(len(links), dtype=bool), (links[:, 0], links[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return np.asarray(first[component], dtype=np.int64)


def _allowed(n_originals: int) -> int:
    return max(MIN_SWALLOWED, int(SWALLOWED * n_originals))


def _clusters(pairs: Pairs, n: int, *, n_allowed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) the first row of each one's cluster, and the rows of clusters of more than n_allowed, which are undone."""
    clusters = _firsts_of_components(pairs, n)
    chained = np.flatnonzero(np.bincount(clusters, minlength=n)[clusters] > n_allowed)
    clusters[chained] = chained
    return clusters, chained


def _shared(originals: NDArray[np.int64], pairs: Pairs, n_train: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """(training row, test row) of the test images that are copies of training images, and how many are exact ones."""
    alike: dict[int, int] = {}  # original of a test image -> a training image that looks like it
    for some, other in pairs.tolist():
        if some < n_train <= other:
            alike[other] = min(some, alike.get(other, some))
    shared, n_exact = [], 0
    for test_row, original in enumerate(originals[n_train:].tolist()):
        if original < n_train:
            shared.append((original, test_row))
            n_exact += 1
        elif original in alike:
            shared.append((alike[original], test_row))
    return tuple(shared), n_exact


def _rows_of_clusters(clusters: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(clusters, kind="stable")
    _, starts = np.unique(clusters[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(order) else []
    return tuple(tuple(part.tolist()) for part in parts if len(part) > 1)
