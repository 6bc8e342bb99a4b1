"""Weights on the classes' probabilities, where rare classes count as much as frequent ones.

Not responsible for: applying them (automl.rules.kinds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.resampling import some_rows_of
from automl.rules.kinds import ClassWeightsRule
from automl.rules.restoring import normalised, restoring_weights
from automl.scores.labels import f_beta

Floats = NDArray[np.float64]

MAX_CELLS = 4_000_000  # rows times classes that are looked at
MIN_EXPECTED = 20.0  # rows; an F-score of fewer is luck
EXPECTED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SEARCHED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def prior_corrected(probs: NDArray[Any], prior: Floats) -> ClassWeightsRule:
    """The rule of the best balanced accuracy: probabilities divided by how frequent the classes are.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", section 3.
    """
    return _rule(restoring_weights(some_rows_of(probs, MAX_CELLS), prior), prior, exponent=1.0)


def expected_best(probs: NDArray[Any], prior: Floats, *, beta: float) -> ClassWeightsRule:
    """Probabilities divided by the power of the prior whose macro F-beta is best if the probabilities are true."""
    sample = some_rows_of(probs, MAX_CELLS)
    restoring = restoring_weights(sample, prior)
    restored = normalised(sample * restoring)
    rules = [_rule(restoring, prior, exponent=exponent) for exponent in EXPECTED_EXPONENTS]
    scores = [_expected_macro_f(restored, rule(sample), prior, beta=beta) for rule in rules]
    return rules[int(np.argmax(scores))]


def searched_weights(
    probs: NDArray[Any], prior: Floats, score_of: Callable[[NDArray[Any]], float], start: ClassWeightsRule
) -> ClassWeightsRule:
    """The rule whose labels (n,) score best among powers of the prior, with the classes' shares restored and without.

    One number is searched, not one for each class: that would fit the noise of rare ones.
    """
    return max((start, *_powers(probs, prior)), key=lambda rule: score_of(rule(probs)))


def _powers(probs: NDArray[Any], prior: Floats) -> Iterator[ClassWeightsRule]:
    for restoring in (np.ones(len(prior)), restoring_weights(some_rows_of(probs, MAX_CELLS), prior)):
        for exponent in SEARCHED_EXPONENTS:
            yield _rule(restoring, prior, exponent=exponent)


def _rule(restoring: Floats, prior: Floats, *, exponent: float) -> ClassWeightsRule:
    divisors = np.where(prior > 0, prior, 1.0) ** exponent
    weights = np.where(prior > 0, restoring / divisors, 0.0)  # what training never showed is never said
    return ClassWeightsRule(tuple((weights / weights.max()).tolist()))


def _expected_macro_f(probs: Floats, labels: NDArray[Any], prior: Floats, *, beta: float) -> float:
    """The mean over the classes; rare ones, neighbours by frequency, share counts and thereby a score.

    Otherwise a class that is expected in less than a row would score by whether it is named at all.
    """
    n_classes = probs.shape[1]
    hits = np.bincount(labels, weights=probs[np.arange(len(labels)), labels], minlength=n_classes)
    counts = (hits, np.bincount(labels, minlength=n_classes), probs.sum(axis=0))
    rarest_first = np.argsort(prior, kind="stable")[np.count_nonzero(prior == 0) :]
    together = np.cumsum(prior[rarest_first] * len(probs)) // MIN_EXPECTED
    starts = np.flatnonzero(np.diff(together, prepend=-1.0))
    shared = [np.add.reduceat(count[rarest_first], starts) for count in counts]
    return float(np.average(f_beta(*shared, beta=beta), weights=np.diff(starts, append=len(together))))
