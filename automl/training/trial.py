"""One trial from its payload to its files: the task that a runner carries.

Kill-safe at every point: a fold goes on from its last epoch, a finished fold is not trained again, a finished trial
answers at once. Not responsible for: deciding whether to go on (the runner's context raises JobStopped, which passes
through), nor Optuna's states (automl.search).
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from automl.artifacts import StudyFiles, TrialFiles, read_json, write_json
from automl.errors import AutomlError, StorageError, UnfitEnvironmentError
from automl.training.checkpoints import EpochRecord
from automl.training.finished import FinishedFold, delete_fold_arrays, join_folds
from automl.training.fold import Progress, Setting, finish_fold
from automl.training.gradients import DeadEnd
from automl.training.reporting import Context
from automl.training.seeding import use_repeatable_arithmetic
from automl.training.sharing import Peers
from automl.training.stopping import chosen_epoch

__all__ = ["Context", "run_trial"]

LOCK_PATIENCE_S = 30.0  # an orphan of an earlier attempt needs a moment to notice that its driver is gone
LOCK_POLL_S = 0.1


def run_trial(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Train the folds of a trial, or what is missing of them, and say how it ended.

    Args:
        payload: trial, study_dir, config, train_folds, seed, weights_dir.

    Returns:
        outcome "completed" with score and attributes, "dead_end" with constraint, reason and attributes, or "refused"
        with exit_code, problem and hint, where not only this trial but the whole search cannot go on.

    Raises:
        StorageError: another process works on this trial.
    """
    with _locked(StudyFiles(Path(payload["study_dir"])).trial(payload["trial"])):
        try:
            setting = Setting.opened(payload, context)
            _claim_folder(setting)
            if _is_complete(setting.files, payload["train_folds"]):
                return _answer_again(setting)
            return _run(setting, payload, context.device.split("+"))
        except AutomlError as error:
            return _refused(error)
        except RuntimeError as error:
            if not _is_of_compiler(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            return _refused(
                UnfitEnvironmentError(f"the network cannot be compiled here: {reason}", hint="leave out --compile")
            )


def _refused(error: AutomlError) -> dict[str, Any]:
    return {"outcome": "refused", "exit_code": error.exit_code, "problem": error.problem, "hint": error.hint}


def _is_of_compiler(error: RuntimeError) -> bool:
    """Whether torch.compile failed, and not the network."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def _run(setting: Setting, payload: Mapping[str, Any], devices: list[str]) -> dict[str, Any]:
    use_repeatable_arithmetic()
    progress = Progress()
    try:
        with _peers(setting, payload, devices) as peers:
            shared = replace(setting, peers=peers)
            torch.set_num_threads(shared.own_threads)
            folds = [finish_fold(shared, fold, progress) for fold in range(payload["train_folds"])]
    except DeadEnd as end:
        return _dead_end(setting, progress, end.constraint, end.reason)
    except torch.OutOfMemoryError:
        reason = f"the network and its optimizer do not fit into memory of {setting.device}"
        return _dead_end(setting, progress, "memory", reason)
    return _completed(setting, progress, folds)


@contextmanager
def _peers(setting: Setting, payload: Mapping[str, Any], devices: list[str]) -> Iterator[Peers]:
    """A process on each further device, if there is one; none is left afterwards."""
    if len(devices) == 1:
        yield setting.peers
        return
    from automl.training.parallel import Leader  # torch.distributed takes time to import

    with Leader(devices, payload, n_threads=setting.n_threads, beat=setting.reporter.beat) as leader:
        yield leader


def _completed(setting: Setting, progress: Progress, folds: list[FinishedFold]) -> dict[str, Any]:
    """Join the folds. The answer is the last file to be written, and the folds' own arrays go only after it."""
    join_folds(setting.files, folds)
    competition = setting.competition
    rows, probs = np.concatenate([fold.rows for fold in folds]), np.concatenate([fold.probs for fold in folds])
    attributes = _attributes(
        setting,
        progress,
        micro_batch=min(fold.micro_batch for fold in folds),
        n_parameters=folds[0].n_parameters,
    )
    attributes.update(_course(setting, progress.history))
    score = competition.scorer(competition.targets[rows], probs)
    answer = {"outcome": "completed", "score": score, "attributes": attributes}
    history = [asdict(record) for record in progress.history]
    write_json(setting.files.result, {"answer": answer, "history": history})
    delete_fold_arrays(setting.files, len(folds))
    return answer


def _dead_end(setting: Setting, progress: Progress, constraint: str, reason: str) -> dict[str, Any]:
    state = progress.state
    attributes = _attributes(
        setting,
        progress,
        micro_batch=setting.config.batch_size if state is None else state.micro_batch,
        n_parameters=None if state is None else state.n_parameters,
    )
    return {"outcome": "dead_end", "constraint": constraint, "reason": reason, "attributes": attributes}


def _course(setting: Setting, history: Sequence[EpochRecord]) -> dict[str, Any]:
    """Which epoch of the first fold predicts, by which policy, and the last score at each image size."""
    choice = setting.config.epoch_choice
    chosen = chosen_epoch(
        history,
        choice,
        final_size=setting.config.resize.image_sizes[-1],
        greater_is_better=setting.competition.metric.greater_is_better,
    )
    by_size = {str(record.image_size): record.score for record in history}
    return {"epoch_choice": choice, "chosen_epoch": chosen, "score_by_size": by_size}


def _is_complete(files: TrialFiles, n_folds: int) -> bool:
    weights = [files.weights(fold) for fold in range(n_folds)]
    return all(path.exists() for path in (files.result, files.oof, files.test, *weights))


def _answer_again(setting: Setting) -> dict[str, Any]:
    document = read_json(setting.files.result)
    setting.reporter.replay([EpochRecord(**record) for record in document["history"]])
    answer: dict[str, Any] = document["answer"]
    return answer


def _attributes(setting: Setting, progress: Progress, *, micro_batch: int, n_parameters: int | None) -> dict[str, Any]:
    """What only the trial itself knows of what the study keeps beside its score; `seconds` are those of all folds."""
    unfinished = [] if progress.state is None else progress.state.history
    return {
        "seconds": round(progress.seconds + sum(record.seconds for record in unfinished), 3),
        "n_parameters": n_parameters,
        "micro_batch": micro_batch,
    }


def _claim_folder(setting: Setting) -> None:
    """Write the trial's configuration, or find it there.

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


@contextmanager
def _locked(files: TrialFiles) -> Iterator[None]:
    """Hold the trial's lock, which the kernel frees when its holder dies.

    Raises:
        StorageError: another process holds it for longer than an orphan lives.
    """
    try:
        files.root.mkdir(parents=True, exist_ok=True)
        lock = files.lock.open("wb")
    except OSError as error:
        raise StorageError(f"{files.lock} cannot be opened: {error.strerror}", hint="mend the permissions") from error
    with lock:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise StorageError(
                        f"another process works on {files.root}", hint="stop it first, then run the same command again"
                    ) from error
                time.sleep(LOCK_POLL_S)
        yield
