"""How well a classifier separates two sets of images, and how certain its area under the curve is."""

from __future__ import annotations

import numpy as np
import pytest

from automl.inspection.adversarial_validation import Separability, measure_separability

N = 200


def measure_by_chance(seed: int, *, paired: bool) -> Separability:
    """Of kinds that do not differ; paired ones are each other's opposites, as an image and its mirror image."""
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(N, 30))
    other = -one if paired else rng.normal(size=(N, 30))
    units = np.tile(np.arange(N), 2) if paired else rng.permutation(2 * N)
    separability = measure_separability(np.concatenate([one, other]), np.repeat([0, 1], N), units)
    assert separability is not None
    return separability


@pytest.mark.slow
@pytest.mark.parametrize("paired", [False, True])
def test_where_nothing_differs_the_area_is_a_half_within_its_error(paired: bool) -> None:
    separability = [measure_by_chance(seed, paired=paired) for seed in range(30)]
    areas, errors = np.array([each.auc for each in separability]), np.array([each.error for each in separability])
    assert abs(areas.mean() - 0.5) < 3 * areas.std() / np.sqrt(len(separability))
    assert 0.8 < errors.mean() / areas.std() < 1.5
    assert sum(each.is_slight for each in separability) <= 4


@pytest.mark.slow
def test_kinds_of_different_frequency_are_not_separated_below_chance() -> None:
    """Parts with more of one kind were predicted by models that had seen less of it: pooled, areas fall below 0.5."""
    rng = np.random.default_rng(0)
    is_other = (np.arange(N) < N // 4).astype(np.int64)
    areas = []
    for _ in range(40):
        separability = measure_separability(rng.normal(size=(N, 1)), is_other, rng.permutation(N))
        assert separability is not None
        areas.append(separability.auc)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def test_what_differs_is_separable() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(N, 3)), rng.normal((2.0, 0.0, 0.0), size=(N, 3))])
    separability = measure_separability(features, np.repeat([0, 1], N), rng.permutation(2 * N))
    assert separability is not None
    assert separability.auc == pytest.approx(0.92, abs=0.03)  # Phi(2 / sqrt(2))
    assert separability.is_clear


def test_what_differs_in_its_spread_alone_is_separable() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(N, 1)), 5 * rng.normal(size=(N, 1))])
    separability = measure_separability(features, np.repeat([0, 1], N), rng.permutation(2 * N))
    assert separability is not None
    assert separability.is_clear


def test_features_that_are_all_alike_tell_nothing() -> None:
    assert measure_separability(np.ones((2 * N, 3)), np.repeat([0, 1], N), np.arange(2 * N)) is None


def test_units_that_hold_one_kind_each_tell_nothing() -> None:
    features = np.random.default_rng(0).normal(size=(2 * N, 3))
    assert measure_separability(features, np.repeat([0, 1], N), np.repeat(np.arange(5), 2 * N // 5)) is None
