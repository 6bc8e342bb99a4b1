"""One run of a trial or of a single fold of it: its lock, its processes, and the result that it may end with.

See also: automl.training.trial and automl.training.refit_fold, which choose the folds and put them together.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from automl.artifacts import read_json, write_json
from automl.config import TrialConfig
from automl.errors import AutomlError, StorageError, UnfitEnvironmentError
from automl.training.distributed.rank_group import RankGroup
from automl.training.fold import Progress, finish_fold
from automl.training.fold_outputs import FoldResult
from automl.training.optim.accumulation import InfeasibleConfig
from automl.training.seeding import tune_allocator, use_deterministic_algorithms
from automl.training.trial_context import TrialContext
from automl.training.trial_job import Infeasible, Refused, TrialJob, TrialResult

LOCK_TIMEOUT_S = 30.0  # an orphan of an earlier run needs a moment to notice that its driver is gone
LOCK_POLL_S = 0.1


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock at path, which the kernel releases when its holder dies.

    Raises:
        StorageError: another process holds it for longer than an orphan lives.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("wb")
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}", hint="fix the permissions") from error
    with lock:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise StorageError(
                        f"another process works on {path.parent}", hint="stop it first, then run the same command again"
                    ) from error
                time.sleep(LOCK_POLL_S)
        yield


def run_or_refuse(work: Callable[[], TrialResult]) -> TrialResult:
    """Return the result of the work, or a refusal where not only this run but the whole command cannot go on."""
    try:
        return work()
    except AutomlError as error:
        return Refused.from_error(error)
    except RuntimeError as error:
        if not _is_compile_error(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Refused.from_error(
            UnfitEnvironmentError(f"the network cannot be compiled here: {reason}", hint="leave out --compile")
        )


def write_config(trial: TrialContext) -> None:
    """Write the trial's configuration into the folder of its files, or find it there.

    Raises:
        StorageError: the folder belongs to a trial of another configuration.
    """
    path = trial.files.config
    if not path.exists():
        write_json(path, trial.config.to_json())
    elif TrialConfig.from_json(read_json(path)) != trial.config:  # an older version's lacks what is at its default
        raise StorageError(
            f"{path} holds another configuration than trial {trial.number} of this study",
            hint="begin another study with --study, or remove the folder of trials of the one that is gone",
        )


def train_missing_folds(
    trial: TrialContext, job: TrialJob, folds: Iterable[int], progress: Progress, *, devices: list[str]
) -> list[FoldResult]:
    """Return the results of the folds, one after the other, each trained as far as an earlier run has not done it.

    Raises:
        AutomlError: weights, images or storage are not as needed.
        InfeasibleConfig: the configuration diverges or does not fit into memory.
    """
    use_deterministic_algorithms()
    if trial.device == "cpu":
        tune_allocator()
    try:
        with _start_ranks(trial, job, devices) as ranks:
            shared = replace(trial, ranks=ranks)
            torch.set_num_threads(shared.threads_per_rank)
            return [finish_fold(shared, fold, progress) for fold in folds]
    except torch.OutOfMemoryError as error:
        reason = f"the network and its optimizer do not fit into memory of {trial.device}"
        raise InfeasibleConfig("memory", reason) from error


def build_infeasible(trial: TrialContext, progress: Progress, end: InfeasibleConfig) -> Infeasible:
    """Return the result of a run that found the configuration infeasible."""
    state = progress.state
    attributes = collect_attributes(
        progress,
        micro_batch=trial.config.batch_size if state is None else state.micro_batch,
        n_parameters=None if state is None else state.n_parameters,
    )
    return Infeasible(constraint=end.constraint, reason=end.reason, attributes=attributes)


def collect_attributes(progress: Progress, *, micro_batch: int, n_parameters: int | None) -> dict[str, Any]:
    """Return what only this run knows of what is kept beside its score; `seconds` are those of all its folds."""
    unfinished = [] if progress.state is None else progress.state.history
    return {
        "seconds": round(progress.seconds + sum(record.seconds for record in unfinished), 3),
        "n_parameters": n_parameters,
        "micro_batch": micro_batch,
    }


def _is_compile_error(error: RuntimeError) -> bool:
    """Whether torch.compile failed, and not the network."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


@contextmanager
def _start_ranks(trial: TrialContext, job: TrialJob, devices: list[str]) -> Iterator[RankGroup]:
    """Have a process on each further device, if there is one; none is left afterwards."""
    if len(devices) == 1:
        yield trial.ranks
        return
    from automl.training.distributed.main_rank import MainRank  # torch.distributed takes time to import

    with MainRank(devices, job, n_threads=trial.n_threads, beat=trial.reporter.beat) as main_rank:
        yield main_rank
