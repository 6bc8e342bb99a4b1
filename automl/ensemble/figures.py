"""What an ensemble's parts are worth: gains of members and views, how alike members err, what may be saved first.

Gains are of cross-fitted scores, in the metric's own units, and positive where the part helps, whichever way the metric
points. Where the metric asks how sure a blend is, what is left is as sure as it may be, as the rule that decides makes
every blend. Not responsible for: choosing the parts (automl.ensemble.choose) or leaving them out
(automl.ensemble.budget).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.ensemble.choose import Choice
from automl.ensemble.predict import Member
from automl.ensemble.recipe import Saving
from automl.ensemble.tta import IDENTITY
from automl.ensemble.weighing import CrossFit

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
