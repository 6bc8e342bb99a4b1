"""Weights of a backbone that no trial has changed: written once for all heads that were trained on it.

The file of such a head's weights holds no tensors of the backbone, but names it by a digest of its weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from automl.artifacts import write_bytes
from automl.errors import StorageError

Value = TypeVar("Value")

PREFIX = "body."  # of the backbone's tensors in every file of weights
BACKBONE_KEY = "backbone"  # under which a file without a backbone names it
REFIT_HINT = "make them again with automl refit, or leave this trial out"
N_PARENTS = 4  # of a weights file's folder, that may hold the folder of the backbones: study/trials/00017/refit


def compute_backbone_digest(network: nn.Module) -> str:
    """Compute a short fingerprint of the backbone's weights and statistics: of their names, types, shapes and bits."""
    hasher = hashlib.sha256()
    for name, tensor in sorted(get_backbone(network.state_dict()).items()):
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        hasher.update(_copy_bytes(tensor))
    return hasher.hexdigest()[:16]


def write_backbone(folder: Path, network: nn.Module) -> str:
    """Write the backbone's weights as <digest>.safetensors, unless they are there; return the digest.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    digest = compute_backbone_digest(network)
    path = _get_path(folder, digest)
    if not _is_whole(path):
        own = get_backbone(network.state_dict())  # copies, as safetensors takes no tensors that share their memory
        tensors = {name: tensor.detach().to(device="cpu", copy=True).contiguous() for name, tensor in own.items()}
        write_bytes(path, safetensors.torch.save(tensors))
    return digest


def get_backbone(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Return those of a network's weights that are of its backbone, under their names in the network."""
    return {name: value for name, value in weights.items() if name.startswith(PREFIX)}


def drop_backbone(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Return the weights without those of the backbone."""
    return {name: value for name, value in weights.items() if not name.startswith(PREFIX)}


def read_backbone_digest(weights: Path) -> str | None:
    """Read which backbone a file of weights names; None where it holds the backbone itself.

    Raises:
        StorageError: the file is missing or damaged.
    """
    return read_metadata(weights).get(BACKBONE_KEY)


def find_backbone(weights: Path, digest: str, *, hint: str = REFIT_HINT) -> Path:
    """Find the weights of the backbone that a file of weights names.

    They lie beside that file, as in a kit, or in a folder backbones of the study.

    Raises:
        StorageError: they are missing.
    """
    folder = weights.absolute().parent
    studies = islice((folder, *folder.parents), N_PARENTS + 1)
    places = (get_carried_path(folder, digest), *(_get_path(study / "backbones", digest) for study in studies))
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise StorageError(f"weights are missing: backbones/{digest}.safetensors, which {weights} names", hint=hint)
    return found


def get_carried_path(folder: Path, digest: str) -> Path:
    """Return where a backbone lies that is carried beside the weights that name it."""
    return folder / f"backbone-{digest}.safetensors"


def read_weights(path: Path, *, with_backbone: bool = True, hint: str = REFIT_HINT) -> dict[str, Tensor]:
    """Read a network's weights, with those of the backbone wherever they lie.

    Args:
        with_backbone: without it, what the file itself holds.

    Raises:
        StorageError: one of the files is missing or damaged.
    """
    digest, tensors = read_metadata(path, hint=hint).get(BACKBONE_KEY), _read_tensors(path, hint)
    if digest is None or not with_backbone:
        return tensors
    return {**_read_tensors(find_backbone(path, digest, hint=hint), hint), **tensors}


def read_metadata(path: Path, *, hint: str = REFIT_HINT) -> dict[str, str]:
    """Read what a file of weights says of itself.

    Raises:
        StorageError: it is missing or damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise _build_unreadable_error(path, error, hint) from error


def is_network_whole(weights: Path) -> bool:
    """Whether a file of weights is there, and not cut short, and the backbone too that it may name."""
    try:
        digest = read_backbone_digest(weights)
        return _is_whole(weights) and (digest is None or _is_whole(find_backbone(weights, digest)))
    except StorageError:
        return False


def _read_tensors(path: Path, hint: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise _build_unreadable_error(path, error, hint) from error


def _get_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.safetensors"


def _is_whole(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return len(file.keys()) > 0
    except (OSError, safetensors.SafetensorError):
        return False


def _copy_bytes(tensor: Tensor) -> bytes:
    """Return the bits of a tensor in the usual memory layout, of whatever type it is."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _build_unreadable_error(path: Path, error: Exception, hint: str) -> StorageError:
    reason = str(error).splitlines()[0]
    return StorageError(f"the weights {path} cannot be loaded: {reason}", hint=hint)
