"""Take the steps of a learning-rate range test, as a trial does in its first epoch in which everything trains.

What is trained is thrown away. See also: automl.training.lr_range, which chooses the rates and reads the losses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from automl.errors import AutomlError, UsageError
from automl.training.batches import FoldTask, build_fold_loss, draw_epoch_rows, iterate_batches
from automl.training.checkpoints import TrainingState
from automl.training.fold import prepare_fold
from automl.training.lr_range import build_lr_grid, has_diverged
from automl.training.optim.accumulation import Batch, InfeasibleConfig, accumulate_gradients
from automl.training.optim.freezing import set_trainable
from automl.training.optim.optimizers import set_lr
from automl.training.optim.step import take_step
from automl.training.reporting import RunnerContext
from automl.training.resizing import count_batches, get_batch_size, get_image_size
from automl.training.seeding import derive_seed, seed_everything, tune_allocator, use_deterministic_algorithms
from automl.training.trial_context import TrialContext
from automl.training.trial_job import Refused, SweepResult, TrialJob


def run_lr_sweep(job: TrialJob, context: RunnerContext) -> SweepResult | Refused:
    """Train the first fold of a configuration for some steps, each with a higher learning rate."""
    try:
        return _run_steps(TrialContext.open_job(job, context))
    except InfeasibleConfig as end:
        error: AutomlError = UsageError(end.reason, hint="try smaller ones with --fix resize=..., or another backbone")
    except AutomlError as escaped:
        error = escaped
    return Refused.from_error(error)


def measure_losses(
    task: FoldTask, state: TrainingState, lrs: list[float], *, epoch: int, on_step: Callable[[], None]
) -> list[float]:
    """Return the loss of each step before it is taken, up to where the test has seen enough.

    The last may not be finite.
    Only training rows are seen, varied and mixed as in that epoch.

    Raises:
        InfeasibleConfig: two images at once do not fit into memory.
    """
    set_trainable(state.model, state.optimizer, task.config.transfer, epoch=epoch)
    loss_of, losses = build_fold_loss(task), list[float]()
    for lr, batch in zip(lrs, _repeat_batches(task, state, epoch), strict=False):
        set_lr(state.optimizer, lr)
        gradients = partial(
            accumulate_gradients, state, batch, compute_loss=loss_of, device=task.device, ranks=task.ranks
        )
        losses.append(gradients())
        on_step()
        if has_diverged(losses):
            break
        take_step(state, task.config.optim, closure=gradients)
    return losses


def get_first_trained_epoch(task: FoldTask) -> int:
    """Return the first epoch in which all that is ever trained trains."""
    return task.config.transfer.freeze_epochs


def _run_steps(trial: TrialContext) -> SweepResult:
    use_deterministic_algorithms()
    if trial.device == "cpu":
        tune_allocator()
    torch.set_num_threads(trial.threads_per_rank)
    task, state = prepare_fold(trial, 0)
    epoch, config = get_first_trained_epoch(task), task.config
    batch_size = get_batch_size(config, epoch)
    lrs = build_lr_grid(count_batches(len(task.train_rows), batch_size))
    losses = measure_losses(task, state, lrs, epoch=epoch, on_step=trial.reporter.beat)
    n_finite = len(losses) - (not math.isfinite(losses[-1]))
    return SweepResult(
        lrs=tuple(lrs[:n_finite]),
        losses=tuple(losses[:n_finite]),
        image_size=get_image_size(config.resize.image_sizes, epoch, config.epochs),
        batch_size=batch_size,
    )


def _repeat_batches(task: FoldTask, state: TrainingState, epoch: int) -> Iterator[Batch]:
    """Repeat the batches of the epoch, again and again, each time in another order."""
    for round_ in itertools.count():
        seed = derive_seed(*task.seeds, epoch, "lr", round_)
        seed_everything(seed)
        rows = draw_epoch_rows(task, np.random.default_rng(seed))
        yield from iterate_batches(task, state, epoch, rows, seed=seed, features=None)
