"""How far a score is off by the luck of its rows: the score of rows drawn again with replacement.

Not responsible for: which blends are scored (automl.ensemble.weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions import Scorer, matched_rule
from automl.resampling import N_RESAMPLES, resamples, some_units

Floats = NDArray[np.float64]

MIN_RESAMPLES = 50  # an error from 50 is itself known to a tenth
MAX_CELLS = 1_000_000  # rows times columns of one resample
MAX_CELLS_IN_ALL = 50_000_000  # of all resamples of one blend; with 200 of them, 250,000 each


def bootstrap_scores(
    blended: Sequence[Floats],
    targets: NDArray[Any],
    scorer: Scorer,
    *,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
) -> Floats:
    """Scores (n_resamples, n_blends) of some blends (n, n_classes), each time on the same rows drawn for all.

    Decisions are taken once, from all rows. Of large tables some rows are drawn from, less often, and the scores are
    drawn together around their mean by as much as scores of all rows spread less. Groups are drawn whole.
    """
    decided = [decided_by(scorer, probs) for probs in blended]
    n_columns = max(predictions[0].size for predictions in decided)
    rows = some_units(len(targets), groups, n_rows=max(1, MAX_CELLS // n_columns), seed=seed)
    truths, some = targets[rows], [predictions[rows] for predictions in decided]
    drawn = resamples(
        len(rows),
        None if groups is None else groups[rows],
        seed=seed,
        n_resamples=_affordable(len(rows) * n_columns),
    )
    scores = np.array([[scorer.metric.score(truths[again], own[again]) for own in some] for again in drawn])
    return _as_of_all_rows(scores, float(np.sqrt(len(rows) / len(targets))))


def decided_by(scorer: Scorer, probs: NDArray[Any]) -> NDArray[Any]:
    """What the scorer would score of probabilities (n, n_classes): predictions in the form of its metric."""
    return matched_rule(scorer.metric, scorer.facts, probs)(np.asarray(probs, dtype=np.float64))


def _affordable(n_cells: int) -> int:
    """How many resamples of that size there are."""
    return min(N_RESAMPLES, max(MIN_RESAMPLES, MAX_CELLS_IN_ALL // n_cells))


def _as_of_all_rows(scores: Floats, shrunk: float) -> Floats:
    if shrunk == 1.0:
        return scores
    centre = scores.mean(axis=0)
    nearer: Floats = centre + shrunk * (scores - centre)
    return nearer
