"""Save and restore a fold's training state as JSON and safetensors; no pickle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from automl.artifacts import TrialFiles, read_checkpoint, write_checkpoint
from automl.errors import StorageError
from automl.training.optim.ema import ModelEma


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
        history: of the epochs that are complete.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    micro_batch: int
    ema: ModelEma | None = None
    best: dict[str, Tensor] | None = None
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
    document = {
        "history": [asdict(record) for record in state.history],
        "micro_batch": state.micro_batch,
        "model": flatten(state.model.state_dict(), "model", tensors),
        "optimizer": flatten(state.optimizer.state_dict(), "optimizer", tensors),
        "scaler": flatten(state.scaler.state_dict(), "scaler", tensors),
        "average": None if state.ema is None else flatten(state.ema.state_dict(), "average", tensors),
        "best": flatten(state.best, "best", tensors),
    }
    write_checkpoint(files, fold, document, safetensors.torch.save(tensors))


def restore_state(files: TrialFiles, fold: int, state: TrainingState) -> None:
    """Bring the state back to the fold's newest checkpoint; leave it as it is where there is none.

    Raises:
        StorageError: the checkpoint is of another network or optimizer.
    """
    checkpoint = read_checkpoint(files, fold)
    if checkpoint is None:
        return
    document, content = checkpoint
    try:
        tensors = safetensors.torch.load(content)
        state.model.load_state_dict(unflatten(document["model"], tensors))
        state.optimizer.load_state_dict(unflatten(document["optimizer"], tensors))
        if scaler := unflatten(document["scaler"], tensors):
            state.scaler.load_state_dict(scaler)
        if state.ema is not None:
            state.ema.load_state_dict(unflatten(document["average"], tensors))
        state.best = unflatten(document["best"], tensors)
        state.micro_batch = int(document["micro_batch"])
        state.history = [EpochRecord(**record) for record in document["history"]]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"{files.get_checkpoint_path(fold)} does not belong to this trial: {str(error).splitlines()[0]}",
            hint="begin another study with --study",
        ) from error


def serialize_model(model: nn.Module, metadata: dict[str, str] | None = None) -> bytes:
    """Return the model's weights and statistics as a safetensors file under their own names."""
    return safetensors.torch.save({name: _copy_to_cpu(tensor) for name, tensor in model.state_dict().items()}, metadata)


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


def _copy_to_cpu(tensor: Tensor) -> Tensor:
    """Return a copy on the CPU in the usual memory layout, as safetensors needs it."""
    return tensor.detach().to(device="cpu", copy=True).contiguous()
