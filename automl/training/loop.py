"""The training loop of one fold, from the first epoch or from where it stopped.

Not responsible for: building models, keeping checkpoints, telling anyone (automl.training.trial).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.data.transforms import build_transform, training_batches
from automl.training.checkpoints import EpochRecord, TrainingState
from automl.training.freezing import set_trainable
from automl.training.gradients import DeadEnd, accumulate_gradients
from automl.training.inference import predict_probs
from automl.training.losses import build_loss
from automl.training.optim import set_lr
from automl.training.resizing import image_size_of_epoch
from automl.training.schedules import lr_at
from automl.training.seeding import derive_seed, seed_everything
from automl.training.sharing import Alone, Peers, share_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTask:
    """What a fold trains and is validated on.

    Attributes:
        pixels: image size -> (n, C, C, 3) of the training images' cache.
        train_rows: (n_train,) row numbers, at least 2.
        valid_rows: (n_valid,) row numbers.
        seeds: study's seed, trial, fold.
        device: of this process; its peers have others.
    """

    config: TrialConfig
    competition: Competition
    pixels: Callable[[int], NDArray[np.uint8]]
    train_rows: NDArray[np.int64]
    valid_rows: NDArray[np.int64]
    seeds: tuple[int, ...]
    device: str
    n_threads: int
    peers: Peers = field(default_factory=Alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEpoch:
    """What the training of an epoch came to, before its validation; `EpochRecord` explains the names.

    Attributes:
        pixels: (n, C, C, 3) that it was trained on.
        began_s: by time.perf_counter, once the pixels and all peers were there.
        now: what on_batch was last called with.
    """

    image_size: int
    pixels: NDArray[np.uint8]
    began_s: float
    lr: float
    train_loss: float
    images_per_s: float
    now: Mapping[str, Any]


def train_fold(
    task: FoldTask,
    state: TrainingState,
    *,
    on_epoch: Callable[[], None],
    on_batch: Callable[[Mapping[str, Any]], None],
) -> NDArray[np.float32]:
    """Train the epochs that are missing in state.history; (n_valid, n_classes) probabilities of the validation rows.

    Args:
        on_epoch: called when an epoch is in the history and the state is whole.
        on_batch: called after each batch with what is going on.

    Raises:
        DeadEnd: the training diverged, or two images at once do not fit into memory.
    """
    config, model = task.config, state.model
    probs: NDArray[np.float32] | None = None
    for epoch in range(len(state.history), config.epochs):
        trained = train_epoch(task, state, epoch, on_batch=on_batch)

        # ---- Validation, at the size that was trained ---------------------------------------------------------------
        probs = predict_probs(
            model,
            trained.pixels,
            task.valid_rows,
            image_size=trained.image_size,
            device=task.device,
            on_batch=partial(on_batch, trained.now),
        )
        score = _finite_score(task, state, probs, place=f"epoch {epoch + 1}, lr {trained.lr:g}")

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
        on_epoch()

    if probs is None:  # every epoch was trained before an interruption
        size = config.resize.image_sizes[-1]
        probs = predict_probs(model, task.pixels(size), task.valid_rows, image_size=size, device=task.device)
    return probs


def train_epoch(
    task: FoldTask, state: TrainingState, epoch: int, *, on_batch: Callable[[Mapping[str, Any]], None]
) -> TrainedEpoch:
    """Train one epoch on this process's share of each batch, as all its peers do at the same time.

    Raises:
        DeadEnd: the training diverged, or two images at once do not fit into memory.
    """
    # ---- What is random in this epoch follows from its own seed, so that a resumed trial repeats it -----------------
    config, model, optimizer, scaler, peers = task.config, state.model, state.optimizer, state.scaler, task.peers
    seed = derive_seed(*task.seeds, epoch)
    seed_everything(seed if peers.rank == 0 else derive_seed(seed, "rank", peers.rank))
    image_size = image_size_of_epoch(config.resize.image_sizes, epoch, config.epochs)
    rows = np.random.default_rng(seed).permutation(task.train_rows)
    transform = build_transform(config.augment.policy, image_size=image_size, flips=task.competition.flips)
    pixels = task.pixels(image_size)
    batches = training_batches(
        pixels,
        rows,
        batch_size=config.batch_size,
        transform=transform,
        seed=seed,
        n_threads=task.n_threads,
        share=partial(share_of, rank=peers.rank, n_ranks=peers.n_ranks),
    )

    # ---- What stays the same in every batch -------------------------------------------------------------------------
    set_trainable(model, optimizer, head_only=epoch < config.transfer.freeze_epochs)
    peers.begin_epoch(model, epoch)
    began_s = time.perf_counter()
    loss_of = build_loss(config.loss)
    targets = torch.from_numpy(task.competition.targets)
    n_batches = count_batches(len(task.train_rows), config.batch_size)
    loss_sum, n_seen, images_per_s, lr = 0.0, 0, 0.0, config.optim.lr
    now: dict[str, Any] = {"epoch": epoch, "image_size": image_size, "n_batches": n_batches}

    for batch, (images, batch_rows) in enumerate(batches):
        # ---- Gradients ----------------------------------------------------------------------------------------------
        lr = lr_at(epoch * n_batches + batch, n_batches * config.epochs, config.optim)
        set_lr(optimizer, lr)
        loss = accumulate_gradients(
            state, images, targets[batch_rows], loss_of=loss_of, device=task.device, peers=peers
        )
        if not math.isfinite(loss):
            raise DeadEnd("diverged", f"loss became {loss} in epoch {epoch + 1}, step {batch + 1}, lr {lr:g}")

        # ---- A step -------------------------------------------------------------------------------------------------
        if config.optim.clip_norm is not None:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        loss_sum += loss * len(batch_rows)
        n_seen += len(batch_rows)
        images_per_s = n_seen / (time.perf_counter() - began_s)
        now = {**now, "batch": batch + 1, "images_per_s": round(images_per_s, 1)}
        on_batch(now)

    peers.end_epoch(model)
    return TrainedEpoch(
        image_size=image_size,
        pixels=pixels,
        began_s=began_s,
        lr=lr,
        train_loss=loss_sum / n_seen,
        images_per_s=images_per_s,
        now=now,
    )


def count_batches(n_images: int, batch_size: int) -> int:
    """How many batches an epoch has, where a last batch of one image is merged into the one before."""
    full, rest = divmod(n_images, batch_size)
    return max(1, full + (rest > 1))


def _finite_score(task: FoldTask, state: TrainingState, probs: NDArray[np.float32], *, place: str) -> float:
    """The validation score, once it is certain that nothing that goes into the checkpoint is nan or infinite.

    Raises:
        DeadEnd: something is; a loss can be finite while the running statistics of a batch norm are not.
    """
    for name, tensor in state.model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise DeadEnd("diverged", f"'{name}' is no longer finite after {place}")
    if not np.isfinite(probs).all():
        raise DeadEnd("diverged", f"the validation probabilities are not finite after {place}")
    score = task.competition.metric(task.competition.targets[task.valid_rows], probs)
    if not math.isfinite(score):
        raise DeadEnd("diverged", f"the score became {score} after {place}")
    return score
