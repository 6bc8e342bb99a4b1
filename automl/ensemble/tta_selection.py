"""Which views help: bundles of them are taken one after the other, as long as rows out of fold score better with them.

Each split of the rows is judged with the views that the other splits asked for, so that views that help by luck are not
credited where they do. Not responsible for: looking (automl.ensemble.predictor) or the views themselves
(automl.ensemble.tta).

Source: Shanmugam et al. 2021, "Better Aggregation in Test-Time Augmentation": views that help on the whole still spoil
right predictions, so that each has to be validated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.calibration import member_temperatures
from automl.ensemble.candidates import Member
from automl.ensemble.crossfit import CrossFit, Floats, Voices, Weighing
from automl.ensemble.greedy import likelihood_of
from automl.ensemble.tta import BUNDLES, IDENTITY, bundles_for

Merit = tuple[float, float]  # the score, greater is better, and what tells equal scores apart

DISCRETE = ("label", "labels", "ranking")  # what metrics need that many blends score alike


def shown_views(member: Member) -> tuple[str, ...]:
    """The identity, and all views that the member's own training has shown it."""
    return views_in(member, BUNDLES)


def views_in(member: Member, bundles: Collection[str]) -> tuple[str, ...]:
    """The identity, and the views of those of the bundles that the member's own training has shown it."""
    own = bundles_for(member.config.augment, flips=member.competition.flips)
    names = [view.name for bundle in BUNDLES if bundle in bundles and bundle in own for view in BUNDLES[bundle]]
    return (IDENTITY.name, *names)


def with_helpful_views(voices: Voices, plain: CrossFit) -> CrossFit:
    """The cross-fit with the bundles that help."""
    return _refitted(plain, lambda weighing, rows: _helped(voices, weighing, rows))


def where_views_win(voices: Voices, plain: CrossFit, seeing: CrossFit) -> CrossFit:
    """The cross-fit with the views of `seeing` where they win on rows that did not choose them; `plain` where nowhere.

    Each weighing is judged on the rows that it may see, by what the cross-fits say of them: so whether views are used
    for a row is not decided by how it scores with them.
    """
    before, after = voices.cross_fitted(plain), voices.cross_fitted(seeing)

    def winner(split: int | None) -> Weighing:
        rows = np.arange(len(plain.splits)) if split is None else np.flatnonzero(plain.splits != split)
        fits = [fit.final if split is None else fit.of_splits[split] for fit in (plain, seeing)]
        wins = len(rows) and _merit_of(voices, after[rows], rows) > _merit_of(voices, before[rows], rows)
        return fits[1 if wins else 0]

    winners = tuple(winner(split) for split in range(len(plain.of_splits)))
    fit = replace(plain, final=winner(None), of_splits=winners)
    return plain if (fit.final, *winners) == (plain.final, *plain.of_splits) else fit


def with_views(voices: Voices, plain: CrossFit, views: tuple[str, ...]) -> CrossFit:
    """The cross-fit with the same views for every member."""
    every = (views,) * len(voices.pool)
    return _refitted(plain, lambda weighing, rows: _looking(voices, weighing, every, rows))


def with_views_left(voices: Voices, fit: CrossFit, left: Collection[str]) -> CrossFit:
    """The cross-fit without all views but those that are left."""

    def narrowed(weighing: Weighing, rows: NDArray[np.int64]) -> Weighing:
        views = tuple(tuple(view for view in own if view in left) for own in weighing.views)
        return weighing if views == weighing.views else _looking(voices, weighing, views, rows)

    return _refitted(fit, narrowed)


def _refitted(fit: CrossFit, refit: Callable[[Weighing, NDArray[np.int64]], Weighing]) -> CrossFit:
    """Each weighing of the cross-fit fitted again, to the positions of the rows that it may see."""
    everywhere = np.arange(len(fit.splits))
    others = [np.flatnonzero(fit.splits != split) for split in range(len(fit.of_splits))]
    of_splits = tuple(refit(weighing, rows) for weighing, rows in zip(fit.of_splits, others, strict=True))
    return replace(fit, final=refit(fit.final, everywhere), of_splits=of_splits)


def _helped(voices: Voices, weighing: Weighing, rows: NDArray[np.int64]) -> Weighing:
    """Forward selection of bundles on positions among the voices' rows."""
    if not len(rows):
        return weighing
    left, merit = _bundles_of(voices, weighing), _merit(voices, weighing, rows)
    taken: tuple[str, ...] = ()
    while left:
        tried = {name: _with_bundles(voices, weighing, (*taken, name), rows) for name in left}
        merits = {name: _merit(voices, own, rows) for name, own in tried.items()}
        best = max(merits, key=lambda name: merits[name])
        if merits[best] <= merit:
            break
        weighing, merit, taken = tried[best], merits[best], (*taken, best)
        left.remove(best)
    return weighing


def _bundles_of(voices: Voices, weighing: Weighing) -> list[str]:
    """What the training of some member that weighs anything has shown it."""
    configs = [voices.pool[index].config for index in weighing.members]
    shown = {name for config in configs for name in bundles_for(config.augment, flips=voices.competition.flips)}
    return [name for name in BUNDLES if name in shown]


def _with_bundles(voices: Voices, weighing: Weighing, bundles: tuple[str, ...], rows: NDArray[np.int64]) -> Weighing:
    return _looking(voices, weighing, tuple(views_in(member, bundles) for member in voices.pool), rows)


def _looking(
    voices: Voices, weighing: Weighing, views: tuple[tuple[str, ...], ...], rows: NDArray[np.int64]
) -> Weighing:
    """The weighing with these views of each member; where it has temperatures, those of the means over views."""
    looking = replace(weighing, views=views)
    if not len(rows) or (weighing.temperatures == 1.0).all():
        return looking
    temperatures, scorer = np.ones(len(voices.pool)), voices.competition.scorer
    for index in weighing.members:
        said = voices.said(index, views[index])
        temperatures[index] = member_temperatures(said[None], voices.targets, scorer, rows)[0]
    return replace(looking, temperatures=temperatures)


def _merit(voices: Voices, weighing: Weighing, rows: NDArray[np.int64]) -> Merit:
    return _merit_of(voices, voices.blended(weighing, rows), rows)


def _merit_of(voices: Voices, blended: Floats, rows: NDArray[np.int64]) -> Merit:
    """The worth of a blend, and of a metric that many blends score alike the log loss as well."""
    discrete = voices.competition.scorer.needs in DISCRETE
    return voices.merit(blended, rows), _likelihood(voices, blended, rows) if discrete else 0.0


def _likelihood(voices: Voices, blended: Floats, rows: NDArray[np.int64]) -> float:
    said, likelihood = likelihood_of(voices.competition.scorer)(blended[None], voices.targets[rows])
    return float(likelihood(said)[0])
