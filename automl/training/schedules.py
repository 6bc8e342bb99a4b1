"""The learning rate of each step.

A pure function, so that a resumed trial needs no scheduler state.
"""

from __future__ import annotations

import math

from automl.config import OptimConfig


def lr_at(step: int, n_steps: int, optim: OptimConfig) -> float:
    """The learning rate of step (0-based) of n_steps: linear warmup to the peak, then the schedule.

    The cosine falls from the peak to nearly zero at the last step; the constant schedule stays at the peak.
    Source: Loshchilov and Hutter 2017, SGDR, equation 5 without restarts; the warmup is Goyal et al. 2017, section 2.2.
    """
    n_warmup = round(optim.warmup_fraction * n_steps)
    if step < n_warmup:
        return optim.lr * (step + 1) / n_warmup
    if optim.schedule == "constant":
        return optim.lr
    progress = (step - n_warmup) / (n_steps - n_warmup)
    return optim.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
