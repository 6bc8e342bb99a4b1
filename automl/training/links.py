"""From what a network puts out to class probabilities, by the loss that it was trained with.

Not responsible for: the losses themselves (automl.training.losses).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from automl.config import LossConfig


@dataclass(frozen=True, slots=True)
class Link:
    """How many outputs a network needs, and what they mean.

    Attributes:
        probs: (B, n_outputs) float32 -> (B, n_classes), not negative, each row with sum 1.
    """

    n_classes: int
    n_outputs: int
    probs: Callable[[Tensor], Tensor]


def link_of(loss: LossConfig, n_classes: int) -> Link:
    """The link that the loss trains for."""
    return Link(n_classes, n_classes, softmax)


def softmax(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)
