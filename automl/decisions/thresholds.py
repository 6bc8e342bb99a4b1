"""Fit thresholds on probabilities, one for each class or one for all, and cut points on the expected class.

Three sources. Matched: labels as frequent as in training, which is where precision equals recall and therefore close to
the best F1. Expected: the best F-beta if the probabilities were true, for a beta at which precision and recall are not
worth the same, and for the mean over rows, where a label gains most in rows with few labels. Searched: the best on
given targets. Where one threshold serves all classes, their probabilities are first made comparable: balanced training
predicts rare labels too often (automl.decisions.prior_correction).
See also: automl.decisions.rules applies them.

Source: Lipton, Elkan and Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure", for the
threshold F* / 2; Ye, Chai, Lee and Chieu 2012, "Optimizing F-measure: A Tale of Two Approaches", for expected F.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions.prior_correction import fit_prior_odds, scale_odds
from automl.decisions.resampling import sample_matrix_rows, sample_rows
from automl.decisions.rules import NEVER, CutPointsRule, compute_expected_classes
from automl.metrics.labels import f_beta, qwk
from automl.metrics.metric import Average

Floats = NDArray[np.float64]

MAX_CELLS = 20_000_000  # rows times classes of a sample, for a threshold per class: 5,000 rows of 4,000 classes
MAX_POOLED_CELLS = 4_000_000  # the same for one threshold, which needs fewer rows
N_LEVELS = 20  # thresholds tried for the mean over rows
MAX_SEARCHED_CLASSES = 60  # above, thresholds take minutes to find, and fit noise
LABEL_COUNT_FACTORS = (0.25, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 3.0)  # of a class's labels, tried in turn
N_PASSES = 2
MAX_ROWS = 20_000  # keeps a search within seconds
FIRST_STEP = 0.2  # classes; QWK is a staircase, on which scipy's own first step of 5 % can stand still


def match_thresholds(probs: NDArray[Any], prior: Floats) -> Floats:
    """Return thresholds (n_classes,) under which each label is as frequent in these rows as the prior says."""
    columns = np.sort(sample_matrix_rows(probs, MAX_CELLS), axis=0).T
    return np.array(
        [
            place_threshold(values, len(values) * (1.0 - share), top=1.0, never=NEVER)
            for values, share in zip(columns, prior, strict=True)
        ]
    )


def match_pooled_threshold(probs: NDArray[Any], prior: Floats) -> Floats:
    """Return thresholds (n_classes,) under which all labels together are as frequent in these rows as the prior says.

    One threshold on prior-corrected probabilities, for a pooled F: thousands of rare classes, each
    with a threshold of its own from a handful of rows, lose more than they gain.
    """
    corrected, odds = _correct_prior(sample_matrix_rows(probs, MAX_POOLED_CELLS), prior)
    n_below = corrected.size * (1.0 - float(prior.mean()))
    return _undo_correction(place_threshold(np.sort(corrected, axis=None), n_below, top=1.0, never=NEVER), odds)


def fit_expected_thresholds(probs: NDArray[Any], prior: Floats, *, beta: float, average: Average) -> Floats:
    """Return thresholds (n_classes,) of the best F-beta expected if the prior-corrected probabilities are true.

    A label gains while its probability is at least F / (1 + beta^2), F being the score reached; from F = 0 on this is
    iterated until F converges to its maximum (Dinkelbach 1967, for a ratio of two sums). The rows' mean is no such
    ratio, but its best threshold has the same form, so that levels of F are tried there.
    """
    sample = sample_matrix_rows(probs, MAX_CELLS if average == "macro" else MAX_POOLED_CELLS)
    corrected, odds = _correct_prior(sample, prior)
    if average == "samples":
        levels = np.arange(1, N_LEVELS + 1) / N_LEVELS / (1.0 + beta**2)
        scores = [_compute_expected_f(corrected, level, beta=beta, axis=1).mean() for level in levels]
        return _undo_correction(levels[int(np.argmax(scores))], odds)
    axis = 0 if average == "macro" else None
    scores_reached = _compute_expected_f(corrected, 0.0, beta=beta, axis=axis)
    while True:
        improved = _compute_expected_f(corrected, scores_reached / (1.0 + beta**2), beta=beta, axis=axis)
        if not (improved > scores_reached + 1e-12).any():
            return _undo_correction(scores_reached / (1.0 + beta**2), odds)
        scores_reached = np.maximum(improved, scores_reached)


def search_thresholds(
    probs: NDArray[Any], targets: NDArray[Any], start: Floats, *, beta: float, average: Average
) -> Floats:
    """Search thresholds (n_classes,) of the best F-beta on these rows' targets (n, n_classes) from a start.

    The exact best of each class with a macro average, otherwise one class after the other.
    """
    if average == "macro":
        columns = zip(probs.T, targets.T, start.tolist(), strict=True)
        return np.array([find_best_threshold(*column, beta=beta) for column in columns])
    return _ascend_coordinates(probs, targets > 0, start, beta=beta, average=average)


def find_best_threshold(probs: NDArray[Any], targets: NDArray[Any], start: float, *, beta: float) -> float:
    """Return the threshold on probs (n,) with the best F-beta on targets (n,) of 0 and 1; start where none is 1."""
    order = np.argsort(probs, kind="stable")
    values, hits = np.asarray(probs, dtype=np.float64)[order], np.asarray(targets)[order] > 0
    if not hits.any():
        return start
    true_positives = np.cumsum(hits[::-1])[::-1]  # if cut below each value
    scores = f_beta(true_positives, np.arange(len(values), 0, -1), hits.sum(), beta=beta)
    scores[1:][values[1:] == values[:-1]] = -1.0  # no cut goes through a tie
    return compute_midpoint(values, int(scores.argmax()), top=1.0, never=NEVER)


def match_cut_points(probs: NDArray[Any], prior: Floats) -> CutPointsRule:
    """Return cut points under which each class is as frequent in these rows as the prior (n_classes,) says.

    The quantiles of the expected class at the cumulated prior; they depend on the order of the rows alone, so that
    overconfident or underconfident probabilities give the same labels.
    """
    expected = np.sort(compute_expected_classes(probs))
    n_below = np.cumsum(prior)[:-1] / prior.sum() * len(expected)
    top = len(prior) - 1.0
    points = [place_threshold(expected, count, top=top, never=top + 1.0) for count in n_below]
    return CutPointsRule(tuple(np.maximum.accumulate(points).tolist()))


def search_cut_points(probs: NDArray[Any], targets: NDArray[Any], start: CutPointsRule, *, seed: int) -> CutPointsRule:
    """Search the cut points of the best QWK on these rows by the Nelder-Mead simplex.

    Source: the "OptimizedRounder" of Kaggle's PetFinder and APTOS 2019 solutions, there from 0.5, 1.5, 2.5, 3.5.
    """
    from scipy.optimize import minimize  # here, because it takes half a second to load

    rows = sample_rows(len(targets), None, n_rows=MAX_ROWS, seed=seed)
    expected, sample_targets = compute_expected_classes(probs)[rows], targets[rows]
    first = np.asarray(start.cut_points)
    simplex = np.vstack([first, first + FIRST_STEP * np.eye(len(first))])
    found = minimize(
        lambda points: -qwk(sample_targets, np.searchsorted(np.sort(points), expected, side="right")),
        first,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": 100 * len(first), "xatol": 1e-3, "fatol": 1e-6},
    )
    return CutPointsRule(tuple(np.sort(found.x).tolist()))


def place_threshold(values: Floats, n_below: float, *, top: float, never: float) -> float:
    """Return a threshold that n_below of the ascending values do not reach, or as nearly as their ties allow.

    Midway between two values, or between the outermost one and an end of the range [0, top]; 0 where none is to lie
    below and `never` where all are, whatever the values of other rows may be.
    """
    n = len(values)
    if n_below <= 1e-9 * n:
        return 0.0
    if n_below >= n * (1 - 1e-9):
        return never
    return compute_midpoint(values, _avoid_ties(values, n_below), top=top, never=never)


def compute_midpoint(values: Floats, n_below: int, *, top: float, never: float) -> float:
    """Return the midpoint that exactly n_below of the ascending values do not reach; no tie may go across."""
    lower = float(values[n_below - 1]) if n_below else 0.0
    upper = float(values[n_below]) if n_below < len(values) else top
    middle = (lower + upper) / 2.0
    if n_below and middle <= lower:  # neighbours in floating point, or the last value is the top
        return upper if n_below < len(values) else never
    return middle


def _avoid_ties(values: Floats, n_below: float) -> int:
    """Return the count nearest to n_below at which no tie is split."""
    nearest = min(max(round(n_below), 0), len(values))
    if nearest in (0, len(values)) or values[nearest - 1] < values[nearest]:
        return nearest
    first = int(np.searchsorted(values, values[nearest], side="left"))
    last = int(np.searchsorted(values, values[nearest], side="right"))
    return first if n_below - first <= last - n_below else last


def _correct_prior(probs: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return probabilities corrected to the prior, and the factors (n_classes,) of their odds."""
    odds = fit_prior_odds(probs, prior)
    return np.where(prior > 0, scale_odds(probs, odds), 0.0), odds  # what training never showed is never given


