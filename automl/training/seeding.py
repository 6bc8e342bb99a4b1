"""Derive seeds from names alone, and switch torch to deterministic algorithms.

Every epoch is seeded by (study's seed, trial, fold, epoch) instead of carrying generator states from epoch to epoch:
a resumed trial then repeats the undisturbed one bit for bit.
"""

from __future__ import annotations

import hashlib
import os
import random

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """Derive a seed in [0, 2**32) that depends on each part and on their order, and on nothing else."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def use_deterministic_algorithms() -> None:
    """Make torch choose the same algorithms in each run on one device, where it has repeatable ones."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when CUDA is initialised
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # slow, never read here
    torch.backends.cudnn.benchmark = False
