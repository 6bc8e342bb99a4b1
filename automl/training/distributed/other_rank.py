"""Any rank of a trial but 0, on its own device: `python -m automl.training.distributed.other_rank MAIN_PID`.

Its stdin brings the job, then {"fold": ...} and {"epoch": ..., "plateaus": ...} in turn; a byte on its stdout says
that a fold is prepared. It prepares and trains exactly as rank 0 does, and writes, reports and decides nothing. It
never outlives rank 0.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import torch
import torch.distributed as dist

from automl.training.batches import FoldTask
from automl.training.checkpoints import TrainingState
from automl.training.distributed.ddp_rank import DdpRank, enter_store
from automl.training.distributed.main_rank import OUT_OF_MEMORY
from automl.training.fold import prepare_fold
from automl.training.optim.accumulation import InfeasibleConfig
from automl.training.seeding import tune_allocator, use_deterministic_algorithms
from automl.training.training_loop import train_epoch
from automl.training.trial_context import TrialContext
from automl.training.trial_job import TrialJob

_MAIN_RANK_GONE = 99  # exit code
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> None:
    (main_pid,) = arguments
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to everybody at once; rank 0 decides
        signal.signal(number, signal.SIG_IGN)
    _die_with(int(main_pid))
    faulthandler.enable()
    orders: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_read, args=(os.dup(0), orders), name="main-rank-link", daemon=True).start()
    ready_fd = _take_stdout()
    try:
        _serve(orders, ready_fd, **orders.get())
    except torch.OutOfMemoryError:
        os._exit(OUT_OF_MEMORY)


@dataclass
class SilentContext:
    """The context of a rank that reports nothing."""

    device: str
    n_threads: int

    def report(self, step: int, value: float, detail: Mapping[str, Any] | None = None) -> None:
        pass

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        pass


def _serve(
    orders: SimpleQueue[dict[str, Any]],
    ready_fd: int,
    *,
    payload: Mapping[str, Any],
    device: str,
    n_threads: int,
    rank: int,
    n_ranks: int,
    port: int,
) -> None:
    """Do as rank 0 orders, until it is gone."""
    ranks = DdpRank(rank, n_ranks, device)
    trial = replace(TrialContext.open_job(TrialJob.from_json(payload), SilentContext(device, n_threads)), ranks=ranks)
    use_deterministic_algorithms()
    if device == "cpu":
        tune_allocator()
    torch.set_num_threads(trial.threads_per_rank)
    fold: _Fold | None = None
    while True:
        order = orders.get()
        if "fold" in order:
            fold = None  # before the next one takes memory
            fold = _Fold(*prepare_fold(trial, order["fold"]))
            os.write(ready_fd, b".")
            continue
        if not dist.is_initialized():
            ranks.join(enter_store(port))
        assert fold is not None
        fold.train(order["epoch"], order["plateaus"])


class _Fold:
    def __init__(self, task: FoldTask, state: TrainingState) -> None:
        self._task, self._state, self._next_epoch = task, state, len(state.history)

    def train(self, epoch: int, plateaus: int) -> None:
        """Train an epoch that rank 0 trains.

        Raises:
            RuntimeError: this process has come to another epoch than rank 0.
        """
        if epoch != self._next_epoch:
            raise RuntimeError(f"rank 0 begins epoch {epoch}, but the checkpoint leads to epoch {self._next_epoch}")
        try:
            train_epoch(self._task, self._state, epoch, plateaus=plateaus, on_batch=lambda now: None)
        except InfeasibleConfig:  # rank 0 meets the same one, and reports it
            signal.pause()
        self._next_epoch += 1


def _read(order_fd: int, orders: SimpleQueue[dict[str, Any]]) -> None:
    # Plain reads: a buffered reader held by a daemon thread can crash the interpreter's shutdown.
    unread = b""
    while chunk := os.read(order_fd, 65536):
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            orders.put(json.loads(line))
    os._exit(_MAIN_RANK_GONE)


def _die_with(main_pid: int) -> None:
    """Have the kernel kill this process when rank 0's thread that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != main_pid:  # it ended before the call
        os._exit(_MAIN_RANK_GONE)


def _take_stdout() -> int:
    """Move the pipe to rank 0 out of reach of whatever is printed, which goes where stderr goes."""
    ready_fd = os.dup(1)
    os.dup2(2, 1)
    return ready_fd


if __name__ == "__main__":
    main(sys.argv[1:])
