"""Weights by bagged greedy selection: which members, and how often, make the best mean on some rows.

Not responsible for: whether those weights hold on other rows (automl.ensemble.weights asks that).

Source: Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004: selection
with replacement (2.1), sorted initialisation (2.2), bagged selection (2.3).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.objectives import Floats, Objective, Scores

N_PICKS = 25  # Source: AutoGluon's greedy ensemble: TabRepo saw no gain above 25
N_FIRST = 5  # at most that many of the best begin a selection
N_BAGS = 20
BAG_FRACTION = 0.5  # of the pool; no bag is smaller than the ensemble that is wanted
MAX_ROWS = 5_000  # weights in steps of 1/25 need no more; keeps the time bounded


def greedy_weights(
    probs: NDArray[Any],
    targets: NDArray[Any],
    objective: Objective,
    *,
    max_members: int,
    seed: int,
    fit_rows: NDArray[np.int64] | None = None,
) -> Floats:
    """Weights (n_models,) of members (n_models, n, n_classes): not negative, sum 1, at most max_members not zero.

    Args:
        fit_rows: the rows that may be looked at; None for all.
    """
    rng = np.random.default_rng(seed)
    allowed = np.arange(len(targets)) if fit_rows is None else fit_rows
    rows = allowed[np.sort(rng.permutation(len(allowed))[:MAX_ROWS])]
    pool, scores_of = objective(probs[:, rows], targets[rows])
    best_first = np.argsort(-scores_of(pool), kind="stable")
    n_models = len(probs)
    bag_size = max(math.ceil(BAG_FRACTION * n_models), min(max_members, n_models))
    weights = np.zeros(n_models)
    for _ in range(N_BAGS if bag_size < n_models else 1):
        bag = best_first[np.sort(rng.permutation(n_models)[:bag_size])]
        weights[bag] += _select(pool[bag], scores_of)
    return _thinned(weights, pool, scores_of, max_members)


def _select(pool: Floats, scores_of: Scores) -> Floats:
    """One selection from a pool that is sorted best first: how often each is picked, divided by all picks."""
    sums = np.cumsum(pool[:N_FIRST], axis=0)
    sizes = np.arange(1.0, len(sums) + 1.0).reshape(-1, *[1] * (pool.ndim - 1))
    scores = scores_of(sums / sizes)
    n_picked = int(scores.argmax()) + 1
    total, best_score = sums[n_picked - 1], scores[n_picked - 1]
    picks = np.zeros(len(pool))
    picks[:n_picked] = 1.0
    best_picks = picks.copy()
    while n_picked < N_PICKS:
        n_picked += 1
        scores = scores_of((total + pool) / n_picked)
        pick = int(scores.argmax())
        total = total + pool[pick]
        picks[pick] += 1.0
        if scores[pick] > best_score:
            best_score, best_picks = scores[pick], picks.copy()
    frequencies: Floats = best_picks / best_picks.sum()
    return frequencies


def _thinned(weights: Floats, pool: Floats, scores_of: Scores, max_members: int) -> Floats:
    """The weights without the members that are missed least, one after the other.

    Not the heaviest alone: of many members of one kind each weighs little, and none might be left to stand for it.
    """
    weights = weights / weights.sum()
    while np.count_nonzero(weights) > max_members:
        members = np.flatnonzero(weights)
        total = np.tensordot(weights, pool, axes=1)
        without = np.stack([(total - weights[i] * pool[i]) / (1.0 - weights[i]) for i in members])
        weights[members[scores_of(without).argmax()]] = 0.0
        weights /= weights.sum()
    return weights
