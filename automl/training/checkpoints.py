"""A fold's training state as JSON and safetensors, and back; no pickle.

Not responsible for: the file itself (automl.artifacts), nor generator states (automl.training.seeding makes them
unnecessary).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from automl.artifacts import TrialFiles, read_checkpoint, write_checkpoint
from automl.errors import StorageError
from automl.training.optim.ema import WeightAverage


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
        average: of the weights over the steps, on the process that validates, where the configuration asks for it.
        best: name -> weights of the best epoch so far, where the best is chosen.
        history: of the epochs that are complete.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    micro_batch: int
    average: WeightAverage | None = None
    best: dict[str, Tensor] | None = None
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def evaluated(self) -> nn.Module:
        """The network whose predictions count: that of the averaged weights, where they are averaged."""
        return self.model if self.average is None else self.average.model

    def keep_best(self) -> None:
        """Remember the weights that are evaluated now."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.evaluated.state_dict().items()}

    def settle(self, *, best: bool) -> None:
        """Give the model the weights that predict: those of the best epoch, or those that are evaluated now."""
        if best and self.best is not None:
            self.model.load_state_dict(self.best)
        elif self.average is not None:
            self.model.load_state_dict(self.average.model.state_dict())

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
        "model": flattened(state.model.state_dict(), "model", tensors),
        "optimizer": flattened(state.optimizer.state_dict(), "optimizer", tensors),
        "scaler": flattened(state.scaler.state_dict(), "scaler", tensors),
        "average": None if state.average is None else flattened(state.average.state_dict(), "average", tensors),
        "best": flattened(state.best, "best", tensors),
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
        state.model.load_state_dict(unflattened(document["model"], tensors))
        state.optimizer.load_state_dict(unflattened(document["optimizer"], tensors))
        if scaler := unflattened(document["scaler"], tensors):
            state.scaler.load_state_dict(scaler)
        if state.average is not None:
            state.average.load_state_dict(unflattened(document["average"], tensors))
        state.best = unflattened(document["best"], tensors)
        state.micro_batch = int(document["micro_batch"])
        state.history = [EpochRecord(**record) for record in document["history"]]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"{files.checkpoint(fold)} does not belong to this trial: {str(error).splitlines()[0]}",
            hint="begin another study with --study",
        ) from error


def model_bytes(model: nn.Module, metadata: dict[str, str] | None = None) -> bytes:
    """The model's weights and statistics as a safetensors file under their own names."""
    return safetensors.torch.save({name: _plain(tensor) for name, tensor in model.state_dict().items()}, metadata)


def flattened(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Nested dicts, lists, tuples, tensors and scalars as JSON; the tensors go into `tensors` under their paths.

    Raises:
        TypeError: a value is of another kind.
    """
    if isinstance(value, Tensor):
        tensors[path] = _plain(value)
        return {"tensor": path}
    if isinstance(value, dict):
        # As pairs, because JSON would turn the optimizer's integer keys into strings.
        return {"dict": [[key, flattened(item, f"{path}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [flattened(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{path} is a {type(value).__name__}, which a checkpoint cannot hold")


def unflattened(document: Any, tensors: dict[str, Tensor]) -> Any:
    """The value that `flattened` took apart."""
    if not isinstance(document, dict):
        return document
    ((kind, content),) = document.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unflattened(item, tensors) for key, item in content}
    items = [unflattened(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _plain(tensor: Tensor) -> Tensor:
    """A copy of its own on the CPU in the usual memory layout, as safetensors needs it."""
    return tensor.detach().to(device="cpu", copy=True).contiguous()
