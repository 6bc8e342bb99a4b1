"""Schedule the folds of a refit on a runner.

`RefitLoop` decides as a state machine, like the search's: it hands out folds as jobs, retries what died, and records
what is lost. It starts no process, reads no clock and writes no file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from automl.errors import AutomlError, NoUsableModelError
from automl.training.trial_job import Completed, Infeasible, Refused, TrialJob, TrialResult
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

REFIT = "refit"  # the kind of folds that are trained as the search would have trained them
MAX_DEATHS = 2  # of one fold, without a new epoch in between; as in a search
MAX_LOST_IN_A_ROW = 5  # folds that died: by then it is the machine


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldJob:
    """A fold of a trial that shall be trained.

    Attributes:
        job: what the task gets.
        expected_s: how long it may take; 0 where that is unknown.
    """

    number: int
    fold: int
    job: TrialJob
    expected_s: float = 0.0

    @property
    def name(self) -> str:
        refit_kind = self.job.refit_kind
        return f"trial {self.number}{'' if refit_kind == REFIT else f'-{refit_kind}'} fold {self.fold}"


@dataclass(frozen=True, slots=True)
class LostFold:
    """Why a fold cannot be trained, in one line, and the last lines that its last attempt printed."""

    reason: str
    log: str = ""


@dataclass(slots=True, kw_only=True)
class _FoldState:
    """State of a fold over its attempts: deaths since its last new epoch, and epochs that were ever reported."""

    deaths: int = 0
    n_epochs: int = 0
    has_new_epoch: bool = False


class RefitLoop:
    """The supervisor of a refit.

    Attributes:
        error: why nothing more can be trained, or None.
        trained: the folds that are done, each with the score of its validation rows.
        lost: the folds that cannot be trained.
        waiting: the folds that are idle, in the order in which they will be trained.
    """

    def __init__(
        self, folds: Sequence[FoldJob], task: Task, *, time_left_s: Callable[[], float] = lambda: math.inf
    ) -> None:
        """Args:
        folds: the one to begin with first.
        time_left_s: until running folds have to stop; they go on with the next refit.
        """
        self.error: AutomlError | None = None
        self.trained: dict[FoldJob, float] = {}
        self.lost: dict[FoldJob, LostFold] = {}
        self.waiting = list(folds)
        self._task = task
        self._time_left_s = time_left_s
        self._running: dict[str, FoldJob] = {}
        self._attempts = {fold.name: _FoldState() for fold in folds}
        self._n_lost_in_a_row = 0

    def next_job(self) -> Job | None:
        """Return the next fold for which there is time."""
        if self.error is not None:
            return None
        left_s = self._time_left_s()
        fold = next((fold for fold in self.waiting if fold.expected_s < left_s), None)
        if fold is None:
            return None
        self.waiting.remove(fold)
        self._running[fold.name] = fold
        self._attempts[fold.name].has_new_epoch = False
        return Job(id=fold.name, task=self._task, payload=fold.job.to_json())

    def handle(self, event: Event) -> Verdict:
        """Record the event, and return whether its job goes on."""
        match event:
            case Reported():
                self._on_report(event)
            case Finished():
                self._on_result(self._running.pop(event.job_id), TrialResult.from_json(event.result))
            case Stopped():
                self.waiting.insert(0, self._running.pop(event.job_id))
            case Failed():
                self._on_failure(self._running.pop(event.job_id), event)
            case Started() | Progressed():
                pass
        return Verdict.STOP if self.error is not None or self._time_left_s() <= 0 else Verdict.CONTINUE

    def _on_report(self, event: Reported) -> None:
        attempts = self._attempts[event.job_id]
        if event.step >= attempts.n_epochs:
            attempts.n_epochs, attempts.has_new_epoch = event.step + 1, True

    def _on_result(self, fold: FoldJob, result: TrialResult) -> None:
        match result:
            case Completed() if math.isfinite(result.score):
                self.trained[fold] = result.score
                self._n_lost_in_a_row = 0
            case Completed():
                self.lost[fold] = LostFold(f"diverged: the score is {result.score}")
            case Infeasible():
                self.lost[fold] = LostFold(f"{result.constraint}: {result.reason}")
            case Refused():
                self.error = self.error or result.to_error()
                self.waiting.insert(0, fold)

    def _on_failure(self, fold: FoldJob, event: Failed) -> None:
        attempts = self._attempts[fold.name]
        attempts.deaths = 1 if attempts.has_new_epoch else attempts.deaths + 1
        if attempts.deaths < MAX_DEATHS:
            self.waiting.insert(0, fold)
            return
        self.lost[fold] = LostFold(event.reason, event.log[-2000:])
        self._n_lost_in_a_row += 1
        if self._n_lost_in_a_row >= MAX_LOST_IN_A_ROW:
            self.error = self.error or NoUsableModelError(
                f"{MAX_LOST_IN_A_ROW} folds in a row died, the last, {fold.name}, with: {event.reason}",
                hint="fix the cause, and run the same command again",
            )


def train_folds(loop: RefitLoop, runner: Runner, supervisor: Supervisor | None = None) -> None:
    """Train the loop's folds, with the loop itself as the runner's supervisor or one that wraps it.

    Raises:
        AutomlError: nothing more can be trained; what is trained stays.
        Interrupted: a signal arrived; folds that were being trained go on next time.
    """
    runner.run(supervisor or loop)
    if loop.error is not None:
        raise loop.error


def require_none_lost(lost: Mapping[FoldJob, LostFold]) -> None:
    """Raises:
    NoUsableModelError: there are folds that cannot be trained; each is named with its reason.
    """
    if not lost:
        return
    named = [f"{fold.name} ({loss.reason})" for fold, loss in lost.items()]
    which = "1 fold" if len(named) == 1 else f"{len(named)} folds"
    raise NoUsableModelError(
        f"{which} could not be trained: {'; '.join(named)}",
        hint="run the same command again to try once more, or name other trials with --trials",
    )
