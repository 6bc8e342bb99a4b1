"""How sure probabilities may be where one that is sure and wrong costs without bound.

Two numbers. A temperature, as a mean of several networks is less sure than it may be. And bounds [e, 1 - e]: the
expected log loss of a probability that is kept at e, and wrong in a share q of the rows, is least at e = q, so the rows
out of fold tell e. Not responsible for: clipping (automl.rules.kinds).

Source: Rahaman and Thiery, "Uncertainty Quantification and Deep Ensembles", NeurIPS 2021, for the temperature.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from numpy.typing import NDArray

from automl.resampling import some_units
from automl.rules.kinds import ClipRule, Facts
from automl.rules.tempering import best_temperature
from automl.scores.metric import Metric

MAX_CELLS = 1_000_000  # rows times classes that are looked at
EDGES = tuple(float(f"{digit}e{power}") for power in range(-6, 0) for digit in (1, 2, 5) if (digit, power) != (5, -1))
N_PASSES = 2


def best_clip(metric: Metric, facts: Facts, targets: NDArray[Any], probs: NDArray[Any], *, seed: int) -> ClipRule:
    """The temperature and the bounds of the best score on these rows' targets, found in turn.

    The bounds are round numbers, each about twice the one before: the loss is flat around its best.
    """
    rows = some_units(len(targets), None, n_rows=max(1, MAX_CELLS // probs.shape[1]), seed=seed)
    truth, some = targets[rows], probs[rows]
    sign = -1.0 if metric.greater_is_better else 1.0

    def loss_of(temperature: float, edge: float) -> float:
        return sign * metric.score(truth, ClipRule(temperature, edge, facts.task)(some))

    edge = 0.0
    for _ in range(N_PASSES):
        temperature = best_temperature(partial(loss_of, edge=edge), n_rows=len(rows))
        edge = min((0.0, *EDGES), key=partial(loss_of, temperature))
    return ClipRule(temperature, edge, facts.task)
