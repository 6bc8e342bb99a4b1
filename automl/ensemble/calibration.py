"""A temperature for each member, so that none is heard more in the mean than it deserves because it is surer.

The mean of members that are each as sure as they may be is less sure than it may be, so a temperature of the blend
itself follows in the rule that decides (automl.decisions.fit). Not responsible for: fitting one temperature
(automl.decisions.temperature), or for what wins (automl.ensemble.blending).

Source: Rahaman and Thiery, "Uncertainty Quantification and Deep Ensembles", NeurIPS 2021: ensembles of calibrated
members are underconfident, and pooled ones are to be calibrated again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions.choose import Scorer
from automl.decisions.fit import LOG_LOSSES
from automl.decisions.temperature import fit_temperature, tempered

Floats = NDArray[np.float64]


def is_calibrated(scorer: Scorer) -> bool:
    """Whether the score depends on how sure probabilities are, and a temperature is therefore of use."""
    return scorer.name in LOG_LOSSES


def member_temperatures(probs: NDArray[Any], targets: NDArray[Any], scorer: Scorer, rows: NDArray[np.int64]) -> Floats:
    """(n_models,) the temperature of each member (n_models, n, n_classes) with the least log loss on the rows."""
    return np.array([_temperature(own[rows], targets[rows], scorer) for own in probs])


def sharpened(probs: NDArray[Any], targets: NDArray[Any], scorer: Scorer) -> NDArray[Any]:
    """A blend (n, n_classes) as sure as it may be, where the score depends on that; otherwise the very same.

    Roughly what the rule that decides will make of it, so that blends are to be compared like this: otherwise one of
    well-tempered members would lose to one of members that are each too sure.
    """
    if not is_calibrated(scorer):
        return probs
    return tempered(probs, _temperature(probs, targets, scorer), scorer.facts.task)


def _temperature(probs: NDArray[Any], targets: NDArray[Any], scorer: Scorer) -> float:
    """The temperature at which probabilities (n, n_classes) score best."""
    return fit_temperature(probs, targets, scorer.facts.task, column_weights=scorer.metric.weights)
