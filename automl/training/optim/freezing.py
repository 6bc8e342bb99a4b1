"""Freeze parameters by epoch, and set the mode of each module."""

from __future__ import annotations

import torch
from torch import nn

from automl.config import TransferConfig
from automl.training.optim.param_groups import number_layers


def set_trainable(model: nn.Module, optimizer: torch.optim.Optimizer, transfer: TransferConfig, *, epoch: int) -> None:
    """Put the model in training mode, with those of its parameters trainable that the transfer names for the epoch.

    Blocks train as a whole or not at all; the stem trains only where more blocks are asked for than there are. While a
    block is frozen its batch norms stay in evaluation mode: their running statistics belong to the frozen weights. A
    wholly frozen backbone is in evaluation mode altogether, so that its features are a function of the image. With
    freeze_norms all batch norms of the backbone are in evaluation mode; their scales and shifts train.
    Parameters that the optimizer does not hold are left alone.
    Source: Yosinski et al. 2014, How transferable are features in deep neural networks?, section 2; Keras' guide
    "Transfer learning and fine-tuning" for the batch norms.
    """
    frozen = _frozen_parameters(model, transfer, epoch)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        if id(parameter) in held:
            parameter.requires_grad_(name not in frozen)
    model.train()
    if is_backbone_frozen(transfer, epoch):
        model.get_submodule("body").eval()
        return
    for path, module in _list_batch_norms(model).items():
        if transfer.freeze_norms or (frozen and _is_norm_frozen(model, path, module, frozen)):
            module.eval()


def is_backbone_frozen(transfer: TransferConfig, epoch: int) -> bool:
    """Whether pooling and head alone train in the epoch."""
    return epoch < transfer.freeze_epochs or transfer.trainable_blocks == 0


def _frozen_parameters(model: nn.Module, transfer: TransferConfig, epoch: int) -> set[str]:
    n_blocks = 0 if is_backbone_frozen(transfer, epoch) else transfer.trainable_blocks
    if n_blocks is None:
        return set()
    numbers = number_layers(model)
    first = max(numbers.values()) - n_blocks
    return {name for name, number in numbers.items() if number < first}


def _list_batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """List the backbone's modules with running statistics by their paths."""
    modules = model.get_submodule("body").named_modules(prefix="body")
    return {path: module for path, module in modules if getattr(module, "running_var", None) is not None}


def _is_norm_frozen(model: nn.Module, path: str, module: nn.Module, frozen: set[str]) -> bool:
    """Whether no trainable parameter is part of a module with running statistics."""
    if not list(module.parameters()):  # without a scale and shift of its own it goes with what is around it
        path, _, _ = path.rpartition(".")
    around = [name for name, _ in model.get_submodule(path).named_parameters(prefix=path)]
    return frozen.issuperset(around)
