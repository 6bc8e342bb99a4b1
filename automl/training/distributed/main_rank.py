"""Rank 0 of a trial on several devices: it starts a process for each further device, and leads it.

They end with it, and it ends with any of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from automl.training.distributed.ddp_rank import DdpRank, open_store
from automl.training.trial_job import TrialJob

OUT_OF_MEMORY = 98  # exit code of another rank
RANK_LOST = 97  # exit code of this process, where another rank is gone and a collective waits for it
LOST_RANK_TIMEOUT_S = 30.0  # until then a collective that lost a rank should have failed by itself, as with gloo
POLL_S = 0.5
CLOSING_S = 2.0  # between the moment when another rank's connections break and the one when it has ended
REAP_TIMEOUT_S = 5.0


class RankLostError(RuntimeError):
    """The process on one of the trial's other devices ended by itself."""


class MainRank(DdpRank):
    """Rank 0, with the processes of all others; as a context manager it leaves none of them."""

    def __init__(
        self,
        devices: Sequence[str],
        job: TrialJob,
        *,
        n_threads: int,
        beat: Callable[[], None],
    ) -> None:
        """Start no process before the first fold.

        Args:
            devices: one for each rank.
            job: of the trial.
            n_threads: processor cores for all ranks together.
            beat: called while this process waits for the others.
        """
        super().__init__(0, len(devices), devices[0])
        self._jobs = [
            {"payload": job.to_json(), "device": device, "n_threads": n_threads, "rank": rank, "n_ranks": len(devices)}
            for rank, device in enumerate(devices)
        ][1:]
        self._beat = beat
        self._other_ranks: list[OtherRank] = []
        self._store: TCPStore | None = None
        self._in_epoch = False
        self._left = threading.Event()

    def __enter__(self) -> MainRank:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lost = self._explain(error)
        if lost is None and self.device.type == "cuda" and dist.is_initialized():
            torch.cuda.synchronize(self.device)  # while the others still take part in what has been asked of the GPU
        for other in self._other_ranks:
            other.close()
        self.leave()
        self._store = None
        self._left.set()
        if lost is not None:
            raise lost from error

    def begin_fold(self, fold: int) -> None:
        """Have the others build what this process builds at the same time."""
        if not self._other_ranks:
            self._store = open_store()
            for job in self._jobs:
                self._other_ranks.append(OtherRank({**job, "port": self._store.port}))
            threading.Thread(target=self._watch, name="watch-ranks", daemon=True).start()
        self._send({"fold": fold})

    def begin_epoch(self, model: nn.Module, epoch: int, plateaus: int) -> None:
        """Begin when all are ready: it may take long, and no collective has to wait for it."""
        for other in self._other_ranks:
            while not other.is_ready(POLL_S):
                self._beat()
                self._require_all_ranks()
        self._require_all_ranks()
        self._send({"epoch": epoch, "plateaus": plateaus})
        self._in_epoch = True
        if not dist.is_initialized():
            assert self._store is not None
            self.join(self._store)
        super().begin_epoch(model, epoch, plateaus)

    def begin_batch(self, n_images: int, micro_batch: int) -> None:
        self._require_all_ranks()
        super().begin_batch(n_images, micro_batch)

    def end_epoch(self, model: nn.Module) -> None:
        super().end_epoch(model)
        self._in_epoch = False

    def _send(self, order: Mapping[str, Any]) -> None:
        for other in self._other_ranks:
            other.send(order)

    def _require_all_ranks(self) -> None:
        """Raises:
        RankLostError: another rank has ended.
        """
        for other in self._other_ranks:
            if other.end is not None:
                raise RankLostError(other.end)

    def _explain(self, error: BaseException | None) -> Exception | None:
        """Return what to raise instead of what a collective raises when a rank is gone."""
        if not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError):
            return None
        deadline = time.monotonic() + CLOSING_S
        while time.monotonic() < deadline and all(other.end is None for other in self._other_ranks):
            time.sleep(0.01)
        for other in self._other_ranks:
            if other.end is not None:
                return torch.OutOfMemoryError(other.end) if other.lacks_memory else RankLostError(other.end)
        return None

    def _watch(self) -> None:
        """End this process if another rank is gone: NCCL waits for the dead, where no exception can reach."""
        lost_at: float | None = None
        while not self._left.wait(POLL_S):
            end = next((other.end for other in self._other_ranks if other.end is not None), None)
            if end is None or not self._in_epoch:
                continue
            lost_at = lost_at or time.monotonic()
            if time.monotonic() > lost_at + LOST_RANK_TIMEOUT_S:
                print(end, file=sys.stderr, flush=True)
                os._exit(RANK_LOST)


class OtherRank:
    """A running `automl.training.distributed.other_rank`, as rank 0 sees it."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._device = job["device"]
        self._n_requested = self._n_ready = 0
        self._process = subprocess.Popen(
            # -P: a module beside the user's images must not hide one of Python's
            [sys.executable, "-P", "-m", "automl.training.distributed.other_rank", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},  # noqa: PTH109
        )
        self.send(job)

    @property
    def end(self) -> str | None:
        """How its process ended, in one line; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        return f"the process that trains on {self._device} {'ran out of memory' if self.lacks_memory else how}"

    @property
    def lacks_memory(self) -> bool:
        return self._process.poll() == OUT_OF_MEMORY

    def send(self, order: Mapping[str, Any]) -> None:
        self._n_requested += "fold" in order
        with contextlib.suppress(BrokenPipeError):  # it is about to be seen as ended
            self._pipe(self._process.stdin).write(json.dumps(order).encode() + b"\n")
            self._pipe(self._process.stdin).flush()

    def is_ready(self, patience_s: float) -> bool:
        """Whether it has prepared every fold that it was sent; waits for a while."""
        if self._n_ready < self._n_requested:
            with selectors.DefaultSelector() as selector:
                selector.register(self._pipe(self._process.stdout), selectors.EVENT_READ)
                if selector.select(patience_s):
                    self._n_ready += len(os.read(self._pipe(self._process.stdout).fileno(), 1))
        return self._n_ready >= self._n_requested

    def close(self) -> None:
        """Leave nothing of it."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_TIMEOUT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                self._pipe(pipe).close()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
