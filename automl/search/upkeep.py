"""What is done with the files after each trial: a submission that is up to date, and no more weights than wanted.

A killed machine still leaves something to submit, and a long search does not fill the disk. Not responsible for: the
ensemble with views and weights that ends a search (automl.ensemble.build).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState

from automl.artifacts import Arrays, StudyFiles, delete_training_state, delete_weights, read_arrays
from automl.data.competition import Competition
from automl.decisions.rules import Rule
from automl.errors import StorageError
from automl.study.study import ENDED, best_trials
from automl.submission.decide import running_rule, takes_decisions
from automl.submission.write import write_submission
from runners.base import Event, Failed, Finished, Job, Stopped, Supervisor, Verdict


class Upkeep(Supervisor):
    """A supervisor that passes everything on and looks after the files when a trial has ended."""

    def __init__(self, inner: Supervisor, after_trial: Callable[[], None]) -> None:
        self._inner = inner
        self._after_trial = after_trial

    def next_job(self) -> Job | None:
        return self._inner.next_job()

    def handle(self, event: Event) -> Verdict:
        verdict = self._inner.handle(event)
        if isinstance(event, Finished | Stopped | Failed):
            self._after_trial()
        return verdict


class StudyKeeper:
    """Keeps the files of one study.

    Args:
        top: how many of the best trials the running submission is the plain mean of.
        keep_weights: of how many complete trials, the best ones, the weights are kept; None for all.
    """

    def __init__(
        self,
        study: optuna.Study,
        files: StudyFiles,
        competition: Competition,
        *,
        top: int,
        keep_weights: int | None,
    ) -> None:
        self._study = study
        self._files = files
        self._competition = competition
        self._top = top
        self._keep_weights = keep_weights
        self._submitted: list[int] = []

    def tidy(self) -> None:
        """Refresh the submission if other trials are best now, and delete what no ended trial needs any more.

        Doing it twice does no harm; the study has recorded the trials' ends before.

        Raises:
            StorageError: the disk is full.
        """
        best = [trial.number for trial in best_trials(self._study)]
        self._submit(best)
        kept = set(best if self._keep_weights is None else best[: self._keep_weights])
        for trial in self._study.get_trials(deepcopy=False, states=ENDED):
            trial_files = self._files.trial(trial.number)
            delete_training_state(trial_files)
            if trial.state != TrialState.COMPLETE or trial.number not in kept:
                delete_weights(trial_files)

    def _submit(self, ranked: Sequence[int]) -> None:
        """Write the mean of the best trials, those left out whose predictions are gone, unless it is written."""
        if not ranked or ranked[: self._top] == self._submitted:
            return
        test: dict[int, NDArray[Any]] = {}
        for number in ranked:
            if len(test) < self._top:
                with contextlib.suppress(StorageError):
                    test[number] = read_arrays(self._files.trial(number).test)["probs"]
        if test:
            rule = self._rule(list(test))
            write_submission(self._competition, np.mean(list(test.values()), axis=0), self._files.submission, rule)
        self._submitted = list(ranked[: self._top])

    def _rule(self, numbers: Sequence[int]) -> Rule | None:
        """What decides, fitted to what the members said out of fold, as in the ensemble; never to the test images.

        Members whose rows are gone, or are others than the best one's, are left out of the fit; None where all are,
        and where nothing is to be fitted.
        """
        if not takes_decisions(self._competition):
            return None
        oof: list[Arrays] = []
        for number in numbers:
            with contextlib.suppress(StorageError):
                oof.append(read_arrays(self._files.trial(number).oof))
        same_rows = [arrays["probs"] for arrays in oof if np.array_equal(arrays["rows"], oof[0]["rows"])]
        return running_rule(self._competition, np.mean(same_rows, axis=0)) if same_rows else None
