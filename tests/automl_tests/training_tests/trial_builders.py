"""A small competition that can be learned, and what a trial needs around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from automl.artifacts import StudyFiles, TrialFiles, read_arrays
from automl.config import (
    AugmentConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResizeConfig,
    TransferConfig,
    TrialConfig,
)
from automl.data.competition import (
    Competition,
    SubmissionTemplate,
    load_competition,
    save_competition,
)
from automl.data.folds import make_folds, save_folds
from automl.metrics.registry import get_metric
from automl.tasks import Task
from automl.training.batches import FoldTask
from automl.training.checkpoints import TrainingState
from automl.training.distributed.rank_group import RankGroup, SingleProcess, get_rank_slice
from automl.training.network.create import Normalisation, build_model
from automl.training.network.outputs import build_output_layer
from automl.training.optim.accumulation import Batch
from automl.training.optim.amp import build_grad_scaler
from automl.training.optim.ema import ModelEma, compute_decay
from automl.training.optim.optimizers import build_optimizer
from automl.training.resizing import count_steps, get_batch_size
from automl.training.seeding import seed_everything
from automl.training.training_loop import train_fold
from runners.base import JobStopped
from tests.automl_tests.training_tests.toy_competitions import CLASSES as CLASSES
from tests.automl_tests.training_tests.toy_competitions import GLOWS, MARKS, PATCHES, SHAPES, ToyCompetition
from tests.automl_tests.training_tests.toy_competitions import SIDE as SIDE
from tests.automl_tests.training_tests.toy_competitions import shape_image as shape_image

TOY_COMPETITIONS = {toy.task: toy for toy in (SHAPES, PATCHES, GLOWS, MARKS)}
NEW = [Task.MULTILABEL, Task.REGRESSION]  # of outputs that stand each for itself
MANY_HOT = [*NEW, Task.MULTIOUTPUT]  # whose targets have several columns
WHOLE: dict[str, Any] = {"batch_size": 48, "augment": "none"}  # one step an epoch, of images as they are


def write_study(
    root: Path, toy: ToyCompetition = SHAPES, *, n_train: int = 60, n_test: int = 7, metric: str | None = None
) -> StudyFiles:
    """A study's folder as the search leaves it to a trial: competition.json, folds.csv, images beside them."""
    rng = np.random.default_rng(0)
    images = root / "images"
    images.mkdir(parents=True)
    targets = toy.targets(n_train + n_test, rng)
    paths = []
    for number, target in enumerate(targets):
        paths.append(images / f"{number}.png")
        Image.fromarray(toy.image(target, rng)).save(paths[-1])
    test_ids = tuple(path.stem for path in paths[n_train:])
    competition = Competition(
        root=images,
        task=toy.task,
        classes=toy.classes,
        image_ids=tuple(path.stem for path in paths[:n_train]),
        image_paths=tuple(paths[:n_train]),
        targets=targets[:n_train],
        groups=None,
        test_ids=test_ids,
        test_paths=tuple(paths[n_train:]),
        metric=get_metric(metric or toy.metric, head_sizes=tuple(head.n_classes for head in toy.heads)),
        metric_given=True,
        submission=SubmissionTemplate(
            header=("id", *([head.name for head in toy.heads] or ["label"])),
            id_column=0,
            submission_kind=toy.kind,
            ids=test_ids,
        ),
        scales=toy.scales,
        heads=toy.heads,
    )
    study = StudyFiles(root / "study")
    save_competition(competition, study.competition)
    save_folds(make_folds(competition), competition, study.folds)
    return study


def config_of(
    *,
    backbone: str = "test_resnet",
    dropout: float = 0.0,
    sizes: str = "32",
    loss: LossConfig | None = None,
    optim: OptimConfig | None = None,
    augment: str | AugmentConfig = "light",
    **rest: Any,
) -> TrialConfig:
    """A configuration that trains in about a second."""
    return TrialConfig(
        model=ModelConfig(backbone=backbone, pretrained=False, dropout=dropout),
        resize=ResizeConfig.parse(sizes),
        loss=loss or LossConfig(),
        optim=optim or OptimConfig(lr=3e-3),
        augment=augment if isinstance(augment, AugmentConfig) else AugmentConfig(policy=augment),
        **{"batch_size": 16, "epochs": 3, **rest},
    )


