"""Learning-rate schedules: the learning rate of each step.

A pure function, so that a resumed trial needs no scheduler state.
"""

from __future__ import annotations

import math

from automl.config import OptimConfig

# Of the schedules step and plateau. Source: He et al. 2016, Deep Residual Learning, section 3.4.
STEP_DECAY = 0.1

# Of one_cycle: its peak is at this part of the steps; it begins and ends at these parts of the peak.
# Source: the defaults of torch.optim.lr_scheduler.OneCycleLR, which are fast.ai's.
PEAK_FRACTION, FIRST, LAST = 0.3, 1 / 25, 1 / 25e4


def get_lr(step: int, n_steps: int, optim: OptimConfig, *, plateaus: int = 0) -> float:
    """Return the learning rate of step (0-based) of n_steps: linear warmup to the peak, then the schedule.

    cosine falls to nearly zero at the last step, and cosine_restarts as often as the cycles, equally long, say; step
    falls at one half and at three quarters of all steps, plateau with each plateau; constant stays at the peak.
    one_cycle has a warmup of its own in place of the config's.

    Args:
        plateaus: how many there have been so far; the schedule of that name alone heeds them.

    Source: Goyal et al. 2017, section 2.2 (warmup); Loshchilov and Hutter 2017, SGDR, equation 5 (cosine); He et al.
    2016, section 4.2 (step); Smith and Topin 2018, Super-Convergence (one_cycle).
    """
    if optim.schedule == "one_cycle":
        return optim.lr * _compute_one_cycle(step, n_steps)
    n_warmup = round(optim.warmup_fraction * n_steps)
    if step < n_warmup:
        return optim.lr * (step + 1) / n_warmup
    if optim.schedule == "constant":
        return optim.lr
    if optim.schedule == "plateau":
        return float(optim.lr * STEP_DECAY**plateaus)
    if optim.schedule == "step":
        return float(optim.lr * STEP_DECAY ** ((2 * step >= n_steps) + (4 * step >= 3 * n_steps)))
    n_falling = n_steps - n_warmup
    progress = (step - n_warmup) * optim.cycles % n_falling / n_falling  # in whole numbers, which a restart needs
    return optim.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def _compute_one_cycle(step: int, n_steps: int) -> float:
    """Return the fraction of the peak; both halves of the cycle are halves of a cosine, and momentum stays as it is."""
    peak_at = PEAK_FRACTION * n_steps - 1
    if step <= peak_at:
        return _interpolate_cosine(FIRST, 1.0, step / peak_at)
    return _interpolate_cosine(1.0, LAST, (step - peak_at) / (n_steps - 1 - peak_at))


def _interpolate_cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * progress))
