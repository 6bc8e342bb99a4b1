"""The gradients of one batch: in as many passes as memory demands, on as many devices as the trial has.

Not responsible for: what is done with them (automl.training.optim.step), nor what a batch is made of
(automl.training.training_loop).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from automl.training.checkpoints import TrainingState
from automl.training.distributed.peers import MIN_MICRO_BATCH, Alone, Peers, n_sharing
from automl.training.loss.losses import Loss
from automl.training.optim.amp import autocast


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
class Batch:
    """What one step trains on, as one of the trial's ranks sees it.

    Attributes:
        n_images: of all ranks together.
        targets: (b,) class indices or (b, n_classes) shares of this rank's images.
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
    loss_of: Loss,
    device: str,
    peers: Peers = Alone(),  # noqa: B008 - it has no state
) -> float:
    """The mean loss of a batch, whose gradients are left in the parameters.

    The batch passes through the network in micro-batches, each weighted by its share. Where they do not fit into
    memory, of any device, their size is halved for good and the batch is begun again.

    Raises:
        DeadEnd: two images at once do not fit into memory.
    """
    n_largest_share = math.ceil(batch.n_images / n_sharing(batch.n_images, peers.n_ranks))
    while True:
        state.optimizer.zero_grad(set_to_none=True)
        peers.begin_batch(batch.n_images, state.micro_batch)
        loss = peers.settle(_loss_if_it_fits(state, batch, loss_of=loss_of, device=device, peers=peers))
        if loss is not None:
            return loss
        n_passed = min(state.micro_batch, n_largest_share)
        if n_passed <= MIN_MICRO_BATCH:
            raise DeadEnd("memory", f"{MIN_MICRO_BATCH} {batch.content} do not fit into memory of {device}")
        state.micro_batch = max(MIN_MICRO_BATCH, n_passed // 2)
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def micro_batch_sizes(n_images: int, micro_batch: int) -> list[int]:
    """Nearly equal parts of n_images, none above micro_batch + 1 and none of a single image (unless n_images is 1).

    One image too many does not make a part of its own: batch norm could not take it.
    """
    n_parts = 1 if n_images <= micro_batch + 1 else min(math.ceil(n_images / micro_batch), n_images // 2)
    smaller, n_larger = divmod(n_images, n_parts)
    return [smaller + (part < n_larger) for part in range(n_parts)]


def _loss_if_it_fits(state: TrainingState, batch: Batch, *, loss_of: Loss, device: str, peers: Peers) -> float | None:
    n_mean_share = batch.n_images / n_sharing(batch.n_images, peers.n_ranks)
    try:
        return _forward_and_backward(state, batch, n_counted=n_mean_share, loss_of=loss_of, device=device)
    except torch.OutOfMemoryError:
        return None  # the exception holds the tensors that fill the memory; it has to be gone before the next attempt


def _forward_and_backward(state: TrainingState, batch: Batch, *, n_counted: float, loss_of: Loss, device: str) -> float:
    """The sum of the images' losses over n_counted, with its gradients."""
    n_images, total, start = len(batch.targets), 0.0, 0
    for size in micro_batch_sizes(n_images, state.micro_batch):
        part = slice(start, start + size)
        with autocast(device):
            outputs = batch.forward(part, part.stop == n_images)
        loss = loss_of(outputs, batch.targets[part].to(device)) * (size / n_counted)
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.item()
        start += size
    return total
