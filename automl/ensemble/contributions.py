"""What an ensemble's members and views contribute: gains, correlations of errors, optimism of the best, drop order.

Gains are of cross-fitted scores, in the metric's own units, and positive where the part helps, whichever way the metric
points. Where the metric depends on how confident a blend is, what is left is calibrated, as the decision rule
calibrates every blend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, read_arrays
from automl.data.competition import Competition
from automl.decisions.bootstrap import estimate_optimism
from automl.ensemble.candidates import Candidate, Member
from automl.ensemble.crossfit import Blend, CrossFitted, drop_views, select_members_of_fit
from automl.ensemble.ensemble_recipe import Drop
from automl.ensemble.oof_predictions import OofPredictions
from automl.ensemble.saved_folds import get_member_files
from automl.ensemble.selection import EnsembleSelection
from automl.ensemble.tta import IDENTITY
from automl.errors import StorageError

MIN_SECONDS = 1e-9  # what takes no time at all is kept longest, but a gain has to be divided by something


def compute_member_gains(selection: EnsembleSelection) -> dict[str, float | None]:
    """Return by member: how much worse the score is without it, its weight given to the others in proportion.

    None for the only member of an ensemble.
    """
    full = selection.oof.score_fit(selection.fit)
    gains: dict[str, float | None] = {}
    for member, _ in selection.weighted_members:
        without = _drop_member(selection, selection.fit, member.name)
        gains[member.name] = None if without is None else full - selection.oof.score_fit(without)
    return gains


def compute_view_gains(selection: EnsembleSelection) -> dict[str, float]:
    """Return by view beside the identity: how much worse the score is where no member predicts under it."""
    full = selection.oof.score_fit(selection.fit)
    others = [view for view in selection.views if view != IDENTITY.name]
    return {view: full - selection.oof.score_fit(drop_views(selection.fit, (view,))) for view in others}


def compute_error_correlations(members: Sequence[Member], competition: Competition) -> NDArray[np.float64]:
    """Return (n_members, n_members): the correlation of the errors of two members' probabilities out of fold.

    An error is the difference between what a perfect model would predict (1 for what an image shows, 0 for the rest, or
    a target's place on its scale) and the probability with the identity view; over all rows and classes together.
    Members that err alike add little to one another. A member without errors is correlated with no other.
    """
    shares = competition.soft_targets[members[0].rows]
    errors = np.stack([(shares - member.oof).ravel().astype(np.float64) for member in members])
    errors -= errors.mean(axis=1, keepdims=True)
    lengths = np.sqrt((errors**2).sum(axis=1))
    products = np.outer(lengths, lengths)
    correlations: NDArray[np.float64] = np.divide(
        errors @ errors.T, products, out=np.zeros_like(products), where=products > 0
    )
    np.fill_diagonal(correlations, 1.0)
    return np.clip(correlations, -1.0, 1.0)


def order_drops(selection: EnsembleSelection, seconds: Mapping[str, float]) -> tuple[Drop, ...]:
    """Order what to drop where time is short: first what gains least per second, given what was dropped before.

    All views go before any member, and the last member stays.

    Args:
        seconds: by member, for an image in one view through all its folds' models.
    """
    return (*_order_views(selection, seconds), *_order_members(selection, seconds))


def _order_views(selection: EnsembleSelection, seconds: Mapping[str, float]) -> list[Drop]:
    final, oof = selection.fit.final, selection.oof
    costs = dict.fromkeys(selection.views, 0.0)
    for index in final.members:
        for view in final.views[index]:
            costs[view] += seconds[oof.pool[index].name]
    fit, drops = selection.fit, []
    left = [view for view in selection.views if view != IDENTITY.name]
    while left:
        full = oof.score_fit(fit)
        worth = {view: _gain_per_second(full - oof.score_fit(drop_views(fit, (view,))), costs[view]) for view in left}
        view = min(left, key=lambda view: worth[view])
        drops.append(Drop(view=view))
        fit = drop_views(fit, (view,))
        left.remove(view)
    return drops


def _order_members(selection: EnsembleSelection, seconds: Mapping[str, float]) -> list[Drop]:
    fit, oof, drops = selection.plain, selection.oof, []
    left = [member.name for member, _ in selection.weighted_members]
    while len(left) > 1:
        full = oof.score_fit(fit)
        without = {name: _drop_member(selection, fit, name) or fit for name in left}
        worth = {name: _gain_per_second(full - oof.score_fit(without[name]), seconds[name]) for name in left}
        name = min(left, key=lambda name: worth[name])
        drops.append(Drop(member=name))
        fit = without[name]
        left.remove(name)
    return drops


def _gain_per_second(gain: float, seconds: float) -> float:
    """Gain per second; of what does harm the slower is worth less."""
    return gain / (seconds + MIN_SECONDS) if gain > 0 else gain * seconds


def _drop_member(selection: EnsembleSelection, fit: CrossFitted[Blend], name: str) -> CrossFitted[Blend] | None:
    dropped = selection.find_position(name)
    return select_members_of_fit(fit, [index for index in range(len(selection.oof.pool)) if index != dropped])


@dataclass(frozen=True, slots=True, kw_only=True)
class BestSingle:
    """The best of those trials and probes of a study that have predicted the same rows.

    Attributes:
        n_trials: how many these are, probes included: any of them might have been the best.
        optimism: by how much its score is expected to be better than it is.
    """

    number: int
    member_kind: str
    score: float
    n_trials: int
    optimism: float


def find_best_single(trials: Sequence[Candidate], files: StudyFiles, oof: OofPredictions) -> BestSingle:
    """Find the trial or probe, among them the members of the pool, that scores best on the rows out of fold."""
    probs = dict(_iterate_oof(trials, files, oof))
    scorer = oof.competition.scorer
    scores = {trial: oof.score(own) for trial, own in probs.items()}
    best = (max if scorer.greater_is_better else min)(scores, key=lambda trial: scores[trial])
    optimism = estimate_optimism(list(probs.values()), oof.targets, scorer, groups=oof.groups)
    return BestSingle(
        number=best.number,
        member_kind=best.member_kind,
        score=scores[best],
        n_trials=len(probs),
        optimism=optimism,
    )


def _iterate_oof(
    trials: Sequence[Candidate], files: StudyFiles, oof: OofPredictions
) -> Iterator[tuple[Candidate, NDArray[Any]]]:
    """Trials and probes, and their probabilities (n_rows, n_classes) of the pool's rows."""
    members = {member.name: member for member in oof.pool}
    for trial in trials:
        if trial.name in members:
            yield trial, members[trial.name].oof
        elif (probs := _read_oof(trial, files, oof.rows)) is not None:
            yield trial, probs


def _read_oof(trial: Candidate, files: StudyFiles, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    """None where the trial has not predicted all of the rows, or its file is not what it should be."""
    try:
        arrays = read_arrays(get_member_files(files, trial.number, trial.member_kind).oof)
        ascending = np.argsort(arrays["rows"])
        known, probs = arrays["rows"][ascending], arrays["probs"][ascending]
    except (StorageError, KeyError):
        return None
    if probs.ndim != 2 or not np.isin(rows, known).all() or not np.isfinite(probs).all():
        return None
    return probs[np.searchsorted(known, rows)]
