"""A simulated pool of correlated members, for which it is known what a blend scores on other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.decisions.choose import Scorer
from automl.ensemble.blending import blend_probs, fit_blend
from automl.ensemble.crossfit import Blend, CrossFitted
from automl.ensemble.greedy import score_class_log_likelihood, select_greedy_weights, use_metric

N_FAMILIES = 4
CONFIDENCE = (0.7, 2.5)  # from too modest to far too sure


@dataclass(frozen=True)
class SimulatedPool:
    """Members (n_models, n, n_classes) on rows out of fold, the same on many others, and their families."""

    targets: NDArray[np.int64]
    oof: NDArray[np.float64]
    other_targets: NDArray[np.int64]
    other: NDArray[np.float64]
    families: NDArray[np.int64]

    def fit(self, scorer: Scorer) -> CrossFitted[Blend]:
        return fit_blend(self.oof, self.targets, scorer)

    def plain_greedy(self, scorer: Scorer) -> tuple[float, float]:
        """What greedy selection by the metric itself scores on its own rows, and what on the other ones."""
        objective = score_class_log_likelihood if scorer.name == "log_loss" else use_metric(scorer)
        weights = select_greedy_weights(self.oof, self.targets, objective, max_members=len(self.oof), seed=0)
        own = scorer(self.targets, blend_probs(self.oof, weights))
        return own, scorer(self.other_targets, blend_probs(self.other, weights))


def simulate_pool(
    seed: int, *, n: int = 300, n_other: int = 4_000, n_models: int = 12, n_classes: int = 4
) -> SimulatedPool:
    """Members whose noise is shared by all, by their family, and their own, in three equal parts; unequally confident.

    What they share they cannot average away, so that a member of another family is worth more than a better one.
    """
    rng = np.random.default_rng(seed)
    n_rows = n + n_other
    targets = rng.integers(n_classes, size=n_rows)
    families = np.arange(n_models) % N_FAMILIES
    shape = (n_rows, n_classes)
    common, of_families = rng.normal(size=shape), rng.normal(size=(N_FAMILIES, *shape))
    members = [
        _member(targets, common + of_families[family] + rng.normal(size=shape), rng) for family in families.tolist()
    ]
    probs = np.stack(members)
    return SimulatedPool(targets[:n], probs[:, :n], targets[n:], probs[:, n:], families)


def _member(targets: NDArray[Any], noise: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    skill, confidence = rng.uniform(1.4, 2.0), np.exp(rng.uniform(*np.log(CONFIDENCE)))
    logits = confidence * (skill * np.eye(noise.shape[1])[targets] + noise / np.sqrt(3.0))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
