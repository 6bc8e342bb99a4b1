"""How well two kinds of images can be told apart by a few numbers of each.

Asked of a linear model, which answers at once: what such a one can tell apart, a network can as well; what it cannot,
a network may. Not responsible for: which numbers, or what follows from the answer (automl.inspection.inspection).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

MIN_ASKED = 40  # images of a kind; below that an area under the curve says nothing
PARTS = 5  # of which one is held out after the other
RIDGE = 0.01  # of the images; features have spread 1
CLEAR = 0.7  # area under the curve from which on two kinds are plainly different
SLIGHT = 0.55
SURE = 2.5  # errors away; by chance alone 2 in 100 are, as an error from five parts is uncertain itself


class Told(NamedTuple):
    """How well two kinds of images can be told apart: 0.5 not at all, 1 always.

    Attributes:
        auc: area under the ROC curve, the mean over five parts that were each held out.
        error: its standard error.
    """

    auc: float
    error: float

    @property
    def is_slight(self) -> bool:
        """Whether it is beyond chance."""
        return self.auc >= SLIGHT and self.auc - SURE * self.error > 0.5

    @property
    def is_clear(self) -> bool:
        return self.auc >= CLEAR and self.auc - SURE * self.error > SLIGHT

    def __str__(self) -> str:
        return f"{self.auc:.2f} +- {self.error:.2f}"


def told_apart(features: Floats, is_other: Numbers, units: Numbers) -> Told | None:
    """How well the rows of one kind are told from those of the other; None where they are too few, or all alike.

    Args:
        features: (n, n_features).
        is_other: (n,) of 0 and 1, the kinds.
        units: (n,) numbers; rows with the same one are held out together, as what they share would be learned.
    """
    # Squares are given as well, since a network is no linear model either.
    both = np.concatenate([features, features**2], axis=1)
    few = np.bincount(is_other, minlength=2).min() < MIN_ASKED or len(np.unique(units)) < PARTS
    if few or (both.std(axis=0) < 1e-9).all():
        return None
    areas = _areas(both, is_other, units)
    if len(areas) < PARTS:
        return None
    auc = float(np.mean(areas))
    return Told(auc, max(_error_of_auc(auc, is_other), _error_of_mean(areas)))


def _areas(features: Floats, is_other: Numbers, units: Numbers) -> list[float]:
    """Of each part that has both kinds; its own, as a part with more of one kind is judged by who saw less of it.

    Ridge regression ranks as logistic regression does, and is solved in one step.
    """
    model = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE * len(is_other)))
    areas = []
    for rest, held in GroupKFold(PARTS).split(features, is_other, units):
        if len(np.unique(is_other[held])) == len(np.unique(is_other[rest])) == 2:
            order = model.fit(features[rest], is_other[rest]).predict(features[held])
            areas.append(float(roc_auc_score(is_other[held], order)))
    return areas


def _error_of_mean(areas: list[float]) -> float:
    """Standard error of a cross-validated mean, whose parts share what they were trained on.

    Source: Nadeau and Bengio 2003, Inference for the Generalization Error, section 3, the corrected resampled t-test.
    """
    held = 1.0 / len(areas)
    return float(np.sqrt((held + held / (1.0 - held)) * np.var(areas, ddof=1)))


def _error_of_auc(auc: float, is_other: Numbers) -> float:
    """Standard error without any training; five parts that agree by chance claim no less.

    Source: Hanley and McNeil 1982, The Meaning and Use of the Area under a ROC Curve, equation 2.
    """
    n_one, n_other = np.bincount(is_other, minlength=2).tolist()
    q1, q2 = auc / (2.0 - auc), 2.0 * auc**2 / (1.0 + auc)
    variance = auc * (1.0 - auc) + (n_other - 1) * (q1 - auc**2) + (n_one - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_one * n_other)))
