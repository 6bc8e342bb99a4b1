"""The arithmetic that a device is good at: bfloat16, float16 with loss scaling, or plain float32.

Not responsible for: where it is applied (automl.training.training_loop, automl.training.inference).
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def autocast_dtype(device: str) -> torch.dtype | None:
    """The half precision that the device computes natively, or None for float32.

    bfloat16 needs compute capability 8.0: below it torch emulates it, slower than float32.
    """
    if not device.startswith("cuda"):
        return None
    native = torch.cuda.is_bf16_supported() and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if native else torch.float16


def autocast(device: str) -> AbstractContextManager[object]:
    """Context in which operations run in the device's half precision where that is safe."""
    dtype = autocast_dtype(device)
    return contextlib.nullcontext() if dtype is None else torch.autocast("cuda", dtype=dtype)


def gradient_scaler(device: str) -> torch.amp.GradScaler:
    """Loss scaling, which float16 alone needs; switched off it passes everything through."""
    return torch.amp.GradScaler("cuda", enabled=autocast_dtype(device) is torch.float16)
