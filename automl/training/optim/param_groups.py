"""Parameter groups of the optimizer: weight decay and layer-wise learning-rate decay.

A network's layers are numbered here, for the decay and for freezing alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import timm.optim
from timm.models._manipulate import group_with_matcher
from torch import nn

Layers = list[list[str]]  # of each layer the names of its parameters, from the input on

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
UNMATCHED = "unmatched"  # a name that no backbone knows


def build_param_groups(
    model: nn.Module, *, weight_decay: float, layer_decay: float, head_lr_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Build groups with "params", "weight_decay" and "lr_scale".

    Every trainable parameter of the model is in one of them.
    Biases, scales of norms and what the backbone itself lists are not decayed. With layer_decay below 1 each layer
    learns that much slower than the one above it; pooling and head learn at full rate, times head_lr_factor.
    Source: He et al. 2019, Bag of Tricks for Image Classification, section 3.1; Bao et al. 2021, BEiT, appendix on
    fine-tuning (layer-wise decay), numbered as in timm.optim.param_groups_layer_decay; Howard and Ruder 2018, ULMFiT,
    section 3.2 (a rate of its own for the head).
    """
    kept = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    groups = timm.optim.param_groups_weight_decay(model, weight_decay, no_weight_decay_list=kept)
    groups = [{**group, "lr_scale": 1.0} for group in groups if group["params"]]
    if layer_decay == head_lr_factor == 1.0:
        return groups
    return list(_split_by_lr_scale(model, groups, _compute_lr_scales(model, layer_decay, head_lr_factor)))


def number_layers(model: nn.Module) -> dict[str, int]:
    """Return the layer of each parameter by its name: 0 is the stem, then each block of the backbone, at last the head.

    A block is the unit that timm numbers for the family: a bottleneck, a dense layer, an Inception module, a
    transformer block; the stage in a few families (MaxViT, PVT). What follows the last block, such as a final norm or
    convolution, belongs to it, and a norm on its own to the layer before it. Backbones that timm does not number (cut
    ones, MetaFormer) are divided along their modules in the order in which they were registered.

    Args:
        model: has a `body`, the backbone; everything else in it is pooling and head.
    """
    layers = _find_layers(model.get_submodule("body"))
    numbers = {f"body.{name}": number for number, names in enumerate(layers) for name in names}
    return {name: numbers.get(name, len(layers)) for name, _ in model.named_parameters()}


def _compute_lr_scales(model: nn.Module, layer_decay: float, head_lr_factor: float) -> dict[int, float]:
    """Compute the lr_scale of each parameter by its id."""
    numbers = number_layers(model)
    last = max(numbers.values())
    scales = {number: layer_decay ** (last - number) for number in range(last)} | {last: head_lr_factor}
    return {id(parameter): scales[numbers[name]] for name, parameter in model.named_parameters()}


def _split_by_lr_scale(
    model: nn.Module, groups: list[dict[str, Any]], lr_scales: dict[int, float]
) -> Iterator[dict[str, Any]]:
    """Split each group into one for each lr_scale: with layer-wise decay one for each layer."""
    for group in groups:
        parts: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            parts.setdefault(lr_scales[id(parameter)], []).append(parameter)
        for lr_scale, parameters in parts.items():
            yield {**group, "params": parameters, "lr_scale": lr_scale}


def _find_layers(backbone: nn.Module) -> Layers:
    path, inner = _unwrap(backbone)
    layers, tail = _match_layers(inner) if hasattr(inner, "group_matcher") else _divide_modules(inner)
    dimensions = {name: parameter.ndim for name, parameter in inner.named_parameters()}
    joined = Layers()
    for names in layers:
        is_norm = all(dimensions[name] <= 1 for name in names)
        if is_norm and joined:
            joined[-1] += names
        else:
            joined.append(list(names))
    joined = [*joined[:-1], [*chain.from_iterable(joined[-1:]), *tail]]
    return [[path + name for name in names] for names in joined]


def _unwrap(backbone: nn.Module) -> tuple[str, nn.Module]:
    """Find the path and the module that has the layers, below wrappers that hold nothing else."""
    path = ""
    while not hasattr(backbone, "group_matcher") and not _list_own(backbone, ""):
        children = [(name, child) for name, child in backbone.named_children() if _list_parameters(child, "")]
        if len(children) != 1:
            break
        path, backbone = f"{path}{children[0][0]}.", children[0][1]
    return path, backbone


def _match_layers(backbone: nn.Module) -> tuple[Layers, list[str]]:
    """Return the layers as timm numbers them, and the parameters that it leaves to the head."""
    names = [*_list_parameters(backbone, ""), UNMATCHED]
    matcher = backbone.group_matcher(coarse=False)  # type: ignore[operator]
    *layers, rest = group_with_matcher(((name, name) for name in names), matcher).values()
    return layers, [name for name in rest if name != UNMATCHED]


def _divide_modules(backbone: nn.Module) -> tuple[Layers, list[str]]:
    """Return the layers, the first of which is all before the first stage, and what follows the last stage.

    Without any stage (VGG, Inception) each child is a layer.
    """
    own = _list_own(backbone, "")
    children = [(name, child) for name, child in backbone.named_children() if _list_parameters(child, "")]
    stages = [index for index, (name, child) in enumerate(children) if _is_stage(name, child)]
    first, last = (stages[0], stages[-1]) if stages else (1, len(children) - 1)
    stem = own + [name for path, child in children[:first] for name in _list_parameters(child, path)]
    layers = list(chain.from_iterable(_list_layers(path, child) for path, child in children[first : last + 1]))
    tail = [name for path, child in children[last + 1 :] for name in _list_parameters(child, path)]
    return ([stem, *layers] if stem else layers), tail


def _is_stage(name: str, module: nn.Module) -> bool:
    """Whether the module is a series of blocks, each with modules of its own, rather than one block."""
    if name.startswith("stem"):
        return False
    if isinstance(getattr(module, "blocks", None), CONTAINERS):
        return True
    is_series = type(module) is nn.Sequential or isinstance(module, (nn.ModuleList, nn.ModuleDict))
    return is_series and any(_list_parameters(part, "") for block in module.children() for part in block.children())


def _list_layers(path: str, module: nn.Module) -> Layers:
    """List the layers in a stage, or the module as one; what surrounds a stage's blocks belongs to the nearest one."""
    if not _is_stage(path.rpartition(".")[2], module):
        return [names] if (names := _list_parameters(module, path)) else []
    children = [(f"{path}.{name}", child) for name, child in module.named_children()]
    if not isinstance(getattr(module, "blocks", None), CONTAINERS):
        return [layer for name, child in children for layer in _list_layers(name, child)]
    before, layers = _list_own(module, path), Layers()
    for name, child in children:
        if name == f"{path}.blocks":
            first, *others = _list_layers(name, child)
            layers = [before + first, *others]
        elif layers:
            layers[-1] += _list_parameters(child, name)
        else:
            before += _list_parameters(child, name)
    return layers


def _list_parameters(module: nn.Module, path: str) -> list[str]:
    """List the module's parameters by name, as seen from where its path begins."""
    return [name for name, _ in module.named_parameters(prefix=path)]


def _list_own(module: nn.Module, path: str) -> list[str]:
    """List those parameters that are in none of its children."""
    return [name for name, _ in module.named_parameters(prefix=path, recurse=False)]
