"""Load pretrained weights from a folder of files, the hub's cache, or the hub.

A pickle is loaded as tensors alone or not at all, since it could run code.
"""

from __future__ import annotations

import argparse
import pickle
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from automl.errors import UnfitEnvironmentError

Build = Callable[..., nn.Module]  # keyword arguments of timm.create_model -> the model

PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".pth.tar")
PICKLE_BEGINNINGS = (b"PK", b"\x80")  # of torch's archive since 1.6, and of what was written before it
NESTS = ("state_dict_ema", "model_ema", "state_dict", "model")  # as timm.models.load_state_dict prefers them
HUB_TIMEOUT_S = 5.0


class UnreachableHubError(UnfitEnvironmentError):
    """The hub does not answer, so that no weights but those on this machine can be had."""


def load_file_weights(build: Build, backbone: str, folder: Path) -> nn.Module:
    """Load the backbone with the weights that lie in the folder, and with as many classes as they have.

    Looked for are NAME.safetensors, NAME/model.safetensors (a snapshot of the hub) and
    models--timm--NAME/snapshots/*/model.safetensors (the hub's cache), then pickles by such names and torchvision's,
    where NAME is the backbone with or without the tag of its pretraining. A first convolution for grey images is
    spread over three channels.

    Raises:
        UnfitEnvironmentError: there is no such file, or it is damaged, of another network, or a pickle that holds more
            than tensors.
    """
    names = _list_names(backbone)
    for load, files in ((_from_file, _safetensors_files), (_from_pickle, _pickle_files)):
        for path in (path for name in names for path in files(folder, name)):
            if path.is_file():
                return load(build, backbone, path)
    raise UnfitEnvironmentError(
        f"{folder} holds no weights of '{backbone}'",
        hint=f"put {names[0]}.safetensors there, narrow --choices backbone=..., or pass --no-pretrained",
    )


def load_hub_weights(build: Build, backbone: str) -> nn.Module:
    """Load the backbone with the hub's weights, from the hub's cache on this machine where they are in it.

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
        if (cached := _find_cached_weights(backbone)) is not None:
            return _from_file(build, backbone, cached)
        _require_hub(backbone)  # the hub's own client tries for three quarters of a minute before it gives up
    try:
        return build(pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        problem, hint = _describe_unavailable(backbone)
        raise UnfitEnvironmentError(problem, hint=hint) from error


def has_cached_weights(backbone: str) -> bool:
    """Return whether the hub's cache on this machine has the weights."""
    return _find_cached_weights(backbone) is not None


def build_unreachable_error(backbone: str) -> UnreachableHubError:
    """Build the error to raise where the hub that has the weights does not answer."""
    problem, hint = _describe_unavailable(backbone)
    return UnreachableHubError(problem, hint=hint)


def _find_cached_weights(backbone: str) -> Path | None:
    pretrained = timm.models.get_pretrained_cfg(backbone)
    if pretrained is None or not pretrained.hf_hub_id or pretrained.hf_hub_filename:
        return None
    cached = huggingface_hub.try_to_load_from_cache(pretrained.hf_hub_id, "model.safetensors")
    return Path(cached) if isinstance(cached, str) else None


def _safetensors_files(folder: Path, name: str) -> Iterator[Path]:
    yield folder / f"{name}.safetensors"
    yield folder / name / "model.safetensors"
    yield from _cached_snapshots(folder, name, "model.safetensors")


def _pickle_files(folder: Path, name: str) -> Iterator[Path]:
    yield from (folder / f"{name}{suffix}" for suffix in PICKLE_SUFFIXES)
    yield from sorted(folder.glob(f"{name}-*.pth"))  # as torch.hub names what it downloads for torchvision
    yield folder / name / "pytorch_model.bin"
    yield from _cached_snapshots(folder, name, "pytorch_model.bin")


def _cached_snapshots(folder: Path, name: str, file: str) -> Iterator[Path]:
    """Find the snapshots in a copy of the hub's cache, the one that it holds for current first."""
    current = huggingface_hub.try_to_load_from_cache(f"timm/{name}", file, cache_dir=folder)
    if isinstance(current, str):
        yield Path(current)
    yield from sorted(folder.glob(f"models--timm--{name}/snapshots/*/{file}"))


def _from_pickle(build: Build, backbone: str, path: Path) -> nn.Module:
    """As `_from_file`, by way of a safetensors file, so that nothing but this module ever opens a pickle."""
    tensors = _unpickle(path, backbone)
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "model.safetensors"
        safetensors.torch.save_file(tensors, converted)
        del tensors
        return _from_file(build, backbone, converted, origin=path)


