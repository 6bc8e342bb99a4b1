"""What came of a refit: each trial's score out of fold by now, what lessons gained, and what could not be trained.

Not responsible for: how it came about (automl.refit.run_refit), nor printing it (automl.commands).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from automl.distillation.gains import Gain
from automl.ensemble.candidates import Member
from automl.errors import UsageError
from automl.refit.refit_loop import Loss, WantedFold, require_none_lost


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitScore:
    """A trial's score out of fold, now that more folds are trained.

    Attributes:
        searched: in the search, on the rows of its folds alone.
        score: on all n_rows.
        fold_scores: of each fold's rows.
    """

    trial: int
    searched: float
    score: float
    n_rows: int
    fold_scores: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitResult:
    """What came of a refit.

    Attributes:
        scores: of the chosen trials, in their order.
        gains: what each lesson gained, by its kind.
        lines: the gains in words.
        lost: the folds that could not be trained.
        unlearned: why there is no lesson, where one was asked for and none could be made.
        finished: whether nothing is left to be trained.
    """

    scores: tuple[RefitScore, ...]
    gains: Mapping[str, list[Gain]]
    lines: tuple[str, ...]
    lost: Mapping[WantedFold, Loss]
    unlearned: UsageError | None
    finished: bool

    def require_all(self) -> None:
        """Raises:
        UsageError: a lesson that was asked for could not be made.
        NoUsableModelError: there are folds that could not be trained; each is named with its reason.
        """
        if self.unlearned is not None:
            raise self.unlearned
        require_none_lost(self.lost)

    def to_json(self) -> dict[str, Any]:
        return {
            "results": [asdict(score) for score in self.scores],
            "lost": [_written(fold, loss) for fold, loss in self.lost.items()],
            "gains": {kind: [asdict(gain) for gain in own] for kind, own in self.gains.items()},
            "lines": list(self.lines),
        }


def score_of(member: Member) -> RefitScore:
    """The member's scores on the rows that it has out of fold by now."""
    scorer, targets = member.competition.scorer, member.competition.targets[member.rows]
    of_fold = {fold: member.folds == fold for fold in sorted(set(member.folds.tolist()))}
    return RefitScore(
        trial=member.number,
        searched=member.score,
        score=scorer(targets, member.oof),
        n_rows=len(member.rows),
        fold_scores={fold: scorer(targets[own], member.oof[own]) for fold, own in of_fold.items()},
    )


def _written(fold: WantedFold, loss: Loss) -> dict[str, Any]:
    return {"trial": fold.number, "fold": fold.fold, "kind": fold.payload["kind"], **asdict(loss)}
