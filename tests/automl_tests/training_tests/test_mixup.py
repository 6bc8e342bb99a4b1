"""Mixup and CutMix: their algebra, and their draws against timm's."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from timm.data.mixup import Mixup, cutmix_bbox_and_lam, mixup_target
from torch import Tensor

from automl.config import AugmentConfig
from automl.training.loss.mixup import Mix, draw_mix, is_mixed, mix_images, mix_targets, to_soft_targets

SIZE = 12
MIXUP = AugmentConfig(mixup_alpha=0.4)
CUTMIX = AugmentConfig(cutmix_alpha=1.0)
BOTH = AugmentConfig(mixup_alpha=0.4, cutmix_alpha=1.0)


@pytest.fixture
def images() -> Tensor:
    """(6, 3, 12, 12)"""
    return torch.randn(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def drawn(augment: AugmentConfig, *, n: int = 1, n_images: int = 6, image_size: int = SIZE, seed: int = 0) -> list[Mix]:
    rng = np.random.default_rng(seed)
    mixes = (draw_mix(augment, n_images, image_size, rng) for _ in range(n))
    return [mix for mix in mixes if mix is not None]


def test_nothing_is_mixed_without_an_alpha() -> None:
    assert not is_mixed(AugmentConfig(), 0, 10)
    assert drawn(AugmentConfig(), n=20) == []


@pytest.mark.parametrize("augment", [MIXUP, CUTMIX, BOTH])
@pytest.mark.parametrize(("epochs", "n_mixed"), [(1, 1), (2, 2), (3, 2), (5, 4), (10, 8)])
def test_the_last_fifth_of_the_epochs_is_plain(augment: AugmentConfig, epochs: int, n_mixed: int) -> None:
    assert [is_mixed(augment, epoch, epochs) for epoch in range(epochs)] == [epoch < n_mixed for epoch in range(epochs)]


@pytest.mark.parametrize(("fraction", "n_mixed"), [(0.0, 4), (0.5, 2), (1.0, 0)])
def test_the_plain_fraction_is_the_configs(fraction: float, n_mixed: int) -> None:
    augment = AugmentConfig(mixup_alpha=1.0, mix_off_fraction=fraction)
    assert sum(is_mixed(augment, epoch, 4) for epoch in range(4)) == n_mixed


def test_a_draw_follows_from_the_generator() -> None:
    (first,), (again,), (other,) = drawn(BOTH), drawn(BOTH), drawn(BOTH, seed=5)
    assert np.array_equal(first.partners, again.partners)
    assert (first.own_weight, first.box) == (again.own_weight, again.box)
    assert first.own_weight != other.own_weight


@pytest.mark.parametrize("augment", [MIXUP, CUTMIX, BOTH])
def test_partners_are_a_permutation_and_shares_are_shares(augment: AugmentConfig) -> None:
    for mix in drawn(augment, n=50):
        assert sorted(mix.partners) == list(range(6))
        assert mix.partners.dtype == np.int64
        assert 0.0 <= mix.own_weight <= 1.0


def test_a_batch_has_one_kind_of_mixing_with_equal_chance_where_both_are_on() -> None:
    assert all(mix.box is None for mix in drawn(MIXUP, n=20))
    assert all(mix.box is not None for mix in drawn(CUTMIX, n=20))
    with_box = np.mean([mix.box is not None for mix in drawn(BOTH, n=2000)])
    assert with_box == pytest.approx(0.5, abs=0.04)


def test_as_many_batches_are_mixed_as_the_probability_says() -> None:
    assert len(drawn(AugmentConfig(cutmix_alpha=1.0, mix_probability=0.3), n=2000)) == pytest.approx(600, abs=70)


@pytest.mark.parametrize("augment", [MIXUP, BOTH])
def test_mixups_share_has_the_moments_of_the_beta_distribution(augment: AugmentConfig) -> None:
    shares = [mix.own_weight for mix in drawn(augment, n=6000) if mix.box is None]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.006)


def test_the_share_is_that_of_the_pixels_that_remain(images: Tensor) -> None:
    for mix in drawn(CUTMIX, n=100):
        mixed = mix_images(torch.ones(1, 3, SIZE, SIZE), torch.zeros(1, 3, SIZE, SIZE), mix)
        assert mixed.mean().item() == pytest.approx(mix.own_weight, abs=1e-6)


def test_a_box_that_lies_inside_the_image_is_a_square() -> None:
    inside = [
        mix.box for mix in drawn(CUTMIX, n=200, image_size=64) if mix.box and 0 < min(mix.box) < max(mix.box) < 64
    ]
    assert len(inside) > 20
    assert all(bottom - top == right - left for top, bottom, left, right in inside)
    assert {(bottom - top) % 2 for top, bottom, _, _ in inside} == {0, 1}  # of any whole number of pixels


@pytest.mark.parametrize("augment", [AugmentConfig(cutmix_alpha=2.0), AugmentConfig(mixup_alpha=0.1, cutmix_alpha=2.0)])
def test_boxes_and_shares_are_distributed_as_timms(augment: AugmentConfig) -> None:
    """By the means, spreads and correlations of the boxes' edges and of the shares, on 32 pixels."""
    mixes = drawn(augment, n=8000, image_size=32)
    ours = np.array([(*mix.box, mix.own_weight) for mix in mixes if mix.box])
    np.random.seed(0)
    theirs = np.empty((6000, 5))
    for row, share in zip(theirs, np.random.beta(2.0, 2.0, size=6000), strict=True):
        row[:4], row[4] = cutmix_bbox_and_lam((6, 3, 32, 32), share)
    assert np.allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.6)
    assert np.allclose(ours.std(axis=0), theirs.std(axis=0), atol=0.6)
    assert np.allclose(ours[:, 4].mean(), theirs[:, 4].mean(), atol=0.015)
    assert np.allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.08)


