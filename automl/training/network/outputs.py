"""Output layers: how many outputs a network has, their initial bias, and their activation to probabilities.

See also: automl.training.loss.losses, which trains them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from automl.config import LossConfig
from automl.multi_output import HeadSizes
from automl.tasks import Task
from automl.training.loss.by_task import get_objective

PRIOR_FLOOR = 1e-4  # an output that begins at a class that next to no image has could hardly move from there


@dataclass(frozen=True, slots=True)
class OutputLayer:
    """The outputs of a network: their number, their initial bias, and their activation.

    Copied and pickled with the network that it belongs to.

    Attributes:
        to_probs: (B, n_outputs) float32 -> (B, n_classes) float32 in [0, 1] for all finite outputs; where an image has
            one class each row has the sum 1, and where it has one of each head, each head's block.
        initial_bias: at which the outputs begin, all alike or (n_outputs,); None to leave it to chance.
        initial_std: of the weights that lead to the outputs, around 0; None to leave it to the layer's own rule.
    """

    n_classes: int
    n_outputs: int
    to_probs: Callable[[Tensor], Tensor]
    initial_bias: float | tuple[float, ...] | None = None
    initial_std: float | None = None


def build_output_layer(
    loss: LossConfig,
    task: Task,
    n_classes: int,
    *,
    head_sizes: HeadSizes = (),
    compute_prior: Callable[[], NDArray[np.floating[Any]]] | None = None,
) -> OutputLayer:
    """Build the output layer that the loss trains for.

    Outputs of one class against the rest begin at the probability 1 / n_classes, so that many classes do not add up to
    a large first gradient. Labels and values begin at their prior; without one, labels as classes do, and values in the
    middle of their range.
    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, section 3.3 (the prior of the initialisation).

    Args:
        head_sizes: the number of classes of each head with MULTIOUTPUT; each has an activation of its own.
        compute_prior: returns (n_classes,) the mean of the training targets; not called where an image has one class.

    Raises:
        UsageError: the loss has no meaning with that task.
    """
    objective, target_kind = get_objective(loss.name, task), task.target_kind.with_heads(head_sizes)
    initial_logit = target_kind.compute_initial_logit(n_classes)
    match objective:
        case "cross_entropy" | "focal":
            return OutputLayer(n_classes, n_classes, _bind_heads(softmax, head_sizes))
        case "one_vs_rest" | "focal_one_vs_rest":
            return OutputLayer(n_classes, n_classes, _bind_heads(normalize_sigmoids, head_sizes), initial_logit)
        case "thresholds":
            return OutputLayer(n_classes, n_classes - 1, subtract_thresholds)
        case "class_number":
            return OutputLayer(
                n_classes, 1, partial(split_between_neighbours, n_classes=n_classes), initial_bias=(n_classes - 1) / 2
            )
        case _:
            bias = initial_logit if compute_prior is None else _compute_logits(compute_prior())
            return OutputLayer(n_classes, n_classes, sigmoid, bias, initial_std=target_kind.initial_std)


def _bind_heads(activation: Callable[[Tensor], Tensor], head_sizes: HeadSizes) -> Callable[[Tensor], Tensor]:
    return partial(apply_to_heads, activation=activation, head_sizes=head_sizes) if head_sizes else activation


def apply_to_heads(logits: Tensor, *, activation: Callable[[Tensor], Tensor], head_sizes: HeadSizes) -> Tensor:
    """Return (B, n_classes) probabilities, each head's block of which sums to 1."""
    return torch.cat([activation(own) for own in torch.split(logits, list(head_sizes), dim=1)], dim=1)


def softmax(logits: Tensor) -> Tensor:
    """Return (B, n_classes) probabilities that exclude each other."""
    return logits.softmax(dim=1)


def sigmoid(logits: Tensor) -> Tensor:
    """Return each class's probability, or each scaled target, by itself."""
    return logits.sigmoid()


def normalize_sigmoids(logits: Tensor) -> Tensor:
    """Return each class's probability against the rest, over their sum.

    The softmax of logarithms is that quotient; it stays defined where all probabilities of a row are rounded to 0.
    """
    return F.logsigmoid(logits).softmax(dim=1)


def subtract_thresholds(logits: Tensor) -> Tensor:
    """Return (B, n_classes) from the logits of "the class is above k" for k = 0 ... n_classes - 2.

    The probability of being above k may not rise with k: where it does, the smallest so far holds. A class has what is
    lost from its lower threshold to its upper one; the expected class is the sum of the probabilities of being above.
    Source: Frank and Hall 2001, A Simple Approach to Ordinal Classification, section 2, for the differences.
    """
    above = logits.double().sigmoid().cummin(dim=1).values  # double: near 1 they differ by less than a float32 resolves
    certain = above.new_ones(len(above), 1)
    return -torch.cat([certain, above, torch.zeros_like(certain)], dim=1).diff(dim=1).float()


def split_between_neighbours(value: Tensor, *, n_classes: int) -> Tensor:
    """Return (B, n_classes) from (B, 1) values on the scale of the class numbers; the expected class is the value.

    A value between two classes is shared between them by its distance; 2.25 is class 2 with 0.75 and class 3 with 0.25.
    One outside the scale is the class at its end. The mean of such rows has the mean of their values.
    """
    numbers = torch.arange(n_classes, dtype=torch.float32, device=value.device)
    inside = value.float().clamp(0.0, n_classes - 1.0)
    return (1.0 - (inside - numbers).abs()).clamp_min(0.0)


def _compute_logits(prior: NDArray[np.floating[Any]]) -> tuple[float, ...]:
    prior = np.clip(np.asarray(prior, dtype=np.float64), PRIOR_FLOOR, 1.0 - PRIOR_FLOOR)
    return tuple(np.log(prior / (1.0 - prior)).tolist())
