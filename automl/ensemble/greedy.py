"""Bagged greedy ensemble selection: which members, and how often, make the best mean on some rows.

Whether those weights hold on other rows is decided by automl.ensemble.blending.

Source: Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004: selection
with replacement (2.1), sorted initialisation (2.2), bagged selection (2.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions.choose import Scorer, is_fitted
from automl.decisions.fit import LOG_LOSSES
from automl.multi_output import HeadSizes, iterate_head_targets, list_head_slices

Floats = NDArray[np.float64]
Scores = Callable[[Floats], Floats]  # (m, ...) means of members -> (m,) scores, greater is better
Objective = Callable[[NDArray[Any], NDArray[Any]], tuple[Floats, Scores]]  # members (n_models, n, n_classes), targets

MIN_ROWS_FOR_LABELS = 3_000  # below, greedy selection on a discrete score overfits its rows
MAX_CLASSES_FOR_LABELS = 10  # above, scoring thousands of means class by class takes minutes
MAX_CELLS = 40_000  # rows times columns of independent columns; keeps the time bounded
N_PICKS = 25  # Source: AutoGluon's greedy ensemble: TabRepo saw no gain above 25
N_FIRST = 5  # at most that many of the best begin a selection
N_BAGS = 20
BAG_FRACTION = 0.5  # of the pool; no bag is smaller than the ensemble that is wanted
MAX_ROWS = 5_000  # weights in steps of 1/25 need no more; keeps the time bounded


def select_greedy_weights(
    probs: NDArray[Any],
    targets: NDArray[Any],
    objective: Objective,
    *,
    max_members: int,
    seed: int,
) -> Floats:
    """Select weights (n_models,) of members (n_models, n, n_classes): sum 1, at most max_members above zero."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(targets))[:MAX_ROWS])
    pool, score = objective(probs[:, rows], targets[rows])
    best_first = np.argsort(-score(pool), kind="stable")
    n_models = len(probs)
    bag_size = max(math.ceil(BAG_FRACTION * n_models), min(max_members, n_models))
    weights = np.zeros(n_models)
    for _ in range(N_BAGS if bag_size < n_models else 1):
        bag = best_first[np.sort(rng.permutation(n_models)[:bag_size])]
        weights[bag] += _select(pool[bag], score)
    return _drop_weakest(weights, pool, score, max_members)


def get_objective(scorer: Scorer, *, n_rows: int, n_classes: int) -> Objective:
    """Return the metric itself, or the log loss or the correlation that stands in for it.

    The log loss also stands in where thresholds or weights of classes would be fitted anew for each of thousands of
    means, at up to 30 ms each.
    """
    target_kind, needs = scorer.context.target_kind, scorer.needs
    if not target_kind.has_classes:
        return use_metric(scorer)
    is_multi_label = target_kind.is_multi_label
    if is_multi_label and needs == "order":
        return score_rank_correlation
    log_likelihood = get_log_likelihood(scorer)
    if scorer.name == "log_loss" or (is_multi_label and scorer.name in LOG_LOSSES):
        return log_likelihood
    is_discrete = needs in ("label", "labels", "ranking") or is_fitted(scorer.metric, scorer.context)
    overfits = is_discrete and n_rows < MIN_ROWS_FOR_LABELS
    slow = n_classes > (2 if needs == "order" else MAX_CLASSES_FOR_LABELS)
    fitted_anew = scorer.metric.average == "macro" or (is_multi_label and needs == "labels")
    return log_likelihood if overfits or slow or fitted_anew else use_metric(scorer)


def get_log_likelihood(scorer: Scorer) -> Objective:
    """Return the negative log loss in the form of the scorer's task."""
    if scorer.context.target_kind.is_multi_label:
        return partial(score_label_log_likelihood, column_weights=scorer.metric.weights)
    if scorer.context.head_sizes:
        return partial(
            score_head_log_likelihood, head_sizes=scorer.context.head_sizes, head_weights=scorer.metric.weights
        )
    return score_class_log_likelihood


def use_metric(scorer: Scorer) -> Objective:
    """Return the metric itself, on predictions that the scorer decides."""
    sign = 1.0 if scorer.greater_is_better else -1.0

    def objective(probs: NDArray[Any], targets: NDArray[Any]) -> tuple[Floats, Scores]:
        return probs.astype(np.float64), lambda means: np.array([sign * scorer(targets, mean) for mean in means])

    return objective


def score_class_log_likelihood(probs: NDArray[Any], targets: NDArray[Any]) -> tuple[Floats, Scores]:
    """Score by the mean log probability of the true class, from it alone: a hundred times faster than from all."""
    exact = probs.astype(np.float64)
    return exact[:, np.arange(len(targets)), targets] / exact.sum(axis=2), _average_log


def score_head_log_likelihood(
    probs: NDArray[Any], targets: NDArray[Any], *, head_sizes: HeadSizes, head_weights: tuple[float, ...] | None = None
) -> tuple[Floats, Scores]:
    """Score by the mean log probability of the true class of each head, heads weighted."""
    own_targets = iterate_head_targets(targets, head_sizes)
    blocks = zip(list_head_slices(head_sizes), own_targets, strict=True)
    true_probs = np.stack([score_class_log_likelihood(probs[:, :, own], truth)[0] for own, truth in blocks], axis=2)
    weights = np.full(len(head_sizes), 1.0) if head_weights is None else np.asarray(head_weights)
    return true_probs, lambda means: _compute_log(means).mean(axis=1) @ (weights / weights.sum())