def test_mixup_is_timms_for_the_same_share_and_partners(images: Tensor) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    np.random.seed(3)
    timms = Mixup(mixup_alpha=0.4, label_smoothing=0.0, num_classes=3)
    np.random.seed(4)
    share, _ = timms._params_per_batch()
    np.random.seed(4)
    expected_images, expected_shares = timms(images.clone(), labels)
    mix = Mix(np.arange(6)[::-1].copy(), share, None)
    assert torch.allclose(mix_images(images, images[mix.partners], mix), expected_images)
    shares = to_soft_targets(labels, 3)
    assert torch.allclose(mix_targets(shares, shares[mix.partners], mix), expected_shares)


def test_cutmix_is_timms_for_the_same_box_and_partners(images: Tensor) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    np.random.seed(4)
    timms = Mixup(mixup_alpha=0.0, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=3)
    expected, expected_shares = timms(images.clone(), labels)
    np.random.seed(4)
    share, _ = timms._params_per_batch()
    (top, bottom, left, right), corrected = cutmix_bbox_and_lam(images.shape, share)
    mix = Mix(np.arange(6)[::-1].copy(), float(corrected), (int(top), int(bottom), int(left), int(right)))
    assert torch.equal(mix_images(images, images[mix.partners], mix), expected)
    assert torch.allclose(mixup_target(labels, 3, corrected), expected_shares)
    shares = to_soft_targets(labels, 3)
    assert torch.allclose(mix_targets(shares, shares[mix.partners], mix), expected_shares)


@pytest.mark.parametrize("box", [None, (4, 4, 2, 9)])
def test_a_share_of_one_leaves_images_and_labels_as_they_are(images: Tensor, box: tuple[int, int, int, int]) -> None:
    mix = Mix(np.arange(6)[::-1].copy(), 1.0, box)
    shares = to_soft_targets(torch.arange(6) % 3, 3)
    assert torch.equal(mix_images(images, images[mix.partners], mix), images)
    assert torch.equal(mix_targets(shares, shares[mix.partners], mix), shares)


@pytest.mark.parametrize("box", [None, (0, SIZE, 0, SIZE)])
def test_a_share_of_nothing_leaves_the_partners(images: Tensor, box: tuple[int, int, int, int]) -> None:
    mix = Mix(np.arange(6)[::-1].copy(), 0.0, box)
    assert torch.equal(mix_images(images, images[mix.partners], mix), images.flip(0))


@pytest.mark.parametrize("augment", [MIXUP, CUTMIX])
def test_parts_of_a_batch_mix_to_the_whole_and_leave_their_inputs_whole(augment: AugmentConfig, images: Tensor) -> None:
    (mix,) = drawn(augment, seed=2)
    before = images.clone()
    whole = mix_images(images, images[mix.partners], mix)
    parts = [mix_images(images[part], images[mix.partners[part]], mix) for part in (slice(0, 2), slice(2, 6))]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(whole, before)
    assert torch.equal(images, before)


@given(st.floats(0, 1), st.integers(2, 9), st.integers(0, 1000))
def test_mixed_soft_targets_sum_to_one(own_weight: float, n_classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mix = Mix(rng.permutation(5), own_weight, None)
    shares = to_soft_targets(torch.from_numpy(rng.integers(0, n_classes, size=5)), n_classes)
    mixed = mix_targets(shares, shares[mix.partners], mix)
    assert (mixed >= 0).all()
    assert torch.allclose(mixed.sum(dim=1), torch.ones(5))


def test_soft_targets_of_a_class_index_are_one_for_that_class() -> None:
    shares = to_soft_targets(torch.tensor([2, 0]), 3)
    assert shares.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert shares.dtype is torch.float32
