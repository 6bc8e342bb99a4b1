"""Weights on the classes' probabilities, where rare classes count as much as frequent ones.

Not responsible for: applying them (automl.rules.kinds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.resampling import some_units
from automl.rules.kinds import ClassWeightsRule
from automl.scores.labels import f_beta

Floats = NDArray[np.float64]

MAX_CELLS = 4_000_000  # rows times classes that are looked at
N_STEPS = 20
N_ERRORS = 2.0  # standard errors by which a share may be off by chance
EXPECTED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SEARCHED_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def prior_corrected(probs: NDArray[Any], prior: Floats) -> ClassWeightsRule:
    """The rule of the best balanced accuracy: probabilities divided by how frequent the classes are.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", section 3.
    """
    return _rule(restoring_weights(probs, prior), prior, exponent=1.0)


def expected_best(probs: NDArray[Any], prior: Floats, *, beta: float) -> ClassWeightsRule:
    """Probabilities divided by the power of the prior whose macro F-beta is best if the probabilities are true."""
    sample = _sample(probs)
    restoring = restoring_weights(sample, prior)
    restored = _normalised(sample * restoring)
    rules = [_rule(restoring, prior, exponent=exponent) for exponent in EXPECTED_EXPONENTS]
    scores = [_expected_macro_f(restored, rule(sample), beta=beta, occurring=prior > 0) for rule in rules]
    return rules[int(np.argmax(scores))]


def searched_weights(
    probs: NDArray[Any], prior: Floats, score_of: Callable[[NDArray[Any]], float], start: ClassWeightsRule
) -> ClassWeightsRule:
    """The rule whose labels (n,) score best among powers of the prior, with the classes' shares restored and without.

    One number is searched, not one for each class: that would fit the noise of rare ones.
    """
    return max((start, *_powers(probs, prior)), key=lambda rule: score_of(rule(probs)))


def restoring_weights(probs: NDArray[Any], prior: Floats) -> Floats:
    """(n_classes,) weights with which the mean probabilities of these rows are the prior; 1 where they are already.

    A network that was trained on balanced batches says "rare" more often than it is true; dividing by the prior as well
    would correct it twice. Shares that chance alone explains are left alone.
    Source: Saerens, Latinne and Decaestecker 2002, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities", with the prior known and the classifier's own unknown.
    """
    sample = _sample(probs)
    allowed = N_ERRORS * np.sqrt(prior * (1.0 - prior) / len(sample))
    weights = np.ones(len(prior))
    for _ in range(N_STEPS):
        shares = _normalised(sample * weights).mean(axis=0)
        is_off = (np.abs(shares - prior) > allowed) & (shares > 0) & (prior > 0)
        if not is_off.any():
            break
        steps = np.divide(prior, shares, out=np.ones_like(prior), where=is_off)
        weights *= np.clip(steps, 0.5, 2.0)
    return weights


def _powers(probs: NDArray[Any], prior: Floats) -> Iterator[ClassWeightsRule]:
    for restoring in (np.ones(len(prior)), restoring_weights(probs, prior)):
        for exponent in SEARCHED_EXPONENTS:
            yield _rule(restoring, prior, exponent=exponent)


def _rule(restoring: Floats, prior: Floats, *, exponent: float) -> ClassWeightsRule:
    divisors = np.where(prior > 0, prior, 1.0) ** exponent
    weights = np.where(prior > 0, restoring / divisors, 0.0)  # what training never showed is never said
    return ClassWeightsRule(tuple((weights / weights.max()).tolist()))


def _expected_macro_f(probs: Floats, labels: NDArray[Any], *, beta: float, occurring: NDArray[np.bool_]) -> float:
    n_classes = probs.shape[1]
    hits = np.bincount(labels, weights=probs[np.arange(len(labels)), labels], minlength=n_classes)
    n_predicted = np.bincount(labels, minlength=n_classes)
    return float(f_beta(hits, n_predicted, probs.sum(axis=0), beta=beta)[occurring].mean())


def _normalised(weighted: Floats) -> Floats:
    totals = weighted.sum(axis=1, keepdims=True)
    uniform = np.full_like(weighted, 1.0 / weighted.shape[1])
    shares: Floats = np.divide(weighted, totals, out=uniform, where=totals > 0)
    return shares


def _sample(probs: NDArray[Any]) -> Floats:
    """As many rows, always the same ones, as make at most MAX_CELLS."""
    rows = some_units(len(probs), None, n_rows=max(1, MAX_CELLS // probs.shape[1]), seed=0)
    return np.asarray(probs[rows], dtype=np.float64)
