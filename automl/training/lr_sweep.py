"""The steps of a learning-rate range test, made of the same pieces as a trial's first epoch in which everything trains.

What is trained is thrown away. Not responsible for: which rates are tried and what the losses mean
(automl.training.lr_range).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from automl.data.cache import PixelCache
from automl.errors import AutomlError, UsageError
from automl.training.batches import FoldTask, batches_of_epoch, loss_of_fold, rows_of_epoch
from automl.training.checkpoints import TrainingState
from automl.training.fold import prepare_fold
from automl.training.lr_range import has_diverged, rates
from automl.training.optim.accumulation import Batch, DeadEnd, accumulate_gradients
from automl.training.optim.freezing import set_trainable
from automl.training.optim.optimizers import set_lr
from automl.training.optim.step import take_step
from automl.training.reporting import Context
from automl.training.resizing import batch_size_of_epoch, count_batches, image_size_of_epoch
from automl.training.seeding import derive_seed, seed_everything, use_repeatable_arithmetic
from automl.training.trial_context import Setting


def sweep(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train the first fold of a configuration for some steps, each with a higher learning rate.

    Args:
        payload: that of a trial, and "cache": the folder of the pixels.

    Returns:
        outcome "completed" with lrs, losses, image_size and batch_size, or "refused" with exit_code, problem and hint.
    """
    try:
        setting = Setting.opened(payload, context)
        cache = PixelCache(setting.competition, Path(payload["cache"]))
        return {"outcome": "completed", **_swept(replace(setting, pixel_cache=cache))}
    except DeadEnd as end:
        error: AutomlError = UsageError(end.reason, hint="try smaller ones with --fix resize=..., or another backbone")
    except AutomlError as escaped:
        error = escaped
    return {"outcome": "refused", "exit_code": error.exit_code, "problem": error.problem, "hint": error.hint}


def losses_of(
    task: FoldTask, state: TrainingState, lrs: list[float], *, epoch: int, on_step: Callable[[], None]
) -> list[float]:
    """The loss of each step before it is taken, up to where the test has seen enough; the last may not be finite.

    Only training rows are seen, varied and mixed as in that epoch.

    Raises:
        DeadEnd: two images at once do not fit into memory.
    """
    set_trainable(state.model, state.optimizer, task.config.transfer, epoch=epoch)
    loss_of, losses = loss_of_fold(task), list[float]()
    for lr, batch in zip(lrs, _batches(task, state, epoch), strict=False):
        set_lr(state.optimizer, lr)
        gradients = partial(accumulate_gradients, state, batch, loss_of=loss_of, device=task.device, peers=task.peers)
        losses.append(gradients())
        on_step()
        if has_diverged(losses):
            break
        take_step(state, task.config.optim, again=gradients)
    return losses


def first_trained_epoch(task: FoldTask) -> int:
    """The first epoch in which all that is ever trained trains."""
    return task.config.transfer.freeze_epochs


def _swept(setting: Setting) -> dict[str, Any]:
    use_repeatable_arithmetic()
    torch.set_num_threads(setting.own_threads)
    task, state = prepare_fold(setting, 0)
    epoch, config = first_trained_epoch(task), task.config
    batch_size = batch_size_of_epoch(config, epoch)
    lrs = rates(count_batches(len(task.train_rows), batch_size))
    losses = losses_of(task, state, lrs, epoch=epoch, on_step=setting.reporter.beat)
    n_finite = len(losses) - (not math.isfinite(losses[-1]))
    return {
        "lrs": lrs[:n_finite],
        "losses": losses[:n_finite],
        "image_size": image_size_of_epoch(config.resize.image_sizes, epoch, config.epochs),
        "batch_size": batch_size,
    }


def _batches(task: FoldTask, state: TrainingState, epoch: int) -> Iterator[Batch]:
    """Those of the epoch, again and again, each time in another order."""
    for round_ in itertools.count():
        seed = derive_seed(*task.seeds, epoch, "lr", round_)
        seed_everything(seed)
        rows = rows_of_epoch(task, np.random.default_rng(seed))
        yield from batches_of_epoch(task, state, epoch, rows, seed=seed, features=None)
