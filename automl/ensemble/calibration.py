"""Temperature scaling of each member, so that an overconfident one does not dominate the mean.

The mean of calibrated members is underconfident, so a temperature of the blend itself follows in the decision rule
(automl.decisions.fit).

Source: Rahaman and Thiery, "Uncertainty Quantification and Deep Ensembles", NeurIPS 2021: ensembles of calibrated
members are underconfident, and pooled ones are to be calibrated again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions.choose import Scorer
from automl.decisions.fit import LOG_LOSSES
from automl.decisions.temperature import apply_temperature, fit_temperature

Floats = NDArray[np.float64]


def needs_calibration(scorer: Scorer) -> bool:
    """Whether the score depends on how confident probabilities are, and a temperature is therefore of use."""
    return scorer.name in LOG_LOSSES


def fit_member_temperatures(
    probs: NDArray[Any], targets: NDArray[Any], scorer: Scorer, rows: NDArray[np.int64]
) -> Floats:
    """Fit (n_models,) the temperature of each member (n_models, n, n_classes) with the least log loss on the rows."""
    return np.array([_fit_temperature(own[rows], targets[rows], scorer) for own in probs])


def calibrate_blend(probs: NDArray[Any], targets: NDArray[Any], scorer: Scorer) -> NDArray[Any]:
    """Calibrate a blend (n, n_classes) where the score depends on its confidence; otherwise return the very same.

    Roughly what the decision rule will make of it, so that blends are to be compared like this: otherwise one of
    calibrated members would lose to one of members that are each overconfident.
    """
    if not needs_calibration(scorer):
        return probs
    return apply_temperature(probs, _fit_temperature(probs, targets, scorer), scorer.context)


def _fit_temperature(probs: NDArray[Any], targets: NDArray[Any], scorer: Scorer) -> float:
    """The temperature at which probabilities (n, n_classes) score best."""
    return fit_temperature(probs, targets, scorer.context, column_weights=scorer.metric.weights)
