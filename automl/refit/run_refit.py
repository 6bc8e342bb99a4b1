"""`automl refit`: the folds that the search left out, of the trials that an ensemble would take; and what it was worth.

After it, every member of the ensemble has predicted every row out of fold. Where a lesson is asked for, all folds are
trained once more with it. Not responsible for: choosing the trials (automl.refit.plan), who carries the jobs (the
caller brings runners), flags and printing (automl.commands).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from automl.artifacts import StudyFiles, remove_leftovers
from automl.data.cache import PixelCache
from automl.data.folds import N_FOLDS
from automl.deadline import Deadline
from automl.distillation.gains import Gain, gains, told
from automl.distillation.soft_labels import distilled_lesson, pseudo_lesson, require_confidence, require_share
from automl.ensemble.candidates import Member
from automl.ensemble.predictor import Looker
from automl.errors import StorageError, UsageError
from automl.refit.plan import (
    EndedTrials,
    Note,
    Plan,
    Wanted,
    missing_folds,
    named,
    of_unknown_origin,
    planned,
    wanted_folds,
    write_plan,
)
from automl.refit.refit_loop import PLAIN, Loss, RefitLoop, WantedFold, train_folds
from automl.refit.refit_result import RefitResult, score_of
from automl.study.lock import locked
from automl.study.study import read_study
from automl.training.loss.soft_targets import KINDS as LESSONS
from runners.base import Runner, Supervisor, Task

Watch = Callable[[RefitLoop], Supervisor]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitRequest:
    """What `automl refit` was asked.

    Attributes:
        weights_dir: folder of pretrained weights, instead of the one that the search had.
        pseudo: how sure the ensemble has to be of a test image for it to be trained on; None for no pseudo-labels.
        distill: share of the predictions out of fold in the targets; None to leave the labels as they are.
        device: where the ensemble looks at test images for pseudo-labels.
    """

    files: StudyFiles
    wanted: Wanted
    weights_dir: Path | None = None
    pseudo: float | None = None
    distill: float | None = None
    deadline: Deadline = field(default_factory=Deadline)
    device: str = "cpu"
    n_threads: int = 1

    @property
    def lessons(self) -> list[str]:
        """The kinds of lessons that were asked for."""
        asked = {"pseudo": self.pseudo, "distilled": self.distill}
        return [kind for kind, share in asked.items() if share is not None]


@dataclass(frozen=True, slots=True)
class Carrying:
    """How folds are trained.

    Attributes:
        task: what trains a fold, `automl.training.refit_fold.run_fold`.
        build_runner: what carries the jobs, a new one for each kind of folds.
        watch: wraps a loop, so that somebody can look on.
    """

    task: Task
    build_runner: Callable[[], Runner]
    watch: Watch


def run_refit(request: RefitRequest, carrying: Carrying, *, note: Note) -> RefitResult:
    """Train what is missing of the chosen trials, as far as the time allows.

    Args:
        note: takes one line for each thing worth knowing.

    Raises:
        AutomlError: the study, its files or the environment do not suffice.
        Interrupted: a signal arrived; the same request goes on.
    """
    read_study(request.files)  # before the lock, which would make a folder for a study that is not there
    with locked(request.files):
        remove_leftovers(request.files)
        ended = EndedTrials.of(request.files)
        _require_teachable(request, ended)
        plan = planned(ended, request.wanted, note=note)
        write_plan(request.files, plan)
        refit = _Refit(request, ended, plan, carrying, note)
        refit.train(PLAIN, plan.numbers)
        for kind in request.lessons:
            refit.teach(kind)
        result = refit.result()
        write_plan(request.files, replace(plan, finished=result.finished), **result.to_json())
        return result


class _Refit:
    """A refit under way, one kind of folds after the other."""

    def __init__(self, request: RefitRequest, ended: EndedTrials, plan: Plan, carrying: Carrying, note: Note) -> None:
        self._request, self._ended, self._plan, self._carrying, self._note = request, ended, plan, carrying, note
        self._lost: dict[WantedFold, Loss] = {}
        self._told_of: set[int] = set()  # trials of unknown origin
        self._is_out_of_time = False
        self._unlearned: UsageError | None = None

    def train(self, kind: str, numbers: Sequence[int], lesson: Path | None = None) -> None:
        """Train the folds of that kind that are missing."""
        weights_dir = self._request.weights_dir
        wanted = [
            fold
            for number in numbers
            for fold in wanted_folds(self._ended, number, kind, lesson=lesson, weights_dir=weights_dir)
        ]
        self._note(_story(kind, len(numbers), len(wanted)))
        if not wanted:
            return
        self._tell_of_unknown_origins(wanted)
        loop = RefitLoop(wanted, self._carrying.task, time_left_s=self._request.deadline.left_for_training_s)
        train_folds(loop, self._carrying.build_runner(), self._carrying.watch(loop))
        self._lost |= loop.lost
        if loop.waiting:
            self._is_out_of_time = True
            self._note("the time is up; the same command goes on with the refit")

    def teach(self, kind: str) -> None:
        """Make the lesson of what the trials with all folds say, and train all their folds with it."""
        if self._is_out_of_time:
            return
        whole = [number for number in self._plan.numbers if not missing_folds(self._ended, number, PLAIN)]
        if not whole:
            self._note(f"{kind}: no trial has all folds, so none can teach")
            return
        try:
            lesson = self._lesson(kind, [self._ended.member(number) for number in whole])
        except UsageError as error:  # told at the end: what was trained so far is worth an ensemble
            self._note(f"{kind}: {error.problem}")
            self._unlearned = self._unlearned or error
            return
        self.train(kind, whole, lesson)

    def result(self) -> RefitResult:
        """The scores by now."""
        found = {kind: own for kind in LESSONS if (own := self._gains(kind))}
        competition = self._ended.competition
        return RefitResult(
            scores=tuple(score_of(self._ended.member(number)) for number in self._plan.numbers),
            gains=found,
            lines=tuple(line for kind, own in found.items() for line in told(own, kind, competition)),
            lost=self._lost,
            unlearned=self._unlearned,
            finished=not self._is_out_of_time,
        )

    def _tell_of_unknown_origins(self, wanted: Sequence[WantedFold]) -> None:
        unknown = [number for number in of_unknown_origin(self._ended, wanted) if number not in self._told_of]
        self._told_of |= {*unknown}
        if unknown:
            self._note(
                f"{named(unknown)}: this older search did not note --weights and --init-from; further folds begin "
                "without --init-from"
            )

    def _lesson(self, kind: str, members: list[Member]) -> Path:
        request, ended = self._request, self._ended
        files, competition, folds = ended.files, ended.competition, ended.folds
        if kind == "distilled":
            share = request.distill or 0.0
            return distilled_lesson(members, files, competition, folds, share=share, note=self._note)
        looker = Looker(
            competition,
            PixelCache(competition, files.cache),
            device=request.device,
            remembered=files.predictions,
            n_threads=request.n_threads,
            tell=self._note,
        )
        confidence = request.pseudo or 0.0
        return pseudo_lesson(members, files, competition, folds, looker, confidence=confidence, note=self._note)

    def _gains(self, kind: str) -> list[Gain]:
        """Of all trials of which all folds were trained with the lesson, now or before: any may become a member."""
        plain, students = [], []
        for number in (trial.number for trial in self._ended.complete):
            if missing_folds(self._ended, number, kind):
                continue
            with suppress(StorageError):  # then the ensemble leaves it out too
                pair = self._ended.member(number), self._ended.member(number, kind)
                plain.append(pair[0])
                students.append(pair[1])
        return gains(plain, students, self._ended.competition)


def _require_teachable(request: RefitRequest, ended: EndedTrials) -> None:
    """Refuse now what would be refused when the folds are trained."""
    if request.pseudo is not None:
        require_confidence(request.pseudo, ended.competition)
    if request.distill is not None:
        require_share(request.distill)


def _story(kind: str, n_trials: int, n_wanted: int) -> str:
    folds = f"{n_trials * N_FOLDS} folds of {n_trials} trials" if n_trials > 1 else f"{N_FOLDS} folds of 1 trial"
    how = "" if kind == PLAIN else f" with the lesson '{kind}'"
    return f"all {folds} are trained{how}" if n_wanted == 0 else f"{n_wanted} of {folds} are to be trained{how}"
