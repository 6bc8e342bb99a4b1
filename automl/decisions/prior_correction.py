"""Probabilities with the classes as frequent as they are in training, for networks that were taught otherwise.

A network that was trained on balanced batches says "rare" more often than it is true. Shares that chance alone explains
are left alone. Not responsible for: what is decided from such probabilities (automl.decisions.fit, thresholds).

Source: Saerens, Latinne and Decaestecker 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
with the prior known and the classifier's own unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_STEPS = 20
CLOSE = 0.01  # of the prior
N_ERRORS = 2.0  # standard errors by which a share may be off by chance
POWERS = (0.0, 2.0)  # below 0 the network is overconfident, which no power of the frequencies mends
MIN_SLOPE = 1e-9  # of a column that holds 0 and 1 alone


def restoring_weights(probs: Floats, prior: Floats) -> Floats:
    """(n_classes,) weights with which the mean of these rows, divided by their sums, is the prior; 1 where it is.

    First a power of the prior for all classes, then a factor for each that is still off.
    """
    logs = np.log(np.where(prior > 0, prior, 1.0))
    error = float(np.sqrt(max(0.0, prior @ logs**2 - (prior @ logs) ** 2) / len(probs)))  # 0 where all are as frequent
    power = _common_power(lambda p: normalised(probs * np.exp(p * logs)).mean(axis=0), prior, logs, error=error)
    weights, was_off = np.exp(power * logs), np.zeros(len(prior), dtype=np.bool_)
    for _ in range(N_STEPS):
        shares = normalised(probs * weights).mean(axis=0)
        is_off = _is_off(shares, prior, len(probs)) & (shares > 0)
        if not is_off.any():
            break
        was_off |= is_off  # and goes all the way, not to where it might be chance
        steps = np.divide(prior, shares, out=np.ones_like(prior), where=was_off & (shares > 0))
        weights *= np.clip(steps, 0.5, 2.0)
    return weights


def restoring_odds(probs: Floats, prior: Floats) -> Floats:
    """(n_classes,) factors of the odds with which each column's mean is its prior; 1 where it is already.

    First a power of the prior's odds for all columns, then a factor for each that is still off, by Newton's method in
    its logarithm, at most a factor of e in a step.
    """
    inside = np.where((prior > 0) & (prior < 1), prior, 0.5)
    logs = np.log(inside / (1.0 - inside))
    error = float(np.sqrt((inside * (1.0 - inside) @ logs**2) / len(probs)))
    power = _common_power(lambda p: with_odds(probs, np.exp(p * logs)).mean(axis=0), prior, logs, error=error)
    odds = np.exp(power * logs)
    off = np.flatnonzero(_is_off(with_odds(probs, odds).mean(axis=0), prior, len(probs)))
    for _ in range(N_STEPS):
        if not len(off):
            break
        restored = with_odds(probs[:, off], odds[off])
        gaps, slopes = prior[off] - restored.mean(axis=0), (restored * (1.0 - restored)).mean(axis=0)
        odds[off] *= np.exp(np.clip(gaps / np.maximum(slopes, MIN_SLOPE), -1.0, 1.0))
        off = off[np.abs(gaps) > CLOSE * prior[off]]
    return odds


def with_odds(probs: Floats, odds: Floats) -> Floats:
    """Probabilities whose odds are multiplied, elementwise or column by column."""
    there = probs * odds
    restored: Floats = there / (there + (1.0 - probs))
    return restored


def normalised(weighted: Floats) -> Floats:
    """Rows divided by their sums, uniform where that is 0."""
    totals = weighted.sum(axis=1, keepdims=True)
    uniform = np.full_like(weighted, 1.0 / weighted.shape[1])
    shares: Floats = np.divide(weighted, totals, out=uniform, where=totals > 0)
    return shares


def _is_off(shares: Floats, prior: Floats, n: int) -> NDArray[np.bool_]:
    """Whether a share of n rows is another than the prior, by more than chance explains; not of absent classes."""
    allowed = N_ERRORS * np.sqrt(prior * (1.0 - prior) / n)
    is_off: NDArray[np.bool_] = (np.abs(shares - prior) > allowed) & (prior > 0)
    return is_off


def _common_power(shares_at: Callable[[float], Floats], prior: Floats, logs: Floats, *, error: float) -> float:
    """The power of frequency under which the classes' mean logarithm is that of training; 0 where chance explains it.

    Balanced training divides by the frequencies. Of a thousand rare classes none alone is seen to be off.
    """

    def gap(power: float) -> float:
        return float((shares_at(power) - prior) @ logs)

    least, most = POWERS
    if gap(least) >= -N_ERRORS * error:  # the greater the power, the greater the gap
        return least
    if gap(most) < 0.0:
        return most
    from scipy.optimize import brentq  # here, because it takes half a second to load

    return float(brentq(gap, least, most, xtol=0.01))
