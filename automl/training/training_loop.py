"""The training loop of one fold, from the first epoch or from where it stopped.

Not responsible for: building models, keeping checkpoints, telling anyone (automl.training.trial).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from automl.data.resize import EvaluationPixels
from automl.suggest import format_number
from automl.training.batches import FoldTask, build_fold_loss, draw_epoch_rows, iterate_batches
from automl.training.checkpoints import EpochRecord, TrainingState
from automl.training.early_stopping import count_plateaus, is_out_of_patience, select_epoch
from automl.training.feature_cache import FeatureCache, cache_features
from automl.training.inference import predict_probs
from automl.training.network.shared_backbone import drop_backbone
from automl.training.optim.accumulation import InfeasibleConfig, accumulate_gradients
from automl.training.optim.freezing import is_backbone_frozen, set_trainable
from automl.training.optim.optimizers import get_lr, set_lr
from automl.training.optim.step import take_step
from automl.training.resizing import (
    count_batches,
    count_steps,
    get_batch_size,
    get_image_size,
    get_stage,
)
from automl.training.seeding import derive_seed, seed_everything

OnBatch = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEpoch:
    """The result of training an epoch, before its validation; `EpochRecord` explains the names.

    Attributes:
        features: of the frozen backbone, where they replace it.
        began_s: by time.perf_counter, once the pixels and all ranks were there.
        now: what on_batch was last called with.
    """

    image_size: int
    features: FeatureCache | None
    began_s: float
    lr: float
    train_loss: float
    images_per_s: float
    now: Mapping[str, Any]


def train_fold(
    task: FoldTask, state: TrainingState, *, on_epoch: Callable[[], None], on_batch: OnBatch
) -> NDArray[np.float32]:
    """Train the epochs that are missing in state.history; (n_valid, n_classes) probabilities of the validation rows.

    The state's model is left with the weights that predict: those of the last epoch or of the best, averaged or not,
    as the configuration says.

    Args:
        on_epoch: called when an epoch is in the history and the state is whole.
        on_batch: called after each batch with what is going on.

    Raises:
        InfeasibleConfig: the training diverged, or two images at once do not fit into memory.
    """
    features: FeatureCache | None = None
    probs: NDArray[np.float32] | None = None
    while not is_finished(task, state):
        epoch = len(state.history)
        trained = train_epoch(
            task, state, epoch, plateaus=count_fold_plateaus(task, state), features=features, on_batch=on_batch
        )

        # ---- Validation, at the size that was trained ---------------------------------------------------------------
        probs = _validate(task, state, trained, on_batch)
        score = _compute_finite_score(task, state, probs, when=f"epoch {epoch + 1}, lr {format_number(trained.lr)}")

        # ---- The epoch is complete ----------------------------------------------------------------------------------
        state.history.append(
            EpochRecord(
                epoch=epoch,
                image_size=trained.image_size,
                lr=trained.lr,
                train_loss=trained.train_loss,
                score=score,
                seconds=time.perf_counter() - trained.began_s,
                images_per_s=trained.images_per_s,
            )
        )
        if task.config.epoch_choice == "best" and select_fold_epoch(task, state) == epoch:
            state.keep_best()
        features = trained.features
        on_epoch()

    # ---- The weights that predict -----------------------------------------------------------------------------------
    is_last = select_fold_epoch(task, state) == len(state.history) - 1
    state.load_final_weights(best=not is_last)
    if probs is not None and is_last:
        return probs
    if state.backbone_digest is not None:
        epoch = len(state.history) - 1
        features = _get_features(task, state, epoch, cached=features, send_beat=partial(on_batch, {"epoch": epoch}))
        if features is not None:
            return features.predict_probs(state.model, task.valid_rows)
    evaluation = EvaluationPixels.from_config(task.config)
    pixels = task.pixels(evaluation.image_size)
    return predict_probs(state.model, pixels, task.valid_rows, evaluation=evaluation, device=task.device)


def train_epoch(
    task: FoldTask,
    state: TrainingState,
    epoch: int,
    *,
    plateaus: int,
    features: FeatureCache | None = None,
    on_batch: OnBatch,
) -> TrainedEpoch:
    """Train one epoch on this process's part of each batch, as all its ranks do at the same time.

    Args:
        plateaus: that the scores have come to so far, for the schedule that heeds them.
        features: of the frozen backbone at this epoch's image size, if the epoch before has left them.

    Raises:
        InfeasibleConfig: the training diverged, or two images at once do not fit into memory.
    """
    # ---- What is random in this epoch follows from its own seed, so that a resumed trial repeats it -----------------
    config, model, optimizer, ranks = task.config, state.model, state.optimizer, task.ranks
    seed = derive_seed(*task.seeds, epoch)
    seed_everything(seed if ranks.rank == 0 else derive_seed(seed, "rank", ranks.rank))
    image_size = get_image_size(config.resize.image_sizes, epoch, config.epochs)
    rows = draw_epoch_rows(task, np.random.default_rng(seed))

    # ---- What stays the same in every batch -------------------------------------------------------------------------
    set_trainable(model, optimizer, config.transfer, epoch=epoch)
    if not is_backbone_frozen(config.transfer, epoch):
        state.backbone_digest = None
    send_beat = partial(on_batch, {"epoch": epoch, "image_size": image_size})
    features = _get_features(task, state, epoch, cached=features, send_beat=send_beat)
    if features is None:
        task.pixels(image_size)  # decoded now, if no trial has needed this size before
    ranks.begin_epoch(model, epoch, plateaus)
    began_s = time.perf_counter()
    compute_loss = build_fold_loss(task)
    batches = iterate_batches(task, state, epoch, rows, seed=seed, features=features)
    n_batches = count_batches(len(rows), get_batch_size(config, epoch))
    n_images = len(task.train_rows)
    n_before, n_steps = count_steps(config, n_images, epoch), count_steps(config, n_images, config.epochs)
    loss_sum, n_seen, images_per_s, lr = 0.0, 0, 0.0, config.optim.lr
    now: dict[str, Any] = {"epoch": epoch, "image_size": image_size, "n_batches": n_batches}

    for number, batch in enumerate(batches):
        # ---- Gradients ----------------------------------------------------------------------------------------------
        lr = get_lr(n_before + number, n_steps, config.optim, plateaus=plateaus)
        set_lr(optimizer, lr)
        gradients = partial(
            accumulate_gradients, state, batch, compute_loss=compute_loss, device=task.device, ranks=ranks
        )
        loss = gradients()
        if not math.isfinite(loss):
            where = f"epoch {epoch + 1}, step {number + 1}, lr {format_number(lr)}"
            raise InfeasibleConfig("diverged", f"loss became {loss} in {where}")

        # ---- A step -------------------------------------------------------------------------------------------------
        take_step(state, config.optim, closure=gradients)
        if state.ema is not None:
            state.ema.update(model, n_before + number, with_backbone=state.backbone_digest is None)
        loss_sum += loss * batch.n_images
        n_seen += batch.n_images
        images_per_s = n_seen / (time.perf_counter() - began_s)
        now = {**now, "batch": number + 1, "images_per_s": round(images_per_s, 1)}
        on_batch(now)

    ranks.end_epoch(model)
    return TrainedEpoch(
        image_size=image_size,
        features=features,
        began_s=began_s,
        lr=lr,
        train_loss=loss_sum / n_seen,
        images_per_s=images_per_s,
        now=now,
    )


def is_finished(task: FoldTask, state: TrainingState) -> bool:
    """Whether no epoch is left, or the patience is at its end."""
    config, n_trained, n_stages = task.config, len(state.history), len(task.config.resize.image_sizes)
    if n_trained == 0 or n_trained >= config.epochs:
        return n_trained > 0
    is_last_stage = get_stage(n_stages, n_trained - 1, config.epochs) == n_stages - 1
    return is_last_stage and is_out_of_patience(
        state.history,
        patience=config.patience,
        final_size=config.resize.image_sizes[-1],
        greater_is_better=task.greater_is_better,
    )


def select_fold_epoch(task: FoldTask, state: TrainingState) -> int:
    """Return the epoch, of those trained so far, whose weights predict."""
    return select_epoch(
        state.history,
        task.config.epoch_choice,
        final_size=task.config.resize.image_sizes[-1],
        greater_is_better=task.greater_is_better,
    )


def count_fold_plateaus(task: FoldTask, state: TrainingState) -> int:
    """Count how often the validation score has stopped to improve."""
    return count_plateaus(state.history, greater_is_better=task.greater_is_better)


def _get_features(
    task: FoldTask, state: TrainingState, epoch: int, *, cached: FeatureCache | None, send_beat: Callable[[], None]
) -> FeatureCache | None:
    """Return the features of every image if the backbone is frozen and no other rank does a part of the work."""
    if not is_backbone_frozen(task.config.transfer, epoch) or task.ranks.n_ranks > 1:
        return None
    image_size = get_image_size(task.config.resize.image_sizes, epoch, task.config.epochs)
    if cached is not None and cached.image_size == image_size:
        return cached
    rows = np.concatenate([task.train_rows, task.valid_rows])
    return cache_features(
        state.model,
        task.config,
        task.splits(image_size),
        rows,
        load_pixels=partial(task.pixels, image_size),
        image_size=image_size,
        device=task.device,
        store=task.features,
        backbone_digest=state.backbone_digest,
        on_batch=send_beat,
    )


def _validate(task: FoldTask, state: TrainingState, trained: TrainedEpoch, on_batch: OnBatch) -> NDArray[np.float32]:
    """Predict (n_valid, n_classes) by the weights that would predict if this were the last epoch."""
    if trained.features is not None:
        return trained.features.predict_probs(state.eval_model, task.valid_rows)
    return predict_probs(
        state.eval_model,
        task.pixels(trained.image_size),
        task.valid_rows,
        evaluation=EvaluationPixels.from_config(task.config, trained.image_size),
        device=task.device,
        on_batch=partial(on_batch, trained.now),
    )


def _compute_finite_score(task: FoldTask, state: TrainingState, probs: NDArray[np.float32], *, when: str) -> float:
    """Return the validation score, once it is certain that nothing that goes into the checkpoint is nan or infinite.

    Raises:
        InfeasibleConfig: something is; a loss can be finite while the running statistics of a batch norm are not.
    """
    weights = state.model.state_dict()
    for name, tensor in (weights if state.backbone_digest is None else drop_backbone(weights)).items():
        if not torch.isfinite(tensor).all():
            raise InfeasibleConfig("diverged", f"'{name}' is no longer finite after {when}")
    if not np.isfinite(probs).all():
        raise InfeasibleConfig("diverged", f"the validation probabilities are not finite after {when}")
    score = task.competition.scorer(task.competition.targets[task.valid_rows], probs)
    if not math.isfinite(score):
        raise InfeasibleConfig("diverged", f"the score became {score} after {when}")
    return score
