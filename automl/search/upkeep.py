"""Update the running submission and delete superfluous weights after each trial.

A killed machine still leaves something to submit, and a long search does not fill the disk. The ensemble with views and
weights that ends a search is built by automl.ensemble.build.
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
from automl.probing.probe_study import ProbeStudy
from automl.search.current_submission import CurrentSubmission
from automl.study.study import ENDED, select_best_trials
from automl.submission.decide import is_decided_by_fitted_rule, match_training_frequencies
from automl.submission.write import write_submission
from runners.base import Event, Failed, Finished, Job, Stopped, Supervisor, Verdict


class Upkeep(Supervisor):
    """A supervisor that passes everything on and calls a function when a trial has ended."""

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
    """Keeps the files of one study up to date.

    Args:
        study: of the trials; None where there are probes alone.
        probes: with them, the submission is the best mean of probes and trials; see automl.search.current_submission.
        top: how many of the best trials the running submission is the plain mean of.
        keep_weights: of how many complete trials, the best ones, the weights are kept; None for all.
    """

    def __init__(
        self,
        study: optuna.Study | None,
        files: StudyFiles,
        competition: Competition,
        *,
        probes: ProbeStudy | None = None,
        top: int,
        keep_weights: int | None,
    ) -> None:
        self._study = study
        self._files = files
        self._competition = competition
        self._top = top
        self._keep_weights = keep_weights
        self._submitted: list[int] = []
        self._current = CurrentSubmission(files, competition, top=top)
        self._probes = probes

    def tidy(self) -> None:
        """Refresh the submission if other trials are best now, and delete what no ended trial needs any more.

        Doing it twice does no harm; the study has recorded the trials' ends before.

        Raises:
            StorageError: the disk is full.
        """
        best = [] if self._study is None else [trial.number for trial in select_best_trials(self._study)]
        probed = [] if self._probes is None else [report.number for report in self._probes.list_reports()]
        if probed:
            self._current.update(probed, best)
        else:
            self._update_submission(best)
        if self._study is not None:
            self._delete_superfluous(self._study, best)

    def _delete_superfluous(self, study: optuna.Study, best: Sequence[int]) -> None:
        kept = set(best if self._keep_weights is None else best[: self._keep_weights])
        for trial in study.get_trials(deepcopy=False, states=ENDED):
            trial_files = self._files.get_trial_files(trial.number)
            delete_training_state(trial_files)
            if trial.state != TrialState.COMPLETE or trial.number not in kept:
                delete_weights(trial_files)

    def _update_submission(self, ranked: Sequence[int]) -> None:
        """Write the mean of the best trials, those left out whose predictions are gone, unless it is written."""
        if not ranked or ranked[: self._top] == self._submitted or not self._competition.has_test_images:
            return
        test: dict[int, NDArray[Any]] = {}
        for number in ranked:
            if len(test) < self._top:
                with contextlib.suppress(StorageError):
                    test[number] = read_arrays(self._files.get_trial_files(number).test)["probs"]
        if test:
            rule = self._fit_rule(list(test))
            write_submission(self._competition, np.mean(list(test.values()), axis=0), self._files.submission, rule)
        self._submitted = list(ranked[: self._top])

    def _fit_rule(self, numbers: Sequence[int]) -> Rule | None:
        """Return the decision rule, fitted to out-of-fold predictions, as in the ensemble; never to the test images.

        Members whose rows are gone, or are others than the best one's, are left out of the fit; None where all are,
        and where nothing is to be fitted.
        """
        if not is_decided_by_fitted_rule(self._competition):
            return None
        oof: list[Arrays] = []
        for number in numbers:
            with contextlib.suppress(StorageError):
                oof.append(read_arrays(self._files.get_trial_files(number).oof))
        same_rows = [arrays["probs"] for arrays in oof if np.array_equal(arrays["rows"], oof[0]["rows"])]
        return match_training_frequencies(self._competition, np.mean(same_rows, axis=0)) if same_rows else None
