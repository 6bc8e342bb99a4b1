"""Thresholds on the probability of a label: one for each class, or one for all.

Three origins. Matched: labels as frequent as in training, which is where precision equals recall and therefore close to
the best F1. Expected: the best F-beta if the probabilities were true, for a beta at which precision and recall are not
worth the same, and for the mean over rows, where a label pays in rows that have few. Searched: the best on given
targets. Where one threshold serves all classes, their probabilities are first made comparable: balanced training says
rare labels too often (automl.decisions.prior_correction). Not responsible for: applying them (automl.decisions.rules).

Source: Lipton, Elkan and Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure", for the
threshold F* / 2; Ye, Chai, Lee and Chieu 2012, "Optimizing F-measure: A Tale of Two Approaches", for expected F.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions.prior_correction import restoring_odds, with_odds
from automl.decisions.rules import NEVER, CutPointsRule, expected_numbers
from automl.metrics.labels import f_beta, qwk
from automl.metrics.metric import Average
from automl.resampling import some_rows_of, some_units

Floats = NDArray[np.float64]


def boundary(values: Floats, n_below: float, *, top: float, never: float) -> float:
    """A number that as nearly n_below of the ascending values do not reach as their ties allow.

    Midway between two values, or between the outermost one and an end of the range [0, top]; 0 where none is to lie
    below and `never` where all are, whatever the values of other rows may be.
    """
    n = len(values)
    if n_below <= 1e-9 * n:
        return 0.0
    if n_below >= n * (1 - 1e-9):
        return never
    return between(values, _untied(values, n_below), top=top, never=never)


def between(values: Floats, n_below: int, *, top: float, never: float) -> float:
    """A number that exactly n_below of the ascending values do not reach; no tie may go across."""
    lower = float(values[n_below - 1]) if n_below else 0.0
    upper = float(values[n_below]) if n_below < len(values) else top
    middle = (lower + upper) / 2.0
    if n_below and middle <= lower:  # neighbours in floating point, or the last value is the top
        return upper if n_below < len(values) else never
    return middle


def _untied(values: Floats, n_below: float) -> int:
    """The number nearest to n_below at which the values may be cut."""
    nearest = min(max(round(n_below), 0), len(values))
    if nearest in (0, len(values)) or values[nearest - 1] < values[nearest]:
        return nearest
    first = int(np.searchsorted(values, values[nearest], side="left"))
    last = int(np.searchsorted(values, values[nearest], side="right"))
    return first if n_below - first <= last - n_below else last


MAX_CELLS = 20_000_000  # rows times classes that are looked at for thresholds of each class: 5,000 of 4,000 classes
MAX_POOLED_CELLS = 4_000_000  # the same for one threshold, which needs fewer rows
N_LEVELS = 20  # F-scores tried for the rows' mean
MAX_SEARCHED_CLASSES = 60  # above, thresholds take minutes to find, and fit noise
FACTORS = (0.25, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 3.0)  # of a class's labels, tried in turn
N_PASSES = 2


def matched_thresholds(probs: NDArray[Any], prior: Floats) -> Floats:
    """(n_classes,) under which each label is as frequent in these rows as the prior says."""
    columns = np.sort(some_rows_of(probs, MAX_CELLS), axis=0).T
    return np.array(
        [
            boundary(values, len(values) * (1.0 - share), top=1.0, never=NEVER)
            for values, share in zip(columns, prior, strict=True)
        ]
    )


def pooled_thresholds(probs: NDArray[Any], prior: Floats) -> Floats:
    """(n_classes,) under which all labels together are as frequent in these rows as the prior says.

    One threshold on restored probabilities. It serves where F itself is pooled: there thousands of rare classes, each
    with a threshold of its own from a handful of rows, lose more than they gain.
    """
    restored, odds = _restored(some_rows_of(probs, MAX_POOLED_CELLS), prior)
    n_below = restored.size * (1.0 - float(prior.mean()))
    return _before_restoring(boundary(np.sort(restored, axis=None), n_below, top=1.0, never=NEVER), odds)


def expected_thresholds(probs: NDArray[Any], prior: Floats, *, beta: float, average: Average) -> Floats:
    """(n_classes,) with the best F-beta that these rows would have if their restored probabilities were true.

    A label pays while its probability is at least F / (1 + beta^2), F being the score reached; from F = 0 on this is
    repeated until F stays, which is its maximum (Dinkelbach 1967, for a ratio of two sums). The rows' mean is no such
    ratio, but its best threshold has the same form, so that levels of F are tried there.
    """
    sample = some_rows_of(probs, MAX_CELLS if average == "macro" else MAX_POOLED_CELLS)
    restored, odds = _restored(sample, prior)
    if average == "samples":
        levels = np.arange(1, N_LEVELS + 1) / N_LEVELS / (1.0 + beta**2)
        scores = [_expected_f(restored, level, beta=beta, axis=1).mean() for level in levels]
        return _before_restoring(levels[int(np.argmax(scores))], odds)
    axis = 0 if average == "macro" else None
    scores_reached = _expected_f(restored, 0.0, beta=beta, axis=axis)
    while True:
        better = _expected_f(restored, scores_reached / (1.0 + beta**2), beta=beta, axis=axis)
        if not (better > scores_reached + 1e-12).any():
            return _before_restoring(scores_reached / (1.0 + beta**2), odds)
        scores_reached = np.maximum(better, scores_reached)


def searched_thresholds(
    probs: NDArray[Any], targets: NDArray[Any], start: Floats, *, beta: float, average: Average
) -> Floats:
    """(n_classes,) with the best F-beta on these rows' targets (n, n_classes), found from other thresholds.

    The exact best of each class with a macro average, otherwise one class after the other.
    """
    if average == "macro":
        columns = zip(probs.T, targets.T, start.tolist(), strict=True)
        return np.array([best_threshold(*column, beta=beta) for column in columns])
    return _one_after_the_other(probs, targets > 0, start, beta=beta, average=average)


def best_threshold(probs: NDArray[Any], targets: NDArray[Any], start: float, *, beta: float) -> float:
    """The threshold on probs (n,) with the best F-beta on targets (n,) of 0 and 1; the other one where none is 1."""
    order = np.argsort(probs, kind="stable")
    values, hits = np.asarray(probs, dtype=np.float64)[order], np.asarray(targets)[order] > 0
    if not hits.any():
        return start
    true_positives = np.cumsum(hits[::-1])[::-1]  # if cut below each value
    scores = f_beta(true_positives, np.arange(len(values), 0, -1), hits.sum(), beta=beta)
    scores[1:][values[1:] == values[:-1]] = -1.0  # no cut goes through a tie
    return between(values, int(scores.argmax()), top=1.0, never=NEVER)


def _restored(probs: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Probabilities with each label as frequent as in training, and the factors of the odds that make them so."""
    odds = restoring_odds(probs, prior)
    return np.where(prior > 0, with_odds(probs, odds), 0.0), odds  # what training never showed is never said


