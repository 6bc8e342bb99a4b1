"""What surrounds an attempt to train, of a whole trial or of a single fold: its lock, its peers, and how it may end.

Not responsible for: which folds are trained and what they add up to (automl.training.trial,
automl.training.refit_fold).
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from automl.artifacts import read_json, write_json
from automl.errors import AutomlError, StorageError, UnfitEnvironmentError
from automl.training.distributed.peers import Peers
from automl.training.fold import Progress, finish_fold
from automl.training.fold_outputs import FinishedFold
from automl.training.optim.accumulation import DeadEnd
from automl.training.seeding import use_repeatable_arithmetic
from automl.training.trial_context import Setting

LOCK_PATIENCE_S = 30.0  # an orphan of an earlier attempt needs a moment to notice that its driver is gone
LOCK_POLL_S = 0.1

Answer = dict[str, Any]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at path, which the kernel frees when its holder dies.

    Raises:
        StorageError: another process holds it for longer than an orphan lives.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("wb")
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}", hint="mend the permissions") from error
    with lock:
        deadline = time.monotonic() + LOCK_PATIENCE_S
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


def answered(work: Callable[[], Answer]) -> Answer:
    """The answer of the work, or a refusal in words where not only this attempt but the whole command cannot go on."""
    try:
        return work()
    except AutomlError as error:
        return _refused(error)
    except RuntimeError as error:
        if not _is_of_compiler(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return _refused(
            UnfitEnvironmentError(f"the network cannot be compiled here: {reason}", hint="leave out --compile")
        )


def claim_folder(setting: Setting) -> None:
    """Write the trial's configuration into the folder of its files, or find it there.

    Raises:
        StorageError: the folder belongs to a trial of another configuration.
    """
    path, config = setting.files.config, setting.config.to_json()
    if not path.exists():
        write_json(path, config)
    elif read_json(path) != config:
        raise StorageError(
            f"{path} holds another configuration than trial {setting.number} of this study",
            hint="begin another study with --study, or remove the folder of trials of the one that is gone",
        )


def finish_folds(
    setting: Setting, payload: Mapping[str, Any], folds: Iterable[int], progress: Progress, *, devices: list[str]
) -> list[FinishedFold]:
    """The outcomes of the folds, one after the other, each trained as far as an earlier attempt has not done it.

    Raises:
        AutomlError: weights, images or storage are not as needed.
        DeadEnd: the configuration diverges or does not fit into memory.
    """
    use_repeatable_arithmetic()
    try:
        with _peers(setting, payload, devices) as peers:
            shared = replace(setting, peers=peers)
            torch.set_num_threads(shared.own_threads)
            return [finish_fold(shared, fold, progress) for fold in folds]
    except torch.OutOfMemoryError as error:
        reason = f"the network and its optimizer do not fit into memory of {setting.device}"
        raise DeadEnd("memory", reason) from error


def dead_end(setting: Setting, progress: Progress, end: DeadEnd) -> Answer:
    """The answer of an attempt that leads nowhere."""
    state = progress.state
    attributes = measured(
        progress,
        micro_batch=setting.config.batch_size if state is None else state.micro_batch,
        n_parameters=None if state is None else state.n_parameters,
    )
    return {"outcome": "dead_end", "constraint": end.constraint, "reason": end.reason, "attributes": attributes}


def measured(progress: Progress, *, micro_batch: int, n_parameters: int | None) -> Answer:
    """What only the attempt itself knows of what is kept beside its score; `seconds` are those of all its folds."""
    unfinished = [] if progress.state is None else progress.state.history
    return {
        "seconds": round(progress.seconds + sum(record.seconds for record in unfinished), 3),
        "n_parameters": n_parameters,
        "micro_batch": micro_batch,
    }


def _refused(error: AutomlError) -> Answer:
    return {"outcome": "refused", "exit_code": error.exit_code, "problem": error.problem, "hint": error.hint}


def _is_of_compiler(error: RuntimeError) -> bool:
    """Whether torch.compile failed, and not the network."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


@contextmanager
def _peers(setting: Setting, payload: Mapping[str, Any], devices: list[str]) -> Iterator[Peers]:
    """A process on each further device, if there is one; none is left afterwards."""
    if len(devices) == 1:
        yield setting.peers
        return
    from automl.training.distributed.leader import Leader  # torch.distributed takes time to import

    with Leader(devices, payload, n_threads=setting.n_threads, beat=setting.reporter.beat) as leader:
        yield leader
