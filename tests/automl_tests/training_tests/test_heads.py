"""Attention, poolings and heads: against torch's own and hand-worked numbers."""

from __future__ import annotations

import pytest
import timm.layers
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from automl.config import ATTENTIONS, POOLINGS
from automl.training.network.heads import (
    POOLS,
    WIDEST_FLATTENED,
    AttentionPool,
    FlattenPool,
    GeMPool,
    GridPool,
    build_head,
    build_pooling,
)


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


def test_each_pooling_of_the_vocabulary_but_the_backbones_own_is_there() -> None:
    assert {"own", *POOLS} == set(POOLINGS)


@pytest.mark.parametrize("pooling", sorted(POOLS))
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_neck_makes_vectors_of_one_width_from_maps_of_every_size(pooling: str, attention: str) -> None:
    neck, n_features = build_pooling(16, attention=attention, pooling=pooling)
    for height, width in ((1, 1), (2, 2), (3, 3), (7, 7), (5, 9)):
        pooled = neck(maps(2, 16, height, width).requires_grad_())
        assert pooled.shape == (2, n_features)
        pooled.square().sum().backward()
        assert torch.isfinite(pooled).all()
    gradients = {name: parameter.grad for name, parameter in neck.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []


@pytest.mark.parametrize("kind", ["avg", "max", "avgmax", "catavgmax"])
def test_the_plain_poolings_are_those_of_timm(kind: str) -> None:
    neck, n_features = build_pooling(6, attention="none", pooling=kind)
    reference = timm.layers.SelectAdaptivePool2d(pool_type=kind, flatten=True)
    features = maps(3, 6, 5, 5)
    torch.testing.assert_close(neck(features), reference(features))
    assert n_features == 6 * reference.feat_mult()


@pytest.mark.parametrize("attention", ["se", "cbam", "eca"])
def test_attention_changes_the_map_before_it_is_pooled(attention: str) -> None:
    plain, _ = build_pooling(16, attention="none", pooling="avg")
    attending, _ = build_pooling(16, attention=attention, pooling="avg")
    features = maps(2, 16, 4, 4)
    assert type(attending.attention) is timm.layers.get_attn(attention)
    torch.testing.assert_close(attending(features), plain(attending.attention(features)))
    assert not torch.allclose(attending(features), plain(features))


def test_gem_is_the_generalised_mean_and_lies_between_mean_and_maximum() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]])
    assert GeMPool(1)(features).item() == pytest.approx((36 / 4) ** (1 / 3))  # (1 + 8 + 27) / 4
    assert GeMPool(1, p=1.0)(features).item() == pytest.approx(6 / 4)
    assert GeMPool(1, p=2.0)(features).item() == pytest.approx((14 / 4) ** 0.5)
    assert GeMPool(1, p=30.0)(features).item() == pytest.approx(3.0, rel=0.05)


def test_gem_learns_its_power_and_never_passes_below_the_mean() -> None:
    pool = GeMPool(3)
    pool(maps(2, 3, 4, 4)).sum().backward()
    assert pool.p.grad is not None and pool.p.grad.abs() > 0
    features = maps(2, 3, 4, 4).abs()
    torch.testing.assert_close(GeMPool(3, p=-5.0)(features), features.mean(dim=(2, 3)))


def test_gem_does_not_overflow_where_half_precision_would() -> None:
    features = torch.full((1, 2, 3, 3), 200.0)
    with torch.autocast("cpu", dtype=torch.float16):
        pooled = GeMPool(2)(features.half())
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, torch.full((1, 2), 200.0))


def test_gem_of_a_channel_without_anything_positive_has_finite_gradients() -> None:
    pool, features = GeMPool(2), torch.full((1, 2, 3, 3), -1.0, requires_grad=True)
    pool(features).sum().backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()
    assert pool.p.grad is not None and torch.isfinite(pool.p.grad).all()


@pytest.mark.parametrize("side", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 4), (5, 7), (13, 12)])
def test_the_grid_holds_the_means_of_adaptive_average_pooling(side: int, shape: tuple[int, int]) -> None:
    features = maps(2, 3, *shape)
    torch.testing.assert_close(GridPool(side)(features), F.adaptive_avg_pool2d(features, side))


@pytest.mark.parametrize(
    ("n_channels", "side"), [(4, 4), (512, 4), (1536, 4), (2048, 3), (2560, 3), (4096, 2), (30000, 1)]
)
def test_flattening_keeps_as_fine_a_grid_as_its_width_allows(n_channels: int, side: int) -> None:
    pool = FlattenPool(n_channels)
    assert pool.n_features == n_channels * side**2
    assert pool.n_features <= WIDEST_FLATTENED or side == 1
    assert pool(torch.zeros(1, n_channels, 7, 7)).shape == (1, pool.n_features)


def test_flattening_tells_where_something_is_and_a_mean_does_not() -> None:
    features = maps(1, 2, 8, 8)
    turned = features.flip(3)
    assert not torch.allclose(FlattenPool(2)(features), FlattenPool(2)(turned))
    mean, _ = build_pooling(2, attention="none", pooling="avg")
    torch.testing.assert_close(mean(features), mean(turned))


def test_attention_pooling_begins_as_the_mean() -> None:
    features = maps(2, 5, 3, 4)
    torch.testing.assert_close(AttentionPool(5)(features), features.mean(dim=(2, 3)))


def test_attention_pooling_weights_positions_by_its_scores() -> None:
    pool = AttentionPool(2, n_units=3)
    nn.init.ones_(pool.score.weight)
    features = maps(1, 2, 1, 3)
    positions = features[0, :, 0].T
    hidden = torch.tanh(positions @ pool.candidate.weight.T + pool.candidate.bias)
    gates = torch.sigmoid(positions @ pool.gate.weight.T + pool.gate.bias)
    weights = (hidden * gates).sum(dim=1).softmax(dim=0)
    torch.testing.assert_close(pool(features)[0], weights @ positions)


def test_a_head_without_hidden_layers_is_one_linear_layer() -> None:
    head = build_head(5, 3, hidden=(), dropout=0.0)
    assert [type(part) for part in head] == [nn.Linear]
    assert list(head.state_dict()) == ["fc.weight", "fc.bias"]


def test_a_head_has_the_hidden_layers_in_order_and_dropout_before_each_layer() -> None:
    head = build_head(5, 3, hidden=(8, 4), dropout=0.25)
    block = [nn.Dropout, nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(part) for part in head] == [*block, *block, nn.Dropout, nn.Linear]
    linear = [(part.in_features, part.out_features) for part in head if isinstance(part, nn.Linear)]
    assert linear == [(5, 8), (8, 4), (4, 3)]
    assert {part.p for part in head if isinstance(part, nn.Dropout)} == {0.25}
    assert head(maps(2, 5)).shape == (2, 3)


def test_dropout_does_not_rename_the_weights() -> None:
    names = [list(build_head(5, 3, hidden=(8,), dropout=dropout).state_dict()) for dropout in (0.0, 0.5)]
    assert names[0] == names[1]
