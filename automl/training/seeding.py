"""Prepare a process for training: seeds derived from names alone, deterministic algorithms, the memory allocator.

Every epoch is seeded by (study's seed, trial, fold, epoch) instead of carrying generator states from epoch to epoch:
a resumed trial then repeats the undisturbed one bit for bit.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch

# mallopt's parameters and their values: nothing below the threshold is given back to the kernel when it is freed.
# glibc before 2.35 takes no higher one. Source: mallopt(3); DEFAULT_MMAP_THRESHOLD_MAX in glibc's malloc.c.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
THRESHOLDS = (2**30, 2**25)


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


@cache
def tune_allocator() -> bool:
    """Have this process keep the memory that it frees, for its next layer; return whether that is possible here.

    Otherwise glibc gives the activations of each layer back to the kernel, which clears their pages for the next: more
    than half of a network's forward pass on a CPU. Called again it does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(any(mallopt(M_MMAP_THRESHOLD, n) for n in THRESHOLDS) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


@contextmanager
def on_threads(n_threads: int) -> Iterator[None]:
    """Let torch share its arithmetic among exactly that many threads, and afterwards among as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
