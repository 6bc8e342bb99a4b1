"""Splits and resamples: classes spread evenly, groups whole."""

from __future__ import annotations

import numpy as np
import pytest

from automl.decisions.resampling import N_SPLITS, assign_stratified_splits, draw_resamples, sample_rows


def test_each_split_has_its_share_of_each_class() -> None:
    targets = np.repeat([0, 1, 2], [100, 50, 5])
    splits = assign_stratified_splits(targets, None, seed=0)
    counts = np.array([np.bincount(splits[targets == c], minlength=N_SPLITS) for c in range(3)])
    np.testing.assert_array_equal(counts, np.array([[20], [10], [1]]).repeat(N_SPLITS, axis=1))


def test_labels_are_spread_by_the_rarest() -> None:
    targets = np.zeros((100, 2), dtype=int)
    targets[:, 0] = 1
    targets[:10, 1] = 1
    splits = assign_stratified_splits(targets, None, seed=0)
    np.testing.assert_array_equal(np.bincount(splits[:10], minlength=N_SPLITS), 2)


def test_groups_stay_whole() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 60)
    splits = assign_stratified_splits(rng.integers(0, 2, 60), groups, seed=0)
    assert all(len(set(splits[groups == group].tolist())) == 1 for group in groups)
    assert set(splits.tolist()) == set(range(N_SPLITS))
    for rows in draw_resamples(60, groups, seed=0, n_resamples=5):
        times = np.bincount(rows, minlength=60)
        assert all(len(set(times[groups == group].tolist())) == 1 for group in groups)
    chosen = sample_rows(60, groups, n_rows=25, seed=0)
    assert 0 < len(chosen) <= 25
    assert set(groups[chosen].tolist()).isdisjoint(np.delete(groups, chosen).tolist())


def test_a_group_larger_than_the_sample_is_still_drawn() -> None:
    assert len(sample_rows(10, np.zeros(10), n_rows=3, seed=0)) == 10
    np.testing.assert_array_equal(sample_rows(4, None, n_rows=9, seed=0), np.arange(4))


def test_resamples_draw_as_many_rows_as_there_are_on_average() -> None:
    sizes = [len(rows) for rows in draw_resamples(50, np.repeat(np.arange(10), 5), seed=0)]
    assert np.mean(sizes) == pytest.approx(50)


def test_rows_of_several_heads_are_split_evenly_by_the_rarest_of_their_classes() -> None:
    rng = np.random.default_rng(0)
    targets = np.stack([rng.integers(0, 3, 200), np.where(np.arange(200) < 20, 4, 3)], axis=1)
    splits = assign_stratified_splits(targets, None, seed=0)
    assert [int((targets[splits == split, 1] == 4).sum()) for split in range(N_SPLITS)] == [4] * N_SPLITS
