"""Temperature scaling: divide the logits of probabilities by the temperature of the least log loss.

An overfitted network is overconfident, and the mean of several networks is underconfident. One number corrects most of
either, and it changes no order of classes within a row.
See also: automl.decisions.choose and automl.ensemble.blending, which cross-fit it.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions.resampling import sample_rows
from automl.metrics.formulas import FLOOR
from automl.target_kinds import HasTargetKind

Floats = NDArray[np.float64]

BOUNDS = (0.2, 5.0)  # Guo et al. find 1 to 3 for networks trained with cross entropy; label smoothing asks for less
MAX_CELLS = 250_000  # rows times columns of a sample; one number needs no more
SPREAD = 0.5  # of the logarithm of temperatures, expected around 0: as Guo et al. find them, and means of networks
TOLERANCE = 0.005  # of the temperature's logarithm; the loss is flat there


def fit_temperature(
    probs: NDArray[Any], targets: NDArray[Any], task: HasTargetKind, *, column_weights: tuple[float, ...] | None = None
) -> float:
    """Return the temperature within BOUNDS of the least log loss of probs (n, n_classes); above 1 lowers confidence.

    1 where there are no rows.

    Args:
        targets: class indices (n,), (n, n_heads) of them with MULTIOUTPUT, or (n, n_classes) of 0 and 1 with
            MULTILABEL.
        task: or what is of one; with MULTIOUTPUT something that knows the heads.
        column_weights: (n_classes,) of a weighted log loss, or (n_heads,).
    """
    rows = sample_rows(len(targets), None, n_rows=max(1, MAX_CELLS // probs.shape[1]), seed=0)
    if not len(rows):
        return 1.0
    target_kind = task.target_kind
    logits = target_kind.compute_logits(_clip(probs[rows]))
    compute_loss = target_kind.build_log_loss(logits, targets[rows], column_weights=column_weights)
    return find_temperature(compute_loss, n_rows=len(rows))


def find_temperature(compute_loss: Callable[[float], float], *, n_rows: int) -> float:
    """Return the most likely temperature within BOUNDS, given the mean loss of n_rows; 1 where no other is better.

    Temperatures near 1 are likelier beforehand, as much as SPREAD says. Without this
    prior, out-of-fold rows that are all right would ask for an infinite confidence.
    """
    from scipy.optimize import minimize_scalar  # here, because it takes half a second to load

    def compute_cost(log_temperature: float) -> float:
        return compute_loss(float(np.exp(log_temperature))) + log_temperature**2 / (2.0 * SPREAD**2 * n_rows)

    low, high = np.log(BOUNDS)
    found = minimize_scalar(compute_cost, bounds=(low, high), method="bounded", options={"xatol": TOLERANCE})
    return float(np.exp(found.x)) if found.fun < compute_cost(0.0) else 1.0


def apply_temperature(probs: NDArray[Any], temperature: float, task: HasTargetKind) -> NDArray[Any]:
    """Return probabilities (n, n_classes) with logits divided by the temperature; the same array where it is 1.

    Where an image has one class, or one of each head, p^(1/T), divided by the row's sum; otherwise each column is
    independent, and its odds are raised to 1/T. Probabilities of 0 and 1 count as FLOOR and 1 - FLOOR, as in the log
    loss.
    """
    if temperature == 1.0:
        return probs
    logits = task.target_kind.compute_logits(_clip(probs))
    return task.target_kind.convert_logits(logits / temperature)


def _clip(probs: NDArray[Any]) -> Floats:
    """Return double precision probabilities within [FLOOR, 1 - FLOOR], which have finite logits."""
    return np.clip(np.asarray(probs, dtype=np.float64), FLOOR, 1.0 - FLOOR)
