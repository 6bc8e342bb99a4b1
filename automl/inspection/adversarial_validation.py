"""Adversarial validation: measure how well a linear model separates two sets of images by a few features.

What a linear model separates, a network separates as well; what it does not, a network may.
See also: automl.inspection.inspection, which extracts the features.
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

MIN_IMAGES = 40  # images of each set; below that an AUC says nothing
N_FOLDS = 5
RIDGE = 0.01  # of the images; features have spread 1
CLEAR_AUC = 0.7  # from here on two sets clearly differ
SLIGHT_AUC = 0.55
N_ERRORS = 2.5  # standard errors above chance; by chance 2 in 100 are, as an error from five folds is uncertain


class Separability(NamedTuple):
    """How separable two sets of images are: AUC 0.5 not at all, 1 perfectly.

    Attributes:
        auc: area under the ROC curve, the mean over five held-out folds.
        error: its standard error.
    """

    auc: float
    error: float

    @property
    def is_slight(self) -> bool:
        """Whether it is beyond chance."""
        return self.auc >= SLIGHT_AUC and self.auc - N_ERRORS * self.error > 0.5

    @property
    def is_clear(self) -> bool:
        """Whether it is far beyond chance."""
        return self.auc >= CLEAR_AUC and self.auc - N_ERRORS * self.error > SLIGHT_AUC

    def __str__(self) -> str:
        return f"{self.auc:.2f} +- {self.error:.2f}"


def measure_separability(features: Floats, is_other: Numbers, units: Numbers) -> Separability | None:
    """Return how well the rows of two sets are separated; None where they are too few, or all alike.

    Args:
        features: (n, n_features).
        is_other: (n,) of 0 and 1, the set of each row.
        units: (n,) numbers; rows with the same one are held out together, as what they share would be learned.
    """
    # Squares are given as well, since a network is no linear model either.
    extended = np.concatenate([features, features**2], axis=1)
    is_too_few = np.bincount(is_other, minlength=2).min() < MIN_IMAGES or len(np.unique(units)) < N_FOLDS
    if is_too_few or (extended.std(axis=0) < 1e-9).all():
        return None
    aucs = _cross_validate_aucs(extended, is_other, units)
    if len(aucs) < N_FOLDS:
        return None
    auc = float(np.mean(aucs))
    return Separability(auc, max(_compute_auc_error(auc, is_other), _compute_mean_error(aucs)))


def _cross_validate_aucs(features: Floats, is_other: Numbers, units: Numbers) -> list[float]:
    """Return the AUC of each fold that has both sets; each fold's own, as folds differ in their balance.

    Ridge regression ranks as logistic regression does, and is solved in one step.
    """
    model = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE * len(is_other)))
    aucs = []
    for train_rows, test_rows in GroupKFold(N_FOLDS).split(features, is_other, units):
        if len(np.unique(is_other[test_rows])) == len(np.unique(is_other[train_rows])) == 2:
            ranking = model.fit(features[train_rows], is_other[train_rows]).predict(features[test_rows])
            aucs.append(float(roc_auc_score(is_other[test_rows], ranking)))
    return aucs


def _compute_mean_error(aucs: list[float]) -> float:
    """Return the standard error of a cross-validated mean, whose folds share training rows.

    Source: Nadeau and Bengio 2003, Inference for the Generalization Error, section 3, the corrected resampled t-test.
    """
    test_fraction = 1.0 / len(aucs)
    return float(np.sqrt((test_fraction + test_fraction / (1.0 - test_fraction)) * np.var(aucs, ddof=1)))


def _compute_auc_error(auc: float, is_other: Numbers) -> float:
    """Return the standard error without any training; five folds that agree by chance claim no less.

    Source: Hanley and McNeil 1982, The Meaning and Use of the Area under a ROC Curve, equation 2.
    """
    n_one, n_other = np.bincount(is_other, minlength=2).tolist()
    q1, q2 = auc / (2.0 - auc), 2.0 * auc**2 / (1.0 + auc)
    variance = auc * (1.0 - auc) + (n_other - 1) * (q1 - auc**2) + (n_one - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_one * n_other)))
