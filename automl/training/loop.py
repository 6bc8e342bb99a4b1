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
from torch import Tensor

from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.data.transforms import build_transform, training_batches
from automl.training.checkpoints import EpochRecord, TrainingState
from automl.training.freezing import set_trainable
from automl.training.inference import predict_probs
from automl.training.losses import Loss, build_loss
from automl.training.models import Normalisation
from automl.training.optim import set_lr
from automl.training.precision import autocast
from automl.training.resizing import image_size_of_epoch
from automl.training.schedules import lr_at
from automl.training.seeding import derive_seed, seed_everything

MIN_MICRO_BATCH = 2  # batch norm cannot normalise one image by itself


class DeadEnd(Exception):  # noqa: N818 - an outcome, not an error
    """This configuration leads nowhere on this device, and would not the next time either.

    Attributes:
        constraint: "diverged" or "memory".
        reason: one line.
    """

    def __init__(self, constraint: str, reason: str) -> None:
        super().__init__(reason)
        self.constraint = constraint
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTask:
    """What a fold trains and is validated on.

    Attributes:
        pixels: image size -> (n, C, C, 3) of the training images' cache.
        train_rows: (n_train,) row numbers, at least 2.
        valid_rows: (n_valid,) row numbers.
        seeds: study's seed, trial, fold.
    """

    config: TrialConfig
    competition: Competition
    pixels: Callable[[int], NDArray[np.uint8]]
    train_rows: NDArray[np.int64]
    valid_rows: NDArray[np.int64]
    seeds: tuple[int, ...]
    device: str
    n_threads: int


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
    # ---- What stays the same in every epoch -------------------------------------------------------------------------
    config, model, optimizer, scaler = task.config, state.model, state.optimizer, state.scaler
    loss_of = build_loss(config.loss)
    targets = torch.from_numpy(task.competition.targets)
    n_batches = count_batches(len(task.train_rows), config.batch_size)
    probs: NDArray[np.float32] | None = None

    for epoch in range(len(state.history), config.epochs):
        # ---- What is random in this epoch follows from its own seed, so that a resumed trial repeats it -------------
        seed = derive_seed(*task.seeds, epoch)
        seed_everything(seed)
        image_size = image_size_of_epoch(config.resize.image_sizes, epoch, config.epochs)
        rows = np.random.default_rng(seed).permutation(task.train_rows)
        transform = build_transform(config.augment.policy, image_size=image_size, flips=task.competition.flips)
        pixels = task.pixels(image_size)
        began = time.perf_counter()

        # ---- Training -----------------------------------------------------------------------------------------------
        set_trainable(model, optimizer, head_only=epoch < config.freeze_epochs)
        batches = training_batches(
            pixels, rows, batch_size=config.batch_size, transform=transform, seed=seed, n_threads=task.n_threads
        )
        loss_sum, n_seen, lr = 0.0, 0, config.optim.lr
        now: dict[str, Any] = {"epoch": epoch, "image_size": image_size, "n_batches": n_batches}
        for batch, (images, batch_rows) in enumerate(batches):
            lr = lr_at(epoch * n_batches + batch, n_batches * config.epochs, config.optim)
            set_lr(optimizer, lr)
            loss = accumulate_gradients(state, images, targets[batch_rows], loss_of=loss_of, device=task.device)
            if not math.isfinite(loss):
                raise DeadEnd("diverged", f"loss became {loss} in epoch {epoch + 1}, step {batch + 1}, lr {lr:g}")
            if config.optim.clip_norm is not None:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            loss_sum += loss * len(images)
            n_seen += len(images)
            images_per_s = n_seen / (time.perf_counter() - began)
            now = {**now, "batch": batch + 1, "images_per_s": round(images_per_s, 1)}
            on_batch(now)

        # ---- Validation, at the size that was trained ---------------------------------------------------------------
        probs = predict_probs(
            model,
            pixels,
            task.valid_rows,
            image_size=image_size,
            device=task.device,
            on_batch=partial(on_batch, now),
        )
        score = _finite_score(task, state, probs, place=f"epoch {epoch + 1}, lr {lr:g}")

        # ---- The epoch is complete ----------------------------------------------------------------------------------
        state.history.append(
            EpochRecord(
                epoch=epoch,
                image_size=image_size,
                lr=lr,
                train_loss=loss_sum / n_seen,
                score=score,
                seconds=time.perf_counter() - began,
                images_per_s=images_per_s,
            )
        )
        on_epoch()

    if probs is None:  # every epoch was trained before an interruption
        size = config.resize.image_sizes[-1]
        probs = predict_probs(model, task.pixels(size), task.valid_rows, image_size=size, device=task.device)
    return probs


def count_batches(n_images: int, batch_size: int) -> int:
    """How many batches an epoch has, where a last batch of one image is merged into the one before."""
    full, rest = divmod(n_images, batch_size)
    return max(1, full + (rest > 1))


def accumulate_gradients(
    state: TrainingState, images: NDArray[np.uint8], targets: Tensor, *, loss_of: Loss, device: str
) -> float:
    """The mean loss of a batch, whose gradients are left in the parameters.

    The batch passes through the network in micro-batches, each weighted by its share. Where they do not fit into
    memory, their size is halved for good and the batch is begun again.

    Raises:
        DeadEnd: two images at once do not fit into memory.
    """
    while True:
        state.optimizer.zero_grad(set_to_none=True)
        try:
            return _forward_and_backward(state, images, targets, loss_of=loss_of, device=device)
        except torch.OutOfMemoryError:
            pass  # the exception holds the tensors that fill the memory; it has to be gone before the next attempt
        if state.micro_batch <= MIN_MICRO_BATCH:
            size = images.shape[1]
            raise DeadEnd("memory", f"{MIN_MICRO_BATCH} images of {size} pixels do not fit into memory of {device}")
        state.micro_batch = max(MIN_MICRO_BATCH, state.micro_batch // 2)
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def micro_batch_sizes(n_images: int, micro_batch: int) -> list[int]:
    """Nearly equal parts of n_images, none above micro_batch + 1 and none of a single image (unless n_images is 1).

    One image too many does not make a part of its own: batch norm could not take it.
    """
    n_parts = 1 if n_images <= micro_batch + 1 else min(math.ceil(n_images / micro_batch), n_images // 2)
    smaller, n_larger = divmod(n_images, n_parts)
    return [smaller + (part < n_larger) for part in range(n_parts)]


def _forward_and_backward(
    state: TrainingState, images: NDArray[np.uint8], targets: Tensor, *, loss_of: Loss, device: str
) -> float:
    normalise = Normalisation.of(state.model)
    total, start = 0.0, 0
    for size in micro_batch_sizes(len(images), state.micro_batch):
        part = slice(start, start + size)
        normalised, part_targets = normalise(images[part], device), targets[part].to(device)
        with autocast(device):
            logits = state.model(normalised)
        loss = loss_of(logits, part_targets) * (size / len(images))
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.item()
        start += size
    return total


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
