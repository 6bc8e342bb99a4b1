"""The optimizer's parameter groups: which parameters are decayed, and each group's share of the learning rate.

Not responsible for: the optimizer (automl.training.optim) or which parameters train at all (automl.training.freezing).
"""

from __future__ import annotations

from typing import Any

import timm.optim
from torch import nn


def parameter_groups(model: nn.Module, *, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Groups with "params", "weight_decay" and "lr_scale"; every trainable parameter of the model is in one of them.

    Biases, scales of norms and what the backbone itself lists are not decayed.
    Source: He et al. 2019, Bag of Tricks for Image Classification, section 3.1.
    """
    kept = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    groups = timm.optim.param_groups_weight_decay(model, weight_decay, no_weight_decay_list=kept)
    return [{**group, "lr_scale": 1.0} for group in groups if group["params"]]
