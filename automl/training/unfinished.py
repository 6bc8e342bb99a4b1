"""Predict with the last epoch of a trial that has not ended, where a study has nothing better to submit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.resize import EvaluationPixels
from automl.training.fold import prepare_fold
from automl.training.inference import predict_probs
from automl.training.seeding import tune_allocator, use_deterministic_algorithms
from automl.training.training_loop import select_fold_epoch
from automl.training.trial_context import TrialContext
from automl.training.trial_job import TrialJob


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnfinishedPrediction:
    """What a trial that has not ended predicts.

    Attributes:
        n_epochs: that are whole.
        rows: (n_valid,) of the first fold's validation images.
        probs: (n_valid, n_classes) out of fold.
        test_probs: (n_test, n_classes).
    """

    n_epochs: int
    rows: NDArray[np.int64]
    probs: NDArray[np.float32]
    test_probs: NDArray[np.float32]


def predict_unfinished(job: TrialJob, *, device: str, n_threads: int) -> UnfinishedPrediction | None:
    """Predict by the weights of the first fold's last whole epoch, or of the best one; None where no epoch is whole.

    The trial's files stay as they are, so that it goes on with the next search.

    Raises:
        AutomlError: weights, images or storage are not as needed.
    """
    use_deterministic_algorithms()
    tune_allocator()
    trial = TrialContext.open_job(job, _SilentContext(device=device, n_threads=n_threads))
    task, state = prepare_fold(trial, 0)
    if not state.history:
        return None
    state.load_final_weights(best=select_fold_epoch(task, state) != len(state.history) - 1)
    evaluation = EvaluationPixels.from_config(trial.config)
    probs = predict_probs(
        state.model, task.pixels(evaluation.image_size), task.valid_rows, evaluation=evaluation, device=device
    )
    test_probs = predict_probs(
        state.model,
        trial.load_pixels("test", evaluation.image_size),
        np.arange(len(trial.competition.test_paths)),
        evaluation=evaluation,
        device=device,
    )
    return UnfinishedPrediction(n_epochs=len(state.history), rows=task.valid_rows, probs=probs, test_probs=test_probs)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SilentContext:
    """A runner's context of a job that nobody watches."""

    device: str
    n_threads: int

    def report(self, step: int, value: float, detail: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""
