"""Optimizers by name, with weight decay only where it belongs, and the learning rate of each step.

An optimizer can be rebuilt from its state_dict, which holds nothing but dicts, lists, tensors and scalars; the schedule
is a pure function, so that a resumed trial needs no scheduler state.
"""

from __future__ import annotations

import math
from typing import Any

import timm.optim
import torch
from torch import Tensor, nn

from automl.config import OptimConfig, TransferConfig
from automl.training.optim.param_groups import build_param_groups

# timm's optimizer that takes the step. SGD has Nesterov momentum; for the rest of sam see automl.training.optim.step.
BASES = {"lookahead_adam": "adam", "sam": "sgd"}
LOOKAHEADS = ("lookahead_adam", "ranger")

# RMSprop has no momentum: with timm's 0.9 its steps would be ten times those of Adam at the same learning rate, and one
# range could not serve both. Muon's is that of its author (github.com/KellerJordan/Muon).
MOMENTUM = {"rmsprop": 0.0, "muon": 0.95}

# Of the schedules step and plateau. Source: He et al. 2016, Deep Residual Learning, section 3.4.
STEP_DECAY = 0.1

# Of one_cycle: its peak is at this part of the steps; it begins and ends at these parts of the peak.
# Source: the defaults of torch.optim.lr_scheduler.OneCycleLR, which are fast.ai's.
PEAK_FRACTION, FIRST, LAST = 0.3, 1 / 25, 1 / 25e4

_SLOW = "lookahead_slow_buff"  # timm's name


def build_optimizer(model: nn.Module, optim: OptimConfig, transfer: TransferConfig) -> torch.optim.Optimizer:
    """Build the optimizer over all trainable parameters, in the groups of `automl.training.optim.param_groups`."""
    groups = build_param_groups(
        model,
        weight_decay=optim.weight_decay,
        layer_decay=transfer.layer_decay,
        head_lr_factor=transfer.head_lr_factor,
    )
    if optim.optimizer == "muon":
        groups = _split_muon_groups(groups, model)
    base = (
        _create_centralized_radam(groups, optim.lr)
        if optim.optimizer == "ranger"
        else _create_timm_optimizer(groups, optim)
    )
    return Lookahead(base) if optim.optimizer in LOOKAHEADS else base


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, scaled by its lr_scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


class Lookahead(timm.optim.Lookahead):  # type: ignore[misc]
    """An optimizer that after every sixth step goes half of its way back to where it was six steps before.

    timm's, but its slow weights begin where training does; timm's begin at the sixth step, which then goes nowhere.
    Those of a parameter begin with its first gradient, so that a backbone may be frozen first.
    Source: Zhang et al. 2019, Lookahead Optimizer, algorithm 1.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        state = self._base_optimizer.state
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        begins = [p for p in parameters if p.grad is not None and _SLOW not in state.get(p, {})]
        begin_at = [parameter.detach().clone() for parameter in begins]
        loss = super().step(closure)
        for parameter, slow in zip(begins, begin_at, strict=True):
            state[parameter].setdefault(_SLOW, slow)
        return loss


def _create_timm_optimizer(groups: list[dict[str, Any]], optim: OptimConfig) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
        groups,
        opt=BASES.get(optim.optimizer, optim.optimizer),
        lr=optim.lr,
        weight_decay=0.0,  # the groups carry their own
        momentum=MOMENTUM.get(optim.optimizer, 0.9),
    )
    return optimizer


def _create_centralized_radam(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """Create the base optimizer of Ranger.

    Not `pytorch_optimizer.Ranger`, against which it is tested: that counts steps by group, so that a backbone which was
    frozen first would begin without warmup, and by default its first five steps go uphill.
    Source: github.com/lessw2020/Ranger-Deep-Learning-Optimizer, whose betas and eps these are.
    """
    optimizer = torch.optim.RAdam(groups, lr=lr, betas=(0.95, 0.999), eps=1e-5, decoupled_weight_decay=True)
    optimizer.register_step_pre_hook(_centralize_gradients)
    return optimizer


def _centralize_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Take from each filter's gradient its mean.

    Source: Yong et al. 2020, Gradient Centralization, equation 1.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            gradient: Tensor | None = parameter.grad
            if gradient is not None and gradient.ndim > 1:
                gradient -= gradient.mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)


def _split_muon_groups(groups: list[dict[str, Any]], model: nn.Module) -> list[dict[str, Any]]:
    """Divide each group into what Muon may orthogonalise and what it must leave to AdamW.

    To AdamW go pooling and head, and what the backbone lists as unlike a matrix, such as tables of positions; among the
    rest timm finds biases, norms and depthwise filters by their shapes. Muon's steps are scaled to the size of AdamW's
    (timm's default), so that one learning rate serves both.
    Source: Jordan 2024, Muon (the head); Liu et al. 2025, Muon is Scalable for LLM Training, section 2.2 (the scale).
    """
    listed = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    spared = {
        id(parameter) for name, parameter in model.named_parameters() if name in listed or not name.startswith("body.")
    }
    divided = []
    for group in groups:
        for is_spared in (False, True):
            part = [parameter for parameter in group["params"] if (id(parameter) in spared) == is_spared]
            if part:
                divided.append({**group, "params": part, **({"use_fallback": True} if is_spared else {})})
    return divided


def get_lr(step: int, n_steps: int, optim: OptimConfig, *, plateaus: int = 0) -> float:
    """Return the learning rate of step (0-based) of n_steps: linear warmup to the peak, then the schedule.

    cosine falls to nearly zero at the last step, and cosine_restarts as often as the cycles, equally long, say; step
    falls at one half and at three quarters of all steps, plateau with each plateau; constant stays at the peak.
    one_cycle has a warmup of its own in place of the config's.

    Args:
        plateaus: how many there have been so far; the schedule of that name alone heeds them.

    Source: Goyal et al. 2017, section 2.2 (warmup); Loshchilov and Hutter 2017, SGDR, equation 5 (cosine); He et al.
    2016, section 4.2 (step); Smith and Topin 2018, Super-Convergence (one_cycle).
    """
    if optim.schedule == "one_cycle":
        return optim.lr * _compute_one_cycle(step, n_steps)
    n_warmup = round(optim.warmup_fraction * n_steps)
    if step < n_warmup:
        return optim.lr * (step + 1) / n_warmup
    if optim.schedule == "constant":
        return optim.lr
    if optim.schedule == "plateau":
        return float(optim.lr * STEP_DECAY**plateaus)
    if optim.schedule == "step":
        return float(optim.lr * STEP_DECAY ** ((2 * step >= n_steps) + (4 * step >= 3 * n_steps)))
    n_falling = n_steps - n_warmup
    progress = (step - n_warmup) * optim.cycles % n_falling / n_falling  # in whole numbers, which a restart needs
    return optim.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def _compute_one_cycle(step: int, n_steps: int) -> float:
    """Return the fraction of the peak; both halves of the cycle are halves of a cosine, and momentum stays as it is."""
    peak_at = PEAK_FRACTION * n_steps - 1
    if step <= peak_at:
        return _interpolate_cosine(FIRST, 1.0, step / peak_at)
    return _interpolate_cosine(1.0, LAST, (step - peak_at) / (n_steps - 1 - peak_at))


def _interpolate_cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * progress))