def payload_of(study: StudyFiles, config: TrialConfig, **changes: Any) -> dict[str, Any]:
    """What the search sends to run_trial."""
    payload = {"trial": 0, "study_dir": str(study.root), "config": config.to_json(), "train_folds": 1, "seed": 5}
    return {**payload, "weights_dir": None, "init_from": None, **changes}


@dataclass
class ScriptedContext:
    """A runner's context that notes everything, and stops the job where the script says.

    Attributes:
        stop_at_step: the verdict on the report of this step is to stop.
        stop_at_beat: the job is asked to stop at this beat (1 is the first).
    """

    stop_at_step: int | None = None
    stop_at_beat: int | None = None
    device: str = "cpu"
    n_threads: int = 1
    reports: list[tuple[int, float]] = field(default_factory=list)
    details: list[Mapping[str, Any]] = field(default_factory=list)
    beats: list[Mapping[str, Any] | None] = field(default_factory=list)

    def report(self, step: int, value: float, detail: Mapping[str, Any] | None = None) -> None:
        self.reports.append((step, value))
        self.details.append(detail or {})
        if step == self.stop_at_step:
            raise JobStopped

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        self.beats.append(detail)
        if len(self.beats) == self.stop_at_beat:
            raise JobStopped


class PlainNet(nn.Module):
    """A network without batch norm or dropout, so that a batch's gradient is the mean of its parts'.

    Attributes:
        batch_shapes: shape of each batch that it was given.
        capacity: more images at once do not fit into memory.
    """

    def __init__(self, n_classes: int = 3, capacity: int = 10**6) -> None:
        super().__init__()
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        self.num_classes = n_classes
        self.output_layer = build_output_layer(LossConfig(), Task.MULTICLASS, n_classes)
        self.body = nn.Conv2d(3, 4, 3, stride=2)
        self.neck = nn.Identity()
        self.head = nn.Linear(4, n_classes)
        self.capacity = capacity
        self.batch_shapes: list[tuple[int, ...]] = []

    def extract_features(self, images: Tensor) -> Tensor:
        return torch.relu(self.body(images)).mean(dim=(2, 3))

    def no_weight_decay(self) -> set[str]:
        return set()

    def forward(self, images: Tensor) -> Tensor:
        self.batch_shapes.append(tuple(images.shape))
        if len(images) > self.capacity:
            raise torch.OutOfMemoryError(f"no room for {len(images)} images")
        return self.head(self.neck(self.extract_features(images)))  # type: ignore[no-any-return]


def batch_of(state: TrainingState, images: NDArray[np.uint8], targets: Tensor, ranks: RankGroup | None = None) -> Batch:
    """A batch of the images as they are; targets are of the whole batch, images this rank's share of it."""
    own_ranks = ranks or SingleProcess()

    def forward(part: slice, is_last: bool) -> Tensor:
        normalised = Normalisation.from_model(state.model)(images[part], "cpu")
        return own_ranks.forward(state.model, normalised, is_last=is_last)

    share = get_rank_slice(len(targets), own_ranks.rank, own_ranks.n_ranks)
    content = f"images of {images.shape[1]} pixels"
    return Batch(n_images=len(targets), targets=targets[share], forward=forward, content=content)


def state_of(model: nn.Module, config: TrialConfig) -> TrainingState:
    """The state in which a fold's training begins."""
    n_steps = count_steps(config, 48, config.epochs)
    decay = compute_decay(config.ema_horizon, n_steps) if config.ema_horizon > 0 else None
    return TrainingState(
        ema=None if decay is None else ModelEma(model, decay=decay),
        model=model,
        optimizer=build_optimizer(model, config.optim, config.transfer),
        scaler=build_grad_scaler("cpu"),
        micro_batch=max(get_batch_size(config, epoch) for epoch in range(config.epochs)),
    )