def _undo_correction(threshold: Floats | float, odds: Floats) -> Floats:
    """Return the thresholds (n_classes,) on uncorrected probabilities that equal this one on corrected ones."""
    thresholds = np.broadcast_to(np.asarray(threshold, dtype=np.float64), odds.shape)
    return np.where(thresholds <= 1.0, scale_odds(np.minimum(thresholds, 1.0), 1.0 / odds), thresholds)


def _compute_expected_f(probs: NDArray[Any], threshold: Any, *, beta: float, axis: int | None) -> Floats:
    predicted = probs >= threshold
    true_positives = np.where(predicted, probs, 0.0).sum(axis=axis)
    return f_beta(np.asarray(true_positives), predicted.sum(axis=axis), np.asarray(probs.sum(axis=axis)), beta=beta)


def _ascend_coordinates(
    probs: NDArray[Any], targets: NDArray[np.bool_], start: Floats, *, beta: float, average: Average
) -> Floats:
    """Maximize the score by coordinate ascent, updating the rows' counts with each change of a class."""
    thresholds, labels = start.copy(), probs >= start
    counts = _RowCounts(targets, labels, beta, average)
    columns = [np.sort(column) for column in probs.T]
    best = counts.score
    for column in list(range(len(start))) * N_PASSES:
        for candidate in _list_candidates(columns[column], thresholds[column]):
            score = counts.compute_score_with(column, probs[:, column] >= candidate)
            if score > best + 1e-9:
                best, thresholds[column] = score, candidate
        counts.set_labels(column, probs[:, column] >= thresholds[column])
    return thresholds


