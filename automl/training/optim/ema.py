"""Exponential moving average (EMA) of the weights, which often predicts better than the last ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from automl.training.network.shared_backbone import drop_backbone


class ModelEma:
    """An exponential moving average of a network's parameters and running statistics, as a network of its own.

    Source: Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; Tarvainen and Valpola 2017,
    Mean teachers, section 2.

    Attributes:
        model: with the averaged weights, in evaluation mode; never trained.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        """Begin at the model's weights.

        Args:
            decay: of the average's own share at each update, in [0, 1).
        """
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, n_updates: int, *, with_backbone: bool = True) -> None:
        """Take in the model's weights of this moment.

        Args:
            n_updates: how many have come before this one.
            with_backbone: whether those of the backbone may have changed.
        """
        averaged, floats = [], []
        pairs = zip(_tensors(self.model, with_backbone), _tensors(model, with_backbone), strict=True)
        for mean, value in pairs:
            if mean.is_floating_point():
                averaged.append(mean)
                floats.append(value.detach().to(mean))
            else:
                mean.copy_(value)
        torch._foreach_lerp_(averaged, floats, 1.0 - warm_up_decay(self._decay, n_updates))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights and statistics under the model's names."""
        return self.model.state_dict()

    def load_state_dict(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        self.model.load_state_dict(weights)


def compute_decay(horizon_fraction: float, n_steps: int) -> float:
    """Compute the decay whose average reaches back over this fraction of all steps: over 1 / (1 - decay) of them.

    At least 0.

    Source: Busbridge et al. 2023, How to Scale Your EMA, whose rule keeps the reach the same part of a run.
    """
    return max(0.0, 1.0 - 1.0 / (horizon_fraction * n_steps))


def warm_up_decay(decay: float, n_updates: int) -> float:
    """Compute the decay of an update after n_updates others: lower at first, so that fresh weights are forgotten.

    Source: tf.train.ExponentialMovingAverage with num_updates.
    """
    return min(decay, (1 + n_updates) / (10 + n_updates))


def _tensors(model: nn.Module, with_backbone: bool) -> list[Tensor]:
    """List parameters and those buffers that belong to a checkpoint, each once, also where modules share them."""
    named = model.state_dict(keep_vars=True)
    kept = named if with_backbone else drop_backbone(named)
    return list({id(tensor): tensor for tensor in kept.values()}.values())
