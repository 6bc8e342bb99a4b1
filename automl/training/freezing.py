"""Which parameters train in an epoch, and in which mode each module is then.

Not responsible for: for how many epochs the backbone is frozen (the trial's config).
"""

from __future__ import annotations

import torch
from torch import nn


def set_trainable(model: nn.Module, optimizer: torch.optim.Optimizer, *, head_only: bool) -> None:
    """Put the model in training mode with either its head or everything trainable.

    While the backbone is frozen, its batch norms stay in evaluation mode: their running statistics belong to the
    frozen weights. Parameters that the optimizer does not hold are left alone.
    """
    head = {id(part) for part in _head_parts(model)}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.requires_grad_(not head_only or id(parameter) in head)
    model.train()
    for module in model.modules():
        if head_only and isinstance(module, nn.modules.batchnorm._BatchNorm) and id(module) not in head:
            module.eval()


def _head_parts(model: nn.Module) -> list[nn.Module | nn.Parameter]:
    """The modules and parameters of the classifier, or of both where a backbone has two."""
    classifier = model.get_classifier()  # type: ignore[operator]
    heads = classifier if isinstance(classifier, (tuple, list)) else [classifier]
    return [part for head in heads for part in (*head.modules(), *head.parameters())]
