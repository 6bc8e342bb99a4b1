"""The out-of-fold predictions of a pool's members, and what a blend of them predicts and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.decisions.temperature import apply_temperature
from automl.ensemble.blending import compute_ranks
from automl.ensemble.calibration import calibrate_blend
from automl.ensemble.candidates import Member
from automl.ensemble.crossfit import IDENTITY_ONLY, Blend, CrossFitted, Floats, list_members
from automl.submission.decide import is_blended_by_rank

ALL_ROWS = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class OofPredictions:
    """The predictions of a pool's members for the same rows out of fold.

    Attributes:
        by_view: member -> view -> (n_rows, n_classes), of members that have predicted under views; others have the
            identity view alone.
    """

    pool: Sequence[Member]
    competition: Competition
    by_view: Mapping[str, Mapping[str, NDArray[Any]]]

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n_rows,) of the competition."""
        return self.pool[0].rows

    @property
    def targets(self) -> NDArray[Any]:
        """Of the rows, in the competition's form."""
        return self.competition.targets[self.rows]

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Of the rows; None where images form none."""
        return None if self.competition.groups is None else self.competition.groups[self.rows]

    def score(self, probs: NDArray[Any]) -> float:
        """Return the score of probabilities (n_rows, n_classes) of these rows."""
        return self.competition.scorer(self.targets, probs)

    def score_calibrated(self, probs: NDArray[Any], rows: NDArray[np.int64] | slice = ALL_ROWS) -> float:
        """Return the score of a blend (n, n_classes) of positions among the rows, signed so that greater is better.

        Where the score depends on how confident a blend is, it is calibrated first: the decision rule will do that.
        """
        scorer, targets = self.competition.scorer, self.targets[rows]
        return scorer(targets, calibrate_blend(probs, targets, scorer)) * (1.0 if scorer.greater_is_better else -1.0)

    def average_views(self, index: int, views: tuple[str, ...]) -> Floats:
        """Return (n_rows, n_classes): a member's mean over views, or its ranks where ranks are blended."""
        member = self.pool[index]
        if views == IDENTITY_ONLY:
            mean = member.oof.astype(np.float64)
        else:
            per_view = self.by_view[member.name]
            mean = sum((per_view[view] for view in views), np.zeros(member.oof.shape)) / len(views)
        return compute_ranks(mean[None])[0] if is_blended_by_rank(self.competition) else mean

    def predict(self, blend: Blend, rows: NDArray[np.int64]) -> Floats:
        """Return (n, n_classes): the blend's probabilities of positions among the rows."""
        total = np.zeros((len(rows), self.pool[0].oof.shape[1]))
        for index in blend.members:
            probs = self.average_views(index, blend.views[index])[rows]
            total += blend.weights[index] * self._apply_temperature(index, blend, probs)
        return total

    def cross_predict(self, fit: CrossFitted[Blend]) -> Floats:
        """Return (n_rows, n_classes): each row by the blend that was fitted without it."""
        total = np.zeros(self.pool[0].oof.shape)
        for index in list_members(fit):
            averaged: dict[tuple[str, ...], Floats] = {}
            for split, blend in enumerate(fit.per_split):
                if blend.weights[index] == 0.0:
                    continue
                views = blend.views[index]
                if views not in averaged:
                    averaged[views] = self.average_views(index, views)
                rows = fit.splits == split
                total[rows] += blend.weights[index] * self._apply_temperature(index, blend, averaged[views][rows])
        return total

    def score_fit(self, fit: CrossFitted[Blend]) -> float:
        """Return the calibrated score of the cross-fitted predictions, greater is better."""
        return self.score_calibrated(self.cross_predict(fit))

    def _apply_temperature(self, index: int, blend: Blend, probs: Floats) -> Floats:
        temperature = float(blend.temperatures[index])
        return probs if temperature == 1.0 else apply_temperature(probs, temperature, self.competition)
