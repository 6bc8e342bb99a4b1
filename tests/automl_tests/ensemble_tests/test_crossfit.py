"""Blends with fewer members or views, and the fits of which each has not seen its own split."""

from __future__ import annotations

import numpy as np
import pytest

from automl.ensemble.crossfit import (
    IDENTITY_ONLY,
    Blend,
    CrossFitted,
    drop_views,
    list_members,
    select_members_of_fit,
)

SPLITS = np.array([0, 1, 2, 0, 1, 2, 2])


def blend_of(*weights: float, views: tuple[str, ...] = IDENTITY_ONLY) -> Blend:
    return Blend(np.array(weights), np.ones(len(weights)), (views,) * len(weights))


def test_members_are_those_that_weigh_anything() -> None:
    assert blend_of(0.5, 0.0, 0.5).members == [0, 2]


def test_weights_of_selected_members_sum_to_one_in_their_old_proportion() -> None:
    selected = blend_of(0.5, 0.2, 0.3).select_members([1, 2])
    assert selected is not None
    assert selected.weights == pytest.approx([0.0, 0.4, 0.6])
    assert blend_of(0.5, 0.5, 0.0).select_members([2]) is None
    assert blend_of(0.5, 0.5, 0.0).select_members([]) is None


def test_views_are_dropped_from_every_member() -> None:
    views = ("identity", "mirror", "up")
    blend = blend_of(0.5, 0.5, views=views)
    assert blend.without_views({"mirror"}).views == (("identity", "up"),) * 2
    assert blend.views == (views,) * 2
    fit = CrossFitted(blend, SPLITS, (blend, blend_of(1.0, 0.0), blend))
    dropped = drop_views(fit, {"mirror", "up"})
    assert all(own.views == (IDENTITY_ONLY,) * 2 for own in (dropped.final, *dropped.per_split))


def test_each_split_is_refitted_to_the_rows_of_the_others_and_the_final_one_to_all() -> None:
    fit: CrossFitted[list[int]] = CrossFitted([], SPLITS, ([], [], []))
    refitted = fit.refit(lambda own, rows: rows.tolist())
    assert refitted.final == list(range(7))
    assert refitted.per_split == ([1, 2, 4, 5, 6], [0, 2, 3, 5, 6], [0, 1, 3, 4])
    assert refitted.splits is SPLITS


def test_a_change_is_made_to_every_fit() -> None:
    fit = CrossFitted(1, SPLITS, (2, 3, 4)).map(lambda own: 10 * own)
    assert (fit.final, fit.per_split) == (10, (20, 30, 40))


def test_members_of_one_split_alone_are_listed() -> None:
    fit = CrossFitted(blend_of(0.0, 1.0, 0.0), SPLITS[:2], (blend_of(0.0, 1.0, 0.0), blend_of(1.0, 0.0, 0.0)))
    assert list_members(fit) == [0, 1]


def test_a_split_without_any_selected_member_takes_the_final_weights() -> None:
    fit = CrossFitted(blend_of(0.5, 0.5), SPLITS[:2], (blend_of(1.0, 0.0), blend_of(0.2, 0.8)))
    selected = select_members_of_fit(fit, [1])
    assert selected is not None
    assert [own.weights.tolist() for own in (selected.final, *selected.per_split)] == [[0.0, 1.0]] * 3
    only_in_split = CrossFitted(blend_of(1.0, 0.0), SPLITS[:2], (blend_of(1.0, 0.0), blend_of(0.2, 0.8)))
    assert select_members_of_fit(only_in_split, [1]) is None
