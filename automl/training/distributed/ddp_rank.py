"""One rank of a trial, through torch's DistributedDataParallel.

Batch norm normalises each part by its own statistics, as it does each micro-batch; the running statistics become the
mean over ranks after each epoch. SyncBatchNorm is not used: it communicates inside the forward pass, so a rank that
runs out of memory there would leave the others waiting.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

from automl.errors import UnfitEnvironmentError
from automl.training.optim.amp import get_autocast_dtype

COLLECTIVE_TIMEOUT = timedelta(minutes=10)  # ranks that train are never further apart than a batch and its pixels


_LOCALHOST = "127.0.0.1"
_PRECISIONS = (None, torch.float16, torch.bfloat16)


def open_store() -> TCPStore:
    """Open the store where ranks meet, on a port that the system chooses, of this machine alone.

    Torch's default is any network.
    The caller is rank 0 and keeps it until all have left.
    """
    listener = socket.create_server((_LOCALHOST, 0))
    port = listener.getsockname()[1]
    return TCPStore(
        _LOCALHOST,
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=COLLECTIVE_TIMEOUT,
        master_listen_fd=listener.detach(),
    )


def enter_store(port: int) -> TCPStore:
    """Enter the store that another process on this machine has opened."""
    return TCPStore(_LOCALHOST, port, is_master=False, timeout=COLLECTIVE_TIMEOUT)


class DdpRank:
    """The `automl.training.distributed.rank_group.RankGroup` of one process."""

    def __init__(self, rank: int, n_ranks: int, device: str) -> None:
        self.rank = rank
        self.n_ranks = n_ranks
        self.device = torch.device(device)
        self._replica: DistributedDataParallel | None = None
        self._batch = (0, 0)
        self._fitting: set[tuple[int, int]] = set()  # batches as in this epoch that have fitted into all memories

    def join(self, store: Store) -> None:
        """Join the others; waits until all have come.

        Raises:
            UnfitEnvironmentError: their devices are of several types.
        """
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        # Gloo asks the network for this machine's own address otherwise.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=store, rank=self.rank, world_size=self.n_ranks, timeout=COLLECTIVE_TIMEOUT
        )
        self._require_one_precision(get_autocast_dtype(str(self.device)))

    def begin_fold(self, fold: int) -> None:
        pass

    def begin_epoch(self, model: nn.Module, epoch: int, plateaus: int) -> None:
        # Wrapped anew in each epoch, since other parameters may train now. A resumed trial then finds the same buckets,
        # and so the same order of additions, as one that was never interrupted.
        self._fitting.clear()
        self._replica = None
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")  # a copy that costs nothing
        self._replica = DistributedDataParallel(_Replica(model))
        self._replica.broadcast_buffers = False  # not before each batch; the constructor has done it once

    def begin_batch(self, n_images: int, micro_batch: int) -> None:
        self._batch = (n_images, micro_batch)

    def forward(self, model: nn.Module, images: Tensor, *, is_last: bool) -> Tensor:
        assert self._replica is not None
        exchange = is_last and self._batch in self._fitting
        with nullcontext() if exchange else self._replica.no_sync():
            return self._replica(images)  # type: ignore[no-any-return]

    def reduce_loss(self, loss: float | None) -> float | None:
        """As `RankGroup` says. Only of a batch that is known to fit are gradients exchanged while they are computed.

        Elsewhere a rank may run out of memory half-way, and the others would wait for gradients that never come.

        Raises:
            RuntimeError: memory ran out with a batch that fitted before, or another rank is gone.
        """
        are_exchanged = self._batch in self._fitting
        if loss is None and are_exchanged:
            raise RuntimeError(f"{self.device} ran out of memory with {self._batch[0]} images, which fitted before")
        sums = torch.tensor([loss or 0.0, loss is None], dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        total, n_without_memory = sums.tolist()
        if n_without_memory:
            return None
        if not are_exchanged:
            self._exchange_gradients()
        return float(total / self.n_ranks)

    def end_epoch(self, model: nn.Module) -> None:
        """As `RankGroup` says. Source: timm.utils.distributed.distribute_bn with reduce=True."""
        for statistic in _iterate_running_statistics(model):
            dist.all_reduce(statistic)
            statistic /= self.n_ranks

    def leave(self) -> None:
        """Part from the others, also where they are gone already."""
        self._replica = None
        if not dist.is_initialized():
            return
        if self.device.type == "cuda":
            # destroy_process_group waits for the others with NCCL; this newer call does not
            getattr(dist.distributed_c10d, "_abort_process_group", dist.destroy_process_group)()
        else:
            dist.destroy_process_group()

    def _require_one_precision(self, dtype: torch.dtype | None) -> None:
        """Require one precision: gradients of float16 would be scaled on one rank, and not on another."""
        number = _PRECISIONS.index(dtype)
        extremes = torch.tensor([number, -number], device=self.device)
        dist.all_reduce(extremes, dist.ReduceOp.MAX)
        if extremes.sum() != 0:
            raise UnfitEnvironmentError(
                f"{self.device} and another of the trial's {self.n_ranks} GPUs are of different kinds",
                hint="leave the odd one out with CUDA_VISIBLE_DEVICES, or train each trial on one GPU",
            )

    def _exchange_gradients(self) -> None:
        """Have DistributedDataParallel average the gradients that are there, by a backward pass that adds zero."""
        assert self._replica is not None
        unused = [parameter for parameter in _list_trainable(self._replica) if parameter.grad is None]
        self._replica(None).backward()
        for parameter in unused:
            parameter.grad = None  # as the optimizer would find it on one device
        if not unused:
            self._fitting.add(self._batch)


class _Replica(nn.Module):
    """The model, with a way to touch every parameter without using it; the state dict to save is the model's own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor | None) -> Tensor:
        if images is not None:
            return self.model(images)  # type: ignore[no-any-return]
        # One node for each parameter: the backward pass then meets them from the last to the first, as a real one does,
        # and that order is the one in which gradients will be exchanged from now on.
        return torch.stack([parameter.sum() for parameter in _list_trainable(self)]).sum() * 0.0


def _list_trainable(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _iterate_running_statistics(model: nn.Module) -> Iterator[Tensor]:
    """Iterate over the running statistics of those batch norms that are being trained."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            for statistic in (module.running_mean, module.running_var):
                if statistic is not None:
                    yield statistic
