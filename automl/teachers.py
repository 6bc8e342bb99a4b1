"""The teachers of a study's students: one for each fold, who knows nothing of the labels of that fold's rows.

The teacher of fold i is the members' models of fold i, which have not seen the rows of fold i, blended with weights and
temperatures that were fitted without those rows. So what it says of test images comes from none of the labels that fold
i's student is scored with. All that was chosen by scores on those rows too is which trials are members at all, and with
the epoch choice "best" a model's epoch.
Probabilities are averaged, never ranks, and with the identity view alone.
Not responsible for: what is made of what they say (automl.teaching).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.ensemble.calibration import tempered
from automl.ensemble.choose import blended_pool
from automl.ensemble.looking import Looker
from automl.ensemble.predict import Member
from automl.ensemble.tta import IDENTITY
from automl.errors import UsageError
from automl.tasks import Task

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def teachers_of(members: Sequence[Member], competition: Competition, folds: Rows) -> Iterator[Teacher]:
    """One teacher for each fold, in order.

    Args:
        members: chosen of one pool, with the models of all folds.

    Raises:
        UsageError: a member has not been trained on all folds.
    """
    numbers = np.unique(folds[folds >= 0]).tolist()
    _require_all_folds(members, numbers)
    members = _on_common_rows(members)
    for fold in numbers:
        inside = members[0].folds == fold
        others = [member.on_rows(member.rows[~inside]) for member in members]
        blend = blended_pool(others, competition, len(members))
        yield Teacher(fold, members[0].rows[inside], members, blend.weights, blend.temperatures, competition.task)


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """The members' models of one fold.

    Attributes:
        rows: of the fold, ascending.
        weights, temperatures: (n_models,) of the members, fitted without the rows.
    """

    fold: int
    rows: Rows
    members: Sequence[Member]
    weights: Floats
    temperatures: Floats
    task: Task

    def of_own_rows(self) -> Floats:
        """(n_rows, n_classes) of the fold's rows, none of which it has trained on."""
        return self._blended([member.on_rows(self.rows).oof for member in self.members])

    def of_test(self, looker: Looker, rows: Rows) -> Floats:
        """(len(rows), n_classes) of these test images.

        Raises:
            StorageError: a member's weights are missing or damaged.
        """
        probs: list[NDArray[Any]] = []
        for member, weight in zip(self.members, self.weights, strict=True):
            model = member.models[self.fold]
            probs.append(looker.look(model, [IDENTITY], "test", rows)[0] if weight > 0 else np.empty(0))
        return self._blended(probs)

    def _blended(self, probs: Sequence[NDArray[Any]]) -> Floats:
        pairs = zip(probs, self.weights, self.temperatures, strict=True)
        parts = [w * tempered(own.astype(np.float64), float(t), self.task) for own, w, t in pairs if w > 0]
        return np.asarray(sum(parts)).clip(0.0, 1.0)


def _require_all_folds(members: Sequence[Member], folds: Sequence[int]) -> None:
    for member in members:
        missing = sorted({*folds} - {*member.models} | {*folds} - {*member.folds.tolist()})
        if missing:
            raise UsageError(
                f"trial {member.name} cannot teach fold {missing[0]}: it has no model or no prediction of it",
                hint="train the remaining folds first: automl refit",
            )


def _on_common_rows(members: Sequence[Member]) -> list[Member]:
    rows = reduce(np.intersect1d, [member.rows for member in members])
    return [member.on_rows(rows) for member in members]