def _before_restoring(threshold: Floats | float, odds: Floats) -> Floats:
    """(n_classes,) what the probabilities reach where the restored ones reach the threshold."""
    thresholds = np.broadcast_to(np.asarray(threshold, dtype=np.float64), odds.shape)
    return np.where(thresholds <= 1.0, with_odds(np.minimum(thresholds, 1.0), 1.0 / odds), thresholds)


def _expected_f(probs: NDArray[Any], threshold: Any, *, beta: float, axis: int | None) -> Floats:
    chosen = probs >= threshold
    hits = np.where(chosen, probs, 0.0).sum(axis=axis)
    return f_beta(np.asarray(hits), chosen.sum(axis=axis), np.asarray(probs.sum(axis=axis)), beta=beta)


def _one_after_the_other(
    probs: NDArray[Any], truth: NDArray[np.bool_], start: Floats, *, beta: float, average: Average
) -> Floats:
    """Coordinate ascent on the score itself, the rows' counts brought up to date with each change of a class."""
    thresholds, labels = start.copy(), probs >= start
    counts = _Counts(truth, labels, beta, average)
    columns = [np.sort(column) for column in probs.T]
    best = counts.score
    for column in list(range(len(start))) * N_PASSES:
        for candidate in _candidates(columns[column], thresholds[column]):
            score = counts.score_with(column, probs[:, column] >= candidate)
            if score > best + 1e-9:
                best, thresholds[column] = score, candidate
        counts.set_labels(column, probs[:, column] >= thresholds[column])
    return thresholds


