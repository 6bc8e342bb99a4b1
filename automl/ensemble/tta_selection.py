"""Forward selection of test-time-augmentation views on out-of-fold predictions, in bundles that go together.

Each split of the rows is judged with the views that the other splits selected, so that views that help by luck are not
credited where they do.

Source: Shanmugam et al. 2021, "Better Aggregation in Test-Time Augmentation": views that help on the whole still spoil
right predictions, so that each has to be validated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.calibration import fit_member_temperatures
from automl.ensemble.candidates import Member
from automl.ensemble.crossfit import Blend, CrossFitted, Floats, Rows
from automl.ensemble.greedy import get_log_likelihood
from automl.ensemble.oof_predictions import OofPredictions
from automl.ensemble.tta import IDENTITY, VIEW_BUNDLES, get_trained_bundles

Merit = tuple[float, float]  # the score, greater is better, and what separates equal scores

DISCRETE = ("label", "labels", "ranking")  # what metrics need that many blends score alike


def list_trained_views(member: Member) -> tuple[str, ...]:
    """Return the identity, and all views that the member's own training has shown it."""
    return list_bundle_views(member, VIEW_BUNDLES)


def list_bundle_views(member: Member, bundles: Collection[str]) -> tuple[str, ...]:
    """Return the identity, and the views of those of the bundles that the member's own training has shown it."""
    own = _get_member_bundles(member)
    names = [
        view.name for bundle in VIEW_BUNDLES if bundle in bundles and bundle in own for view in VIEW_BUNDLES[bundle]
    ]
    return (IDENTITY.name, *names)


def select_helpful_views(oof: OofPredictions, plain: CrossFitted[Blend]) -> CrossFitted[Blend]:
    """Select the bundles that help, for the final blend and for that of each split."""
    return plain.refit(lambda blend, rows: _select_forward(oof, blend, rows))


def keep_winning_views(
    oof: OofPredictions, plain: CrossFitted[Blend], augmented: CrossFitted[Blend]
) -> CrossFitted[Blend]:
    """Keep the views of `augmented` where they win on rows that did not select them; `plain` itself where nowhere.

    Each blend is judged on the rows that it may see, by their cross-fitted predictions: so whether views are used
    for a row is not decided by how it scores with them.
    """
    before, after = oof.cross_predict(plain), oof.cross_predict(augmented)

    def pick_winner(split: int | None) -> Blend:
        rows = plain.find_other_rows(split)
        blends = [fit.final if split is None else fit.per_split[split] for fit in (plain, augmented)]
        wins = len(rows) and _score(oof, after[rows], rows) > _score(oof, before[rows], rows)
        return blends[1 if wins else 0]

    winners = tuple(pick_winner(split) for split in range(len(plain.per_split)))
    fit = replace(plain, final=pick_winner(None), per_split=winners)
    return plain if (fit.final, *winners) == (plain.final, *plain.per_split) else fit


def use_views(oof: OofPredictions, plain: CrossFitted[Blend], views: tuple[str, ...]) -> CrossFitted[Blend]:
    """Fit the blends with the same views for every member."""
    every = (views,) * len(oof.pool)
    return plain.refit(lambda blend, rows: _fit_with_views(oof, blend, every, rows))


def limit_views(oof: OofPredictions, fit: CrossFitted[Blend], left: Collection[str]) -> CrossFitted[Blend]:
    """Fit the blends without all views but those that are left."""

    def limit(blend: Blend, rows: Rows) -> Blend:
        views = tuple(tuple(view for view in own if view in left) for own in blend.views)
        return blend if views == blend.views else _fit_with_views(oof, blend, views, rows)

    return fit.refit(limit)


def _select_forward(oof: OofPredictions, blend: Blend, rows: Rows) -> Blend:
    """Forward selection of bundles on positions among the rows."""
    if not len(rows):
        return blend
    left, score = _list_bundles(oof, blend), _score(oof, oof.predict(blend, rows), rows)
    selected: tuple[str, ...] = ()
    while left:
        tried = {name: _fit_with_bundles(oof, blend, (*selected, name), rows) for name in left}
        scores = {name: _score(oof, oof.predict(own, rows), rows) for name, own in tried.items()}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] <= score:
            break
        blend, score, selected = tried[best], scores[best], (*selected, best)
        left.remove(best)
    return blend


def _list_bundles(oof: OofPredictions, blend: Blend) -> list[str]:
    """What the training of some member that weighs anything has shown it."""
    trained = {name for index in blend.members for name in _get_member_bundles(oof.pool[index])}
    return [name for name in VIEW_BUNDLES if name in trained]


def _get_member_bundles(member: Member) -> tuple[str, ...]:
    """The bundles of views that its training has shown it: to a probe's head images and mirrored images alone."""
    bundles = get_trained_bundles(member.config.augment, flips=member.competition.flips)
    return tuple(name for name in bundles if name == "mirror") if member.is_probe else bundles


def _fit_with_bundles(oof: OofPredictions, blend: Blend, bundles: tuple[str, ...], rows: Rows) -> Blend:
    return _fit_with_views(oof, blend, tuple(list_bundle_views(member, bundles) for member in oof.pool), rows)


def _fit_with_views(oof: OofPredictions, blend: Blend, views: tuple[tuple[str, ...], ...], rows: Rows) -> Blend:
    """The blend with these views of each member; where it has temperatures, those of the means over views."""
    augmented = replace(blend, views=views)
    if not len(rows) or (blend.temperatures == 1.0).all():
        return augmented
    temperatures, scorer = np.ones(len(oof.pool)), oof.competition.scorer
    for index in blend.members:
        probs = oof.average_views(index, views[index])
        temperatures[index] = fit_member_temperatures(probs[None], oof.targets, scorer, rows)[0]
    return replace(augmented, temperatures=temperatures)


def _score(oof: OofPredictions, blended: Floats, rows: Rows) -> Merit:
    """The calibrated score of a blend, and of a metric that many blends score alike the log likelihood as well."""
    discrete = oof.competition.scorer.needs in DISCRETE
    return oof.score_calibrated(blended, rows), _compute_log_likelihood(oof, blended, rows) if discrete else 0.0


def _compute_log_likelihood(oof: OofPredictions, blended: Floats, rows: NDArray[np.int64]) -> float:
    probs, score = get_log_likelihood(oof.competition.scorer)(blended[None], oof.targets[rows])
    return float(score(probs)[0])
