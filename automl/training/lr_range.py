"""Arithmetic of the learning-rate range test: its grid of rates, its end, and its suggestion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LOWEST_LR, HIGHEST_LR = 1e-7, 10.0  # source: fastai, Learner.lr_find
N_STEPS = 100  # source: fastai, Learner.lr_find
MIN_STEPS = 50  # fewer do not separate a slope from the noise of batches
MAX_PASSES = 5  # over the training images: what is learned by heart says nothing about the learning rate
BETA = 0.9  # fastai's 0.98 looks back over half of a hundred steps, and shows everything a decade too late
DIVERGED_AT = 4.0  # times the lowest smoothed loss; source: fastai, callback.schedule.LRFinder
WINDOW = 1.5  # decades of learning rate over which a slope is measured
START = 0.25  # of the steps, the first ones, whose rates are too low to change anything
MIN_FALL = 0.01  # of the loss at the start
MIN_EVIDENCE = 3.5  # standard errors; noise alone reaches it in less than one of a hundred tests
ONSET = 0.1  # of the fall, from which on the loss counts as falling


def build_lr_grid(n_batches: int) -> list[float]:
    """Return the learning rate of each step, growing by the same factor from step to step.

    Source: Smith 2017, Cyclical Learning Rates, section 3.3; growing exponentially as in fastai.

    Args:
        n_batches: of one pass over the training images.
    """
    n_steps = max(MIN_STEPS, min(N_STEPS, MAX_PASSES * n_batches))
    return [float(lr) for lr in np.geomspace(LOWEST_LR, HIGHEST_LR, n_steps)]


def smooth_losses(losses: Sequence[float], beta: float = BETA) -> list[float]:
    """Return the running average of the losses, in which each counts beta times as much as the one after it.

    It is corrected for its beginning at zero.
    Source: Kingma and Ba 2015, Adam, section 3.
    """
    average, averages = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = beta * average + (1.0 - beta) * loss
        averages.append(average / (1.0 - beta**step))
    return averages


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the last loss ends the test: it is not finite, or the smoothed loss is far above its lowest."""
    if not math.isfinite(losses[-1]):
        return True
    averages = smooth_losses(losses)
    return averages[-1] > DIVERGED_AT * min(averages)


def suggest_lr(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the learning rate at which the loss falls most steeply, or None where it does not clearly fall.

    The slope is that of a line fitted to the losses of one and a half decades, up to where the smoothed loss is
    lowest: of single steps the noise of their batches would decide.
    Source: Smith 2017, Cyclical Learning Rates, section 3.3, for reading the curve; fastai's `steep` for the point.

    Args:
        lrs: growing, evenly spaced in their logarithm.
        losses: as they were, not smoothed; finite.
    """
    falling = find_falling_range(lrs, losses)
    if falling is None:
        return None
    n_low = int(np.argmin(smooth_losses(losses))) + 1
    logs, values = np.log10(lrs), np.asarray(losses)
    n_window = max(3, round(WINDOW / float(logs[1] - logs[0])) + 1)
    windows = [slice(at, at + n_window) for at in range(max(1, n_low - n_window + 1))]
    falls = [window for window in windows if lrs[window][-1] >= falling[0]]
    steepest = min(falls, key=lambda window: float(np.polyfit(logs[window], values[window], 1)[0]))
    return float(10.0 ** logs[steepest].mean())


def find_falling_range(lrs: Sequence[float], losses: Sequence[float]) -> tuple[float, float] | None:
    """Return the learning rates between which the smoothed loss falls to its lowest, or None where it hardly falls.

    Clear is a fall by a hundredth of the loss and by three and a half standard errors. The noise of the batches is
    measured between neighbouring steps, so that the fall itself does not count as noise.
    Source: von Neumann 1941, Distribution of the Ratio of the Mean Square Successive Difference.
    """
    n_start = int(START * len(losses))
    if n_start < 2:
        return None
    values, averages = np.asarray(losses), np.asarray(smooth_losses(losses))
    start, at_lowest = float(values[:n_start].mean()), int(averages.argmin())
    fall = start - float(averages[at_lowest])
    noise = math.sqrt(float(np.square(np.diff(values[: at_lowest + 1])).mean()) / 2.0) if at_lowest else 0.0
    n_averaged = (1.0 + BETA) / (1.0 - BETA)  # of which the smoothed loss is a mean, in effect
    error = noise * math.sqrt(1.0 / n_start + 1.0 / n_averaged)
    if at_lowest < n_start or fall < max(MIN_FALL * abs(start), MIN_EVIDENCE * error):
        return None
    above = np.flatnonzero(averages[:at_lowest] >= start - ONSET * fall)
    return float(lrs[int(above[-1]) if len(above) else 0]), float(lrs[at_lowest])
