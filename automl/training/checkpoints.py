"""Save and restore a fold's training state as JSON and safetensors; no pickle."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from automl.artifacts import TrialFiles, write_bytes
from automl.errors import StorageError
from automl.training.network.shared_backbone import drop_backbone, get_backbone
from automl.training.optim.ema import ModelEma

CHECKPOINT_HEADER = re.compile(rb"automl-checkpoint 1 ([0-9a-f]{64}) (\d+) (\d+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch that was trained and validated.

    Attributes:
        lr: of its last step.
        train_loss: mean over its images.
        score: of the fold's validation rows, at the epoch's image size.
        seconds: for training and validation.
    """

    epoch: int
    image_size: int
    lr: float
    train_loss: float
    score: float
    seconds: float
    images_per_s: float


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Everything that changes while a fold is trained.

    Attributes:
        micro_batch: how many images pass through the network at once.
        ema: the average of the weights over the steps, on the process that validates, where the configuration asks for
            it.
        best: name -> weights of the best epoch so far, where the best is chosen.
        backbone_digest: of the backbone that the training began with, as long as it is frozen; None afterwards, and
            where it never is. Whoever builds the network anew has the same backbone, and checkpoints hold none.
        history: of the epochs that are complete.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    micro_batch: int
    ema: ModelEma | None = None
    best: dict[str, Tensor] | None = None
    backbone_digest: str | None = None
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def eval_model(self) -> nn.Module:
        """The network whose predictions count: that of the averaged weights, where they are averaged."""
        return self.model if self.ema is None else self.ema.model

    def keep_best(self) -> None:
        """Remember the weights that are evaluated now."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.eval_model.state_dict().items()}

    def load_final_weights(self, *, best: bool) -> None:
        """Give the model the weights that predict: those of the best epoch, or those that are evaluated now."""
        if best and self.best is not None:
            self.model.load_state_dict(self.best)
        elif self.ema is not None:
            self.model.load_state_dict(self.ema.model.state_dict())

    @property
    def n_parameters(self) -> int:
        """Of the whole network."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def save_state(files: TrialFiles, fold: int, state: TrainingState) -> None:
    """Write the fold's checkpoint after an epoch."""
    tensors: dict[str, Tensor] = {}
    weights = {
        "model": state.model.state_dict(),
        "average": None if state.ema is None else state.ema.state_dict(),
        "best": state.best,
    }
    if state.backbone_digest is not None:
        weights = {name: None if own is None else drop_backbone(own) for name, own in weights.items()}
    document = {
        "history": [asdict(record) for record in state.history],
        "micro_batch": state.micro_batch,
        "backbone": state.backbone_digest,
        "optimizer": flatten(state.optimizer.state_dict(), "optimizer", tensors),
        "scaler": flatten(state.scaler.state_dict(), "scaler", tensors),
        **{name: flatten(own, name, tensors) for name, own in weights.items()},
    }
    write_checkpoint(files, fold, document, safetensors.torch.save(tensors))


def restore_state(files: TrialFiles, fold: int, state: TrainingState) -> None:
    """Bring the state back to the fold's newest checkpoint; leave it as it is where there is none.

    Raises:
        StorageError: the checkpoint is of another network or optimizer, or of other weights of the frozen backbone.
    """
    checkpoint = read_checkpoint(files, fold)
    if checkpoint is None:
        return
    document, content = checkpoint
    digest = document.get("backbone")
    if digest not in (None, state.backbone_digest):
        raise StorageError(
            f"{files.get_checkpoint_path(fold)} was trained on other weights of the frozen backbone",
            hint="give it the weights that it began with (--weights), or begin another study with --study",
        )
    try:
        _restore(state, document, safetensors.torch.load(content))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"{files.get_checkpoint_path(fold)} does not belong to this trial: {str(error).splitlines()[0]}",
            hint="begin another study with --study",
        ) from error
    state.backbone_digest = digest


