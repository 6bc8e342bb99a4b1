"""Scores of ranked lists of classes.

Not responsible for: ranking them (automl.rules).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean_average_precision(targets: NDArray[Any], ranking: NDArray[Any], *, k: int) -> float:
    """MAP@k of rankings (n, at least 1) of class indices, the best first.

    Against class indices (n,) that is the mean of 1 / rank, 0 where the true class is not among the first k. Against
    labels (n, n_classes) of 0 and 1 each row's precisions at its hits are summed and divided by the number of its
    labels or k, whichever is less; a row without labels scores 0. A class that is listed again is no second hit.

    Source: https://github.com/benhamner/Metrics, average_precision.py, which Kaggle refers to.
    """
    ranking = ranking[:, :k]
    if targets.ndim == 1:
        is_hit, n_true = ranking == targets[:, None], np.ones(len(targets), dtype=np.int64)
    else:
        is_hit, n_true = np.take_along_axis(targets > 0, ranking, axis=1), (targets > 0).sum(axis=1)
    is_hit = is_hit & ~_is_repeated(ranking)
    precisions = np.cumsum(is_hit, axis=1) / np.arange(1, ranking.shape[1] + 1)
    return float(((precisions * is_hit).sum(axis=1) / np.clip(n_true, 1, k)).mean())


def _is_repeated(ranking: NDArray[Any]) -> NDArray[np.bool_]:
    """(n, k) whether the class stands further left as well."""
    repeated = np.zeros(ranking.shape, dtype=np.bool_)
    for place in range(1, ranking.shape[1]):
        repeated[:, place] = (ranking[:, :place] == ranking[:, place : place + 1]).any(axis=1)
    return repeated
