"""Optimizers by name, with weight decay only where it belongs.

Not responsible for: the course of the learning rate (automl.training.schedules).
"""

from __future__ import annotations

import timm.optim
import torch
from torch import nn

from automl.config import OptimConfig

# SGD has Nesterov momentum. RMSprop has none: with timm's 0.9 its steps would be ten times those of Adam at the same
# learning rate, and one range could not serve both.
MOMENTUM = {"sgd": 0.9, "rmsprop": 0.0}


def build_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters of the model, in two groups.

    Biases, scales of norms and what the backbone itself lists are not decayed.
    Source: He et al. 2019, Bag of Tricks for Image Classification, section 3.1.
    """
    kept = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    groups = timm.optim.param_groups_weight_decay(model, optim.weight_decay, no_weight_decay_list=kept)
    optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
        [group for group in groups if group["params"]],
        opt=optim.optimizer,
        lr=optim.lr,
        weight_decay=0.0,  # the groups carry their own
        momentum=MOMENTUM.get(optim.optimizer, 0.9),
    )
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
