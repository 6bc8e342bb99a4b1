"""Find duplicate images of a competition: exact copies, and near duplicates by perceptual hash.

Duplicates across training and validation inflate scores; a test image that is also a training image is worth knowing.
See also: automl.data.perceptual_hash finds similar pairs, automl.data.cleaning groups duplicates.
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

from automl.data.perceptual_hash import FLAT, Pairs, compute_contrasts, find_similar_pairs
from automl.data.survey import ImageFacts, Survey

MAX_CLUSTER_FRACTION = 0.05  # a larger cluster of similar images is no set of copies
MIN_MAX_CLUSTER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Duplicates among the training images, and training images among the test images.

    Attributes:
        clusters: rows of the training images that are copies of each other, ascending; at least two in each.
        n_exact: how many training images are exact copies of an earlier one: equal files, or equal size and thumbnail.
        shared: (training row, test row) for each test image that is a copy of a training image; its first one.
        n_exact_shared: how many of those are exact copies.
        n_chained: how many training images are in connected components too large to be copies. Only exact copies
            among them are in clusters.
    """

    clusters: tuple[tuple[int, ...], ...]
    n_exact: int
    shared: tuple[tuple[int, int], ...]
    n_exact_shared: int
    n_chained: int

    @property
    def n_copies(self) -> int:
        """Number of training images that are copies of an earlier one."""
        return sum(len(cluster) - 1 for cluster in self.clusters)

    def find_label_conflicts(self, targets: NDArray[Any]) -> tuple[int, ...]:
        """Return rows of the training images in clusters whose images do not all have the same target."""
        rows = [row for cluster in self.clusters if _has_conflict(targets[list(cluster)]) for row in cluster]
        return tuple(sorted(rows))


def find_duplicates(survey: Survey) -> Duplicates:
    """Return the duplicates among the images of a survey; images that cannot be decoded are copies of nothing."""
    n_train = len(survey.train.content)
    thumbnails = np.concatenate([survey.train.thumbnails, survey.test.thumbnails])
    readable = np.array([content != "" for content in (*survey.train.content, *survey.test.content)], dtype=bool)
    are_patterned = readable & (compute_contrasts(thumbnails) >= FLAT)
    originals = _find_originals(survey, thumbnails, are_patterned)
    searched = np.flatnonzero(are_patterned & (originals == np.arange(len(originals))))
    pairs = searched[find_similar_pairs(thumbnails[searched])]
    train_originals = np.unique(
        originals[:n_train]
    )  # an original of a test image alone comes after the training images
    clusters, chained = _cluster_pairs(
        pairs[(pairs < n_train).all(axis=1)], len(originals), max_size=_compute_max_cluster(len(train_originals))
    )
    pairs = pairs[~np.isin(pairs, chained).any(axis=1)]
    shared, n_exact_shared = _find_shared(originals, pairs, n_train)
    return Duplicates(
        clusters=_list_clusters(clusters[originals[:n_train]]),
        n_exact=n_train - len(train_originals),
        shared=shared,
        n_exact_shared=n_exact_shared,
        n_chained=int(np.isin(originals[:n_train], chained).sum()),
    )


def _has_conflict(targets: NDArray[Any]) -> bool:
    return bool((targets != targets[0]).any())


def _find_originals(
    survey: Survey, thumbnails: NDArray[np.uint8], are_patterned: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return (n_train + n_test,) the first image that each is an exact copy of; itself where it is the first."""
    by_content = _find_firsts([*survey.train.content, *survey.test.content])
    sizes = [*_list_sizes(survey.train), *_list_sizes(survey.test)]
    # Equal pixels in another file. A flat thumbnail says nothing of what is too fine to be seen on it.
    by_pixels = _find_firsts(
        [
            (size, blake2b(thumbnail, digest_size=16).digest()) if is_patterned else ""
            for size, thumbnail, is_patterned in zip(sizes, thumbnails, are_patterned.tolist(), strict=True)
        ]
    )
    rows = np.arange(len(sizes))
    links = np.concatenate([np.stack([rows, by_content], axis=1), np.stack([rows, by_pixels], axis=1)])
    return _find_component_firsts(links, len(rows))


def _list_sizes(facts: ImageFacts) -> list[tuple[int, int]]:
    return list(zip(facts.widths.tolist(), facts.heights.tolist(), strict=True))


def _find_firsts(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """Return (n,) the first row with the same key; itself where the key is empty."""
    first: dict[Hashable, int] = {}
    rows = [first.setdefault(key, row) if key else row for row, key in enumerate(keys)]
    return np.array(rows, dtype=np.int64)


def _find_component_firsts(links: Pairs, n: int) -> NDArray[np.int64]:
    """Return (n,) the first row of each row's connected component."""
    graph = sparse.coo_array((np.ones(len(links), dtype=bool), (links[:, 0], links[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return np.asarray(first[component], dtype=np.int64)


def _compute_max_cluster(n_originals: int) -> int:
    return max(MIN_MAX_CLUSTER, int(MAX_CLUSTER_FRACTION * n_originals))


def _cluster_pairs(pairs: Pairs, n: int, *, max_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (n,) the first row of each cluster, and the rows of clusters above max_size, which are split up."""
    clusters = _find_component_firsts(pairs, n)
    chained = np.flatnonzero(np.bincount(clusters, minlength=n)[clusters] > max_size)
    clusters[chained] = chained
    return clusters, chained


def _find_shared(originals: NDArray[np.int64], pairs: Pairs, n_train: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """Return (training row, test row) of each test image that is a copy of a training image, and how many are exact."""
    train_of_test: dict[int, int] = {}  # original of a test image -> a training image that looks like it
    for first_row, second_row in pairs.tolist():
        if first_row < n_train <= second_row:
            train_of_test[second_row] = min(first_row, train_of_test.get(second_row, first_row))
    shared, n_exact = [], 0
    for test_row, original in enumerate(originals[n_train:].tolist()):
        if original < n_train:
            shared.append((original, test_row))
            n_exact += 1
        elif original in train_of_test:
            shared.append((train_of_test[original], test_row))
    return tuple(shared), n_exact


def _list_clusters(clusters: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(clusters, kind="stable")
    _, starts = np.unique(clusters[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(order) else []
    return tuple(tuple(part.tolist()) for part in parts if len(part) > 1)
