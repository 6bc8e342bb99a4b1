"""Trials that train nothing: as kill-safe as real ones, but quick and without torch, so that many can be killed.

Also what the tests of faults search with. Each score follows from the trial's number, the epoch and the learning rate.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl.artifacts import (
    StudyFiles,
    TrialFiles,
    delete_checkpoints,
    read_json,
    write_json,
)
from automl.errors import AutomlError
from runners.base import Context

JOURNAL = "journal.txt"  # in the study's folder: one line for each attempt and for each epoch that is begun
LOCK_PATIENCE_S = 30.0


def score_of(number: int, epoch: int, lr: float) -> float:
    """In (0, 1): rises with the epochs, best near a learning rate of 1e-3, with noise of its own for each epoch."""
    digest = hashlib.sha256(f"{number} {epoch}".encode()).digest()
    noise = int.from_bytes(digest[:4], "big") / 2**32
    distance = abs(math.log10(lr) + 3.0) / 2.0
    return 0.9 * (1.0 - math.exp(-(epoch + 1) / 2.0)) * math.exp(-distance) + 0.1 * noise


def train(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """A trial from its checkpoint to its result, in the order of `automl.training.trial.run_trial`.

    Args:
        payload: trial, study_dir, config; epoch_seconds; faults, a mapping of trial numbers (as text) to FAULTS.
    """
    study, number = StudyFiles(Path(payload["study_dir"])), payload["trial"]
    files = study.get_trial_files(number)
    with _locked(files):
        note(study, f"attempt {number} {os.getpid()}")
        try:
            return _answer_again(files, context) if files.result.exists() else _run(payload, study, files, context)
        except AutomlError as error:
            return {"outcome": "refused", "exit_code": error.exit_code, "problem": error.problem, "hint": error.hint}


def note(study: StudyFiles, line: str) -> None:
    """Append a line to the journal, in one write, so that lines of many processes stay whole."""
    journal = os.open(study.root / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(journal, f"{line}\n".encode())
    finally:
        os.close(journal)


def _run(payload: Mapping[str, Any], study: StudyFiles, files: TrialFiles, context: Context) -> dict[str, Any]:
    if not files.config.exists():
        write_json(files.config, payload["config"])
    history = _train_epochs(payload, study, files, context)
    result = {"outcome": "completed", "score": history[-1], "attributes": {"epochs": len(history)}}
    write_json(files.result, {"result": result, "history": history})
    delete_checkpoints(files, 0)
    return result


def _answer_again(files: TrialFiles, context: Context) -> dict[str, Any]:
    document = read_json(files.result)
    _replay(document["history"], context)
    return dict(document["result"])


def _train_epochs(payload: Mapping[str, Any], study: StudyFiles, files: TrialFiles, context: Context) -> list[float]:
    checkpoint = files.get_checkpoint_path(0)
    history: list[float] = read_json(checkpoint)["history"] if checkpoint.exists() else []
    _replay(history, context)
    fault = FAULTS.get(payload.get("faults", {}).get(str(payload["trial"]), ""))
    for epoch in range(len(history), payload["config"]["epochs"]):
        note(study, f"epoch {payload['trial']} {epoch} {os.getpid()}")
        if fault is not None:
            fault(context)
        time.sleep(payload.get("epoch_seconds", 0.0))
        history.append(score_of(payload["trial"], epoch, payload["config"]["optim"]["lr"]))
        write_json(checkpoint, {"history": history, "weights": "0" * 15_000})
        context.report(epoch, history[-1], {"seconds": payload.get("epoch_seconds", 0.0)})
        context.beat({"epoch": epoch})
    return history


def _replay(history: list[float], context: Context) -> None:
    for epoch, score in enumerate(history):
        context.report(epoch, score)


def _kill_itself(context: Context) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(context: Context) -> None:
    raise RuntimeError("CUDA error: no kernel image is available")


def _raise_with_codes(context: Context) -> None:
    print("\x1b[2J\x1b]0;owned\x07")
    raise RuntimeError("\x1b[2J\x1b]0;owned\x07")


def _run_out_of_memory(context: Context) -> None:
    raise MemoryError


def _hang(context: Context) -> None:
    time.sleep(600.0)


def _freeze(context: Context) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


FAULTS = {
    "poison": _kill_itself,
    "raise": _raise,
    "raise_with_codes": _raise_with_codes,
    "memory": _run_out_of_memory,
    "hang": _hang,
    "freeze": _freeze,
}


@contextmanager
def _locked(files: TrialFiles) -> Iterator[None]:
    files.root.mkdir(parents=True, exist_ok=True)
    with files.lock.open("wb") as lock:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield
