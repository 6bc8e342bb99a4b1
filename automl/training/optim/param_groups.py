"""The optimizer's parameter groups: which parameters are decayed, and each group's share of the learning rate.

A network's layers are numbered here, for the shares and for freezing alike. Not responsible for: the optimizer
(automl.training.optim.optimizers) or which parameters train at all (automl.training.optim.freezing).
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


def parameter_groups(model: nn.Module, *, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Groups with "params", "weight_decay" and "lr_scale"; every trainable parameter of the model is in one of them.

    Biases, scales of norms and what the backbone itself lists are not decayed. With layer_decay below 1 each layer
    learns that much slower than the one above it; neck and head learn at full rate.
    Source: He et al. 2019, Bag of Tricks for Image Classification, section 3.1; Bao et al. 2021, BEiT, appendix on
    fine-tuning (layer-wise decay), numbered as in timm.optim.param_groups_layer_decay.
    """
    kept = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    groups = timm.optim.param_groups_weight_decay(model, weight_decay, no_weight_decay_list=kept)
    groups = [{**group, "lr_scale": 1.0} for group in groups if group["params"]]
    return groups if layer_decay == 1.0 else list(_by_layer(model, groups, layer_decay))


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """The layer of each parameter by its name: 0 is the stem, then each block of the body, at last neck and head.

    A block is the unit that timm numbers for the family: a bottleneck, a dense layer, an Inception module, a
    transformer block; the stage in a few families (MaxViT, PVT). What follows the last block, such as a final norm or
    convolution, belongs to it, and a norm on its own to the layer before it. Bodies that timm does not number (cut
    ones, MetaFormer) are divided along their modules in the order in which they were registered.

    Args:
        model: has a `body`; everything else in it is neck and head.
    """
    layers = _layers_of(model.get_submodule("body"))
    numbers = {f"body.{name}": number for number, names in enumerate(layers) for name in names}
    return {name: numbers.get(name, len(layers)) for name, _ in model.named_parameters()}


def _by_layer(model: nn.Module, groups: list[dict[str, Any]], layer_decay: float) -> Iterator[dict[str, Any]]:
    """The groups, each parted into one for each layer."""
    numbers = layer_numbers(model)
    number_of = {id(parameter): numbers[name] for name, parameter in model.named_parameters()}
    last = max(numbers.values())
    for group in groups:
        layers: dict[int, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            layers.setdefault(number_of[id(parameter)], []).append(parameter)
        for number, parameters in layers.items():
            yield {**group, "params": parameters, "lr_scale": layer_decay ** (last - number)}


def _layers_of(body: nn.Module) -> Layers:
    path, inner = _unwrapped(body)
    layers, tail = _matched(inner) if hasattr(inner, "group_matcher") else _along_modules(inner)
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


def _unwrapped(body: nn.Module) -> tuple[str, nn.Module]:
    """The path and the module that has the layers, below wrappers that hold nothing else."""
    path = ""
    while not hasattr(body, "group_matcher") and not _own(body, ""):
        children = [(name, child) for name, child in body.named_children() if _names(child, "")]
        if len(children) != 1:
            break
        path, body = f"{path}{children[0][0]}.", children[0][1]
    return path, body


def _matched(body: nn.Module) -> tuple[Layers, list[str]]:
    """The layers as timm numbers them, and the parameters that it leaves to the head."""
    names = [*_names(body, ""), UNMATCHED]
    matcher = body.group_matcher(coarse=False)  # type: ignore[operator]
    *layers, rest = group_with_matcher(((name, name) for name in names), matcher).values()
    return layers, [name for name in rest if name != UNMATCHED]


def _along_modules(body: nn.Module) -> tuple[Layers, list[str]]:
    """The layers, the first of which is all that precedes the first stage, and what follows the last stage.

    Without any stage (VGG, Inception) each child is a layer.
    """
    own = _own(body, "")
    children = [(name, child) for name, child in body.named_children() if _names(child, "")]
    stages = [index for index, (name, child) in enumerate(children) if _is_stage(name, child)]
    first, last = (stages[0], stages[-1]) if stages else (1, len(children) - 1)
    stem = own + [name for path, child in children[:first] for name in _names(child, path)]
    layers = list(chain.from_iterable(_opened(path, child) for path, child in children[first : last + 1]))
    tail = [name for path, child in children[last + 1 :] for name in _names(child, path)]
    return ([stem, *layers] if stem else layers), tail


def _is_stage(name: str, module: nn.Module) -> bool:
    """Whether the module is a series of blocks, each with modules of its own, rather than one block."""
    if name.startswith("stem"):
        return False
    if isinstance(getattr(module, "blocks", None), CONTAINERS):
        return True
    is_series = type(module) is nn.Sequential or isinstance(module, (nn.ModuleList, nn.ModuleDict))
    return is_series and any(_names(part, "") for block in module.children() for part in block.children())


def _opened(path: str, module: nn.Module) -> Layers:
    """The layers in a stage, or the module as one layer; what surrounds a stage's blocks belongs to the nearest one."""
    if not _is_stage(path.rpartition(".")[2], module):
        return [names] if (names := _names(module, path)) else []
    children = [(f"{path}.{name}", child) for name, child in module.named_children()]
    if not isinstance(getattr(module, "blocks", None), CONTAINERS):
        return [layer for name, child in children for layer in _opened(name, child)]
    before, layers = _own(module, path), Layers()
    for name, child in children:
        if name == f"{path}.blocks":
            first, *others = _opened(name, child)
            layers = [before + first, *others]
        elif layers:
            layers[-1] += _names(child, name)
        else:
            before += _names(child, name)
    return layers


def _names(module: nn.Module, path: str) -> list[str]:
    """Of the module's parameters, as seen from where its path begins."""
    return [name for name, _ in module.named_parameters(prefix=path)]


def _own(module: nn.Module, path: str) -> list[str]:
    """Of those parameters that are in none of its children."""
    return [name for name, _ in module.named_parameters(prefix=path, recurse=False)]
