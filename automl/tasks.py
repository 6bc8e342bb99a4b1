"""Task: the kind of target that is predicted for an image, and what each kind of target computes.

See also: automl.readers.infer infers a competition's task.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scales = tuple[tuple[float, float], ...]

DECILES = np.arange(0.1, 0.95, 0.1)


class Task(enum.StrEnum):
    """The kind of target.

    Throughout the product a model predicts `probs` (n, n_classes), each in [0, 1]. Where an image has exactly one class
    the rows sum to 1; with MULTILABEL each column stands for itself; with REGRESSION there is a column for each target,
    and it holds the target scaled to [0, 1].
    """

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    ORDINAL = "ordinal"  # classes in their order, the least first
    REGRESSION = "regression"

    @property
    def one_class_each(self) -> bool:
        """Whether each image has exactly one class."""
        return self.target_kind.is_single_class

    @property
    def target_kind(self) -> TargetKind:
        """What is computed from targets and probs of this task."""
        return TARGET_KINDS[self]


class TargetKind(ABC):
    """What is computed from the targets and probs of a task; one stateless object for each kind.

    Attributes:
        is_single_class: whether an image has exactly one class, so that rows of probs sum to 1.
        is_multi_label: whether an image may have any number of classes.
        has_classes: whether columns stand for classes, and not for values.
    """

    is_single_class = False
    is_multi_label = False
    has_classes = True

    @abstractmethod
    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        """Return soft targets (n, n_classes), the probs of a perfect model: one-hot, multi-hot, or scaled targets."""

    @abstractmethod
    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        """Return the stratum (n,) of each image: class, rarest label (n_classes for none), or decile of values."""

    @abstractmethod
    def format_label(self, target: Any, classes: Sequence[str]) -> str:
        """Format one image's target in words."""

    def count_images(self, targets: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
        """Return the number of images (n_classes,) of each class; of all images for values."""
        return np.full(n_classes, len(targets))

    def find_rows(self, targets: NDArray[Any], class_index: int) -> NDArray[np.int64]:
        """Return the rows of the images of a class; of all images for values."""
        return np.arange(len(targets))

    def compute_prior(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> Floats:
        """Return the prior (n_classes,), the mean soft target."""
        soft_targets = self.compute_soft_targets(targets, n_classes=n_classes, scales=scales)
        mean: Floats = soft_targets.mean(axis=0, dtype=np.float64)
        return mean

    def is_always_labelled(self, targets: NDArray[Any]) -> bool:
        """Return whether every image has at least one label."""
        return True

    def normalize_rows(self, probs: Floats) -> Floats:
        """Return probs as they are, or divided by their rows' sums where an image has one class."""
        return probs

    def compute_logits(self, probs: Floats) -> Floats:
        """Return logits of probs within (0, 1): log odds of each column, as columns are independent."""
        logits: Floats = np.log(probs) - np.log1p(-probs)
        return logits

    def convert_logits(self, logits: Floats) -> Floats:
        """Return the probs of `compute_logits`."""
        probs: Floats = 1.0 / (1.0 + np.exp(-logits))
        return probs

    def build_log_loss(
        self, logits: Floats, targets: NDArray[Any], *, column_weights: tuple[float, ...] | None
    ) -> Callable[[float], float]:
        """Return the log loss as a function of the temperature of these logits."""
        signed = np.where(targets > 0, -logits, logits)
        return lambda temperature: float(
            np.average(np.logaddexp(0.0, signed / temperature).mean(axis=0), weights=column_weights)
        )


class SingleClass(TargetKind):
    """One class for each image: targets are class indices (n,)."""

    is_single_class = True

    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        one_hot: NDArray[np.float32] = np.eye(n_classes, dtype=np.float32)[targets]
        return one_hot

    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        return targets

    def format_label(self, target: Any, classes: Sequence[str]) -> str:
        return classes[int(target)]

    def count_images(self, targets: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.bincount(targets, minlength=n_classes)
        return counts

    def find_rows(self, targets: NDArray[Any], class_index: int) -> NDArray[np.int64]:
        return np.flatnonzero(targets == class_index)

    def compute_prior(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> Floats:
        return self.count_images(targets, n_classes=n_classes) / max(1, len(targets))

    def normalize_rows(self, probs: Floats) -> Floats:
        # Contiguous rows: numpy adds up others in an order that depends on how many there are.
        probs = np.ascontiguousarray(probs)
        totals = probs.sum(axis=1, keepdims=True)
        uniform = np.full_like(probs, 1.0 / probs.shape[1])
        rows: Floats = np.divide(probs, totals, out=uniform, where=totals > 0)
        return rows

    def compute_logits(self, probs: Floats) -> Floats:
        logits: Floats = np.log(probs)
        return logits

    def convert_logits(self, logits: Floats) -> Floats:
        powers: Floats = np.exp(np.ascontiguousarray(logits - logits.max(axis=1, keepdims=True)))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers

    def build_log_loss(
        self, logits: Floats, targets: NDArray[Any], *, column_weights: tuple[float, ...] | None
    ) -> Callable[[float], float]:
        above = logits - logits[np.arange(len(targets)), targets][:, None]  # of the true class
        return lambda temperature: float(_log_sum_exp(above / temperature).mean())


class MultiLabel(TargetKind):
    """Any number of classes for each image: targets are (n, n_classes) of 0 and 1."""

    is_multi_label = True

    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        return targets.astype(np.float32)

    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        counts = targets.sum(axis=0)
        rarity = np.where(targets > 0, counts, np.iinfo(np.int64).max)
        strata: NDArray[np.int64] = np.where(targets.any(axis=1), rarity.argmin(axis=1), len(counts))
        return strata

    def format_label(self, target: Any, classes: Sequence[str]) -> str:
        return ", ".join(classes[int(index)] for index in np.flatnonzero(target)) or "no label"

    def count_images(self, targets: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = targets.sum(axis=0)
        return counts

    def find_rows(self, targets: NDArray[Any], class_index: int) -> NDArray[np.int64]:
        return np.flatnonzero(targets[:, class_index])

    def is_always_labelled(self, targets: NDArray[Any]) -> bool:
        return bool((targets.sum(axis=1) > 0).all())


class Values(TargetKind):
    """Values to regress: targets are (n, n_targets) on their own scales."""

    has_classes = False

    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        assert scales is not None
        low, high = np.asarray(scales, dtype=np.float64).T
        scaled = (targets - low) / np.where(high > low, high - low, 1.0)
        return np.asarray(scaled, dtype=np.float32)

    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        soft_targets = self.compute_soft_targets(targets, n_classes=targets.shape[1], scales=scales)
        means = soft_targets.mean(axis=1, dtype=np.float64)
        deciles: NDArray[np.int64] = np.searchsorted(np.quantile(means, DECILES), means)
        return deciles

    def format_label(self, target: Any, classes: Sequence[str]) -> str:
        return ", ".join(f"{value:g}" for value in target)


def _log_sum_exp(logits: Floats) -> Floats:
    top = logits.max(axis=1)
    sums: Floats = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return sums


SINGLE_CLASS = SingleClass()
TARGET_KINDS: dict[Task, TargetKind] = {
    Task.BINARY: SINGLE_CLASS,
    Task.MULTICLASS: SINGLE_CLASS,
    Task.ORDINAL: SINGLE_CLASS,
    Task.MULTILABEL: MultiLabel(),
    Task.REGRESSION: Values(),
}
SINGLE_CLASS_TASKS = frozenset(task for task in Task if task.target_kind.is_single_class)
CLASS_TASKS = frozenset(task for task in Task if task.target_kind.has_classes)
BINARY_TASKS, MULTILABEL_TASKS, REGRESSION_TASKS = (
    frozenset({task}) for task in (Task.BINARY, Task.MULTILABEL, Task.REGRESSION)
)