def _candidates(values: Floats, threshold: float) -> list[float]:
    """Thresholds that give a class more or fewer labels than it has."""
    n_labels = len(values) - int(np.searchsorted(values, threshold, side="left"))
    wanted = [len(values) - factor * max(n_labels, 1) for factor in FACTORS]
    return [boundary(values, max(n_below, 0.5), top=1.0, never=NEVER) for n_below in wanted]


class _Counts:
    """The rows' labels: rightly predicted, predicted, true, each (n,)."""

    def __init__(self, truth: NDArray[np.bool_], labels: NDArray[np.bool_], beta: float, average: Average) -> None:
        self.truth, self.labels = truth, labels
        self.n_right, self.n_predicted = (truth & labels).sum(axis=1), labels.sum(axis=1)
        self.n_true = truth.sum(axis=1)
        self.beta, self.average = beta, average

    @property
    def score(self) -> float:
        return self._score(self.n_right, self.n_predicted)

    def score_with(self, column: int, labels: NDArray[np.bool_]) -> float:
        """The score if one class had other labels (n,)."""
        return self._score(*self._with(column, labels))

    def set_labels(self, column: int, labels: NDArray[np.bool_]) -> None:
        """Give one class other labels (n,)."""
        self.n_right, self.n_predicted = self._with(column, labels)
        self.labels[:, column] = labels

    def _with(self, column: int, labels: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
        change = labels.astype(np.int64) - self.labels[:, column]
        return self.n_right + change * self.truth[:, column], self.n_predicted + change

    def _score(self, n_right: NDArray[Any], n_predicted: NDArray[Any]) -> float:
        if self.average == "micro":
            return float(f_beta(n_right.sum(), n_predicted.sum(), self.n_true.sum(), beta=self.beta))
        return float(f_beta(n_right, n_predicted, self.n_true, beta=self.beta).mean())


MAX_ROWS = 20_000  # keeps a search within seconds
FIRST_STEP = 0.2  # classes; QWK is a staircase, on which scipy's own first step of 5 % can stand still


def matched_cut_points(probs: NDArray[Any], prior: Floats) -> CutPointsRule:
    """Cut points under which each class is as frequent in these rows as the prior (n_classes,) says.

    The quantiles of the expected number at the cumulated prior; they depend on the order of the rows alone, so that
    probabilities that are too sure or not sure enough give the same labels.
    """
    numbers = np.sort(expected_numbers(probs))
    n_below = np.cumsum(prior)[:-1] / prior.sum() * len(numbers)
    top = len(prior) - 1.0
    points = [boundary(numbers, wanted, top=top, never=top + 1.0) for wanted in n_below]
    return CutPointsRule(tuple(np.maximum.accumulate(points).tolist()))


def searched_cut_points(
    probs: NDArray[Any], targets: NDArray[Any], start: CutPointsRule, *, seed: int
) -> CutPointsRule:
    """Cut points of the best QWK on these rows, found from others by Nelder and Mead's simplex.

    Source: the "OptimizedRounder" of Kaggle's PetFinder and APTOS 2019 solutions, there from 0.5, 1.5, 2.5, 3.5.
    """
    from scipy.optimize import minimize  # here, because it takes half a second to load

    rows = some_units(len(targets), None, n_rows=MAX_ROWS, seed=seed)
    numbers, truth = expected_numbers(probs)[rows], targets[rows]
    first = np.asarray(start.cut_points)
    simplex = np.vstack([first, first + FIRST_STEP * np.eye(len(first))])
    found = minimize(
        lambda points: -qwk(truth, np.searchsorted(np.sort(points), numbers, side="right")),
        first,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": 100 * len(first), "xatol": 1e-3, "fatol": 1e-6},
    )
    return CutPointsRule(tuple(np.sort(found.x).tolist()))
