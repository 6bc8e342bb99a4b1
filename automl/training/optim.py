"""Optimizers by name, with weight decay only where it belongs.

Not responsible for: the course of the learning rate (automl.training.schedules).
"""

from __future__ import annotations

import timm.optim
import torch
from torch import nn

from automl.config import OptimConfig, TransferConfig
from automl.training.groups import parameter_groups

# SGD has Nesterov momentum. RMSprop has none: with timm's 0.9 its steps would be ten times those of Adam at the same
# learning rate, and one range could not serve both.
MOMENTUM = {"sgd": 0.9, "rmsprop": 0.0}


def build_optimizer(model: nn.Module, optim: OptimConfig, transfer: TransferConfig) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters of the model, in the groups of `automl.training.groups`."""
    optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
        parameter_groups(model, weight_decay=optim.weight_decay, layer_decay=transfer.layer_decay),
        opt=optim.optimizer,
        lr=optim.lr,
        weight_decay=0.0,  # the groups carry their own
        momentum=MOMENTUM.get(optim.optimizer, 0.9),
    )
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
