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
from automl.ensemble.recipe import member_name
from automl.errors import NoUsableModelError, StorageError

# Members beyond these do not make a blend better: in simulated families of models the mean of the best 10 of 50 scores
# better than that of all at every number of rows.
MANY = 10

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete trial that may become a member.

    Attributes:
        kind: how it was trained: search, pseudo or distilled. Several kinds of one trial are several candidates.
    """

    number: int
    score: float
    config: TrialConfig
    kind: str = "search"

    @property
    def name(self) -> str:
        """As that of the member that it may become."""
        return member_name(self.number, self.kind)


def read_pool(
    candidates: Sequence[Candidate],
    files: StudyFiles,
    competition: Competition,
    folds: NDArray[np.int64],
    *,
    note: Note,
    refits: bool = True,
) -> list[Member]:
    """The usable candidates in their order, all with the same rows out of fold.

    Args:
        refits: with the folds that were trained after the search; without them the pool is what the search left,
            however far a refit has come.

    Raises:
        NoUsableModelError: there is none.
    """
    members = []
    for candidate in _of_distinct_configs(candidates, note):
        try:
            trial = files.trial(candidate.number)
            member = read_member(candidate, trial, competition=competition, folds=folds, refits=refits)
        except StorageError as error:
            note(f"trial {candidate.name} is left out: {error.problem}")
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
    """The first candidate of each config and kind: a second one would add weight, not knowledge."""
    kept: dict[tuple[TrialConfig, str], Candidate] = {}
    for candidate in candidates:
        first = kept.setdefault((candidate.config, candidate.kind), candidate)
        if first is not candidate:
            note(f"trial {candidate.name} is left out: it has the configuration of trial {first.name}")
    return list(kept.values())


def _on_common_rows(members: list[Member], note: Note) -> list[Member]:
    """Those members that can be compared on the same rows, known by these rows alone.

    Where the trials predicted different rows, the choice with the most predictions (members times rows) is taken, and
    of equal ones that with more members. More than MANY members count as many: so of 15 trials with one fold of five,
    three or more that were trained on all folds since go before all, while two would leave too little to choose from.
    """
    row_sets = list({member.rows.tobytes(): member.rows for member in members}.values())
    if len(row_sets) == 1:
        return members
    shared_by_all = reduce(np.intersect1d, row_sets)
    choices = [(rows, _covering(rows, members)) for rows in (*row_sets, shared_by_all)]
    rows, kept = max(choices, key=lambda choice: (len(choice[0]) * min(len(choice[1]), MANY), len(choice[1])))
    if others := [member.name for member in members if member not in kept]:
        trials = f"trial {others[0]} is left out: it has" if len(others) == 1 else _left_out(others)
        note(f"{trials} no prediction for some rows that the others share")
    note(f"members are compared on the {len(rows)} rows that all of them have out of fold")
    return [member.on_rows(rows) for member in kept]


def _left_out(names: list[str]) -> str:
    return f"trials {', '.join(names[:-1])} and {names[-1]} are left out: they have"


def _covering(rows: NDArray[np.int64], members: list[Member]) -> list[Member]:
    return [member for member in members if np.isin(rows, member.rows, assume_unique=True).all()]
