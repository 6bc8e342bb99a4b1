"""The best of many trials, and how much of its score is luck: it was chosen for the very score that it is shown by.

Not responsible for: the ensemble's members (automl.ensemble.choose) or the estimate itself (automl.ensemble.bootstrap).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, read_arrays
from automl.ensemble.bootstrap import luck_of_best
from automl.ensemble.pool import Candidate
from automl.ensemble.weighing import Voices
from automl.errors import StorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class BestSingle:
    """The best of those trials of a study that have predicted the same rows.

    Attributes:
        luck: by how much its score is expected to be better than the trial is.
    """

    number: int
    score: float
    n_trials: int
    luck: float


def best_single(trials: Sequence[Candidate], files: StudyFiles, voices: Voices) -> BestSingle:
    """Of the trials, among them the members of the pool, the one that scores best on the voices' rows."""
    said = dict(_said(trials, files, voices))
    scorer = voices.competition.scorer
    scores = {number: voices.score(probs) for number, probs in said.items()}
    best = (max if scorer.greater_is_better else min)(scores, key=lambda number: scores[number])
    luck = luck_of_best(list(said.values()), voices.targets, scorer, groups=voices.groups)
    return BestSingle(number=best, score=scores[best], n_trials=len(said), luck=luck)


def _said(trials: Sequence[Candidate], files: StudyFiles, voices: Voices) -> Iterator[tuple[int, NDArray[Any]]]:
    """Numbers of trials, and their probabilities (n_rows, n_classes) of the voices' rows."""
    members = {member.number: member for member in voices.pool if member.kind == "search"}
    for trial in trials:
        if trial.number in members:
            yield trial.number, members[trial.number].oof
        elif (probs := _oof_of(trial, files, voices.rows)) is not None:
            yield trial.number, probs


def _oof_of(trial: Candidate, files: StudyFiles, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    """None where the trial has not predicted all of the rows, or its file is not what it should be."""
    try:
        arrays = read_arrays(files.trial(trial.number).oof)
        ascending = np.argsort(arrays["rows"])
        known, probs = arrays["rows"][ascending], arrays["probs"][ascending]
    except (StorageError, KeyError):
        return None
    if probs.ndim != 2 or not np.isin(rows, known).all() or not np.isfinite(probs).all():
        return None
    return probs[np.searchsorted(known, rows)]