def _list_candidates(values: Floats, threshold: float) -> list[float]:
    """Return thresholds that give a class more or fewer labels than it has."""
    n_labels = len(values) - int(np.searchsorted(values, threshold, side="left"))
    counts_below = [len(values) - factor * max(n_labels, 1) for factor in LABEL_COUNT_FACTORS]
    return [place_threshold(values, max(n_below, 0.5), top=1.0, never=NEVER) for n_below in counts_below]


class _RowCounts:
    """Count the rows' labels: true positives, predicted, true, each (n,)."""

    def __init__(self, targets: NDArray[np.bool_], labels: NDArray[np.bool_], beta: float, average: Average) -> None:
        self.targets, self.labels = targets, labels
        self.n_true_positives, self.n_predicted = (targets & labels).sum(axis=1), labels.sum(axis=1)
        self.n_true = targets.sum(axis=1)
        self.beta, self.average = beta, average

    @property
    def score(self) -> float:
        return self._compute_score(self.n_true_positives, self.n_predicted)

    def compute_score_with(self, column: int, labels: NDArray[np.bool_]) -> float:
        """Return the score if one class had other labels (n,)."""
        return self._compute_score(*self._count_with(column, labels))

    def set_labels(self, column: int, labels: NDArray[np.bool_]) -> None:
        """Replace the labels (n,) of one class."""
        self.n_true_positives, self.n_predicted = self._count_with(column, labels)
        self.labels[:, column] = labels

    def _count_with(self, column: int, labels: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
        change = labels.astype(np.int64) - self.labels[:, column]
        return self.n_true_positives + change * self.targets[:, column], self.n_predicted + change

    def _compute_score(self, n_true_positives: NDArray[Any], n_predicted: NDArray[Any]) -> float:
        if self.average == "micro":
            return float(f_beta(n_true_positives.sum(), n_predicted.sum(), self.n_true.sum(), beta=self.beta))
        return float(f_beta(n_true_positives, n_predicted, self.n_true, beta=self.beta).mean())
