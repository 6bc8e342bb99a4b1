"""Losses: functions of a network's outputs and of hard or soft targets.

What a loss's name means follows from the task (automl.training.loss.by_task):

    loss            one class each          several labels          values, scaled to [0, 1]
    cross_entropy   softmax cross-entropy   as bce                  as bce
    bce             sigmoid cross-entropy   sigmoid cross-entropy   sigmoid cross-entropy with the value as soft target
                    against the rest        of each label
    focal           focal loss of softmax   as focal_bce            quality focal loss
    focal_bce       sigmoid focal loss      sigmoid focal loss      quality focal loss
                    against the rest        of each label
    ordinal         thresholds              refused                 refused
    smooth_l1       distance of classes     refused                 distance of values

Where there are several heads, ordinal and smooth_l1 are refused; of the others it is the mean over the heads of what it
is for one class each, and the weight of an image is the mean of its classes'.

    focal_alpha     weight of positives, negatives have 1 - alpha   weight of an image at the top of the scale, one at
                                                                    its bottom has 1 - alpha
    label_smoothing a part to all classes   a part to one half      a part to one half
    class_weights   of an image's class     mean of its labels'     of its tenth of the scale

A loss is the plain mean over images, so that the weighted means of a batch's parts add up to the mean of the batch; of
an image it is the sum over labels or values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from automl.config import LossConfig
from automl.multi_output import HeadSizes
from automl.target_kinds import N_TENTHS
from automl.tasks import Task
from automl.training.loss.by_task import Objective, get_objective
from automl.training.loss.class_balance import compute_class_weights
from automl.training.loss.mixup import to_soft_targets

Loss = Callable[[Tensor, Tensor], Tensor]

SMOOTH_L1_BETA = 1.0  # classes from the truth at which the square becomes a line; source: Girshick 2015, equation 3
# The same as a part of a value's scale; source: Ren et al. 2015, Faster R-CNN, whose code has sigma 3, for 1 / sigma².
SCALED_TARGET_BETA = 1.0 / 9.0
# Nearer values count in the quality focal loss as if they were this far apart: the gradient of a power below 1 has no
# bound at 0, so that one image that is nearly right would move the weights more than all others.
MIN_DISTANCE = 1e-3


def build_loss(
    loss: LossConfig,
    *,
    task: Task,
    n_classes: int,
    head_sizes: HeadSizes = (),
    class_counts: NDArray[np.int64] | None = None,
) -> Loss:
    """Build the function of (B, n_outputs) outputs and targets that returns the mean loss, a scalar in float32.

    Its targets are (B,) class indices or (B, n_classes) floats: soft targets that sum to 1 where an image has one
    class, or one of each head, each in [0, 1] with labels and values.

    Args:
        head_sizes: the number of classes of each head with MULTIOUTPUT.
        class_counts: of the training images by automl.training.loss.class_balance.count_for_weights; needed for class
        weights alone.

    Raises:
        UsageError: the loss has no meaning with that task.
        ValueError: there are class weights without counts.
    """
    objective = get_objective(loss.name, task)
    target_kind = task.target_kind.with_heads(head_sizes)
    if objective == "cross_entropy" and loss.class_weights == "none" and not head_sizes:
        return lambda outputs, targets: F.cross_entropy(outputs.float(), targets, label_smoothing=loss.label_smoothing)
    image_loss = _average_heads(_get_image_loss(loss, objective), head_sizes)
    n_choices = target_kind.count_choices(n_classes)
    compute_weights = build_image_weights(loss, class_counts, task)

    def mean_loss(outputs: Tensor, targets: Tensor) -> Tensor:
        soft_targets = to_soft_targets(targets, n_classes)
        losses = image_loss(outputs.float(), smooth_labels(soft_targets, loss.label_smoothing, n_choices))
        if compute_weights is not None:
            losses = losses * compute_weights(soft_targets)
        return losses.mean()

    return mean_loss


def compute_focal_loss(logits: Tensor, soft_targets: Tensor, *, gamma: float) -> Tensor:
    """Compute (B,) cross-entropy in which each term is weighted by (1 - p) ** gamma: what is learned counts less.

    Every class has a term, weighted by its soft target; with gamma 0 it is cross-entropy.
    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4, for softmax and without alpha.
    """
    log_probs = F.log_softmax(logits, dim=1)
    # The clamp keeps the gradient of 0 ** gamma finite where a rounded probability reaches 1 and gamma is below 1.
    weights = (1.0 - log_probs.exp()).clamp_min(torch.finfo(torch.float32).eps) ** gamma
    return -(soft_targets * weights * log_probs).sum(dim=1)


def compute_binary_loss(logits: Tensor, soft_targets: Tensor) -> Tensor:
    """Compute (B,) sum over the classes of the binary cross-entropy of each against the rest.

    The sum and not the mean: the gradient of an output is then p - target as with cross-entropy, so that one range of
    learning rates and one limit of the gradient's norm serve both, however many classes there are.
    Source: Wightman et al. 2021, ResNet strikes back, section 2; timm.loss.BinaryCrossEntropy with sum_classes.
    """
    return F.binary_cross_entropy_with_logits(logits, soft_targets, reduction="none").sum(dim=1)


def compute_focal_binary_loss(logits: Tensor, soft_targets: Tensor, *, gamma: float, alpha: float | None) -> Tensor:
    """Compute (B,) binary loss in which what is learned counts less, positives alpha and negatives 1 - alpha.

    A class with a soft target has that part of both terms, so that the loss of mixed labels is the mixture of
    their losses; for targets of 0 and 1 it is torchvision.ops.sigmoid_focal_loss.
    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5.
    """
    log_present, log_absent = F.logsigmoid(logits), F.logsigmoid(-logits)
    # The powers are taken of logarithms: (1 - p) ** gamma has no finite gradient where 1 - p is rounded to 0.
    present = -soft_targets * (gamma * log_absent).exp() * log_present
    absent = -(1.0 - soft_targets) * (gamma * log_present).exp() * log_absent
    if alpha is not None:
        present, absent = alpha * present, (1.0 - alpha) * absent
    return (present + absent).sum(dim=1)


def compute_quality_focal_loss(logits: Tensor, scaled_targets: Tensor, *, gamma: float, alpha: float | None) -> Tensor:
    """Compute (B,) binary loss of scaled targets, weighted by |target - p| ** gamma: what is nearly right counts less.

    With alpha, a scaled target y has the weight alpha * y + (1 - alpha) * (1 - y), at both ends of the scale that of
    the focal loss; it does not move where the loss is least. At the ends the whole is
    torchvision.ops.sigmoid_focal_loss.
    Source: Li et al. 2020, Generalized Focal Loss, equation 2; Lin et al. 2017, section 3.1, for alpha.
    """
    distances = (scaled_targets - logits.sigmoid()).abs().clamp_min(MIN_DISTANCE)
    losses = distances**gamma * F.binary_cross_entropy_with_logits(logits, scaled_targets, reduction="none")
    if alpha is not None:
        losses = losses * (alpha * scaled_targets + (1.0 - alpha) * (1.0 - scaled_targets))
    return losses.sum(dim=1)


def compute_ordinal_loss(logits: Tensor, soft_targets: Tensor) -> Tensor:
    """Compute (B,) sum of the binary cross-entropies of "the class is above k", k = 0 ... n_classes - 2.

    The target of a threshold is the sum of the soft targets of all classes above it.
    Source: Cheng et al. 2008, A Neural Network Approach to Ordinal Regression; Niu et al. 2016, Ordinal Regression with
    Multiple Output CNN for Age Estimation.
    """
    n_classes = soft_targets.shape[1]
    is_above = torch.ones(n_classes, n_classes - 1, device=soft_targets.device).tril(diagonal=-1)
    return compute_binary_loss(logits, soft_targets @ is_above)


def compute_class_number_loss(value: Tensor, soft_targets: Tensor) -> Tensor:
    """Compute (B,) smooth L1 distance of (B, 1) values to the expected class number.

    Source: Girshick 2015, Fast R-CNN, equation 3.
    """
    numbers = torch.arange(soft_targets.shape[1], dtype=torch.float32, device=soft_targets.device)
    expected = (soft_targets * numbers).sum(dim=1)
    return F.smooth_l1_loss(value.squeeze(1), expected, reduction="none", beta=SMOOTH_L1_BETA)


def compute_scaled_target_loss(logits: Tensor, scaled_targets: Tensor) -> Tensor:
    """Compute (B,) sum of the smooth L1 distances between the sigmoids and the scaled targets, both in [0, 1].

    Source: Girshick 2015, Fast R-CNN, equation 3.
    """
    return F.smooth_l1_loss(logits.sigmoid(), scaled_targets, reduction="none", beta=SCALED_TARGET_BETA).sum(dim=1)


def _get_image_loss(loss: LossConfig, objective: Objective) -> Loss:
    """Return the function of (B, n_outputs) float32 and (B, n_classes) soft targets -> (B,)."""
    gamma = loss.focal_gamma or 0.0  # always there where it is asked for
    match objective:
        case "cross_entropy":
            return partial(F.cross_entropy, reduction="none")
        case "focal":
            return partial(compute_focal_loss, gamma=gamma)
        case "binary" | "one_vs_rest":
            return compute_binary_loss
        case "focal_binary" | "focal_one_vs_rest":
            return partial(compute_focal_binary_loss, gamma=gamma, alpha=loss.focal_alpha)
        case "quality_focal":
            return partial(compute_quality_focal_loss, gamma=gamma, alpha=loss.focal_alpha)
        case "thresholds":
            return compute_ordinal_loss
        case "class_number":
            return compute_class_number_loss
        case "scaled_target":
            return compute_scaled_target_loss


def _average_heads(image_loss: Loss, head_sizes: HeadSizes) -> Loss:
    """Return the mean over the heads of the loss of each, of (B, n_classes) outputs and soft targets; (B,)."""
    if not head_sizes:
        return image_loss

    sizes = list(head_sizes)

    def mean_loss(outputs: Tensor, soft_targets: Tensor) -> Tensor:
        blocks = zip(torch.split(outputs, sizes, dim=1), torch.split(soft_targets, sizes, dim=1), strict=True)
        return torch.stack([image_loss(own, truth) for own, truth in blocks]).mean(dim=0)

    return mean_loss


def build_image_weights(
    loss: LossConfig, class_counts: NDArray[np.int64] | None, task: Task
) -> Callable[[Tensor], Tensor] | None:
    """Build soft targets (B, n_classes) -> (B,) weights, by class or by tenth; in a tenth without images that is 1."""
    if loss.class_weights == "none":
        return None
    if class_counts is None:
        raise ValueError(f"class_weights = {loss.class_weights!r} needs the classes' counts")
    weights = compute_class_weights(loss.class_weights, class_counts)
    if task.target_kind.has_classes:
        return partial(_weights_by_class, weights=torch.from_numpy(weights).float())
    weights = np.where(class_counts > 0, weights, 1.0)
    return partial(_weights_by_tenth, weights=torch.from_numpy(weights).float())


def smooth_labels(soft_targets: Tensor, label_smoothing: float, n_choices: int | NDArray[np.int64]) -> Tensor:
    """Return the soft targets with label_smoothing given to all choices alike: to the classes, or to yes and no.

    Args:
        n_choices: of each output, (n_classes,) where they differ.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture, section 7; for sigmoids as timm has it, of
    several labels with smooth_dense.
    """
    if label_smoothing == 0.0:
        return soft_targets
    smoothed = soft_targets * (1.0 - label_smoothing)
    if isinstance(n_choices, int):
        return smoothed + label_smoothing / n_choices
    return smoothed + torch.from_numpy(label_smoothing / n_choices).to(soft_targets)


def _weights_by_class(soft_targets: Tensor, weights: Tensor) -> Tensor:
    """Compute (B,) the mean weight of each image's classes, by their soft targets; 1 for an image of no class."""
    total = soft_targets.sum(dim=1)
    weights = weights.to(soft_targets.device)
    return torch.where(total > 0.0, (soft_targets * weights).sum(dim=1) / total, 1.0)


def _weights_by_tenth(scaled_targets: Tensor, weights: Tensor) -> Tensor:
    """Compute (B,) the weight of the tenth of the scale in which the mean of each image's scaled targets lies."""
    weights = weights.to(scaled_targets.device)
    return weights[(scaled_targets.mean(dim=1) * N_TENTHS).long().clamp(0, N_TENTHS - 1)]
