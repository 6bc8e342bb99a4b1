"""Hold the result of a refit: scores out of fold, gains of soft targets, and the folds that could not be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from automl.distillation.soft_target_gains import SoftTargetGain
from automl.ensemble.candidates import Member
from automl.errors import UsageError
from automl.refit.refit_loop import FoldJob, LostFold, require_none_lost


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
    """The result of a refit.

    Attributes:
        scores: of the chosen trials, in their order.
        soft_target_gains: what each kind of soft targets gained.
        lines: the gains in words.
        lost: the folds that could not be trained.
        soft_target_error: why soft targets that were wanted could not be made, or None.
        finished: whether nothing is left to be trained.
    """

    scores: tuple[RefitScore, ...]
    soft_target_gains: Mapping[str, list[SoftTargetGain]]
    lines: tuple[str, ...]
    lost: Mapping[FoldJob, LostFold]
    soft_target_error: UsageError | None
    finished: bool

    def require_all(self) -> None:
        """Raises:
        UsageError: soft targets that were wanted could not be made.
        NoUsableModelError: there are folds that could not be trained; each is named with its reason.
        """
        if self.soft_target_error is not None:
            raise self.soft_target_error
        require_none_lost(self.lost)

    def to_json(self) -> dict[str, Any]:
        return {
            "results": [asdict(score) for score in self.scores],
            "lost": [_convert_lost_fold(fold, loss) for fold, loss in self.lost.items()],
            "gains": {name: [gain.to_json() for gain in gains] for name, gains in self.soft_target_gains.items()},
            "lines": list(self.lines),
        }


def compute_refit_score(member: Member) -> RefitScore:
    """Compute the member's scores on the rows that it has out of fold by now."""
    scorer, targets = member.competition.scorer, member.competition.targets[member.rows]
    of_fold = {fold: member.folds == fold for fold in sorted(set(member.folds.tolist()))}
    return RefitScore(
        trial=member.number,
        searched=member.score,
        score=scorer(targets, member.oof),
        n_rows=len(member.rows),
        fold_scores={fold: scorer(targets[own], member.oof[own]) for fold, own in of_fold.items()},
    )


def _convert_lost_fold(fold: FoldJob, loss: LostFold) -> dict[str, Any]:
    return {"trial": fold.number, "fold": fold.fold, "kind": fold.job.refit_kind, **asdict(loss)}
