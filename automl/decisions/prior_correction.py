"""Correct probabilities to the prior of training, for networks that were trained with another one.

A network that was trained on balanced batches predicts rare classes too often. Deviations that chance explains are left
alone.

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
N_ERRORS = 2.0  # standard errors by which a predicted share may be off by chance
POWERS = (0.0, 2.0)  # below 0 the network is overconfident, which no power of the frequencies corrects
MIN_SLOPE = 1e-9  # of a column that holds 0 and 1 alone


def fit_prior_weights(probs: Floats, prior: Floats) -> Floats:
    """Fit weights (n_classes,) with which the mean of these rows, divided by their sums, is the prior; 1 where it is.

    First a power of the prior for all classes, then a factor for each that is still off.
    """
    logs = np.log(np.where(prior > 0, prior, 1.0))
    error = float(np.sqrt(max(0.0, prior @ logs**2 - (prior @ logs) ** 2) / len(probs)))  # 0 where all are as frequent
    power = _fit_prior_power(lambda p: normalize_rows(probs * np.exp(p * logs)).mean(axis=0), prior, logs, error=error)
    weights, was_corrected = np.exp(power * logs), np.zeros(len(prior), dtype=np.bool_)
    for _ in range(N_STEPS):
        shares = normalize_rows(probs * weights).mean(axis=0)
        is_off = _is_off(shares, prior, len(probs)) & (shares > 0)
        if not is_off.any():
            break
        was_corrected |= is_off  # and goes all the way, not to where it might be chance
        steps = np.divide(prior, shares, out=np.ones_like(prior), where=was_corrected & (shares > 0))
        weights *= np.clip(steps, 0.5, 2.0)
    return weights


def fit_prior_odds(probs: Floats, prior: Floats) -> Floats:
    """Fit factors (n_classes,) of the odds with which each column's mean is its prior; 1 where it is already.

    First a power of the prior's odds for all columns, then a factor for each that is still off, by Newton's method in
    its logarithm, at most a factor of e in a step.
    """
    inside = np.where((prior > 0) & (prior < 1), prior, 0.5)
    logs = np.log(inside / (1.0 - inside))
    error = float(np.sqrt((inside * (1.0 - inside) @ logs**2) / len(probs)))
    power = _fit_prior_power(lambda p: scale_odds(probs, np.exp(p * logs)).mean(axis=0), prior, logs, error=error)
    odds = np.exp(power * logs)
    off = np.flatnonzero(_is_off(scale_odds(probs, odds).mean(axis=0), prior, len(probs)))
    for _ in range(N_STEPS):
        if not len(off):
            break
        corrected = scale_odds(probs[:, off], odds[off])
        gaps, slopes = prior[off] - corrected.mean(axis=0), (corrected * (1.0 - corrected)).mean(axis=0)
        odds[off] *= np.exp(np.clip(gaps / np.maximum(slopes, MIN_SLOPE), -1.0, 1.0))
        off = off[np.abs(gaps) > CLOSE * prior[off]]
    return odds


def scale_odds(probs: Floats, odds: Floats) -> Floats:
    """Return probabilities whose odds are multiplied, elementwise or column by column."""
    scaled = probs * odds
    corrected: Floats = scaled / (scaled + (1.0 - probs))
    return corrected


def normalize_rows(weighted: Floats) -> Floats:
    """Return the rows divided by their sums, uniform where that is 0."""
    totals = weighted.sum(axis=1, keepdims=True)
    uniform = np.full_like(weighted, 1.0 / weighted.shape[1])
    shares: Floats = np.divide(weighted, totals, out=uniform, where=totals > 0)
    return shares


def _is_off(shares: Floats, prior: Floats, n: int) -> NDArray[np.bool_]:
    """Return where a share of n rows differs from the prior by more than chance; never for absent classes."""
    allowed = N_ERRORS * np.sqrt(prior * (1.0 - prior) / n)
    is_off: NDArray[np.bool_] = (np.abs(shares - prior) > allowed) & (prior > 0)
    return is_off


def _fit_prior_power(predict_shares: Callable[[float], Floats], prior: Floats, logs: Floats, *, error: float) -> float:
    """Return the power of the prior under which the mean log prior is that of training; 0 where chance explains it.

    Balanced training divides by the frequencies. Of a thousand rare classes none alone deviates significantly.
    """

    def compute_gap(power: float) -> float:
        return float((predict_shares(power) - prior) @ logs)

    least, most = POWERS
    if compute_gap(least) >= -N_ERRORS * error:  # the greater the power, the greater the gap
        return least
    if compute_gap(most) < 0.0:
        return most
    from scipy.optimize import brentq  # here, because it takes half a second to load

    return float(brentq(compute_gap, least, most, xtol=0.01))
