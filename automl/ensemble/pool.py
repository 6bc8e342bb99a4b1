"""The pool that an ensemble's members are chosen from: complete trials, read, and compared on the same rows.

What cannot be used is left out and said so. Not responsible for: choosing among them (automl.ensemble.weights).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.ensemble.predict import Member, read_member
from automl.errors import NoUsableModelError, StorageError

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete trial that may become a member."""

    number: int
    score: float
    config: TrialConfig


def read_pool(
    candidates: Sequence[Candidate],
    files: StudyFiles,
    competition: Competition,
    folds: NDArray[np.int64],
    *,
    note: Note,
) -> list[Member]:
    """The usable candidates in their order, all with the same rows out of fold.

    Raises:
        NoUsableModelError: there is none.
    """
    members = []
    for candidate in _of_distinct_configs(candidates, note):
        number, score, config = candidate.number, candidate.score, candidate.config
        try:
            member = read_member(number, score, config, files.trial(number), competition=competition, folds=folds)
        except StorageError as error:
            note(f"trial {number} is left out: {error.problem}")
        else:
            members.append(member)
    return _on_common_rows(require_some(members), note)


def require_some(members: list[Member]) -> list[Member]:
    """The members themselves.

    Raises:
        NoUsableModelError: there are none.
    """
    if not members:
        raise NoUsableModelError(
            "no complete trial has usable predictions and weights", hint="search on, or restore the study's trials"
        )
    return members


def _of_distinct_configs(candidates: Sequence[Candidate], note: Note) -> list[Candidate]:
    """The first candidate of each config: a second one would add weight, not knowledge."""
    kept: dict[TrialConfig, Candidate] = {}
    for candidate in candidates:
        first = kept.setdefault(candidate.config, candidate)
        if first is not candidate:
            note(f"trial {candidate.number} is left out: it has the configuration of trial {first.number}")
    return list(kept.values())


def _on_common_rows(members: list[Member], note: Note) -> list[Member]:
    """Those members that can be compared on the same rows, known by these rows alone.

    Where the trials predicted different rows, the choice with the most predictions (members times rows) is taken, and
    of equal ones that with more members.
    """
    row_sets = list({member.rows.tobytes(): member.rows for member in members}.values())
    if len(row_sets) == 1:
        return members
    shared_by_all = reduce(np.intersect1d, row_sets)
    choices = [(rows, _covering(rows, members)) for rows in (*row_sets, shared_by_all)]
    rows, kept = max(choices, key=lambda choice: (len(choice[0]) * len(choice[1]), len(choice[1])))
    for member in members:
        if member not in kept:
            note(f"trial {member.number} is left out: it has no prediction for some rows that the others share")
    note(f"members are compared on the {len(rows)} rows that all of them have out of fold")
    return [member.on_rows(rows) for member in kept]


def _covering(rows: NDArray[np.int64], members: list[Member]) -> list[Member]:
    return [member for member in members if np.isin(rows, member.rows, assume_unique=True).all()]
