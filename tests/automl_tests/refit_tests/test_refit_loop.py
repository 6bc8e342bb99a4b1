"""The refit's loop as a state machine: events in, verdicts and what is known of each fold out; no process, no clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automl.errors import NoUsableModelError, UnfitEnvironmentError
from automl.refit.refit_loop import FoldJob, RefitLoop, require_none_lost, train_folds
from automl.refit.run_refit import RefitMonitor
from automl.training.trial_job import TrialJob
from runners.base import Failed, Finished, Job, Progressed, Reported, Runner, Started, Stopped, Supervisor, Verdict
from runners.context import JobContext
from runners.simulated import SimulatedDeath, SimulatedRunner
from tests.automl_tests.search_tests.test_progress import Clock, Kept
from tests.automl_tests.training_tests.trial_builders import config_of

COMPLETED = {"outcome": "completed", "score": 0.5, "attributes": {}}


def never_called(payload: Any, context: Any) -> None:
    raise AssertionError("the loop itself never calls a task")


def fold_of(number: int, fold: int, *, expected_s: float = 0.0, refit_kind: str = "refit") -> FoldJob:
    job = TrialJob(trial=number, study_dir=Path("study"), config=config_of(), seed=5, fold=fold, refit_kind=refit_kind)
    return FoldJob(number=number, fold=fold, job=job, expected_s=expected_s)


def loop_of(*folds: FoldJob, time_left_s: Callable[[], float] = lambda: math.inf) -> RefitLoop:
    return RefitLoop(folds or [fold_of(3, 1), fold_of(3, 2)], never_called, time_left_s=time_left_s)


def start(loop: RefitLoop) -> Job:
    job = loop.next_job()
    assert job is not None
    assert loop.handle(Started(job_id=job.id, device="cpu")) is Verdict.CONTINUE
    return job


def report(loop: RefitLoop, job: Job, step: int) -> Verdict:
    return loop.handle(Reported(job_id=job.id, step=step, value=0.4))


def die(loop: RefitLoop, job: Job) -> None:
    loop.handle(Failed(job_id=job.id, reason="killed by signal 9", died=True, log="last words"))


def names(loop: RefitLoop) -> list[str]:
    return [fold.name for fold in loop.waiting]


def test_each_fold_of_each_trial_is_a_job_of_its_own_and_all_may_run_at_one_time() -> None:
    loop = loop_of(fold_of(3, 1), fold_of(3, 2), fold_of(7, 0))
    jobs = [start(loop) for _ in range(3)]
    assert [job.payload["fold"] for job in jobs] == [1, 2, 0]
    assert len({job.id for job in jobs}) == 3
    assert loop.next_job() is None
    for job in jobs:
        loop.handle(Finished(job_id=job.id, result=COMPLETED))
    assert {fold.name: score for fold, score in loop.trained.items()} == {
        "trial 3 fold 1": 0.5,
        "trial 3 fold 2": 0.5,
        "trial 7 fold 0": 0.5,
    }
    assert loop.next_job() is None


def test_a_fold_that_died_is_tried_again_before_the_others() -> None:
    loop = loop_of()
    first = start(loop)
    die(loop, first)
    again = start(loop)
    assert again.id == first.id
    assert again.payload == first.payload
    assert not loop.lost


def test_two_deaths_without_a_new_epoch_end_a_fold_and_the_others_go_on() -> None:
    loop = loop_of()
    die(loop, start(loop))
    die(loop, start(loop))
    assert {fold.name: (loss.reason, loss.log) for fold, loss in loop.lost.items()} == {
        "trial 3 fold 1": ("killed by signal 9", "last words")
    }
    other = start(loop)
    assert other.payload["fold"] == 2
    loop.handle(Finished(job_id=other.id, result=COMPLETED))
    assert loop.error is None
    with pytest.raises(
        NoUsableModelError, match=r"^1 fold could not .*: trial 3 fold 1 \(killed by signal 9\)$"
    ) as end:
        require_none_lost(loop.lost)
    assert end.value.exit_code == 4


def test_deaths_count_only_without_a_new_epoch_in_between() -> None:
    loop = loop_of()
    for attempt in range(4):
        job = start(loop)
        for step in range(attempt + 1):  # what was reported before is reported again
            report(loop, job, step)
        die(loop, job)
        assert not loop.lost
    job = start(loop)
    report(loop, job, 3)
    die(loop, job)
    assert [fold.name for fold in loop.lost] == ["trial 3 fold 1"]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (
            {"outcome": "dead_end", "constraint": "memory", "reason": "2 images do not fit"},
            "memory: 2 images do not fit",
        ),
        ({"outcome": "dead_end", "constraint": "diverged", "reason": "loss became nan"}, "diverged: loss became nan"),
        ({"outcome": "completed", "score": math.nan}, "diverged: the score is nan"),
    ],
)
def test_a_dead_end_is_not_tried_again_and_is_named(result: dict[str, Any], reason: str) -> None:
    loop = loop_of()
    loop.handle(Finished(job_id=start(loop).id, result=result))
    assert [loss.reason for loss in loop.lost.values()] == [reason]
    assert names(loop) == ["trial 3 fold 2"]
    assert loop.error is None


def test_a_refusal_stops_everything_with_its_own_error() -> None:
    loop = loop_of()
    first, second = start(loop), start(loop)
    refusal = {"outcome": "refused", "exit_code": 7, "problem": "no weights of 'resnet18'", "hint": "pass --weights"}
    loop.handle(Finished(job_id=first.id, result=refusal))
    assert loop.next_job() is None
    assert report(loop, second, 0) is Verdict.STOP
    loop.handle(Stopped(job_id=second.id))
    assert isinstance(loop.error, UnfitEnvironmentError)
    assert (loop.error.problem, loop.error.hint) == ("no weights of 'resnet18'", "pass --weights")
    assert not loop.lost


def test_five_folds_in_a_row_that_die_stop_the_refit_with_the_cause() -> None:
    loop = loop_of(*(fold_of(number, 1) for number in range(9)))
    for _ in range(10):
        die(loop, start(loop))
    assert loop.next_job() is None
    assert isinstance(loop.error, NoUsableModelError)
    assert "trial 4 fold 1, with: killed by signal 9" in loop.error.problem


def test_a_fold_that_is_trained_ends_a_run_of_lost_ones() -> None:
    loop = loop_of(*(fold_of(number, 1) for number in range(9)))
    for _ in range(8):
        die(loop, start(loop))
    loop.handle(Finished(job_id=start(loop).id, result=COMPLETED))
    die(loop, start(loop))
    die(loop, start(loop))
    assert loop.error is None
    assert len(loop.lost) == 5


def test_at_the_deadline_running_folds_stop_and_stay_to_be_trained() -> None:
    left = [100.0]
    loop = loop_of(time_left_s=lambda: left[0])
    job = start(loop)
    assert report(loop, job, 0) is Verdict.CONTINUE
    left[0] = 0.0
    assert loop.handle(Progressed(job_id=job.id)) is Verdict.STOP
    loop.handle(Stopped(job_id=job.id))
    assert loop.next_job() is None
    assert names(loop) == ["trial 3 fold 1", "trial 3 fold 2"]
    assert not loop.lost


def test_no_fold_is_begun_that_would_hardly_be_done_but_a_shorter_one_may_be() -> None:
    loop = loop_of(fold_of(3, 1, expected_s=90.0), fold_of(4, 1, expected_s=20.0), time_left_s=lambda: 60.0)
    assert start(loop).payload["trial"] == 4
    assert loop.next_job() is None
    assert names(loop) == ["trial 3 fold 1"]


def fleeting(payload: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """A fold of three epochs; some die once after their first, some always before it."""
    done = LIVES.setdefault(payload["fold"], [])
    done.append(len(done))
    for step in range(3):
        if FATES[payload["fold"]] == "dies" or (FATES[payload["fold"]] == "dies once" and step == 1 and len(done) == 1):
            raise SimulatedDeath("killed by signal 9")
        context.report(step, 0.1 * step, {"seconds": 2.0})
    return {"outcome": "completed", "score": 0.1 * payload["fold"]}


FATES = ("well", "dies once", "dies", "well")  # of each fold
LIVES: dict[int, list[int]] = {}


def test_a_runner_brings_all_folds_to_an_end_whatever_befalls_them() -> None:
    LIVES.clear()
    loop = RefitLoop([fold_of(3, fold) for fold in range(len(FATES))], fleeting)
    train_folds(loop, SimulatedRunner(n_slots=3))
    assert sorted(fold.fold for fold in loop.trained) == [0, 1, 3]
    assert [fold.fold for fold in loop.lost] == [2]
    assert {fold: len(lives) for fold, lives in LIVES.items()} == {0: 1, 1: 2, 2: 2, 3: 1}


def test_what_cannot_go_on_is_raised_once_the_runner_is_done() -> None:
    class Refusing(Runner):
        def run(self, supervisor: Supervisor) -> None:
            job = supervisor.next_job()
            assert job is not None
            refusal = {"outcome": "refused", "exit_code": 7, "problem": "no", "hint": "do"}
            supervisor.handle(Finished(job_id=job.id, result=refusal))

    with pytest.raises(UnfitEnvironmentError, match=r"^no$"):
        train_folds(loop_of(), Refusing())


def test_a_fold_trained_on_soft_targets_has_a_name_of_its_own() -> None:
    assert fold_of(3, 1).name == "trial 3 fold 1"
    assert fold_of(3, 1, refit_kind="pseudo").name == "trial 3-pseudo fold 1"


def test_a_person_sees_starts_and_ends_and_how_long_it_will_take() -> None:
    clock, screen = Clock(), Kept()
    loop = loop_of(fold_of(3, 1), fold_of(3, 2), fold_of(4, 0), fold_of(4, 1))
    monitor = RefitMonitor(loop, screen, clock=clock)

    def run(*events: Callable[[str], Any]) -> None:
        job = monitor.next_job()
        assert job is not None
        for event in events:
            monitor.handle(event(job.id))
            clock.now_s += 5.0

    def started(job_id: str) -> Started:
        return Started(job_id=job_id, device="cuda:1")

    def reported(job_id: str) -> Reported:
        return Reported(job_id=job_id, step=0, value=0.25, detail={"seconds": 4.0})

    def died(job_id: str) -> Failed:
        return Failed(job_id=job_id, reason="killed by signal 9", died=True)

    dead_end = {"outcome": "dead_end", "constraint": "memory", "reason": "2 images do not fit"}
    run(started, reported, lambda job_id: Finished(job_id=job_id, result=COMPLETED))
    run(started, died)
    run(started, lambda job_id: Stopped(job_id=job_id))
    run(started, died)
    run(started, lambda job_id: Finished(job_id=job_id, result=dead_end))
    begins = "starts on cuda:1: test_resnet, 32 px, adamw 3e-3, batch 16"
    assert screen.lines == [
        f"trial 3 fold 1 {begins}",
        "trial 3 fold 1 is trained with 0.5000 after 10 s; 1 of 4 folds trained, about 30 s left",
        f"trial 3 fold 2 {begins}",
        "trial 3 fold 2 is tried again: killed by signal 9 after 5 s; 1 of 4 folds trained, about 1 min 00 s left",
        f"trial 3 fold 2 {begins}",
        "trial 3 fold 2 is interrupted after 5 s; 1 of 4 folds trained, about 1 min 30 s left",
        f"trial 3 fold 2 {begins}",
        "trial 3 fold 2 failed: killed by signal 9 after 5 s; 1 of 4 folds trained, 1 lost, about 1 min 20 s left",
        f"trial 4 fold 0 {begins}",
        "trial 4 fold 0 is a dead end: memory: 2 images do not fit after 5 s; "
        "1 of 4 folds trained, 2 lost, about 50 s left",
    ]
    assert screen.running[1][0].name == "trial 3 fold 1"
    assert screen.running[1][0].score == 0.25
