"""What backpropagation minimises, as functions of logits and class indices.

Not responsible for: scores (automl.metrics).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from automl.config import LossConfig

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(loss: LossConfig) -> Loss:
    """(B, n_classes) logits and (B,) class indices -> the mean loss, a scalar in float32."""
    if loss.name == "focal":
        assert loss.focal_gamma is not None
        gamma, smoothing = loss.focal_gamma, loss.label_smoothing
        return lambda logits, targets: focal_loss(logits, targets, gamma=gamma, label_smoothing=smoothing)
    return lambda logits, targets: F.cross_entropy(logits.float(), targets, label_smoothing=loss.label_smoothing)


def focal_loss(logits: Tensor, targets: Tensor, *, gamma: float, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy in which each term is weighted by (1 - p) ** gamma, so that what is already learned counts less.

    With smoothed labels every class has a term, weighted by its share of the label; gamma 0 is then smoothed
    cross-entropy.
    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4, for softmax and without alpha.
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    n_classes = logits.shape[1]
    labels = F.one_hot(targets, n_classes) * (1.0 - label_smoothing) + label_smoothing / n_classes
    # The clamp keeps the gradient of 0 ** gamma finite where a rounded probability reaches 1 and gamma is below 1.
    weights = (1.0 - log_probs.exp()).clamp_min(torch.finfo(torch.float32).eps) ** gamma
    return -(labels * weights * log_probs).sum(dim=1).mean()
