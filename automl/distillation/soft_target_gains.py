"""Measure what students gained by soft targets: their scores out of fold, beside those of the same trials without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.decisions.bootstrap import bootstrap_scores
from automl.ensemble.blending import compute_ranks
from automl.ensemble.candidates import Member
from automl.submission.decide import is_blended_by_rank


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftTargetGain:
    """By how much a student is better than the same trial without soft targets, on the same rows out of fold.

    Attributes:
        trial: its number; None for the plain mean of all students, beside the plain mean of the same trials.
        plain, student: the scores.
        gain: their difference, positive where the student is better.
        error: standard error of the gain, from rows or groups drawn again, the same for both. It does not hold that
            two trainings of one trial differ by themselves.
    """

    trial: int | None
    plain: float
    student: float
    gain: float
    error: float

    def to_json(self) -> dict[str, Any]:
        """Return the entry of refit.json; its keys are older than the names of the fields."""
        return {
            "trial": self.trial,
            "plain": self.plain,
            "taught": self.student,
            "gain": self.gain,
            "error": self.error,
        }


def compute_gains(
    plain: Sequence[Member], students: Sequence[Member], competition: Competition
) -> list[SoftTargetGain]:
    """Compute the gain of each student whose trial is among the plain members, and of the mean of several students.

    All are scored on the rows that every one of them has out of fold.
    """
    of_number = {member.number: member for member in plain}
    pairs = [(of_number[student.number], student) for student in students if student.number in of_number]
    if not pairs:
        return []
    rows = reduce(np.intersect1d, [member.rows for pair in pairs for member in pair])
    probs = np.stack([np.stack([member.select_rows(rows).oof for member in pair]) for pair in pairs]).astype(np.float64)
    found = [
        _compute_gain(before.number, own, rows, competition) for (before, _), own in zip(pairs, probs, strict=True)
    ]
    if len(pairs) > 1:
        found.append(_compute_gain(None, _average_pairs(probs, competition), rows, competition))
    return found


def describe_gains(gains: Sequence[SoftTargetGain], target_kind: str, competition: Competition) -> list[str]:
    """Return a line for each gain, and what to make of them."""
    lines = [_format_gain(gain, target_kind, competition.metric.name) for gain in gains]
    if target_kind == "distilled" and lines:
        lines.append(
            "distilled: these gains may be flattered a little, as the softened labels come from models that have seen "
            "the rows that are scored"
        )
    return lines


def _format_gain(gain: SoftTargetGain, target_kind: str, metric: str) -> str:
    what = "mean of all" if gain.trial is None else f"trial {gain.trial}"
    word = "better" if gain.gain >= 0 else "worse"
    verdict = f"{word} by {abs(gain.gain):.5f} ± {gain.error:.5f}"
    unsure = ", within its error" if abs(gain.gain) <= gain.error else ""
    return f"{target_kind}: {what}, {metric} {gain.plain:.5f} -> {gain.student:.5f} out of fold, {verdict}{unsure}"


def _compute_gain(
    trial: int | None, probs: NDArray[Any], rows: NDArray[np.int64], competition: Competition
) -> SoftTargetGain:
    """Compute the gain of probabilities (2, n_rows, n_classes), those without and with soft targets."""
    scorer, targets = competition.scorer, competition.targets[rows]
    groups = None if competition.groups is None else competition.groups[rows]
    plain, student = (scorer(targets, own) for own in probs)
    drawn = bootstrap_scores(list(probs), targets, scorer, groups=groups)
    return SoftTargetGain(
        trial=trial,
        plain=plain,
        student=student,
        gain=student - plain if scorer.greater_is_better else plain - student,
        error=float((drawn[:, 1] - drawn[:, 0]).std()),
    )


def _average_pairs(probs: NDArray[np.float64], competition: Competition) -> NDArray[np.float64]:
    """(2, n_rows, n_classes): the mean of all pairs (n_pairs, 2, n_rows, n_classes), of ranks where these count."""
    if not is_blended_by_rank(competition):
        mean: NDArray[np.float64] = probs.mean(axis=0)
        return mean
    before, after = (compute_ranks(probs[:, position]).mean(axis=0) for position in range(2))
    return np.stack([before, after])
