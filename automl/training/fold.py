"""Train one fold of a trial, from fresh weights or from its checkpoint to its files.

Not responsible for: the loop over batches (automl.training.training_loop), nor what the folds add up to
(automl.training.trial).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import delete_checkpoints, write_table
from automl.data.cache import Split
from automl.data.pixels import Pixels
from automl.data.resize import EvaluationPixels
from automl.errors import DataError
from automl.training.batches import FoldTask, build_head_task
from automl.training.checkpoints import EpochRecord, TrainingState, restore_state, save_state
from automl.training.feature_cache import SplitImages, cache_features
from automl.training.fold_outputs import FoldResult, load_fold, save_fold, save_weights
from automl.training.inference import predict_probs
from automl.training.linear_head import fit_linear_head
from automl.training.loss.soft_targets import FoldTargets, load_soft_targets, select_fold_targets
from automl.training.network.create import build_model, compute_classes_digest, move_to_device, require_sizes_fit
from automl.training.network.outputs import build_output_layer
from automl.training.network.shared_backbone import compute_backbone_digest
from automl.training.network.warm_start import load_warm_start
from automl.training.optim.amp import build_grad_scaler
from automl.training.optim.ema import ModelEma, compute_decay
from automl.training.optim.freezing import is_backbone_frozen
from automl.training.optim.optimizers import build_optimizer
from automl.training.resizing import count_steps, get_batch_size, get_stage, is_end_of_stage
from automl.training.seeding import derive_seed, seed_everything
from automl.training.training_loop import train_fold
from automl.training.trial_context import TrialContext

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


def finish_fold(trial: TrialContext, fold: int, progress: Progress) -> FoldResult:
    """Return the fold's result, trained as far as an earlier run has not done it; its files are written.

    Raises:
        AutomlError: weights, images or storage are not as needed.
        InfeasibleConfig: the configuration diverges or does not fit into memory.
    """
    finished = load_fold(trial.files, fold)
    if finished is None:
        finished = _train(trial, fold, progress)
        delete_checkpoints(trial.files, fold)
    elif fold == trial.reported_fold:
        _replay(trial, finished.history, progress)
    progress.state = None
    progress.seconds += sum(record.seconds for record in finished.history)
    return finished


def prepare_fold(trial: TrialContext, fold: int) -> tuple[FoldTask, TrainingState]:
    """Return what the fold trains on, and how far its training has come.

    Raises:
        AutomlError: weights, images or storage are not as needed.
    """
    task = _build_task(trial, fold)
    state = _init_state(trial, task, fold)
    restore_state(trial.files, fold, state)
    if not state.history and trial.config.transfer.head_init == "probe":
        _init_head(trial, task, state)
    return task, state


def _train(trial: TrialContext, fold: int, progress: Progress) -> FoldResult:
    trial.ranks.begin_fold(fold)
    task, state = prepare_fold(trial, fold)
    progress.state = state
    if fold == trial.reported_fold:
        _replay(trial, state.history, progress)
    on_epoch = partial(_save_epoch, trial, fold, state)
    probs = train_fold(task, state, on_epoch=on_epoch, on_batch=trial.reporter.beat)
    finished = FoldResult(
        rows=task.valid_rows,
        probs=probs,
        test_probs=_predict_test(trial, state),
        history=state.history,
        micro_batch=state.micro_batch,
        n_parameters=state.n_parameters,
        classes=compute_classes_digest(trial.competition),
    )
    save_fold(trial.files, fold, state.model, finished, backbones=_get_backbones(trial, state))
    return finished


def _predict_test(trial: TrialContext, state: TrainingState) -> NDArray[np.float32]:
    """Predict (n_test, n_classes), from the features of an unchanged backbone where the store has room for them."""
    evaluation, beat = EvaluationPixels.from_config(trial.config), trial.reporter.beat
    rows = np.arange(len(trial.competition.test_paths))
    if state.backbone_digest is not None and trial.ranks.n_ranks == 1:
        features = cache_features(
            state.model,
            trial.config,
            [trial.get_split_images("test", evaluation.image_size)],
            rows,
            load_pixels=None,
            image_size=evaluation.image_size,
            device=trial.device,
            store=trial.features,
            backbone_digest=state.backbone_digest,
            on_batch=beat,
        )
        if features is not None:
            return features.predict_probs(state.model, rows)
    pixels = trial.load_pixels("test", evaluation.image_size)
    return predict_probs(state.model, pixels, rows, evaluation=evaluation, device=trial.device, on_batch=beat)


def _get_backbones(trial: TrialContext, state: TrainingState) -> Path | None:
    """Return the folder where the backbone belongs that all epochs have left as it was, or None where one has not."""
    return None if state.backbone_digest is None else trial.backbones


def _replay(trial: TrialContext, history: list[EpochRecord], progress: Progress) -> None:
    progress.history = history
    trial.reporter.replay(history)


def _save_epoch(trial: TrialContext, fold: int, state: TrainingState) -> None:
    """Write the checkpoint, then report: an epoch that was reported is never trained again."""
    epoch, sizes = len(state.history) - 1, trial.config.resize.image_sizes
    if is_end_of_stage(sizes, epoch, trial.config.epochs):
        stage = get_stage(len(sizes), epoch, trial.config.epochs)
        path = trial.files.get_stage_weights_path(fold, stage)
        save_weights(path, state.eval_model, backbones=_get_backbones(trial, state))
    save_state(trial.files, fold, state)
    if fold == trial.reported_fold:
        if trial.single_fold is None:  # folds of one trial that are trained at one time share its folder
            rows = ([getattr(record, column) for column in HISTORY_COLUMNS] for record in state.history)
            write_table(trial.files.history, HISTORY_COLUMNS, rows)
        trial.reporter.report(state.history[-1])


def _build_task(trial: TrialContext, fold: int) -> FoldTask:
    fold_targets = _load_fold_targets(trial, fold)
    train_rows = np.flatnonzero(trial.folds != fold) if fold_targets is None else fold_targets.rows
    valid_rows = np.flatnonzero(trial.folds == fold)
    if len(train_rows) < 2 or len(valid_rows) < 1:
        raise DataError(
            f"fold {fold} has {len(train_rows)} images to train on and {len(valid_rows)} to validate on",
            hint="add labelled images, or begin another study with fewer folds",
        )
    load_pixels: Callable[[int], Pixels] = partial(trial.load_pixels, "train")
    splits: tuple[Split, ...] = ("train",)
    if fold_targets is not None:
        load_pixels, splits = trial.load_all_pixels, ("train", "test")

    def list_splits(image_size: int) -> list[SplitImages]:
        return [trial.get_split_images(split, image_size) for split in splits]

    return FoldTask(
        config=trial.config,
        competition=trial.competition,
        pixels=cache(load_pixels),
        train_rows=train_rows,
        valid_rows=valid_rows,
        seeds=(trial.seed, trial.number, fold),
        device=trial.device,
        n_threads=trial.threads_per_rank,
        ranks=trial.ranks,
        fold_targets=fold_targets,
        features=trial.features,
        splits=list_splits,
    )


def _load_fold_targets(trial: TrialContext, fold: int) -> FoldTargets | None:
    if trial.soft_targets is None:
        return None
    competition, folds = trial.competition, trial.folds
    return select_fold_targets(load_soft_targets(trial.soft_targets, competition, folds), fold, competition, folds)


def _init_state(trial: TrialContext, task: FoldTask, fold: int) -> TrainingState:
    config, competition = trial.config, trial.competition
    seed_everything(derive_seed(trial.seed, trial.number, fold, "weights"))
    output_layer = build_output_layer(
        config.loss,
        competition.task,
        competition.n_classes,
        head_sizes=competition.head_sizes,
        compute_prior=task.compute_prior,
    )
    model_config = config.model if trial.init_from is None else replace(config.model, pretrained=False)
    model = build_model(
        model_config, n_classes=competition.n_classes, weights_dir=trial.weights_dir, output_layer=output_layer
    )
    if trial.init_from is not None:
        load_warm_start(model, trial.init_from, fold=fold, competition=competition, folds=trial.folds)
    require_sizes_fit(model, config.resize.image_sizes, config.model.backbone)
    model = move_to_device(model, trial.device)
    ema = None
    if config.ema_horizon > 0 and trial.ranks.rank == 0:
        n_steps = count_steps(config, len(task.train_rows), config.epochs)
        ema = ModelEma(model, decay=compute_decay(config.ema_horizon, n_steps))
    if config.compile:
        model.compile()
    return TrainingState(
        model=model,
        optimizer=build_optimizer(model, config.optim, config.transfer),
        scaler=build_grad_scaler(trial.device),
        micro_batch=max(get_batch_size(config, epoch) for epoch in range(config.epochs)),
        ema=ema,
        backbone_digest=compute_backbone_digest(model) if is_backbone_frozen(config.transfer, 0) else None,
    )


def _init_head(trial: TrialContext, task: FoldTask, state: TrainingState) -> None:
    """Give the head the weights that are best for the backbone's features as they are, where they can be solved for.

    Otherwise, and with too many features for store and memory, it stays as it is. Other ranks are sent the weights of
    the first as an epoch begins.
    Source: Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution,
    section 3.4 (linear probing, then fine-tuning).
    """
    config, is_trained = trial.config, trial.init_from is not None or trial.config.model.pretrained
    pooling = state.model.get_submodule("neck")
    if trial.ranks.rank > 0 or not is_trained or config.model.hidden or [*pooling.parameters(), *pooling.buffers()]:
        return
    image_size = config.resize.image_sizes[0]
    features = cache_features(
        state.model,
        config,
        task.splits(image_size),
        task.train_rows,
        load_pixels=partial(task.pixels, image_size),
        image_size=image_size,
        device=trial.device,
        store=trial.features,
        backbone_digest=state.backbone_digest,
        on_batch=trial.reporter.beat,
    )
    if features is None:
        return
    head_task = build_head_task(task, features, on_step=trial.reporter.beat)
    inner_folds = np.pad(trial.folds, (0, len(head_task.targets) - len(trial.folds)), constant_values=-1)
    head = fit_linear_head(head_task, task.train_rows, inner_folds=inner_folds)
    for model in [state.model] if state.ema is None else [state.model, state.ema.model]:
        head.copy_to(model.get_submodule("head.fc"))
