"""What an ensemble's parts are worth: gains of members and views, how alike members err, what may be saved first.

Gains are of cross-fitted scores, in the metric's own units, and positive where the part helps, whichever way the metric
points. Where the metric asks how sure a blend is, what is left is as sure as it may be, as the rule that decides makes
every blend. Not responsible for: choosing the parts (automl.ensemble.selection) or leaving them out
(automl.ensemble.time_budget).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, read_arrays
from automl.data.competition import Competition
from automl.ensemble.bootstrap import luck_of_best
from automl.ensemble.candidates import Candidate, Member
from automl.ensemble.crossfit import CrossFit, Voices
from automl.ensemble.ensemble_recipe import Saving
from automl.ensemble.selection import Choice
from automl.ensemble.tta import IDENTITY
from automl.errors import StorageError

MIN_SECONDS = 1e-9  # what takes no time at all is kept longest, but a gain has to be divided by something


def what_members_add(choice: Choice) -> dict[str, float | None]:
    """By member: how much worse the score is without it, its weight given to the others in proportion.

    None for the only member of an ensemble.
    """
    full = _merit(choice, choice.fit)
    adds: dict[str, float | None] = {}
    for member, _ in choice.weighted:
        without = _without_member(choice, choice.fit, member.name)
        adds[member.name] = None if without is None else full - _merit(choice, without)
    return adds


def what_views_add(choice: Choice) -> dict[str, float]:
    """By view beside the identity: how much worse the score is where nobody looks through it."""
    full = _merit(choice, choice.fit)
    others = [view for view in choice.views if view != IDENTITY.name]
    return {view: full - _merit(choice, choice.fit.without_views((view,))) for view in others}


def error_correlations(members: Sequence[Member], competition: Competition) -> NDArray[np.float64]:
    """(n_members, n_members): the correlation of what is wrong with two members' probabilities out of fold.

    Wrong is the difference between what a perfect model would say (1 for what an image shows, 0 for the rest, or a
    target's place on its scale) and the probability with the identity view; over all rows and classes together. Members
    that err alike add little to one another. A member without errors is correlated with nobody.
    """
    shares = competition.shares[members[0].rows]
    wrong = np.stack([(shares - member.oof).ravel().astype(np.float64) for member in members])
    wrong -= wrong.mean(axis=1, keepdims=True)
    lengths = np.sqrt((wrong**2).sum(axis=1))
    products = np.outer(lengths, lengths)
    correlations: NDArray[np.float64] = np.divide(
        wrong @ wrong.T, products, out=np.zeros_like(products), where=products > 0
    )
    np.fill_diagonal(correlations, 1.0)
    return np.clip(correlations, -1.0, 1.0)


def ordered_savings(choice: Choice, seconds: Mapping[str, float]) -> tuple[Saving, ...]:
    """What to leave out where time is short: first what is worth least for each second, given what was left out before.

    All views go before any member, and the last member stays.

    Args:
        seconds: by member, for an image in one view through all its folds' models.
    """
    return (*_view_savings(choice, seconds), *_member_savings(choice, seconds))


def _view_savings(choice: Choice, seconds: Mapping[str, float]) -> list[Saving]:
    final = choice.fit.final
    costs = dict.fromkeys(choice.views, 0.0)
    for index in final.members:
        for view in final.views[index]:
            costs[view] += seconds[choice.voices.pool[index].name]
    fit, savings = choice.fit, []
    left = [view for view in choice.views if view != IDENTITY.name]
    while left:
        full = _merit(choice, fit)
        worth = {view: _worth(full - _merit(choice, fit.without_views((view,))), costs[view]) for view in left}
        view = min(left, key=lambda view: worth[view])
        savings.append(Saving(view=view))
        fit = fit.without_views((view,))
        left.remove(view)
    return savings


def _member_savings(choice: Choice, seconds: Mapping[str, float]) -> list[Saving]:
    fit, savings = choice.plain, []
    left = [member.name for member, _ in choice.weighted]
    while len(left) > 1:
        full = _merit(choice, fit)
        without = {name: _without_member(choice, fit, name) or fit for name in left}
        worth = {name: _worth(full - _merit(choice, without[name]), seconds[name]) for name in left}
        name = min(left, key=lambda name: worth[name])
        savings.append(Saving(member=name))
        fit = without[name]
        left.remove(name)
    return savings


def _worth(gain: float, seconds: float) -> float:
    """Gain per second; of what does harm the slower is worth less."""
    return gain / (seconds + MIN_SECONDS) if gain > 0 else gain * seconds


def _without_member(choice: Choice, fit: CrossFit, name: str) -> CrossFit | None:
    gone = choice.position(name)
    return fit.of_members([index for index in range(len(choice.voices.pool)) if index != gone])


def _merit(choice: Choice, fit: CrossFit) -> float:
    return choice.voices.merit(choice.voices.cross_fitted(fit))


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