def _unpickle(path: Path, backbone: str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, whatever else it holds, under the network's own names."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # in the checkpoints of timm's training script
            checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True)
        nest = next((key for key in NESTS if isinstance(checkpoint.get(key), dict)), None)
        state = timm.models.clean_state_dict(checkpoint if nest is None else checkpoint[nest])
        tensors = {name: value.contiguous().clone() for name, value in state.items() if isinstance(value, Tensor)}
    except pickle.UnpicklingError as error:
        if not path.read_bytes().startswith(PICKLE_BEGINNINGS):
            raise _build_damaged_error(path, "file of weights", "it is no pickle") from error
        raise UnfitEnvironmentError(
            f"{path} is a pickle that holds more than tensors, and could run code if it were loaded",
            hint=f"convert it to {backbone}.safetensors with safetensors.torch.save_file where you trust it",
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise _build_damaged_error(path, "file of weights", error) from error
    if not tensors:
        raise _build_damaged_error(path, "file of weights", "there is no tensor in it")
    return tensors


def _from_file(build: Build, backbone: str, path: Path, *, origin: Path | None = None) -> nn.Module:
    """Loaded strictly, which timm does only when the number of classes is the file's own.

    Args:
        path: a safetensors file.
        origin: what errors call it.
    """
    reasons = []
    for arguments in _ways_to_load(path, backbone):
        try:
            model = build(pretrained=True, **arguments)
        except (RuntimeError, KeyError, ValueError, AttributeError) as error:
            reasons.append(f": {_first_mismatch(error)}")
            continue
        if _measure_share_from_file(model, path) >= 0.5:  # a few families of timm pass over what does not fit
            return model
        reasons.append("")
    raise UnfitEnvironmentError(
        f"{origin or path} does not hold the weights of '{backbone}'{reasons[0]}",
        hint=f"replace it with the weights of timm's {backbone}, or pass --no-pretrained",
    )


def _ways_to_load(path: Path, backbone: str) -> list[dict[str, Any]]:
    """List the arguments of timm's builder for the file, the likeliest first."""
    n_classes, n_channels = _read_shape(path, backbone)
    pretrained = timm.models.get_pretrained_cfg(backbone)
    source: dict[str, Any] = {"file": str(path), "label_offset": 0}
    channels = {}
    if n_channels == 1 != pretrained.input_size[0]:
        source["input_size"] = (1, *pretrained.input_size[1:])
        channels["in_chans"] = pretrained.input_size[0]
    # A classifier that the file has under its publisher's own name separates as many classes as timm says.
    candidates = [0, pretrained.num_classes] if n_classes is None else [n_classes]
    return [{"pretrained_cfg_overlay": {**source, "num_classes": n}, "num_classes": n, **channels} for n in candidates]


def _read_shape(path: Path, backbone: str) -> tuple[int | None, int | None]:
    """Read how many classes the file's classifier separates, and how many channels it sees.

    None where it does not say.
    """
    pretrained = timm.models.get_pretrained_cfg(backbone)
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise _build_damaged_error(path, "safetensors file", error) from error
    classifier = shapes.get(f"{_first(pretrained.classifier)}.weight", [])
    convolution = shapes.get(f"{_first(pretrained.first_conv)}.weight", [])
    return int(classifier[0]) if classifier else None, int(convolution[1]) if len(convolution) == 4 else None


def _first(names: str | tuple[str, ...] | None) -> str | None:
    return names[0] if isinstance(names, tuple) else names


def _build_damaged_error(path: Path, file_type: str, reason: object) -> UnfitEnvironmentError:
    return UnfitEnvironmentError(
        f"{path} is not a whole {file_type}: {_get_first_line(reason)}",
        hint="copy or download it again, or pass --no-pretrained to train from scratch",
    )


def _measure_share_from_file(model: nn.Module, path: Path) -> float:
    """Measure which part of the model's matrices and filters holds values of the file, whatever their names there."""
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
    if found := re.search(r"Pretrained (\S+) weight shape \(\d+, (\d+),", text):
        return f"'{found[1]}.weight' takes {found[2]} channels, which cannot be brought to three"
    if found := re.search(r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\).*?Size\(\[(.*?)\]\)", text):
        return f"'{found[1]}' is ({found[2]}) in it, but ({found[3]}) in the network"
    return _get_first_line(error)


def _get_first_line(reason: object) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0]


def _list_names(backbone: str) -> list[str]:
    """List the names under which the weights of a backbone may lie, the given one first."""
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
        raise build_unreachable_error(backbone) from error


def _describe_unavailable(backbone: str) -> tuple[str, str]:
    return (
        f"the pretrained weights of '{backbone}' can be had neither from the hub nor from a folder",
        f"pass --weights DIR with {backbone}.safetensors, or --no-pretrained to train from scratch",
    )
