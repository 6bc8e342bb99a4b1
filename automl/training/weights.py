"""Where pretrained weights come from: a folder of safetensors files, the hub's cache, or the hub.

Files are read as safetensors only; a pickle could run code. Not responsible for: what the network looks like
(automl.training.models).
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import safetensors
import safetensors.torch
import timm
from torch import Tensor, nn

from automl.errors import UnfitEnvironmentError

Build = Callable[..., nn.Module]  # keyword arguments of timm.create_model -> the model

PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".pth.tar")
HUB_TIMEOUT_S = 5.0


def load_file_weights(build: Build, backbone: str, folder: Path) -> nn.Module:
    """The backbone with the weights that lie in the folder, and with as many classes as they have.

    Looked for are NAME.safetensors and NAME/model.safetensors (a snapshot of the hub), where NAME is the backbone
    with or without the tag of its pretraining.

    Raises:
        UnfitEnvironmentError: there is no such file, or it is a pickle, damaged, or of another network.
    """
    names = _names(backbone)
    for name in names:
        for path in (folder / f"{name}.safetensors", folder / name / "model.safetensors"):
            if path.is_file():
                return _from_file(build, backbone, path)
    for name in names:
        for suffix in PICKLE_SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                raise UnfitEnvironmentError(
                    f"{folder / (name + suffix)} is a pickle, which can run code when it is loaded",
                    hint=f"convert it to {name}.safetensors with safetensors.torch.save_file",
                )
    raise UnfitEnvironmentError(
        f"{folder} holds no weights of '{backbone}'",
        hint=f"put {names[0]}.safetensors there, narrow --choices backbone=..., or pass --no-pretrained",
    )


def load_hub_weights(build: Build, backbone: str) -> nn.Module:
    """The backbone with the hub's weights, from the hub's cache on this machine where they are in it.

    Raises:
        UnfitEnvironmentError: the hub cannot be reached, or has no weights of this backbone.
    """
    pretrained = timm.models.get_pretrained_cfg(backbone)
    if pretrained is None or not pretrained.has_weights:
        raise UnfitEnvironmentError(
            f"there are no pretrained weights of '{backbone}' on the hub",
            hint="choose another backbone, pass --weights DIR, or --no-pretrained to train from scratch",
        )
    if pretrained.hf_hub_id and not pretrained.hf_hub_filename:
        cached = huggingface_hub.try_to_load_from_cache(pretrained.hf_hub_id, "model.safetensors")
        if isinstance(cached, str):
            return _from_file(build, backbone, Path(cached))
        _require_hub(backbone)  # the hub's own client tries for three quarters of a minute before it gives up
    try:
        return build(pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unavailable(backbone) from error


def _from_file(build: Build, backbone: str, path: Path) -> nn.Module:
    """Loaded strictly, which timm does only when the number of classes is the file's own."""
    n_classes = _classes_in(path, backbone)
    source = {"file": str(path), "num_classes": n_classes, "label_offset": 0}
    hint = f"replace it with the weights of timm's {backbone}, or pass --no-pretrained"
    try:
        model = build(pretrained=True, pretrained_cfg_overlay=source, num_classes=n_classes)
    except (RuntimeError, KeyError, ValueError, AttributeError) as error:
        reason = _first_mismatch(error)
        raise UnfitEnvironmentError(f"{path} does not hold the weights of '{backbone}': {reason}", hint=hint) from error
    if _share_from_file(model, path) < 0.5:  # a few families of timm pass over what does not fit
        raise UnfitEnvironmentError(f"{path} does not hold the weights of '{backbone}'", hint=hint)
    return model


def _classes_in(path: Path, backbone: str) -> int:
    """How many classes the file's classifier tells apart; 0 where it has none."""
    classifier = timm.models.get_pretrained_cfg(backbone).classifier
    name = f"{classifier[0] if isinstance(classifier, tuple) else classifier}.weight"
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return int(file.get_slice(name).get_shape()[0]) if name in file.keys() else 0  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise UnfitEnvironmentError(
            f"{path} is not a whole safetensors file: {error}",
            hint="copy or download it again, or pass --no-pretrained to train from scratch",
        ) from error


def _share_from_file(model: nn.Module, path: Path) -> float:
    """The share of the model's matrices and filters that hold values of the file, whatever their names there."""
    values = {_fingerprint(tensor) for tensor in safetensors.torch.load_file(path).values() if tensor.ndim > 1}
    found = [_fingerprint(parameter) in values for parameter in model.parameters() if parameter.ndim > 1]
    return sum(found) / len(found)


def _fingerprint(tensor: Tensor) -> tuple[int, float, float]:
    """Stays the same when a tensor is renamed, reshaped or transposed."""
    return tensor.numel(), float(tensor.detach().min()), float(tensor.detach().max())


def _first_mismatch(error: Exception) -> str:
    text = str(error)
    if found := re.search(r'Missing key\(s\) in state_dict: "([^"]+)"', text):
        return f"it lacks '{found[1]}'"
    if found := re.search(r'Unexpected key\(s\) in state_dict: "([^"]+)"', text):
        return f"it has '{found[1]}', which the network lacks"
    if found := re.search(r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\).*?Size\(\[(.*?)\]\)", text):
        return f"'{found[1]}' is ({found[2]}) in it, but ({found[3]}) in the network"
    return (text.splitlines() or [type(error).__name__])[0]


def _names(backbone: str) -> list[str]:
    """The names under which the weights of a backbone may lie, the given one first."""
    bare = backbone.partition(".")[0]
    tagged = timm.models.get_pretrained_cfg(backbone)
    full = f"{bare}.{tagged.tag}" if tagged is not None and tagged.tag else bare
    return list(dict.fromkeys((backbone, full, bare)))


def _require_hub(backbone: str) -> None:
    """Ask the hub for any answer at all."""
    request = urllib.request.Request(huggingface_hub.constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return  # an answer, if not a friendly one
    except OSError as error:
        raise _unavailable(backbone) from error


def _unavailable(backbone: str) -> UnfitEnvironmentError:
    return UnfitEnvironmentError(
        f"the pretrained weights of '{backbone}' can be had neither from the hub nor from a folder",
        hint=f"pass --weights DIR with {backbone}.safetensors, or --no-pretrained to train from scratch",
    )
