"""What both ranks of a group go through, each in its own process; each writes its records to a file.

Rank 1 alone is short of memory, where a scene wants that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed import FileStore

from automl.artifacts import StudyFiles
from automl.config import OptimConfig, TransferConfig, TrialConfig
from automl.errors import UnfitEnvironmentError
from automl.tasks import Task
from automl.training.batches import FoldTask
from automl.training.checkpoints import TrainingState
from automl.training.distributed.ddp_rank import DdpRank
from automl.training.distributed.rank_group import get_rank_slice
from automl.training.loss.losses import build_loss
from automl.training.optim.accumulation import InfeasibleConfig, accumulate_gradients
from automl.training.training_loop import TrainedEpoch, train_epoch
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    batch_of,
    config_of,
    seeded_model,
    state_of,
    task_of,
)

IMAGES = np.random.default_rng(0).integers(0, 256, size=(21, 12, 12, 3)).astype(np.uint8)
TARGETS = torch.arange(21) % 3
PLENTY = 10**6
TRAINED = config_of(augment="medium", transfer=TransferConfig(freeze_epochs=1), batch_size=14, sizes="16-24", epochs=2)
SHARP = config_of(
    optim=OptimConfig(optimizer="sam", lr=1e-2, schedule="plateau"), class_sampling="balanced", batch_size=14, epochs=2
)
DIVERGING = config_of(optim=OptimConfig(optimizer="sgd", lr=1e30, clip_norm=None, warmup_fraction=0.0))
NORMALISED = config_of(backbone="test_resnet", epochs=1)


def plain_state(*, capacity: int = PLENTY, batch_size: int = 20) -> TrainingState:
    torch.manual_seed(0)
    return state_of(PlainNet(capacity=capacity), config_of(batch_size=batch_size))


class HalfUsed(PlainNet):
    """Has a layer that trains and has no part in the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


def flat_gradients(state: TrainingState) -> list[float]:
    found = [parameter.grad for parameter in state.model.parameters()]
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None]).tolist()


def flat_weights(model: nn.Module) -> list[float]:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().tolist()


def train_epochs(task: FoldTask, state: TrainingState) -> list[TrainedEpoch]:
    """All epochs, each of which finds one more plateau of the score behind it."""
    epochs = range(task.config.epochs)
    return [train_epoch(task, state, epoch, plateaus=epoch, on_batch=lambda now: None) for epoch in epochs]


class Scenes:
    def __init__(self, ranks: DdpRank, study: StudyFiles) -> None:
        self.ranks, self.study = ranks, study

    def accumulate(self, state: TrainingState, n_images: int) -> dict[str, Any]:
        images = IMAGES[get_rank_slice(n_images, self.ranks.rank, self.ranks.n_ranks)]
        loss_of = build_loss(config_of().loss, task=Task.MULTICLASS, n_classes=3)
        batch = batch_of(state, images, TARGETS[:n_images], self.ranks)
        try:
            loss = accumulate_gradients(state, batch, compute_loss=loss_of, device="cpu", ranks=self.ranks)
        except InfeasibleConfig as end:
            return {"constraint": end.constraint, "reason": end.reason, "micro_batch": state.micro_batch}
        return {"loss": loss, "gradients": flat_gradients(state), "micro_batch": state.micro_batch}

    def gradients(self, *, n_images: int = 21, capacity: int = PLENTY, n_times: int = 1) -> list[dict[str, Any]]:
        state = plain_state(capacity=capacity if self.ranks.rank == 1 else PLENTY)
        self.ranks.begin_epoch(state.model, 0, 0)
        found = [self.accumulate(state, n_images) for _ in range(n_times)]
        assert isinstance(state.model, PlainNet)
        return [{**scene, "batch_sizes": [shape[0] for shape in state.model.batch_shapes]} for scene in found]

    def idle_layer(self) -> list[bool]:
        torch.manual_seed(0)
        state = state_of(HalfUsed(), config_of())
        self.ranks.begin_epoch(state.model, 0, 0)
        for _ in range(3):
            self.accumulate(state, 21)
        return [parameter.grad is None for parameter in state.model.parameters()]

    def training(self, config: TrialConfig, model: nn.Module) -> dict[str, Any]:
        state = state_of(model, config)
        task = task_of(self.study, config, ranks=self.ranks)
        try:
            epochs = train_epochs(task, state)
        except InfeasibleConfig as end:
            return {"constraint": end.constraint, "reason": end.reason}
        return {"losses": [epoch.train_loss for epoch in epochs], "weights": flat_weights(model)}

    def plain_training(self, capacity: int = PLENTY, config: TrialConfig = TRAINED) -> dict[str, Any]:
        torch.manual_seed(0)
        return self.training(config, PlainNet(capacity=capacity if self.ranks.rank == 1 else PLENTY))

    def statistics(self) -> dict[str, list[float]]:
        model = seeded_model(NORMALISED)
        self.training(NORMALISED, model)
        return {name: buffer.flatten().tolist() for name, buffer in model.named_buffers() if "running" in name}

    def precisions(self) -> str:
        try:
            self.ranks._require_one_precision(torch.float16 if self.ranks.rank == 0 else torch.bfloat16)
        except UnfitEnvironmentError as error:
            return error.problem
        return ""

    def late_lack_of_memory(self) -> str:
        state = plain_state()
        assert isinstance(state.model, PlainNet)
        self.ranks.begin_epoch(state.model, 0, 0)
        self.accumulate(state, 21)
        state.model.capacity = 1 if self.ranks.rank == 1 else PLENTY
        try:
            self.accumulate(state, 21)
        except RuntimeError as error:
            return str(error)
        return ""


def main(folder: Path, study_dir: Path, rank: int) -> None:
    torch.set_num_threads(1)
    ranks = DdpRank(rank, 2, "cpu")
    ranks.join(FileStore(str(folder / "store"), 2))
    scenes = Scenes(ranks, StudyFiles(study_dir))
    script: dict[str, Callable[[], Any]] = {
        "whole": lambda: scenes.gradients(n_times=3),
        "short of memory": lambda: scenes.gradients(capacity=5, n_times=3),
        "no memory": lambda: scenes.gradients(capacity=1),
        "three images": lambda: scenes.gradients(n_images=3),
        "idle layer": scenes.idle_layer,
        "trained": scenes.plain_training,
        "trained, short of memory": lambda: scenes.plain_training(capacity=3),
        "sharpness-aware": lambda: scenes.plain_training(config=SHARP),
        "diverging": lambda: scenes.training(DIVERGING, PlainNet()),
        "statistics": scenes.statistics,
        "precisions": scenes.precisions,
        "late lack of memory": scenes.late_lack_of_memory,  # the last, since it parts the ranks
    }
    records = {name: scene() for name, scene in script.items()}
    (folder / f"rank{rank}.json").write_text(json.dumps(records))
