"""One fold of a trial, from fresh weights or from its checkpoint to its files.

Not responsible for: the loop over batches (automl.training.loop), nor what the folds add up to (automl.training.trial).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, TrialFiles, delete_checkpoints, write_bytes, write_table
from automl.config import TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.errors import DataError
from automl.training.averaging import WeightAverage, decay_of
from automl.training.checkpoints import EpochRecord, TrainingState, model_bytes, restore_state, save_state
from automl.training.finished import FinishedFold, load_fold, save_fold
from automl.training.inference import predict_probs
from automl.training.inherit import inherit_weights
from automl.training.links import link_of
from automl.training.loop import FoldTask, train_fold
from automl.training.models import build_model, placed, require_sizes_fit
from automl.training.optim import build_optimizer
from automl.training.precision import gradient_scaler
from automl.training.reporting import Context, Reporter
from automl.training.resizing import batch_size_of_epoch, count_steps, ends_stage, stage_of_epoch
from automl.training.seeding import derive_seed, seed_everything
from automl.training.sharing import Alone, Peers
from automl.training.sizes import fitted_sizes

HISTORY_COLUMNS = ("epoch", "image_size", "lr", "train_loss", "score", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all folds of a trial share.

    Attributes:
        folds: (n,) fold of each training image, -1 for those that are only trained on.
        config: its image sizes are those that the backbone takes.
        weights_dir: folder of pretrained weights, or None for the hub.
        init_from: folder of another trial whose weights training begins with, or None.
        device: of this process.
        n_threads: processor cores for all processes of the trial together.
        peers: this process among them.
    """

    number: int
    seed: int
    config: TrialConfig
    competition: Competition
    folds: NDArray[np.int64]
    pixel_cache: PixelCache
    files: TrialFiles
    weights_dir: Path | None
    init_from: Path | None
    device: str
    n_threads: int
    reporter: Reporter
    peers: Peers = field(default_factory=Alone)

    @classmethod
    def opened(cls, payload: Mapping[str, Any], context: Context) -> Setting:
        """What a trial's payload and context refer to, for the process on the first of its devices.

        Raises:
            StorageError: the study's files are missing or damaged.
        """
        study = StudyFiles(Path(payload["study_dir"]))
        competition = load_competition(study.competition)
        return cls(
            number=payload["trial"],
            seed=payload["seed"],
            config=_fitted(TrialConfig.from_json(payload["config"])),
            competition=competition,
            folds=load_folds(study.folds, competition),
            pixel_cache=PixelCache(competition, study.cache),
            files=study.trial(payload["trial"]),
            weights_dir=None if payload["weights_dir"] is None else Path(payload["weights_dir"]),
            init_from=None if payload["init_from"] is None else Path(payload["init_from"]),
            device=context.device.split("+")[0],
            n_threads=context.n_threads,
            reporter=Reporter(context),
        )

    @property
    def own_threads(self) -> int:
        """This process's share of the cores."""
        return max(1, self.n_threads // self.peers.n_ranks)

    def pixels(self, split: Literal["train", "test"], image_size: int) -> NDArray[np.uint8]:
        """(n, C, C, 3) of the cache, decoded now if no trial has needed this size before."""
        alive = self.reporter.beat
        return self.pixel_cache.pixels(
            split, image_size, n_threads=self.n_threads, on_progress=lambda done, total: alive()
        )


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a trial has come.

    Attributes:
        history: of the first fold, whose epochs are the trial's steps.
        seconds: that the finished folds took.
        state: of the fold that is being trained, if any.
    """

    history: list[EpochRecord] = field(default_factory=list)
    seconds: float = 0.0
    state: TrainingState | None = None


def finish_fold(setting: Setting, fold: int, progress: Progress) -> FinishedFold:
    """The fold's outcome, trained as far as an earlier attempt has not done it; its files are written.

    Raises:
        AutomlError: weights, images or storage are not as needed.
        DeadEnd: the configuration diverges or does not fit into memory.
    """
    finished = load_fold(setting.files, fold)
    if finished is None:
        finished = _trained(setting, fold, progress)
        delete_checkpoints(setting.files, fold)
    elif fold == 0:
        _replay(setting, finished.history, progress)
    progress.state = None
    progress.seconds += sum(record.seconds for record in finished.history)
    return finished


def prepare_fold(setting: Setting, fold: int) -> tuple[FoldTask, TrainingState]:
    """What the fold trains on, and how far its training has come.

    Raises:
        AutomlError: weights, images or storage are not as needed.
    """
    task, state = _task(setting, fold), _fresh_state(setting, fold)
    restore_state(setting.files, fold, state)
    return task, state


def _trained(setting: Setting, fold: int, progress: Progress) -> FinishedFold:
    setting.peers.begin_fold(fold)
    task, state = prepare_fold(setting, fold)
    progress.state = state
    if fold == 0:
        _replay(setting, state.history, progress)
    on_epoch = partial(_keep_epoch, setting, fold, state)
    probs = train_fold(task, state, on_epoch=on_epoch, on_batch=setting.reporter.beat)
    image_size = setting.config.resize.image_sizes[-1]
    test_probs = predict_probs(
        state.model,
        setting.pixels("test", image_size),
        np.arange(len(setting.competition.test_paths)),
        image_size=image_size,
        device=setting.device,
        on_batch=setting.reporter.beat,
    )
    finished = FinishedFold(
        rows=task.valid_rows,
        probs=probs,
        test_probs=test_probs,
        history=state.history,
        micro_batch=state.micro_batch,
        n_parameters=state.n_parameters,
    )
    save_fold(setting.files, fold, state.model, finished)
    return finished


def _replay(setting: Setting, history: list[EpochRecord], progress: Progress) -> None:
    progress.history = history
    setting.reporter.replay(history)


def _keep_epoch(setting: Setting, fold: int, state: TrainingState) -> None:
    """Write the checkpoint, then report: an epoch that was reported is never trained again."""
    epoch, sizes = len(state.history) - 1, setting.config.resize.image_sizes
    if ends_stage(sizes, epoch, setting.config.epochs):
        stage = stage_of_epoch(len(sizes), epoch, setting.config.epochs)
        write_bytes(setting.files.stage_weights(fold, stage), model_bytes(state.evaluated))
    save_state(setting.files, fold, state)
    if fold == 0:
        rows = ([getattr(record, column) for column in HISTORY_COLUMNS] for record in state.history)
        write_table(setting.files.history, HISTORY_COLUMNS, rows)
        setting.reporter.report(state.history[-1])


def _task(setting: Setting, fold: int) -> FoldTask:
    train_rows = np.flatnonzero(setting.folds != fold)
    valid_rows = np.flatnonzero(setting.folds == fold)
    if len(train_rows) < 2 or len(valid_rows) < 1:
        raise DataError(
            f"fold {fold} has {len(train_rows)} images to train on and {len(valid_rows)} to validate on",
            hint="add labelled images, or begin another study with fewer folds",
        )
    return FoldTask(
        config=setting.config,
        competition=setting.competition,
        pixels=cache(partial(setting.pixels, "train")),
        train_rows=train_rows,
        valid_rows=valid_rows,
        seeds=(setting.seed, setting.number, fold),
        device=setting.device,
        n_threads=setting.own_threads,
        peers=setting.peers,
    )


def _fresh_state(setting: Setting, fold: int) -> TrainingState:
    config, competition = setting.config, setting.competition
    seed_everything(derive_seed(setting.seed, setting.number, fold, "weights"))
    link = link_of(config.loss, competition.task, competition.n_classes, prior=_prior(setting, fold))
    wanted = config.model if setting.init_from is None else replace(config.model, pretrained=False)
    model = build_model(wanted, n_classes=competition.n_classes, weights_dir=setting.weights_dir, link=link)
    if setting.init_from is not None:
        inherit_weights(model, setting.init_from, fold=fold, competition=competition, folds=setting.folds)
    require_sizes_fit(model, config.resize.image_sizes, config.model.backbone)
    model = placed(model, setting.device)
    average = None
    if config.ema_horizon > 0 and setting.peers.rank == 0:
        n_steps = count_steps(config, int((setting.folds != fold).sum()), config.epochs)
        average = WeightAverage(model, decay=decay_of(config.ema_horizon, n_steps))
    if config.compile:
        model.compile()
    return TrainingState(
        model=model,
        optimizer=build_optimizer(model, config.optim, config.transfer),
        scaler=gradient_scaler(setting.device),
        micro_batch=max(batch_size_of_epoch(config, epoch) for epoch in range(config.epochs)),
        average=average,
    )


def _prior(setting: Setting, fold: int) -> NDArray[np.float64] | None:
    """(n_classes,) the mean of the targets that the fold trains on; None where an image has one class."""
    if setting.competition.task.one_class_each:
        return None
    mean: NDArray[np.float64] = setting.competition.shares[setting.folds != fold].mean(axis=0, dtype=np.float64)
    return mean


def _fitted(config: TrialConfig) -> TrialConfig:
    """The configuration with image sizes that its backbone takes."""
    sizes = fitted_sizes(config.model.backbone, config.resize.image_sizes)
    return replace(config, resize=replace(config.resize, image_sizes=sizes))
