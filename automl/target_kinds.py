"""What is computed from the targets and probs of a task: `TargetKind`, one stateless object for each kind of target.

See also: automl.tasks.Task.target_kind names a task's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scales = tuple[tuple[float, float], ...]

DECILES = np.arange(0.1, 0.95, 0.1)
N_TENTHS = 10
SUM_TOLERANCE = 1e-3  # of probabilities in float32
# Source: Lin et al. 2017, Focal Loss for Dense Object Detection, section 4.1. Values that begin scattered around their
# mean cost more at first than a network can gain: measured, 10 % less RMSE after three epochs from scratch.
VALUE_STD = 0.01


class TargetKind(ABC):
    """What is computed from the targets and probs of a task; one stateless object for each kind.

    Attributes:
        is_single_class: whether an image has exactly one class, so that rows of probs sum to 1.
        is_multi_label: whether an image may have any number of classes.
        has_classes: whether columns stand for classes, and not for values.
        column_noun: what columns stand for, in words.
        initial_std: of the weights that lead to a network's outputs, around 0; None for the layer's own rule.
    """

    is_single_class = False
    is_multi_label = False
    has_classes = True
    column_noun = "classes"
    initial_std: float | None = None

    @property
    def target_kind(self) -> TargetKind:
        return self

    def with_heads(self, head_sizes: tuple[int, ...]) -> TargetKind:
        """Return the same for heads of so many classes each; itself where there are no heads."""
        return self

    @abstractmethod
    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        """Return soft targets (n, n_classes), the probs of a perfect model: one-hot, multi-hot, or scaled targets."""

    @abstractmethod
    def convert_soft_targets(self, soft_targets: NDArray[Any], *, scales: Scales | None) -> NDArray[Any]:
        """Return the targets that are meant: the likeliest class, labels from one half on, or values."""

    @abstractmethod
    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        """Return the stratum (n,) of each image: class, rarest label (n_classes for none), or decile of values."""

    def compute_sampling_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        """Return what class sampling balances: strata (n,), but tenths of the scale of values."""
        return self.compute_strata(targets, scales=scales)

    def count_for_weights(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> NDArray[np.int64]:
        """Return the number of images by which class weights go: of each class (n_classes,), or of each tenth (10,)."""
        return self.count_images(targets, n_classes=n_classes)

    @abstractmethod
    def list_labels(self, target: Any, classes: Sequence[str]) -> list[str]:
        """Return the names of one image's classes; of values each with its target's name."""

    def list_cells(self, target: Any, texts: Sequence[str]) -> list[str]:
        """Return one image's labels, of classes with these texts, or its values, as tables hold them."""
        return self.list_labels(target, texts)

    def format_label(self, target: Any, classes: Sequence[str]) -> str:
        """Format one image's target in words."""
        return ", ".join(self.list_labels(target, classes)) or "no label"

    def format_share(self, name: str, share: float) -> str:
        """Format a class by its name and its share of the images; a target by its name alone."""
        return f"{name} ({100 * share:.1f} %)"

    def count_images(self, targets: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
        """Return the number of images (n_classes,) of each class; of all images for values."""
        return np.full(n_classes, len(targets))

    def find_rows(self, targets: NDArray[Any], class_index: int) -> NDArray[np.int64]:
        """Return the rows of the images of a class; of all images for values."""
        return np.arange(len(targets))

    def list_groups(
        self, targets: NDArray[Any], strata: NDArray[np.int64], classes: Sequence[str], *, scales: Scales | None
    ) -> list[tuple[str, int]]:
        """List the groups of images that belong together, by name and number: classes, or deciles in their order."""
        numbers = self.count_images(targets, n_classes=len(classes))
        return list(zip(classes, map(int, numbers), strict=True))

    def find_group_rows(self, targets: NDArray[Any], strata: NDArray[np.int64], group_index: int) -> NDArray[np.int64]:
        """Return the rows of the images of a group: of a class, or of a decile."""
        return self.find_rows(targets, group_index)

    def sort_groups(self, counts: Sequence[int]) -> list[int]:
        """Return the order of groups of so many images: the most frequent class first; deciles as they are."""
        return sorted(range(len(counts)), key=lambda index: -counts[index])

    def compute_imbalance(self, counts: Sequence[int]) -> float:
        """Return how many times as many images the largest group has as the smallest; 1 for deciles, alike by rule."""
        return max(counts) / min(counts) if counts else 1.0

    def binarize_strata(self, strata: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether (n,) images are of the most frequent stratum; of values, in the upper half of the deciles."""
        numbers, counts = np.unique(strata, return_counts=True)
        is_most_frequent: NDArray[np.bool_] = strata == (numbers[counts.argmax()] if len(numbers) else 0)
        return is_most_frequent

    def count_choices(self, n_classes: int) -> int | NDArray[np.int64]:
        """Return among how many outcomes each output chooses: classes, or yes and no; (n_classes,) where they vary."""
        return 2

    def compute_initial_logit(self, n_classes: int) -> float | tuple[float, ...]:
        """Return where outputs begin of which no prior is known: at 1 / n_classes; at half a scale for values."""
        return -math.log(max(n_classes - 1, 1))

    def has_rankable_columns(self, n_classes: int) -> bool:
        """Return whether ranks within columns can stand for probs: not where sums of rows would be lost."""
        return False

    def compute_prior(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> Floats:
        """Return the prior (n_classes,), the mean soft target."""
        soft_targets = self.compute_soft_targets(targets, n_classes=n_classes, scales=scales)
        mean: Floats = soft_targets.mean(axis=0, dtype=np.float64)
        return mean

    def compute_mean_probs(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> Floats:
        """Return the constant prediction (n_classes,) of a model that knows no images; unscaled without scales."""
        return self.compute_prior(targets, n_classes=n_classes, scales=scales)

    def is_always_labelled(self, targets: NDArray[Any]) -> bool:
        """Return whether every image has at least one label."""
        return True

    def compute_confidence(self, probs: NDArray[Any], *, always_labelled: bool) -> Floats:
        """Return how sure (n,) probabilities are of the likeliest class, or of the least sure label.

        An image is known only once each of its labels is; not at all, where none is likely though every training
        image has one.
        """
        confidence: Floats = probs.max(axis=1)
        return confidence

    def has_valid_sums(self, probs: NDArray[Any]) -> bool:
        """Return whether rows sum to 1 where an image has one class."""
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


class HasTargetKind(Protocol):
    """A task, a kind of target itself, or what is of one."""

    @property
    def target_kind(self) -> TargetKind: ...


class SingleClass(TargetKind):
    """One class for each image: targets are class indices (n,)."""

    is_single_class = True

    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        one_hot: NDArray[np.float32] = np.eye(n_classes, dtype=np.float32)[targets]
        return one_hot

    def convert_soft_targets(self, soft_targets: NDArray[Any], *, scales: Scales | None) -> NDArray[Any]:
        classes: NDArray[np.int64] = soft_targets.argmax(axis=1)
        return classes

    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        return targets

    def list_labels(self, target: Any, classes: Sequence[str]) -> list[str]:
        return [classes[int(target)]]

    def count_images(self, targets: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.bincount(targets, minlength=n_classes)
        return counts

    def find_rows(self, targets: NDArray[Any], class_index: int) -> NDArray[np.int64]:
        return np.flatnonzero(targets == class_index)

    def count_choices(self, n_classes: int) -> int:
        return n_classes

    def has_rankable_columns(self, n_classes: int) -> bool:
        return n_classes == 2

    def compute_prior(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> Floats:
        return self.count_images(targets, n_classes=n_classes) / max(1, len(targets))

    def has_valid_sums(self, probs: NDArray[Any]) -> bool:
        return bool((abs(probs.sum(axis=1) - 1) <= SUM_TOLERANCE).all())

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

    def convert_soft_targets(self, soft_targets: NDArray[Any], *, scales: Scales | None) -> NDArray[Any]:
        return (soft_targets >= 0.5).astype(np.int8)

    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        return find_rarest_labels(targets)

    def list_labels(self, target: Any, classes: Sequence[str]) -> list[str]:
        return [classes[int(index)] for index in np.flatnonzero(target)]

    def count_images(self, targets: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = targets.sum(axis=0)
        return counts

    def find_rows(self, targets: NDArray[Any], class_index: int) -> NDArray[np.int64]:
        return np.flatnonzero(targets[:, class_index])

    def has_rankable_columns(self, n_classes: int) -> bool:
        return True

    def is_always_labelled(self, targets: NDArray[Any]) -> bool:
        return bool((targets.sum(axis=1) > 0).all())

    def compute_confidence(self, probs: NDArray[Any], *, always_labelled: bool) -> Floats:
        least = np.maximum(probs, 1.0 - probs).min(axis=1)
        confidence: Floats = np.where(always_labelled & (probs < 0.5).all(axis=1), 0.0, least)
        return confidence


class Values(TargetKind):
    """Values to regress: targets are (n, n_targets) on their own scales."""

    has_classes = False
    column_noun = "targets"
    initial_std = VALUE_STD

    def compute_soft_targets(
        self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None
    ) -> NDArray[np.float32]:
        assert scales is not None
        low, high = np.asarray(scales, dtype=np.float64).T
        scaled = (targets - low) / np.where(high > low, high - low, 1.0)
        return np.asarray(scaled, dtype=np.float32)

    def convert_soft_targets(self, soft_targets: NDArray[Any], *, scales: Scales | None) -> NDArray[Any]:
        low, high = np.asarray(scales, dtype=np.float64).T
        values: NDArray[np.float64] = low + soft_targets * (high - low)
        return values

    def compute_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        soft_targets = self.compute_soft_targets(targets, n_classes=targets.shape[1], scales=scales)
        means = soft_targets.mean(axis=1, dtype=np.float64)
        deciles: NDArray[np.int64] = np.searchsorted(np.quantile(means, DECILES), means)
        return deciles

    def compute_sampling_strata(self, targets: NDArray[Any], *, scales: Scales | None) -> NDArray[np.int64]:
        # Not deciles: those are equally frequent already.
        soft_targets = self.compute_soft_targets(targets, n_classes=targets.shape[1], scales=scales)
        tenths: NDArray[np.int64] = (soft_targets.mean(axis=1) * N_TENTHS).astype(np.int64).clip(0, N_TENTHS - 1)
        return tenths

    def count_for_weights(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.bincount(
            self.compute_sampling_strata(targets, scales=scales), minlength=N_TENTHS
        )
        return counts

    def compute_mean_probs(self, targets: NDArray[Any], *, n_classes: int, scales: Scales | None) -> Floats:
        mean: Floats = targets.mean(axis=0, dtype=np.float64)
        if scales is not None:
            low, high = np.asarray(scales, dtype=np.float64).T
            mean = (mean - low) / np.where(high > low, high - low, 1.0)
        return mean

    def list_labels(self, target: Any, classes: Sequence[str]) -> list[str]:
        return [f"{name}: {value}" for name, value in zip(classes, target, strict=True)]

    def list_cells(self, target: Any, texts: Sequence[str]) -> list[str]:
        return [f"{value:.9g}" for value in target]

    def format_label(self, target: Any, classes: Sequence[str]) -> str:
        return ", ".join(f"{value:g}" for value in target)

    def format_share(self, name: str, share: float) -> str:
        return name

    def list_groups(
        self, targets: NDArray[Any], strata: NDArray[np.int64], classes: Sequence[str], *, scales: Scales | None
    ) -> list[tuple[str, int]]:
        of_one = len(classes) == 1
        values = targets if of_one else self.compute_soft_targets(targets, n_classes=len(classes), scales=scales)
        deciles = [values[strata == decile].mean(axis=1) for decile in np.unique(strata)]
        return [(_format_range(own, of_one=of_one), len(own)) for own in deciles]

    def find_group_rows(self, targets: NDArray[Any], strata: NDArray[np.int64], group_index: int) -> NDArray[np.int64]:
        return np.flatnonzero(strata == np.unique(strata)[group_index])

    def sort_groups(self, counts: Sequence[int]) -> list[int]:
        return list(range(len(counts)))

    def compute_imbalance(self, counts: Sequence[int]) -> float:
        return 1.0

    def binarize_strata(self, strata: NDArray[np.int64]) -> NDArray[np.bool_]:
        return strata >= 5

    def compute_initial_logit(self, n_classes: int) -> float:
        return 0.0


def find_rarest_labels(targets: NDArray[Any]) -> NDArray[np.int64]:
    """Return the stratum (n,) of labels (n, n_classes): the rarest label of each image, n_classes for none."""
    counts = (targets > 0).sum(axis=0)
    rarity = np.where(targets > 0, counts, len(targets) + 1)
    rarest: NDArray[np.int64] = np.where((targets > 0).any(axis=1), rarity.argmin(axis=1), targets.shape[1])
    return rarest


def _format_range(values: NDArray[Any], *, of_one: bool) -> str:
    """Format the range of values of one target, or of means of several scaled ones."""
    low, high = float(values.min()), float(values.max())
    if of_one:
        return f"{low:g}" if low == high else f"{low:.4g} to {high:.4g}"
    return f"{low:.2f} to {high:.2f} of the scale"


def _log_sum_exp(logits: Floats) -> Floats:
    top = logits.max(axis=1)
    sums: Floats = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return sums


SINGLE_CLASS, MULTI_LABEL, VALUES = SingleClass(), MultiLabel(), Values()
