"""Attention, pooling and head: the layers between a backbone and its outputs.

All of it is fresh, and takes feature maps of any size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import timm.layers
import torch
from torch import Tensor, nn

# What VGG flattens, 512 maps of 7 x 7 (Simonyan and Zisserman 2014, table 1): no layer reads more than that.
WIDEST_FLATTENED = 512 * 7 * 7
FINEST_GRID = 4


def build_pooling(n_channels: int, *, attention: str, pooling: str) -> tuple[nn.Sequential, int]:
    """Build (B, C, H, W) -> (B, F): attention on the map, then its pooling; and F.

    Args:
        attention: one of automl.config.ATTENTIONS.
        pooling: one of automl.config.POOLINGS but "own".
    """
    parts = OrderedDict[str, nn.Module]()
    if attention != "none":
        # Source: Hu et al. 2018, Squeeze-and-Excitation Networks, section 3; Woo et al. 2018, CBAM, section 3;
        # Wang et al. 2020, ECA-Net, section 3.
        parts["attention"] = timm.layers.create_attn(attention, n_channels)
    pool = POOLS[pooling](n_channels)
    parts["pool"] = pool
    return nn.Sequential(parts), pool.n_features


def build_head(n_features: int, n_outputs: int, *, hidden: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Build (B, F) -> (B, n_outputs): a linear layer `fc`, after hidden ones where they are asked for.

    Dropout stands before each layer; a hidden one is linear, batch norm and ReLU.
    Source: Howard and Gugger 2020, fastai: A Layered API for Deep Learning, section 4.1 (the head of vision models);
    Srivastava et al. 2014, Dropout, section 4.
    """
    parts = OrderedDict[str, nn.Module]()
    width = n_features
    for number, next_width in enumerate(hidden, 1):
        _add_dropout(parts, f"drop{number}", dropout)
        parts[f"hidden{number}"] = nn.Linear(width, next_width, bias=False)  # batch norm has one
        parts[f"norm{number}"] = nn.BatchNorm1d(next_width)
        parts[f"act{number}"] = nn.ReLU(inplace=True)
        width = next_width
    _add_dropout(parts, "drop", dropout)
    parts["fc"] = nn.Linear(width, n_outputs)
    return nn.Sequential(parts)


class Pool(nn.Module):
    """(B, C, H, W) -> (B, n_features)."""

    n_features: int


class StatisticPool(Pool):
    """(B, C, H, W) -> (B, C) or (B, 2C): the mean, the maximum, or both of each channel.

    Source: Lee et al. 2016, Generalizing Pooling Functions in Convolutional Neural Networks, section 3.1 (avgmax).
    """

    def __init__(self, n_channels: int, *, pool_type: str) -> None:
        super().__init__()
        # The "fast" ones are plain means and maxima, whose gradients are repeatable on a GPU; others' are not.
        self.pool: nn.Module = timm.layers.SelectAdaptivePool2d(pool_type=f"fast{pool_type}", flatten=True)
        self.n_features = n_channels * (2 if pool_type == "catavgmax" else 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.pool(features)  # type: ignore[no-any-return]


class GeMPool(Pool):
    """(B, C, H, W) -> (B, C): the generalised mean of what is positive in each channel.

    Between the mean (p = 1) and the maximum (p towards infinity); p is trained, and is not let below 1. Computed in
    float32 under autocast too, where powers of half-precision numbers overflow.

    Source: Radenovic et al. 2018, Fine-tuning CNN Image Retrieval with No Human Annotation, section 3.2; p = 3 to
        begin with and the clamp from its code (filipradenovic/cnnimageretrieval-pytorch, cirtorch/layers/pooling.py).
    """

    def __init__(self, n_channels: int, *, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))
        self.eps = eps
        self.n_features = n_channels

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            p = self.p.float().clamp(min=1.0)
            powers: Tensor = features.float().clamp(min=self.eps) ** p
            return powers.mean(dim=(2, 3)) ** (1.0 / p)


class GridPool(nn.Module):
    """(B, C, H, W) -> (B, C, G, G) for maps of any size: means over a grid whose cells overlap where they must.

    The result is that of adaptive average pooling, as two products with matrices: unlike that one's, their gradients
    are repeatable on a GPU.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, features: Tensor) -> Tensor:
        rows, columns = (self._means(n, features) for n in features.shape[2:])
        return rows @ features @ columns.mT

    def _means(self, n: int, features: Tensor) -> Tensor:
        """(G, n): row g takes the mean of positions floor(g n / G) to ceil((g + 1) n / G)."""
        cells = torch.arange(self.side, device=features.device).view(-1, 1)
        positions = torch.arange(n, device=features.device)
        begins, ends = cells * n // self.side, -(-(cells + 1) * n // self.side)
        inside = (positions >= begins) & (positions < ends)
        return inside.to(features.dtype) / (ends - begins).to(features.dtype)


class FlattenPool(Pool):
    """(B, C, H, W) -> (B, C G G): where in the image each feature was, on a grid that maps of all sizes are brought to.

    The grid has at most 4 x 4 cells, and fewer where the channels are so many that more than WIDEST_FLATTENED numbers
    would come out; it depends on nothing else, so that one head serves all image sizes of a resize schedule.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        sides = range(FINEST_GRID, 0, -1)
        side = next((side for side in sides if n_channels * side**2 <= WIDEST_FLATTENED), 1)
        self.grid = GridPool(side)
        self.n_features = n_channels * side**2

    def forward(self, features: Tensor) -> Tensor:
        return self.grid(features).flatten(1)  # type: ignore[no-any-return]


class AttentionPool(Pool):
    """(B, C, H, W) -> (B, C): the mean over positions, weighted by how much each is attended to.

    The weights are a softmax over positions of a small gated network; at first they are equal.

    Source: Ilse et al. 2018, Attention-based Deep Multiple Instance Learning, section 2.4 (equation 9); 128 units from
        its code (AMLab-Amsterdam/AttentionDeepMIL).
    """

    def __init__(self, n_channels: int, *, n_units: int = 128) -> None:
        super().__init__()
        self.candidate = nn.Linear(n_channels, n_units)
        self.gate = nn.Linear(n_channels, n_units)
        self.score = nn.Linear(n_units, 1, bias=False)  # softmax would not see a bias
        nn.init.zeros_(self.score.weight)
        self.n_features = n_channels

    def forward(self, features: Tensor) -> Tensor:
        positions = features.flatten(2).mT  # (B, H W, C)
        scores = self.score(self.candidate(positions).tanh() * self.gate(positions).sigmoid())
        weights = scores.float().softmax(dim=1).to(positions.dtype)
        pooled: Tensor = (weights * positions).sum(dim=1)
        return pooled


POOLS: dict[str, Callable[[int], Pool]] = {
    "avg": partial(StatisticPool, pool_type="avg"),
    "max": partial(StatisticPool, pool_type="max"),
    "avgmax": partial(StatisticPool, pool_type="avgmax"),
    "catavgmax": partial(StatisticPool, pool_type="catavgmax"),
    "gem": GeMPool,
    "flatten": FlattenPool,
    "attention": AttentionPool,
}


def _add_dropout(parts: OrderedDict[str, nn.Module], name: str, dropout: float) -> None:
    """Off, it costs nothing."""
    if dropout > 0:
        parts[name] = nn.Dropout(dropout)