def score_label_log_likelihood(
    probs: NDArray[Any], targets: NDArray[Any], *, column_weights: tuple[float, ...] | None = None
) -> tuple[Floats, Scores]:
    """Score by the mean log probability of what is true of each image and label, columns weighted.

    Of more than MAX_CELLS cells, labels that are there and labels that are not are drawn alike, each weighted by how
    many it stands for: among thousands of labels nearly all are not there.
    """
    cells, weights = _draw_cells(targets.ravel() > 0)
    rows, columns = np.divmod(cells, targets.shape[1])
    cells_probs = probs[:, rows, columns].astype(np.float64)
    if column_weights is not None:
        weights = weights * np.asarray(column_weights)[columns]
    weights = weights / weights.sum()
    return np.where(
        targets[rows, columns] > 0, cells_probs, 1.0 - cells_probs
    ), lambda means: _compute_log(means) @ weights


def score_rank_correlation(probs: NDArray[Any], targets: NDArray[Any]) -> tuple[Floats, Scores]:
    """Score by the mean over columns of how far positives lie above the rest, in standard deviations of the blend.

    Of a member that holds untied ranks it is (AUC - 1/2) times the square root of 12, whatever the column's
    frequency; of a mean of members it stands in for the AUC, without sorting it. Columns without
    positives or negatives are left out, and of too many a random part is used.

    Source: Mann-Whitney U as a covariance with ranks (Hanley and McNeil 1982).
    """
    present = targets.mean(axis=0)
    columns = np.flatnonzero((present > 0) & (present < 1))
    n_columns = max(1, MAX_CELLS // max(1, len(targets)))
    columns = np.sort(np.random.default_rng(0).permutation(columns)[:n_columns])
    exact = probs[:, :, columns].astype(np.float64)
    truths = (targets[:, columns] - present[columns]) / (present[columns] * (1.0 - present[columns]))
    return exact - exact.mean(axis=1, keepdims=True), partial(
        _average_correlation, truths=truths / max(1, len(targets))
    )


def _select(pool: Floats, score: Scores) -> Floats:
    """One selection from a pool that is sorted best first: how often each is picked, divided by all picks."""
    sums = np.cumsum(pool[:N_FIRST], axis=0)
    sizes = np.arange(1.0, len(sums) + 1.0).reshape(-1, *[1] * (pool.ndim - 1))
    scores = score(sums / sizes)
    n_picked = int(scores.argmax()) + 1
    total, best_score = sums[n_picked - 1], scores[n_picked - 1]
    picks = np.zeros(len(pool))
    picks[:n_picked] = 1.0
    best_picks = picks.copy()
    while n_picked < N_PICKS:
        n_picked += 1
        scores = score((total + pool) / n_picked)
        pick = int(scores.argmax())
        total = total + pool[pick]
        picks[pick] += 1.0
        if scores[pick] > best_score:
            best_score, best_picks = scores[pick], picks.copy()
    frequencies: Floats = best_picks / best_picks.sum()
    return frequencies


def _drop_weakest(weights: Floats, pool: Floats, score: Scores, max_members: int) -> Floats:
    """The weights without the members that are missed least, one after the other.

    Not the heaviest alone: of many similar members each weighs little, and none might be left to stand for it.
    """
    weights = weights / weights.sum()
    while np.count_nonzero(weights) > max_members:
        members = np.flatnonzero(weights)
        total = np.tensordot(weights, pool, axes=1)
        without = np.stack([(total - weights[i] * pool[i]) / (1.0 - weights[i]) for i in members])
        weights[members[score(without).argmax()]] = 0.0
        weights /= weights.sum()
    return weights


def _average_correlation(means: Floats, *, truths: Floats) -> Floats:
    if not truths.size:
        return np.zeros(len(means))
    above = np.einsum("mnc,nc->mc", means, truths)
    spread = np.sqrt(np.einsum("mnc,mnc->mc", means, means) / means.shape[1])
    correlations: Floats = np.divide(above, spread, out=np.zeros_like(above), where=spread > 0).mean(axis=1)
    return correlations


def _average_log(true_probs: Floats) -> Floats:
    logs: Floats = _compute_log(true_probs).mean(axis=1)
    return logs


def _compute_log(probs: Floats) -> Floats:
    logs: Floats = np.log(np.clip(probs, 1e-15, 1.0))
    return logs


def _draw_cells(is_positive: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
    """Positions in the flat table of labels, and how many cells each of them stands for."""
    if len(is_positive) <= MAX_CELLS:
        return np.arange(len(is_positive)), np.ones(len(is_positive))
    rng = np.random.default_rng(0)
    drawn = [
        rng.choice(group, size=min(len(group), MAX_CELLS // 2), replace=False)
        for group in (np.flatnonzero(is_positive), np.flatnonzero(~is_positive))
    ]
    n_positive = int(is_positive.sum())
    totals = (n_positive, len(is_positive) - n_positive)
    weights = [np.full(len(cells), total / max(1, len(cells))) for cells, total in zip(drawn, totals, strict=True)]
    return np.concatenate(drawn), np.concatenate(weights)
