"""What backpropagation minimises, as functions of a network's outputs and of each class's share in an image's label.

A loss is the plain mean over images, so that the weighted means of a batch's parts add up to the mean of the batch.
Not responsible for: what outputs mean as probabilities (automl.training.links), the classes' weights
(automl.training.balance), or scores (automl.metrics).
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
from automl.training.balance import class_weights
from automl.training.mixing import as_shares

Loss = Callable[[Tensor, Tensor], Tensor]

SMOOTH_L1_BETA = 1.0  # classes from the truth at which the square becomes a line; source: Girshick 2015, equation 3


def build_loss(loss: LossConfig, *, n_classes: int, class_counts: NDArray[np.int64] | None = None) -> Loss:
    """The function of (B, n_outputs) outputs and targets that is the mean loss of the images, a scalar in float32.

    Its targets are (B,) class indices or (B, n_classes) floats: shares that sum to 1, or with bce and focal_bce also
    several classes of share 1 or none.

    Args:
        class_counts: (n_classes,) of the training images; needed for class weights alone.

    Raises:
        ValueError: there are class weights without counts.
    """
    if loss.name == "cross_entropy" and loss.class_weights == "none":
        return lambda outputs, targets: F.cross_entropy(outputs.float(), targets, label_smoothing=loss.label_smoothing)
    loss_of_images = _loss_of_images(loss)
    weights = _weights(loss, class_counts)

    def mean_loss(outputs: Tensor, targets: Tensor) -> Tensor:
        shares = as_shares(targets, n_classes) if targets.ndim == 1 else targets.float()
        losses = loss_of_images(outputs.float(), _smoothed(shares, loss.label_smoothing))
        if weights is not None:
            losses = losses * _image_weights(shares, weights.to(shares.device))
        return losses.mean()

    return mean_loss


def focal_loss(logits: Tensor, shares: Tensor, *, gamma: float) -> Tensor:
    """(B,) cross-entropy in which each term is weighted by (1 - p) ** gamma: what is already learned counts less.

    Every class has a term, weighted by its share of the label; with gamma 0 it is cross-entropy.
    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4, for softmax and without alpha.
    """
    log_probs = F.log_softmax(logits, dim=1)
    # The clamp keeps the gradient of 0 ** gamma finite where a rounded probability reaches 1 and gamma is below 1.
    weights = (1.0 - log_probs.exp()).clamp_min(torch.finfo(torch.float32).eps) ** gamma
    return -(shares * weights * log_probs).sum(dim=1)


def binary_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """(B,) sum over the classes of the binary cross-entropy of each against the rest.

    The sum and not the mean: the gradient of an output is then p - share as with cross-entropy, so that one range of
    learning rates and one limit of the gradient's norm serve both, however many classes there are.
    Source: Wightman et al. 2021, ResNet strikes back, section 2; timm.loss.BinaryCrossEntropy with sum_classes.
    """
    return F.binary_cross_entropy_with_logits(logits, shares, reduction="none").sum(dim=1)


def focal_binary_loss(logits: Tensor, shares: Tensor, *, gamma: float, alpha: float | None) -> Tensor:
    """(B,) binary_loss in which what is already learned counts less, positives alpha and negatives 1 - alpha.

    A class that is present by a share has that share of both terms, so that the loss of mixed labels is the mixture of
    their losses; for shares of 0 and 1 it is torchvision.ops.sigmoid_focal_loss.
    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5.
    """
    log_present, log_absent = F.logsigmoid(logits), F.logsigmoid(-logits)
    # The powers are taken of logarithms: (1 - p) ** gamma has no finite gradient where 1 - p is rounded to 0.
    present = -shares * (gamma * log_absent).exp() * log_present
    absent = -(1.0 - shares) * (gamma * log_present).exp() * log_absent
    if alpha is not None:
        present, absent = alpha * present, (1.0 - alpha) * absent
    return (present + absent).sum(dim=1)


def ordinal_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """(B,) sum of the binary cross-entropies of "the class is above k", k = 0 ... n_classes - 2, one logit each.

    The target of a threshold is the share of all classes above it.
    Source: Cheng et al. 2008, A Neural Network Approach to Ordinal Regression; Niu et al. 2016, Ordinal Regression with
    Multiple Output CNN for Age Estimation.
    """
    n_classes = shares.shape[1]
    is_above = torch.ones(n_classes, n_classes - 1, device=shares.device).tril(diagonal=-1)
    return binary_loss(logits, shares @ is_above)


def value_loss(value: Tensor, shares: Tensor) -> Tensor:
    """(B,) smooth L1 distance of (B, 1) values to the expected class number.

    Source: Girshick 2015, Fast R-CNN, equation 3.
    """
    numbers = torch.arange(shares.shape[1], dtype=torch.float32, device=shares.device)
    expected = (shares * numbers).sum(dim=1)
    return F.smooth_l1_loss(value.squeeze(1), expected, reduction="none", beta=SMOOTH_L1_BETA)


def _loss_of_images(loss: LossConfig) -> Loss:
    """(B, n_outputs) float32 and (B, n_classes) shares -> (B,)."""
    match loss.name:
        case "focal":
            assert loss.focal_gamma is not None
            return partial(focal_loss, gamma=loss.focal_gamma)
        case "bce":
            return binary_loss
        case "focal_bce":
            assert loss.focal_gamma is not None
            return partial(focal_binary_loss, gamma=loss.focal_gamma, alpha=loss.focal_alpha)
        case "ordinal":
            return ordinal_loss
        case "smooth_l1":
            return value_loss
        case _:
            return partial(F.cross_entropy, reduction="none")


def _weights(loss: LossConfig, class_counts: NDArray[np.int64] | None) -> Tensor | None:
    if loss.class_weights == "none":
        return None
    if class_counts is None:
        raise ValueError(f"class_weights = {loss.class_weights!r} needs the classes' counts")
    return torch.from_numpy(class_weights(loss.class_weights, class_counts)).float()


def _smoothed(shares: Tensor, label_smoothing: float) -> Tensor:
    """The shares, of which label_smoothing is given to all classes alike.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture, section 7; for sigmoids as timm has it.
    """
    if label_smoothing == 0.0:
        return shares
    return shares * (1.0 - label_smoothing) + label_smoothing / shares.shape[1]


def _image_weights(shares: Tensor, weights: Tensor) -> Tensor:
    """(B,) the mean weight of each image's classes, by their shares; 1 for an image of no class."""
    total = shares.sum(dim=1)
    return torch.where(total > 0.0, (shares * weights).sum(dim=1) / total, 1.0)
