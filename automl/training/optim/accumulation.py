"""Accumulate the gradients of one batch over micro-batches and devices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from automl.training.checkpoints import TrainingState
from automl.training.distributed.rank_group import MIN_MICRO_BATCH, RankGroup, SingleProcess, count_sharing_ranks
from automl.training.loss.losses import Loss
from automl.training.optim.amp import autocast


class InfeasibleConfig(Exception):  # noqa: N818 - an outcome, not an error
    """This configuration cannot be trained on this device, and could not the next time either.

    Attributes:
        constraint: "diverged" or "memory".
        reason: one line.
    """

    def __init__(self, constraint: str, reason: str) -> None:
        super().__init__(reason)
        self.constraint = constraint
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step trains on, as one of the trial's ranks sees it.

    Attributes:
        n_images: of all ranks together.
        targets: (b,) class indices or (b, n_classes) soft targets of this rank's images.
        forward: which of this rank's images, and whether they are the last of them -> (part, n_outputs).
        content: what the images are, such as "images of 224 pixels".
    """

    n_images: int
    targets: Tensor
    forward: Callable[[slice, bool], Tensor]
    content: str


def accumulate_gradients(
    state: TrainingState,
    batch: Batch,
    *,
    compute_loss: Loss,
    device: str,
    ranks: RankGroup = SingleProcess(),  # noqa: B008 - it has no state
) -> float:
    """Return the mean loss of a batch, and leave its gradients in the parameters.

    The batch passes through the network in micro-batches, each weighted by its share. Where they do not fit into
    memory, of any device, their size is halved for good and the batch is begun again.

    Raises:
        InfeasibleConfig: two images at once do not fit into memory.
    """
    n_largest_share = math.ceil(batch.n_images / count_sharing_ranks(batch.n_images, ranks.n_ranks))
    while True:
        state.optimizer.zero_grad(set_to_none=True)
        ranks.begin_batch(batch.n_images, state.micro_batch)
        loss = ranks.reduce_loss(
            _compute_loss_if_it_fits(state, batch, compute_loss=compute_loss, device=device, ranks=ranks)
        )
        if loss is not None:
            return loss
        n_passed = min(state.micro_batch, n_largest_share)
        if n_passed <= MIN_MICRO_BATCH:
            raise InfeasibleConfig("memory", f"{MIN_MICRO_BATCH} {batch.content} do not fit into memory of {device}")
        state.micro_batch = max(MIN_MICRO_BATCH, n_passed // 2)
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def split_micro_batches(n_images: int, micro_batch: int) -> list[int]:
    """Split n_images into nearly equal parts, none above micro_batch + 1 and none of a single image.

    A batch of one image is the exception. One image too many does not make a part of its own: batch norm could not take
    it.
    """
    n_parts = 1 if n_images <= micro_batch + 1 else min(math.ceil(n_images / micro_batch), n_images // 2)
    smaller, n_larger = divmod(n_images, n_parts)
    return [smaller + (part < n_larger) for part in range(n_parts)]


def _compute_loss_if_it_fits(
    state: TrainingState, batch: Batch, *, compute_loss: Loss, device: str, ranks: RankGroup
) -> float | None:
    n_mean_share = batch.n_images / count_sharing_ranks(batch.n_images, ranks.n_ranks)
    try:
        return _forward_and_backward(state, batch, n_counted=n_mean_share, compute_loss=compute_loss, device=device)
    except torch.OutOfMemoryError:
        return None  # the exception holds the tensors that fill the memory; it has to be gone before the next try


def _forward_and_backward(
    state: TrainingState, batch: Batch, *, n_counted: float, compute_loss: Loss, device: str
) -> float:
    """Return the sum of the images' losses over n_counted, with its gradients."""
    n_images, total, start = len(batch.targets), 0.0, 0
    for size in split_micro_batches(n_images, state.micro_batch):
        part = slice(start, start + size)
        with autocast(device):
            outputs = batch.forward(part, part.stop == n_images)
        loss = compute_loss(outputs, batch.targets[part].to(device)) * (size / n_counted)
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.item()
        start += size
    return total
