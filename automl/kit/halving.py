"""Trained weights in half the bytes: float16 on disk, float32 again in the network.

Not responsible for: loading them (automl.training.models), where they become float32 by being copied into the network.
"""

from __future__ import annotations

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from automl.errors import StorageError

# Running statistics of batch norm: there are few, small variances would vanish, and each is divided by.
KEPT = ("running_mean", "running_var", "num_batches_tracked")


def halved(weights: bytes, name: str) -> bytes:
    """The safetensors file with its floats as float16, but for batch norm's statistics and what float16 cannot hold.

    Args:
        name: of the file, for the error.

    Raises:
        StorageError: it is damaged.
    """
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise StorageError(
            f"the weights {name} cannot be read: {error}", hint="train them again: automl refit"
        ) from error
    return safetensors.torch.save({key: _halved(key, tensor) for key, tensor in tensors.items()})


def _halved(key: str, tensor: Tensor) -> Tensor:
    if key.rpartition(".")[2] in KEPT or not tensor.is_floating_point():
        return tensor
    half = tensor.to(torch.float16)
    # Beyond 65504 there is only infinity. What vanishes below 6e-8 is next to nothing in a sum of products.
    return half if bool(torch.isfinite(half).all()) else tensor