def _restore(state: TrainingState, document: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
    backbone: dict[str, Tensor] = {}
    if document.get("backbone") is not None:  # its own, as copies: it may be trained later
        backbone = {name: tensor.clone() for name, tensor in get_backbone(state.model.state_dict()).items()}
    state.model.load_state_dict({**backbone, **unflatten(document["model"], tensors)})
    state.optimizer.load_state_dict(unflatten(document["optimizer"], tensors))
    if scaler := unflatten(document["scaler"], tensors):
        state.scaler.load_state_dict(scaler)
    if state.ema is not None:
        state.ema.load_state_dict({**backbone, **unflatten(document["average"], tensors)})
    best = unflatten(document["best"], tensors)
    state.best = None if best is None else {**backbone, **best}
    state.micro_batch = int(document["micro_batch"])
    state.history = [EpochRecord(**record) for record in document["history"]]


def write_checkpoint(files: TrialFiles, fold: int, state: Mapping[str, Any], tensors: bytes) -> None:
    """Keep a fold's training state; the checkpoint before it stays as the previous one.

    State (JSON, with the metric history) and tensors (safetensors) are one file under one SHA-256, so that no kill
    can part them.
    """
    state_bytes = json.dumps(state, allow_nan=False).encode()
    body = state_bytes + tensors
    digest = hashlib.sha256(body).hexdigest()
    path = files.get_checkpoint_path(fold)
    if path.exists():
        path.replace(files.get_previous_checkpoint_path(fold))
    header = f"automl-checkpoint 1 {digest} {len(state_bytes)} {len(tensors)}\n"
    write_bytes(path, header.encode() + body)


def read_checkpoint(files: TrialFiles, fold: int) -> tuple[dict[str, Any], bytes] | None:
    """Return state and tensors of the newest whole checkpoint, or None where there is none.

    A damaged file is passed over for the one before it.
    """
    for path in (files.get_checkpoint_path(fold), files.get_previous_checkpoint_path(fold)):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        parsed = _parse_checkpoint(content)
        if parsed is not None:
            return parsed
    return None


def serialize_model(model: nn.Module, metadata: dict[str, str] | None = None, *, with_backbone: bool = True) -> bytes:
    """Return the model's weights and statistics as a safetensors file under their own names."""
    weights = model.state_dict() if with_backbone else drop_backbone(model.state_dict())
    content = safetensors.torch.save({name: _copy_to_cpu(tensor) for name, tensor in weights.items()}, metadata)
    return _sort_metadata(content) if metadata else content


def flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return nested dicts, lists, tuples, tensors and scalars as JSON; the tensors go into `tensors` under their paths.

    Raises:
        TypeError: a value is of another type.
    """
    if isinstance(value, Tensor):
        tensors[path] = _copy_to_cpu(value)
        return {"tensor": path}
    if isinstance(value, dict):
        # As pairs, because JSON would turn the optimizer's integer keys into strings.
        return {"dict": [[key, flatten(item, f"{path}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        type_name = "tuple" if isinstance(value, tuple) else "list"
        return {type_name: [flatten(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{path} is a {type(value).__name__}, which a checkpoint cannot hold")


def unflatten(document: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value that `flatten` took apart."""
    if not isinstance(document, dict):
        return document
    ((type_name, content),) = document.items()
    if type_name == "tensor":
        return tensors[content]
    if type_name == "dict":
        return {key: unflatten(item, tensors) for key, item in content}
    items = [unflatten(item, tensors) for item in content]
    return tuple(items) if type_name == "tuple" else items


def _parse_checkpoint(content: bytes) -> tuple[dict[str, Any], bytes] | None:
    match = CHECKPOINT_HEADER.match(content)
    if match is None:
        return None
    body = content[match.end() :]
    n_state, n_tensors = int(match[2]), int(match[3])
    if len(body) != n_state + n_tensors or hashlib.sha256(body).hexdigest() != match[1].decode():
        return None
    return json.loads(body[:n_state]), body[n_state:]


def _sort_metadata(content: bytes) -> bytes:
    """Return the safetensors file with its metadata in the order of their names: as saved, it is another each time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def _copy_to_cpu(tensor: Tensor) -> Tensor:
    """Return a copy on the CPU in the usual memory layout, as safetensors needs it."""
    return tensor.detach().to(device="cpu", copy=True).contiguous()
