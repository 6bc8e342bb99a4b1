"""How sure probabilities may be: the temperature by which their logits are divided so that the log loss is least.

A network that was trained until it knows its images by heart is surer than it is right, and the mean of several is less
sure than it may be. One number mends most of either, and it changes no order of classes within a row. Not responsible
for: whether it is any good on rows that it was not fitted on (automl.decisions.choose, automl.ensemble.blending).

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.metrics.pointwise import FLOOR
from automl.resampling import some_units
from automl.tasks import Task

Floats = NDArray[np.float64]

BOUNDS = (0.2, 5.0)  # Guo et al. find 1 to 3 for networks trained with cross entropy; label smoothing asks for less
MAX_CELLS = 250_000  # rows times columns that are looked at; one number needs no more
SPREAD = 0.5  # of the logarithm of temperatures, expected around 0: as Guo et al. find them, and means of networks
TOLERANCE = 0.005  # of the temperature's logarithm; the loss is flat there


def fit_temperature(
    probs: NDArray[Any], targets: NDArray[Any], task: Task, *, column_weights: tuple[float, ...] | None = None
) -> float:
    """The temperature within BOUNDS that suits probs (n, n_classes) best by log loss; above 1 makes them less sure.

    1 where there are no rows.

    Args:
        targets: class indices (n,), or (n, n_classes) of 0 and 1 with MULTILABEL.
        column_weights: (n_classes,) of a weighted log loss.
    """
    rows = some_units(len(targets), None, n_rows=max(1, MAX_CELLS // probs.shape[1]), seed=0)
    if not len(rows):
        return 1.0
    loss_at = _losses(_logits(probs[rows], task), targets[rows], task, column_weights)
    return best_temperature(loss_at, n_rows=len(rows))


def best_temperature(loss_at: Callable[[float], float], *, n_rows: int) -> float:
    """The likeliest temperature within BOUNDS, given a mean loss of so many rows; 1 where no other is better.

    Temperatures near 1 are likelier beforehand, as much as SPREAD says. Without that, rows out of fold that are all
    right ask for no doubt at all.
    """
    from scipy.optimize import minimize_scalar  # here, because it takes half a second to load

    def cost(log: float) -> float:
        return loss_at(float(np.exp(log))) + log**2 / (2.0 * SPREAD**2 * n_rows)

    low, high = np.log(BOUNDS)
    found = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": TOLERANCE})
    return float(np.exp(found.x)) if found.fun < cost(0.0) else 1.0


def tempered(probs: NDArray[Any], temperature: float, task: Task) -> NDArray[Any]:
    """Probabilities (n, n_classes) whose logits are divided by the temperature; the very same ones where it is 1.

    Where an image has one class p^(1/T), divided by the row's sum; otherwise each column is a question of its own, and
    its odds are raised to 1/T. Probabilities of 0 and 1 count as FLOOR and 1 - FLOOR, as in the log loss.
    """
    if temperature == 1.0:
        return probs
    return _probs(_logits(probs, task) / temperature, task)


def _logits(probs: NDArray[Any], task: Task) -> Floats:
    """Logarithms of probabilities, or of odds, up to what the probabilities do not depend on."""
    inside = np.clip(np.asarray(probs, dtype=np.float64), FLOOR, 1.0 - FLOOR)
    logits: Floats = np.log(inside) if task.one_class_each else np.log(inside) - np.log1p(-inside)
    return logits


def _probs(logits: Floats, task: Task) -> Floats:
    if not task.one_class_each:
        labels: Floats = 1.0 / (1.0 + np.exp(-logits))
        return labels
    powers: Floats = np.exp(np.ascontiguousarray(logits - logits.max(axis=1, keepdims=True)))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _losses(
    logits: Floats, targets: NDArray[Any], task: Task, column_weights: tuple[float, ...] | None
) -> Callable[[float], float]:
    """The log loss as a function of the temperature, without the way back to probabilities."""
    if task.one_class_each:
        above = logits - logits[np.arange(len(targets)), targets][:, None]  # of the true class
        return lambda temperature: float(_log_sum_exp(above / temperature).mean())
    signed = np.where(targets > 0, -logits, logits)
    return lambda temperature: float(
        np.average(np.logaddexp(0.0, signed / temperature).mean(axis=0), weights=column_weights)
    )


def _log_sum_exp(logits: Floats) -> Floats:
    top = logits.max(axis=1)
    sums: Floats = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return sums