def seeded_model(config: TrialConfig, toy: ToyCompetition = SHAPES) -> nn.Module:
    """The config's network with reproducible weights."""
    seed_everything(1)
    n_classes = len(toy.classes)
    head_sizes = tuple(head.n_classes for head in toy.heads)
    output_layer = build_output_layer(config.loss, toy.task, n_classes, head_sizes=head_sizes)
    return build_model(config.model, n_classes=n_classes, weights_dir=None, output_layer=output_layer)


def task_of(study: StudyFiles, config: TrialConfig, toy: ToyCompetition = SHAPES, **changes: Any) -> FoldTask:
    """A fold of 48 training and 12 validation rows over pixels that are made here."""
    rng = np.random.default_rng(3)
    competition = load_competition(study.competition)
    images = np.stack([toy.image(target, rng) for target in competition.targets])

    @cache
    def pixels(image_size: int) -> NDArray[np.uint8]:
        return np.stack([np.asarray(Image.fromarray(image).resize((image_size, image_size))) for image in images])

    return FoldTask(
        **{
            "config": config,
            "competition": competition,
            "pixels": pixels,
            "train_rows": np.arange(48),
            "valid_rows": np.arange(48, 60),
            "seeds": (5, 0, 0),
            "device": "cpu",
            "n_threads": 1,
            **changes,
        }
    )


def trained(
    study: StudyFiles, config: TrialConfig, model: nn.Module | None = None, *, toy: ToyCompetition = SHAPES
) -> TrainingState:
    """The state after all of the config's epochs on `task_of` its fold."""
    state = state_of(model or seeded_model(config, toy), config)
    train_fold(task_of(study, config, toy), state, on_epoch=lambda: None, on_batch=lambda now: None)
    return state


class Watched(PlainNet):
    """Keeps the batches that it was trained on."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.batches: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.batches.append(images.clone())
        return super().forward(images)


def watched(shapes: StudyFiles, config: TrialConfig) -> Watched:
    model = Watched()
    trained(shapes, config, model)
    return model


def weights_after(shapes: StudyFiles, config: TrialConfig) -> dict[str, Tensor]:
    return trained(shapes, config).model.state_dict()


def assert_differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def run(shapes: StudyFiles, config: TrialConfig, **changes: Any) -> tuple[TrainingState, Any, list[dict[str, Tensor]]]:
    """The state, the validation probabilities, and the weights after each epoch."""
    state, snapshots = state_of(seeded_model(config), config), []

    def keep() -> None:
        snapshots.append({name: tensor.clone() for name, tensor in state.model.state_dict().items()})

    task = task_of(shapes, config, **changes)
    probs = train_fold(task, state, on_epoch=keep, on_batch=lambda now: None)
    return state, probs, snapshots


def plain_state(*, capacity: int = 10**6, batch_size: int = 20, optim: OptimConfig | None = None) -> TrainingState:
    torch.manual_seed(0)
    return state_of(PlainNet(capacity=capacity), config_of(batch_size=batch_size, optim=optim))


def contents(files: TrialFiles) -> dict[str, Any]:
    """Weights and probabilities of a finished trial, for comparison bit by bit."""
    weights = {path.name: load_file(path) for path in sorted(files.root.glob("*.safetensors"))}
    arrays = {**read_arrays(files.oof), "test": read_arrays(files.test)["probs"]}
    flat = {f"{file}:{name}": tensor.numpy() for file, state in weights.items() for name, tensor in state.items()}
    return {name: array.tobytes() for name, array in {**flat, **arrays}.items()}


def loss_named(name: str, **changes: Any) -> LossConfig:
    return LossConfig(name=name, focal_gamma=1.0 if name.startswith("focal") else None, **changes)


# Without batch norm and dropout, which treat the parts of a batch in another way than the whole.
UNNORMALISED = config_of(
    backbone="test_efficientnet_ln", sizes="24-32", augment="medium", transfer=TransferConfig(freeze_epochs=1)
)
TWO_DEVICES = "cpu+cpu"
