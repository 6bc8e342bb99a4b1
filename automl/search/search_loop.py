"""Run a search: the one file that knows a space, a study and a runner.

`SearchLoop` decides as a state machine: it asks the study for trials, hands them out as jobs, and turns each event into
what the study remembers and a verdict. It starts no process and reads no clock. Not responsible for: training
(automl.training) or carrying jobs (runners).
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from automl.config import TrialConfig
from automl.errors import AutomlError, NoUsableModelError
from automl.space import Space
from automl.study.provenance import read_git_commit, read_versions
from automl.study.pruners import IMAGE_SIZES
from automl.study.study import ENDED, SearchStudy
from automl.training.resizing import get_image_size
from automl.training.trial_job import Completed, Infeasible, Refused, TrialResult
from runners.base import (
    Event,
    Failed,
    Finished,
    Job,
    Progressed,
    Reported,
    Runner,
    Started,
    Stopped,
    Supervisor,
    Task,
    Verdict,
)

DEATHS = "deaths_without_progress"  # user attribute: attempts that a living driver saw die before a new epoch
PRUNED_AT = "pruned_at"  # user attribute: the step at which the pruner stopped the trial
FAIL_REASON = "fail_reason"
MAX_DEATHS = 2
MAX_FAILURES_IN_A_ROW = 5

Payload = Callable[[int, TrialConfig], Mapping[str, Any]]


@dataclass(slots=True, kw_only=True)
class RunningTrial:
    """A trial that is a job at this moment."""

    trial: Trial
    config: TrialConfig
    device: str = ""
    epoch_seconds: dict[int, float] = field(default_factory=dict)
    has_new_epoch: bool = False


class SearchLoop:
    """The supervisor of a search.

    Attributes:
        error: why the search cannot go on, or None; trials that it left unfinished stay RUNNING in the study.
    """

    def __init__(
        self,
        study: SearchStudy,
        space: Space,
        task: Task,
        payload: Payload,
        *,
        n_trials: int,
        keep_complete: int = 10,
        time_left_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Args:
        payload: (trial number, configuration) -> what the task gets.
        n_trials: how many trials shall have ended, COMPLETE, PRUNED or FAIL, those of earlier runs included.
        keep_complete: the pruner is not heeded where fewer trials than this could then become COMPLETE.
        time_left_s: until running trials have to stop; they stay RUNNING and go on with the next search.
        """
        self.error: AutomlError | None = None
        self._study = study
        self._space = space
        self._task = task
        self._payload = payload
        self._n_trials = n_trials
        self._keep_complete = keep_complete
        self._time_left_s = time_left_s
        self._running: dict[str, RunningTrial] = {}
        self._n_pruning = 0
        self._n_failures_in_a_row = 0
        self._provenance = {"git_commit": read_git_commit(), "versions": read_versions()}
        self._interrupted = collections.deque(study.list_running())

    def next_job(self) -> Job | None:
        """Return an interrupted trial first, then new ones up to the target."""
        if self.error is not None or self._time_left_s() <= self._study.compute_median_seconds():
            return None
        while self._interrupted:
            job = self._build_job(self._interrupted.popleft())
            if job is not None:
                return job
        if self._study.count_trials(*ENDED) + len(self._running) >= self._n_trials:
            return None
        return self._build_job(self._study.ask(self._space))

    def handle(self, event: Event) -> Verdict:
        """Record the event in the study, and return whether its job goes on."""
        running = self._running[event.job_id]
        match event:
            case Started():
                running.device = event.device
            case Reported():
                return self._on_report(running, event)
            case Finished():
                self._end(running)
                self._on_result(running, TrialResult.from_json(event.result))
            case Stopped():
                self._end(running)
                if PRUNED_AT in running.trial.user_attrs:
                    self._study.tell(running.trial, TrialState.PRUNED)
            case Failed():
                self._end(running)
                self._on_failure(running, event)
            case Progressed():
                pass
        return self._decide_for_all()

    def _build_job(self, trial: Trial) -> Job | None:
        """Build the trial's job, or return None where it only remained to record that it was pruned."""
        if PRUNED_AT in trial.user_attrs:
            self._study.tell(trial, TrialState.PRUNED)
            return None
        config = self._space(self._study.seed_questions(trial))
        if IMAGE_SIZES not in trial.user_attrs:
            trial.set_user_attr(IMAGE_SIZES, _image_sizes(config))
        job = Job(id=str(trial.number), task=self._task, payload=self._payload(trial.number, config))
        self._running[job.id] = RunningTrial(trial=trial, config=config)
        return job

    def _on_report(self, running: RunningTrial, event: Reported) -> Verdict:
        trial = running.trial
        running.epoch_seconds[event.step] = float(event.detail.get("seconds", 0.0))
        if event.step not in self._study.get_frozen_trial(trial).intermediate_values:
            running.has_new_epoch = True
        try:
            prune = math.isfinite(event.value) and self._study.report(trial, event.step, event.value)
        except UpdateFinishedTrialError:
            return Verdict.STOP  # a person ended the trial by another tool
        is_last = event.step >= running.config.epochs - 1
        if prune and not is_last and self._may_prune():
            # Recorded before the job ends: a driver that dies in between must not ask the pruner a second time.
            trial.set_user_attr(PRUNED_AT, event.step)
            self._n_pruning += 1
            return Verdict.STOP
        return Verdict.CONTINUE if is_last else self._decide_for_all()

    def _decide_for_all(self) -> Verdict:
        """Return whether any trial may go on at this moment."""
        return Verdict.STOP if self.error is not None or self._time_left_s() <= 0 else Verdict.CONTINUE

    def _may_prune(self) -> bool:
        n_lost = self._study.count_trials(TrialState.PRUNED, TrialState.FAIL) + self._n_pruning
        return self._n_trials - n_lost > self._keep_complete

    def _end(self, running: RunningTrial) -> None:
        del self._running[str(running.trial.number)]
        if PRUNED_AT in running.trial.user_attrs:
            self._n_pruning -= 1
        if self._is_over(running.trial):
            return
        known = running.trial.user_attrs
        epochs_trained = len(self._study.get_frozen_trial(running.trial).intermediate_values)
        attributes = {
            "device": running.device,
            "epochs_trained": epochs_trained,
            "seconds": round(sum(running.epoch_seconds.values()), 3),
            **self._provenance,
        }
        self._set_attributes(
            running.trial, {name: value for name, value in attributes.items() if known.get(name) != value}
        )

    def _on_result(self, running: RunningTrial, result: TrialResult) -> None:
        if self._is_over(running.trial):
            return
        match result:
            case Completed() if math.isfinite(result.score):
                self._set_attributes(running.trial, result.attributes)
                self._study.tell(running.trial, TrialState.COMPLETE, result.score)
                self._n_failures_in_a_row = 0
            case Completed():
                self._set_attributes(running.trial, result.attributes)
                self._end_as_dead_end(running.trial, "diverged", f"the score is {result.score}")
            case Infeasible():
                self._set_attributes(running.trial, result.attributes)
                self._end_as_dead_end(running.trial, result.constraint, result.reason)
            case Refused():
                self._refuse(running.trial, result)

    def _end_as_dead_end(self, trial: Trial, constraint: str, reason: str) -> None:
        """End a trial that can never succeed so that the sampler learns to keep away: it ignores FAIL."""
        trial.set_constraint(constraint, 1.0)
        trial.set_user_attr("dead_end", reason)
        self._study.tell(trial, TrialState.PRUNED)

    def _refuse(self, trial: Trial, refusal: Refused) -> None:
        self.error = self.error or refusal.to_error()
        if refusal.exit_code == 2:  # the configuration's own fault: resumed, it would be refused again
            self._fail(trial, refusal.problem)

    def _on_failure(self, running: RunningTrial, event: Failed) -> None:
        if self._is_over(running.trial):
            return
        deaths = 1 if running.has_new_epoch else 1 + running.trial.user_attrs.get(DEATHS, 0)
        running.trial.set_user_attr(DEATHS, deaths)
        self._set_attributes(running.trial, {"last_death": event.reason, "last_death_log": event.log[-2000:]})
        if deaths < MAX_DEATHS:
            self._interrupted.append(running.trial)
            return
        self._fail(running.trial, event.reason)
        self._n_failures_in_a_row += 1
        if self._n_failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            self.error = NoUsableModelError(
                f"{MAX_FAILURES_IN_A_ROW} trials in a row failed, the last with: {event.reason}",
                hint="read what it printed with automl status, fix the cause, and run the same command again",
            )

    def _fail(self, trial: Trial, reason: str) -> None:
        trial.set_user_attr(FAIL_REASON, reason)
        self._study.tell(trial, TrialState.FAIL)

    def _set_attributes(self, trial: Trial, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)

    def _is_over(self, trial: Trial) -> bool:
        return self._study.get_frozen_trial(trial).state.is_finished()


def search(loop: SearchLoop, runner: Runner, supervisor: Supervisor | None = None) -> None:
    """Run a search to its target, with the loop itself as the runner's supervisor or one that wraps it.

    Raises:
        AutomlError: it cannot go on; what has ended stays ended.
        Interrupted: a signal arrived; running trials stay RUNNING and go on next time.
    """
    runner.run(supervisor or loop)
    if loop.error is not None:
        raise loop.error


def _image_sizes(config: TrialConfig) -> list[int]:
    return [get_image_size(config.resize.image_sizes, epoch, config.epochs) for epoch in range(config.epochs)]
