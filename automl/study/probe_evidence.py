"""What probes of frozen backbones say about fine-tuned trials: a ranking, a prior, and how far the two agree.

See also: automl.study.samplers draws from the prior; `automl.space.Space.list_proposals` takes the ranking.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from automl.suggest import parse_final_size

Prior: TypeAlias = Mapping[str, Mapping[str, float]]  # parameter -> value -> weight

MIN_PAIRS = 3  # fewer have no correlation worth a word
DECAY = 0.25  # of the ranks, after which a weight has fallen to 1/e of the best one


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """The best score of a backbone's features at an image size, out of fold.

    Attributes:
        score: greater is better, whatever the metric's direction.
    """

    backbone: str
    image_size: int
    score: float


def rank_probes(scores: Iterable[ProbeScore]) -> list[tuple[str, int]]:
    """Return backbones and image sizes, best first; equal ones in the order of their names, the smaller size first."""
    best = sorted(scores, key=lambda probe: (-probe.score, probe.backbone, probe.image_size))
    return list(dict.fromkeys((probe.backbone, probe.image_size) for probe in best))


def build_prior(scores: Iterable[ProbeScore]) -> Prior:
    """Build weights of backbones and of image sizes from their ranks.

    A backbone ranks by its best probe, a size by its mean rank within the backbones that were probed at several sizes.
    A parameter of which nothing was compared has no prior.
    """
    ranked = rank_probes(scores)
    backbones = list(dict.fromkeys(backbone for backbone, _ in ranked))
    sizes = _rank_sizes(ranked)
    values = {"backbone": backbones, "resize": [str(size) for size in sizes]}
    return {name: _weigh_ranks(best_first) for name, best_first in values.items() if len(best_first) > 1}


def find_weight(weights: Mapping[str, float], name: str, choice: object) -> float:
    """Return a choice's weight: of a resize choice that of the size nearest to its last, of an unknown one the mean."""
    if (weight := weights.get(str(choice))) is not None:
        return weight
    final_size = parse_final_size(choice) if name == "resize" else None
    sizes = {size: weight for text, weight in weights.items() if (size := parse_final_size(text)) is not None}
    if final_size is not None and sizes:
        return sizes[_find_nearest(sizes, final_size)]
    return math.fsum(weights.values()) / len(weights)


def pair_probes_and_trials(
    scores: Iterable[ProbeScore], trials: Iterable[tuple[Mapping[str, Any], float]]
) -> list[tuple[float, float]]:
    """Pair each probe's score with that of the best trial of its backbone, the trial's last image size being nearest.

    Args:
        trials: parameters and value of complete trials; greater values are better.

    Returns:
        Score of the probe and value of the trial, of the probes that have one.
    """
    probed: dict[str, dict[int, float]] = {}
    for probe in scores:
        sizes = probed.setdefault(probe.backbone, {})
        sizes[probe.image_size] = max(probe.score, sizes.get(probe.image_size, -math.inf))
    best: dict[tuple[str, int], float] = {}
    for params, value in trials:
        backbone = str(params.get("backbone"))
        if backbone in probed:
            final_size = parse_final_size(params.get("resize"))
            sizes = probed[backbone]
            size = max(sizes, key=sizes.__getitem__) if final_size is None else _find_nearest(sizes, final_size)
            best[backbone, size] = max(value, best.get((backbone, size), -math.inf))
    return [(probed[backbone][size], value) for (backbone, size), value in sorted(best.items())]


def compute_rank_correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Compute Spearman's correlation, equal values taking the mean of their ranks; None if it means nothing.

    That is below three pairs, and where all values of a side are equal.
    Source: Spearman 1904, The Proof and Measurement of Association between Two Things.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values cannot be paired with {len(y)}")
    if len(x) < MIN_PAIRS:
        return None
    mean = (len(x) - 1) / 2
    a = [rank - mean for rank in _average_ranks(x)]
    b = [rank - mean for rank in _average_ranks(y)]
    spread = math.sqrt(math.fsum(d * d for d in a) * math.fsum(d * d for d in b))
    return math.fsum(d * e for d, e in zip(a, b, strict=True)) / spread if spread > 0 else None


def _rank_sizes(ranked: Sequence[tuple[str, int]]) -> list[int]:
    """Return the sizes by their mean rank within backbones, best first, each rank in [0, 1]."""
    of_backbone: dict[str, list[int]] = {}
    for backbone, size in ranked:
        of_backbone.setdefault(backbone, []).append(size)
    places: dict[int, list[float]] = {}
    for sizes in of_backbone.values():
        for place, size in enumerate(sizes if len(sizes) > 1 else ()):
            places.setdefault(size, []).append(place / (len(sizes) - 1))
    return sorted(places, key=lambda size: (math.fsum(places[size]) / len(places[size]), size))


def _weigh_ranks(best_first: Sequence[str]) -> dict[str, float]:
    scale = max(1.0, DECAY * len(best_first))
    return {value: math.exp(-rank / scale) for rank, value in enumerate(best_first)}


def _find_nearest(sizes: Iterable[int], wanted: int) -> int:
    return min(sizes, key=lambda size: (abs(size - wanted), -size))


def _average_ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    places: dict[float, list[int]] = {}
    for place, row in enumerate(order):
        places.setdefault(values[row], []).append(place)
    return [math.fsum(places[value]) / len(places[value]) for value in values]
