"""Several classes for each image, one for each of several heads, and the block of columns that belongs to a head.

A head is a label column with classes of its own, such as the root of a grapheme or its vowel. The columns of probs are
the classes of the first head, then those of the second, and so on; each head's block of a row sums to 1.

Source: scikit-learn's "multiclass-multioutput" problems, https://scikit-learn.org/stable/modules/multiclass.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.target_kinds import SINGLE_CLASS, Floats, Scales, TargetKind

HeadSizes = tuple[int, ...]  # the number of classes of each head, in their order


@dataclass(frozen=True, slots=True)
class Head:
    """A label column with classes of its own; class names are the head's, "=", and the label."""

    name: str
    n_classes: int

    def name_class(self, label: str) -> str:
        """Name the class that a label of this head is."""
        return f"{self.name}={label}"

    def to_label(self, class_name: str) -> str:
        """Return the label, as the tables write it, of one of this head's classes."""
        return class_name.removeprefix(f"{self.name}=")


def list_head_slices(head_sizes: HeadSizes) -> list[slice]:
    """List the columns of each head."""
    ends = np.cumsum((0, *head_sizes)).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]


def split_by_head(matrix: NDArray[Any], head_sizes: HeadSizes) -> list[NDArray[Any]]:
    """Split (n, n_classes) into the block (n, n_classes of the head) of each head.

    Raises:
        ValueError: it has another number of columns than the heads together.
    """
    if matrix.shape[1] != sum(head_sizes):
        raise ValueError(f"{matrix.shape[1]} columns, but heads of {head_sizes} classes")
    return [matrix[:, own] for own in list_head_slices(head_sizes)]


def iterate_head_targets(targets: NDArray[Any], head_sizes: HeadSizes) -> Iterator[NDArray[Any]]:
    """Yield the class indices (n,) within each head of targets (n, n_heads)."""
    for column, own in zip(targets.T, list_head_slices(head_sizes), strict=True):
        yield column - own.start


def choose_likeliest_classes(probs: NDArray[Any], head_sizes: HeadSizes) -> NDArray[np.int64]:
    """Return (n, n_heads) the likeliest class of each head, as an index of a column."""
    blocks = split_by_head(probs, head_sizes)
    likeliest = [block.argmax(axis=1) for block in blocks]
    return np.stack([own + part.start for own, part in zip(likeliest, list_head_slices(head_sizes), strict=True)], 1)


@dataclass(frozen=True)
class MultiOutput(TargetKind):
    """One class for each image and head: targets are (n, n_heads) indices of columns.

    Without sizes of the heads it answers no more than what it is; `with_heads` returns one that computes.

    Attributes:
        head_sizes: the number of classes of each head.
    """

    head_sizes: HeadSizes = ()

    def with_heads(self, head_sizes: HeadSizes) -> TargetKind:
        if not head_sizes:
            raise ValueError("a multioutput task without heads")
        return MultiOutput(head_sizes)

    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        soft_targets = np.zeros((len(targets), n_classes), dtype=np.float32)
        np.put_along_axis(soft_targets, targets, 1.0, axis=1)
        return soft_targets

    def convert_soft_targets(self, soft_targets: NDArray[Any], *, scales: Scales | None) -> NDArray[Any]:
        return choose_likeliest_classes(soft_targets, self.head_sizes)

    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        return find_rarest_classes(targets)

    def list_labels(self, target: Any, classes: Sequence[str]) -> list[str]:
        return [classes[int(index)] for index in target]

    def count_images(self, targets: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.bincount(targets.ravel(), minlength=n_classes)
        return counts

    def find_rows(self, targets: NDArray[Any], class_index: int) -> NDArray[np.int64]:
        return np.flatnonzero((targets == class_index).any(axis=1))

    def compute_imbalance(self, counts: Sequence[int]) -> float:
        blocks = [counts[own] for own in list_head_slices(self.head_sizes)]
        return max((SINGLE_CLASS.compute_imbalance(block) for block in blocks), default=1.0)

    def count_choices(self, n_classes: int) -> int | NDArray[np.int64]:
        return np.repeat(self.head_sizes, self.head_sizes)

    def compute_initial_logit(self, n_classes: int) -> float | tuple[float, ...]:
        logits = [SINGLE_CLASS.compute_initial_logit(size) for size in self.head_sizes]
        return tuple(np.repeat(logits, self.head_sizes).tolist())

    def compute_confidence(self, probs: NDArray[Any], *, always_labelled: bool) -> Floats:
        surest: Floats = np.stack([block.max(axis=1) for block in split_by_head(probs, self.head_sizes)], axis=1)
        confidence: Floats = surest.min(axis=1)
        return confidence

    def has_valid_sums(self, probs: NDArray[Any]) -> bool:
        return all(SINGLE_CLASS.has_valid_sums(block) for block in split_by_head(probs, self.head_sizes))

    def normalize_rows(self, probs: Floats) -> Floats:
        return self._map_blocks(SINGLE_CLASS.normalize_rows, probs)

    def compute_logits(self, probs: Floats) -> Floats:
        return SINGLE_CLASS.compute_logits(probs)

    def convert_logits(self, logits: Floats) -> Floats:
        return self._map_blocks(SINGLE_CLASS.convert_logits, logits)

    def build_log_loss(
        self, logits: Floats, targets: NDArray[Any], *, column_weights: tuple[float, ...] | None
    ) -> Callable[[float], float]:
        own_losses = [
            SINGLE_CLASS.build_log_loss(block, own, column_weights=None)
            for block, own in zip(
                split_by_head(logits, self.head_sizes), iterate_head_targets(targets, self.head_sizes), strict=True
            )
        ]
        return lambda temperature: float(np.average([own(temperature) for own in own_losses], weights=column_weights))

    def _map_blocks(self, function: Callable[[Floats], Floats], matrix: Floats) -> Floats:
        return np.concatenate([function(block) for block in split_by_head(matrix, self.head_sizes)], axis=1)


def find_rarest_classes(targets: NDArray[Any]) -> NDArray[np.int64]:
    """Return the stratum (n,) of targets (n, n_heads): the rarest of an image's classes, of all heads."""
    rarity = np.bincount(targets.ravel())[targets]
    rarest: NDArray[np.int64] = np.take_along_axis(targets, rarity.argmin(axis=1)[:, None], axis=1)[:, 0]
    return rarest


MULTI_OUTPUT = MultiOutput()
