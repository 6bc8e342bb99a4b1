"""What students gained by a lesson: their scores out of fold, beside those of the same trials without it.

Not responsible for: the lessons (automl.distillation.soft_labels) or whether students become members (automl.ensemble).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.ensemble.blending import ranks_of
from automl.ensemble.bootstrap import bootstrap_scores
from automl.ensemble.candidates import Member
from automl.submission.decide import blends_ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much a student is better than the same trial without the lesson, on the same rows out of fold.

    Attributes:
        trial: its number; None for the plain mean of all students, beside the plain mean of the same trials.
        plain, taught: the scores.
        gain: their difference, positive where the student is better.
        error: standard error of the gain, from rows or groups drawn again, the same for both. It does not hold that
            two trainings of one trial differ by themselves.
    """

    trial: int | None
    plain: float
    taught: float
    gain: float
    error: float


def gains(plain: Sequence[Member], students: Sequence[Member], competition: Competition) -> list[Gain]:
    """One gain for each student whose trial is among the plain members, and that of the mean where there are several.

    All are scored on the rows that every one of them has out of fold.
    """
    of_number = {member.number: member for member in plain}
    pairs = [(of_number[student.number], student) for student in students if student.number in of_number]
    if not pairs:
        return []
    rows = reduce(np.intersect1d, [member.rows for pair in pairs for member in pair])
    probs = np.stack([np.stack([member.on_rows(rows).oof for member in pair]) for pair in pairs]).astype(np.float64)
    found = [_gain(before.number, own, rows, competition) for (before, _), own in zip(pairs, probs, strict=True)]
    if len(pairs) > 1:
        found.append(_gain(None, _mean(probs, competition), rows, competition))
    return found


def told(found: Sequence[Gain], kind: str, competition: Competition) -> list[str]:
    """A line for each gain, and what to make of them."""
    lines = [_line(gain, kind, competition.metric.name) for gain in found]
    if kind == "distilled" and lines:
        lines.append(
            "distilled: these gains may be flattered a little, as the softened labels come from models that have seen "
            "the rows that are scored"
        )
    return lines


def _line(gain: Gain, kind: str, metric: str) -> str:
    what = "mean of all" if gain.trial is None else f"trial {gain.trial}"
    word = "better" if gain.gain >= 0 else "worse"
    verdict = f"{word} by {abs(gain.gain):.5f} ± {gain.error:.5f}"
    unsure = ", within its error" if abs(gain.gain) <= gain.error else ""
    return f"{kind}: {what}, {metric} {gain.plain:.5f} -> {gain.taught:.5f} out of fold, {verdict}{unsure}"


def _gain(trial: int | None, probs: NDArray[Any], rows: NDArray[np.int64], competition: Competition) -> Gain:
    """Of probabilities (2, n_rows, n_classes), those without and with the lesson."""
    scorer, targets = competition.scorer, competition.targets[rows]
    groups = None if competition.groups is None else competition.groups[rows]
    plain, taught = (scorer(targets, own) for own in probs)
    drawn = bootstrap_scores(list(probs), targets, scorer, groups=groups)
    return Gain(
        trial=trial,
        plain=plain,
        taught=taught,
        gain=taught - plain if scorer.greater_is_better else plain - taught,
        error=float((drawn[:, 1] - drawn[:, 0]).std()),
    )


def _mean(probs: NDArray[np.float64], competition: Competition) -> NDArray[np.float64]:
    """(2, n_rows, n_classes): the mean of all pairs (n_pairs, 2, n_rows, n_classes), of ranks where these count."""
    if not blends_ranks(competition):
        mean: NDArray[np.float64] = probs.mean(axis=0)
        return mean
    before, after = (ranks_of(probs[:, position]).mean(axis=0) for position in range(2))
    return np.stack([before, after])
