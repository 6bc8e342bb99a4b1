"""One fold of a trial, from fresh weights or from its checkpoint to its files.

Not responsible for: the loop over batches (automl.training.training_loop), nor what the folds add up to
(automl.training.trial).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np

from automl.artifacts import delete_checkpoints, write_bytes, write_table
from automl.data.pixels import Pixels
from automl.errors import DataError
from automl.training.batches import FoldTask
from automl.training.checkpoints import EpochRecord, TrainingState, model_bytes, restore_state, save_state
from automl.training.fold_outputs import FinishedFold, load_fold, save_fold
from automl.training.inference import predict_probs
from automl.training.loss.soft_targets import Taught, read_lesson, taught
from automl.training.network.create import build_model, classes_digest, placed, require_sizes_fit
from automl.training.network.outputs import link_of
from automl.training.network.warm_start import inherit_weights
from automl.training.optim.amp import gradient_scaler
from automl.training.optim.ema import WeightAverage, decay_of
from automl.training.optim.optimizers import build_optimizer
from automl.training.resizing import batch_size_of_epoch, count_steps, ends_stage, stage_of_epoch
from automl.training.seeding import derive_seed, seed_everything
from automl.training.training_loop import train_fold
from automl.training.trial_context import Setting

HISTORY_COLUMNS = ("epoch", "image_size", "lr", "train_loss", "score", "seconds")


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a trial has come.

    Attributes:
        history: of the fold whose epochs are reported.
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
    elif fold == setting.told_fold:
        _replay(setting, finished.history, progress)
    progress.state = None
    progress.seconds += sum(record.seconds for record in finished.history)
    return finished


def prepare_fold(setting: Setting, fold: int) -> tuple[FoldTask, TrainingState]:
    """What the fold trains on, and how far its training has come.

    Raises:
        AutomlError: weights, images or storage are not as needed.
    """
    task = _task(setting, fold)
    state = _fresh_state(setting, task, fold)
    restore_state(setting.files, fold, state)
    return task, state


def _trained(setting: Setting, fold: int, progress: Progress) -> FinishedFold:
    setting.peers.begin_fold(fold)
    task, state = prepare_fold(setting, fold)
    progress.state = state
    if fold == setting.told_fold:
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
        classes=classes_digest(setting.competition),
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
    if fold == setting.told_fold:
        if setting.single_fold is None:  # folds of one trial that are trained at one time share its folder
            rows = ([getattr(record, column) for column in HISTORY_COLUMNS] for record in state.history)
            write_table(setting.files.history, HISTORY_COLUMNS, rows)
        setting.reporter.report(state.history[-1])


def _task(setting: Setting, fold: int) -> FoldTask:
    told = _taught(setting, fold)
    train_rows = np.flatnonzero(setting.folds != fold) if told is None else told.rows
    valid_rows = np.flatnonzero(setting.folds == fold)
    if len(train_rows) < 2 or len(valid_rows) < 1:
        raise DataError(
            f"fold {fold} has {len(train_rows)} images to train on and {len(valid_rows)} to validate on",
            hint="add labelled images, or begin another study with fewer folds",
        )
    pixels_of: Callable[[int], Pixels] = partial(setting.pixels, "train") if told is None else setting.joined_pixels
    return FoldTask(
        config=setting.config,
        competition=setting.competition,
        pixels=cache(pixels_of),
        train_rows=train_rows,
        valid_rows=valid_rows,
        seeds=(setting.seed, setting.number, fold),
        device=setting.device,
        n_threads=setting.own_threads,
        peers=setting.peers,
        taught=told,
    )


def _taught(setting: Setting, fold: int) -> Taught | None:
    if setting.lesson is None:
        return None
    competition, folds = setting.competition, setting.folds
    return taught(read_lesson(setting.lesson, competition, folds), fold, competition, folds)


def _fresh_state(setting: Setting, task: FoldTask, fold: int) -> TrainingState:
    config, competition = setting.config, setting.competition
    seed_everything(derive_seed(setting.seed, setting.number, fold, "weights"))
    link = link_of(config.loss, competition.task, competition.n_classes, prior=task.prior)
    wanted = config.model if setting.init_from is None else replace(config.model, pretrained=False)
    model = build_model(wanted, n_classes=competition.n_classes, weights_dir=setting.weights_dir, link=link)
    if setting.init_from is not None:
        inherit_weights(model, setting.init_from, fold=fold, competition=competition, folds=setting.folds)
    require_sizes_fit(model, config.resize.image_sizes, config.model.backbone)
    model = placed(model, setting.device)
    average = None
    if config.ema_horizon > 0 and setting.peers.rank == 0:
        n_steps = count_steps(config, len(task.train_rows), config.epochs)
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
