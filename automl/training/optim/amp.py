"""Automatic mixed precision: bfloat16, float16 with loss scaling, or plain float32, as the device is good at."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def get_autocast_dtype(device: str) -> torch.dtype | None:
    """Return the half precision that the device computes natively, or None for float32.

    bfloat16 needs compute capability 8.0: below it torch emulates it, slower than float32.
    """
    if not device.startswith("cuda"):
        return None
    native = torch.cuda.is_bf16_supported() and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if native else torch.float16


def autocast(device: str) -> AbstractContextManager[object]:
    """Return a context in which operations run in the device's half precision where that is safe."""
    dtype = get_autocast_dtype(device)
    return contextlib.nullcontext() if dtype is None else torch.autocast("cuda", dtype=dtype)


def build_grad_scaler(device: str) -> torch.amp.GradScaler:
    """Build the loss scaler, which float16 alone needs; switched off it passes everything through."""
    return torch.amp.GradScaler("cuda", enabled=get_autocast_dtype(device) is torch.float16)
