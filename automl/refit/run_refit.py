"""Run a refit: train the folds that the search left out, of the trials that an ensemble would take, and score them.

After it, every member of the ensemble has predicted every row out of fold. With pseudo-labels or distillation, all
folds are trained once more on soft targets. The caller brings the runners that carry the jobs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from automl.artifacts import StudyFiles, remove_leftovers
from automl.data.cache import PixelCache
from automl.data.folds import N_FOLDS
from automl.distillation.soft_labels import (
    build_distillation_targets,
    build_pseudo_labels,
    require_confidence,
    require_share,
)
from automl.distillation.soft_target_gains import SoftTargetGain, compute_gains, describe_gains
from automl.ensemble.candidates import Member
from automl.ensemble.predictor import Predictor
from automl.errors import Notify, StorageError, UsageError
from automl.refit.plan import (
    CompleteTrials,
    RefitPlan,
    RefitSelection,
    build_fold_jobs,
    choose_plan,
    find_unknown_origins,
    format_trials,
    list_missing_folds,
    write_plan,
)
from automl.refit.refit_loop import REFIT, FoldJob, LostFold, RefitLoop, train_folds
from automl.refit.refit_result import RefitResult, compute_refit_score
from automl.search.progress import Display, ProgressMonitor
from automl.study.deadline import Deadline, format_duration
from automl.study.lock import lock_study
from automl.study.study import read_study
from automl.training.loss.soft_targets import TARGET_KINDS
from runners.base import Event, Failed, Job, Runner, Supervisor, Task

MonitorFactory = Callable[[RefitLoop], Supervisor]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitRequest:
    """The flags of `automl refit`.

    Attributes:
        weights_dir: folder of pretrained weights, instead of the one that the search had.
        cache_gb: how large the feature store may become; None for a share of the disk.
        pseudo_labels: how sure the ensemble has to be of a test image for it to be trained on; None for none.
        distill: share of the predictions out of fold in the targets; None to leave the labels as they are.
        device: where the ensemble predicts test images for pseudo-labels.
    """

    files: StudyFiles
    selection: RefitSelection
    weights_dir: Path | None = None
    cache_gb: float | None = None
    pseudo_labels: float | None = None
    distill: float | None = None
    deadline: Deadline = field(default_factory=Deadline)
    device: str = "cpu"
    n_threads: int = 1

    @property
    def soft_target_kinds(self) -> list[str]:
        """The kinds of soft targets that are wanted."""
        shares = {"pseudo": self.pseudo_labels, "distilled": self.distill}
        return [target_kind for target_kind, share in shares.items() if share is not None]


@dataclass(frozen=True, slots=True)
class FoldExecution:
    """How folds are trained.

    Attributes:
        task: what trains a fold, `automl.training.refit_fold.run_fold`.
        build_runner: what carries the jobs, a new one for each kind of folds.
        build_monitor: wraps a loop in a supervisor that displays its progress.
    """

    task: Task
    build_runner: Callable[[], Runner]
    build_monitor: MonitorFactory


def run_refit(request: RefitRequest, execution: FoldExecution, *, notify: Notify) -> RefitResult:
    """Train what is missing of the chosen trials, as far as the time allows.

    Args:
        notify: takes one line for each thing worth knowing.

    Raises:
        AutomlError: the study, its files or the environment do not suffice.
        Interrupted: a signal arrived; the same request goes on.
    """
    read_study(request.files)  # before the lock, which would make a folder for a study that is not there
    with lock_study(request.files):
        remove_leftovers(request.files)
        trials = CompleteTrials.from_study(request.files)
        _require_valid_soft_targets(request, trials)
        plan = choose_plan(trials, request.selection, notify=notify)
        write_plan(request.files, plan)
        refit = _Refit(request, trials, plan, execution, notify)
        refit.train(REFIT, plan.numbers)
        for target_kind in request.soft_target_kinds:
            refit.train_on_soft_targets(target_kind)
        result = refit.collect_result()
        write_plan(request.files, replace(plan, finished=result.finished), **result.to_json())
        return result


class _Refit:
    """A refit under way, one kind of folds after the other."""

    def __init__(
        self, request: RefitRequest, trials: CompleteTrials, plan: RefitPlan, execution: FoldExecution, notify: Notify
    ) -> None:
        self._request, self._trials, self._plan, self._execution, self._notify = (
            request,
            trials,
            plan,
            execution,
            notify,
        )
        self._lost: dict[FoldJob, LostFold] = {}
        self._warned_trials: set[int] = set()  # trials of unknown origin
        self._is_out_of_time = False
        self._soft_target_error: UsageError | None = None

    def train(self, refit_kind: str, numbers: Sequence[int], soft_targets: Path | None = None) -> None:
        """Train the folds of that kind that are missing."""
        if not numbers:
            return
        request = self._request
        jobs = [
            job
            for number in numbers
            for job in build_fold_jobs(
                self._trials,
                number,
                refit_kind,
                soft_targets=soft_targets,
                weights_dir=request.weights_dir,
                cache_gb=request.cache_gb,
            )
        ]
        self._notify(_describe_folds(refit_kind, len(numbers), len(jobs)))
        if not jobs:
            return
        self._warn_of_unknown_origins(jobs)
        loop = RefitLoop(jobs, self._execution.task, time_left_s=self._request.deadline.get_training_seconds_left)
        train_folds(loop, self._execution.build_runner(), self._execution.build_monitor(loop))
        self._lost |= loop.lost
        if loop.waiting:
            self._is_out_of_time = True
            self._notify("the time is up; the same command goes on with the refit")

    def train_on_soft_targets(self, target_kind: str) -> None:
        """Make soft targets of the predictions of the trials with all folds, and train all their folds on them."""
        if self._is_out_of_time:
            return
        whole = [number for number in self._plan.numbers if not list_missing_folds(self._trials, number, REFIT)]
        if not whole:
            self._notify(f"{target_kind}: no trial has all folds, so none can be a teacher")
            return
        try:
            soft_targets = self._build_soft_targets(target_kind, [self._trials.read_member(number) for number in whole])
        except UsageError as error:  # raised at the end: what was trained so far is worth an ensemble
            self._notify(f"{target_kind}: {error.problem}")
            self._soft_target_error = self._soft_target_error or error
            return
        self.train(target_kind, whole, soft_targets)

    def collect_result(self) -> RefitResult:
        """Return the scores and gains by now."""
        gains = {target_kind: own for target_kind in TARGET_KINDS if (own := self._compute_gains(target_kind))}
        competition = self._trials.competition
        return RefitResult(
            scores=tuple(compute_refit_score(self._trials.read_member(number)) for number in self._plan.numbers),
            soft_target_gains=gains,
            lines=tuple(
                line for target_kind, own in gains.items() for line in describe_gains(own, target_kind, competition)
            ),
            lost=self._lost,
            soft_target_error=self._soft_target_error,
            finished=not self._is_out_of_time,
        )

    def _warn_of_unknown_origins(self, jobs: Sequence[FoldJob]) -> None:
        unknown = [number for number in find_unknown_origins(self._trials, jobs) if number not in self._warned_trials]
        self._warned_trials |= {*unknown}
        if unknown:
            self._notify(
                f"{format_trials(unknown)}: this older search did not record --weights and --init-from; further "
                "folds begin without --init-from"
            )

    def _build_soft_targets(self, target_kind: str, members: list[Member]) -> Path:
        request, trials = self._request, self._trials
        files, competition, folds = trials.files, trials.competition, trials.folds
        if target_kind == "distilled":
            share = request.distill or 0.0
            return build_distillation_targets(members, files, competition, folds, share=share, notify=self._notify)
        predictor = Predictor(
            competition,
            PixelCache(competition, files.cache),
            device=request.device,
            cache_folder=files.predictions,
            n_threads=request.n_threads,
            notify=self._notify,
        )
        confidence = request.pseudo_labels or 0.0
        return build_pseudo_labels(
            members, files, competition, folds, predictor, confidence=confidence, notify=self._notify
        )

    def _compute_gains(self, target_kind: str) -> list[SoftTargetGain]:
        """Compute the gains of all trials with all folds on soft targets, of now or before: any may become a member."""
        plain, students = [], []
        for number in (trial.number for trial in self._trials.complete):
            if list_missing_folds(self._trials, number, target_kind):
                continue
            with suppress(StorageError):  # then the ensemble leaves it out too
                pair = self._trials.read_member(number), self._trials.read_member(number, target_kind)
                plain.append(pair[0])
                students.append(pair[1])
        return compute_gains(plain, students, self._trials.competition)


def _require_valid_soft_targets(request: RefitRequest, trials: CompleteTrials) -> None:
    """Refuse now what would be refused when the folds are trained."""
    if request.pseudo_labels is not None:
        require_confidence(request.pseudo_labels, trials.competition)
    if request.distill is not None:
        require_share(request.distill)


def _describe_folds(refit_kind: str, n_trials: int, n_missing: int) -> str:
    folds = f"{n_trials * N_FOLDS} folds of {n_trials} trials" if n_trials > 1 else f"{N_FOLDS} folds of 1 trial"
    how = "" if refit_kind == REFIT else f" on soft targets '{refit_kind}'"
    return f"all {folds} are trained{how}" if n_missing == 0 else f"{n_missing} of {folds} are to be trained{how}"


class RefitMonitor(ProgressMonitor):
    """Displays the folds of a refit."""

    def __init__(self, loop: RefitLoop, display: Display, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(loop, display, clock)
        self._refit = loop
        self._folds = {fold.name: fold for fold in loop.waiting}
        self._summary = self._summarise()

    def _name_job(self, job: Job) -> str:
        return self._folds[job.id].name

    def _describe_ending(self, event: Event) -> str:
        fold = self._folds[event.job_id]
        if fold in self._refit.trained:
            return f"is trained with {self._refit.trained[fold]:.4f}"
        if fold in self._refit.lost:
            is_dead = isinstance(event, Failed)
            return f"{'failed' if is_dead else 'is a dead end'}: {self._refit.lost[fold].reason}"
        return f"is tried again: {event.reason}" if isinstance(event, Failed) else "is interrupted"

    def _summarise(self) -> str:
        n_trained, n_lost = len(self._refit.trained), len(self._refit.lost)
        parts = [f"{n_trained} of {len(self._folds)} folds trained"]
        if n_lost:
            parts.append(f"{n_lost} lost")
        n_left = len(self._folds) - n_trained - n_lost
        if n_trained > 0 and n_left > 0:
            parts.append(f"about {format_duration((self._clock() - self._begun_s) / n_trained * n_left)} left")
        return ", ".join(parts)
