"""One trial from its payload to its files: the task that a runner carries.

Kill-safe at every point: a fold goes on from its last epoch, a finished fold is not trained again, a finished trial
answers at once. Not responsible for: deciding whether to go on (the runner's context raises JobStopped, which passes
through), nor Optuna's states (automl.search.search_loop).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from automl.artifacts import StudyFiles, TrialFiles, read_json, write_json
from automl.training.attempt import Answer, answered, claim_folder, dead_end, finish_folds, locked, measured
from automl.training.checkpoints import EpochRecord
from automl.training.early_stopping import chosen_epoch
from automl.training.fold import Progress
from automl.training.fold_outputs import FinishedFold, delete_fold_arrays, join_folds
from automl.training.optim.accumulation import DeadEnd
from automl.training.reporting import Context
from automl.training.trial_context import Setting

ORIGIN = ("weights_dir", "init_from")  # of a payload: what the trial's first fold began with, and others shall


def run_trial(payload: Mapping[str, Any], context: Context) -> Answer:
    """Train the folds of a trial, or what is missing of them, and say how it ended.

    Args:
        payload: trial, study_dir, config, train_folds, seed, weights_dir, init_from.

    Returns:
        outcome "completed" with score and attributes, "dead_end" with constraint, reason and attributes, or "refused"
        with exit_code, problem and hint, where not only this trial but the whole search cannot go on.

    Raises:
        StorageError: another process works on this trial.
    """
    with locked(StudyFiles(Path(payload["study_dir"])).trial(payload["trial"]).lock):
        return answered(lambda: _run(payload, context))


def _run(payload: Mapping[str, Any], context: Context) -> Answer:
    setting = Setting.opened(payload, context)
    claim_folder(setting)
    if _is_complete(setting.files, payload["train_folds"]):
        return _answer_again(setting)
    write_json(setting.files.origin, {name: payload[name] for name in ORIGIN})
    progress, folds = Progress(), range(payload["train_folds"])
    try:
        finished = finish_folds(setting, payload, folds, progress, devices=context.device.split("+"))
    except DeadEnd as end:
        return dead_end(setting, progress, end)
    return _completed(setting, progress, finished)


def _completed(setting: Setting, progress: Progress, folds: list[FinishedFold]) -> Answer:
    """Join the folds. The answer is the last file to be written, and the folds' own arrays go only after it."""
    join_folds(setting.files, folds)
    competition = setting.competition
    rows, probs = np.concatenate([fold.rows for fold in folds]), np.concatenate([fold.probs for fold in folds])
    attributes = measured(
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


def _answer_again(setting: Setting) -> Answer:
    document = read_json(setting.files.result)
    setting.reporter.replay([EpochRecord(**record) for record in document["history"]])
    answer: Answer = document["answer"]
    return answer
