"""The loop of probes as a state machine: reports are recorded, deaths retried, and a search follows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import StudyFiles
from automl.errors import DataError
from automl.probing.probe_job import COMPLETED, SKIPPED, ProbeCandidate, ProbeJob, ProbeReport
from automl.probing.probe_study import ProbeStudy, ProbeTerms, open_probe_study
from automl.search.probe_loop import ProbeLoop, ProbesFirst, deal_candidates
from automl.training.trial_job import Refused
from runners.base import Event, Failed, Finished, Job, Progressed, Reported, Started, Stopped, Verdict

CANDIDATES = tuple(ProbeCandidate("resnet18", size) for size in (96, 128, 160))


def never_called(payload: Any, context: Any) -> None:
    raise AssertionError("the loop itself never calls a task")


@pytest.fixture
def study(tmp_path: Path) -> Iterator[ProbeStudy]:
    terms = ProbeTerms(competition_fingerprint="f", metric="log_loss", direction="minimize", seed=0)
    with open_probe_study(StudyFiles(tmp_path), terms) as opened:
        opened.begin(CANDIDATES)
        yield opened


def new_loop(study: ProbeStudy, *, time_left_s: float = math.inf) -> tuple[ProbeLoop, list[ProbeReport]]:
    job = ProbeJob(study_dir=Path("s"), candidates=CANDIDATES, numbers=(0, 1, 2), seed=0)
    seen: list[ProbeReport] = []
    loop = ProbeLoop(study, [job], never_called, on_report=seen.append, time_left_s=lambda: time_left_s)
    return loop, seen


def report_of(number: int, outcome: str = COMPLETED) -> ProbeReport:
    if outcome == SKIPPED:
        return ProbeReport(number=number, candidate=CANDIDATES[number], outcome=SKIPPED, reason="no weights")
    return ProbeReport(number=number, candidate=CANDIDATES[number], outcome=COMPLETED, score=0.1 * number)


def reported(job: Job, step: int, report: ProbeReport) -> Reported:
    return Reported(job_id=job.id, step=step, value=report.value, detail=report.to_json())


def next_job(loop: ProbeLoop) -> Job:
    job = loop.next_job()
    assert job is not None and job.is_urgent
    loop.handle(Started(job_id=job.id, device="cpu"))
    return job


def test_each_report_is_recorded_at_once_and_passed_on(study: ProbeStudy) -> None:
    loop, seen = new_loop(study)
    job = next_job(loop)
    assert loop.handle(reported(job, 0, report_of(1))) is Verdict.CONTINUE
    assert [report.number for report in study.list_reports()] == [1]
    loop.handle(reported(job, 1, report_of(0, SKIPPED)))
    assert [report.number for report in seen] == [1, 0]
    assert loop.is_running
    loop.handle(Finished(job_id=job.id, result={"outcome": "completed"}))
    assert not loop.is_running and loop.next_job() is None


def test_a_job_gets_what_is_left_of_the_budget_also_when_it_is_tried_again(study: ProbeStudy) -> None:
    left = [60.0, 20.0, -5.0]
    job = ProbeJob(study_dir=Path("s"), candidates=CANDIDATES, numbers=(0, 1, 2), seed=0)
    loop = ProbeLoop(study, [job], never_called, on_report=lambda report: None, budget_left_s=lambda: left.pop(0))
    first = next_job(loop)
    loop.handle(Failed(job_id=first.id, reason="killed by signal 9", died=True))
    again = next_job(loop)
    assert (first.payload["budget_s"], again.payload["budget_s"]) == (60.0, 20.0)
    loop.handle(reported(again, 0, report_of(0)))
    loop.handle(Progressed(job_id=again.id, detail={"probe": 1}))
    loop.handle(Failed(job_id=again.id, reason="killed by signal 9", died=True))
    assert next_job(loop).payload["budget_s"] == 0.0


def test_a_process_that_died_is_replaced_and_goes_on_with_what_is_left(study: ProbeStudy) -> None:
    loop, _ = new_loop(study)
    job = next_job(loop)
    loop.handle(reported(job, 0, report_of(2)))
    loop.handle(Failed(job_id=job.id, reason="killed by signal 9", died=True))
    again = next_job(loop)
    assert again.payload["numbers"] == [0, 1]


def test_a_probe_at_which_processes_die_twice_is_left_out_and_the_others_are_made(study: ProbeStudy) -> None:
    loop, seen = new_loop(study)
    for _ in range(2):
        job = next_job(loop)
        loop.handle(Progressed(job_id=job.id, detail={"probe": 1}))
        loop.handle(Failed(job_id=job.id, reason="killed by signal 9", died=True))
    assert [(report.number, report.outcome, report.reason) for report in seen] == [(1, SKIPPED, "killed by signal 9")]
    assert next_job(loop).payload["numbers"] == [0, 2]


def test_a_refusal_is_the_loops_error_and_ends_it(study: ProbeStudy) -> None:
    loop, _ = new_loop(study)
    job = next_job(loop)
    refusal = Refused.from_error(DataError("an image is gone", hint="restore it"))
    loop.handle(Finished(job_id=job.id, result=refusal.to_json()))
    assert loop.error is not None and loop.error.problem == "an image is gone"
    assert loop.next_job() is None


def test_without_time_nothing_is_begun_and_what_runs_is_stopped(study: ProbeStudy) -> None:
    loop, _ = new_loop(study, time_left_s=0.0)
    assert loop.next_job() is None
    loop, _ = new_loop(study)
    job = next_job(loop)
    loop._time_left_s = lambda: 0.0
    assert loop.handle(reported(job, 0, report_of(0))) is Verdict.STOP
    loop.handle(Stopped(job_id=job.id))
    assert not loop.is_running


class Trials:
    """A supervisor of one trial."""

    def __init__(self) -> None:
        self.jobs, self.events = [Job(id="0", task=never_called)], list[Event]()

    def next_job(self) -> Job | None:
        return self.jobs.pop() if self.jobs else None

    def handle(self, event: Event) -> Verdict:
        self.events.append(event)
        return Verdict.CONTINUE


def test_trials_begin_when_the_last_probe_has_ended_a_second_wave_included(study: ProbeStudy) -> None:
    loop, _ = new_loop(study)
    trials, built = Trials(), []
    waves = iter([ProbeJob(study_dir=Path("s"), candidates=CANDIDATES[:1], numbers=(7,), seed=0)])

    def build() -> Trials:
        built.append(True)
        return trials

    first = ProbesFirst(loop, after_probes=lambda: next(waves, None), build_next=build)
    job = first.next_job()
    assert job is not None and first.next_job() is None and not built
    first.handle(Finished(job_id=job.id, result=None))
    wave = first.next_job()
    assert wave is not None and wave.payload["numbers"] == [7] and first.next_job() is None and not built
    first.handle(Finished(job_id=wave.id, result=None))
    trial = first.next_job()
    assert trial is not None and trial.id == "0" and built == [True]
    first.handle(Started(job_id="0", device="cpu"))
    assert trials.events == [Started(job_id="0", device="cpu")]
    assert first.next_job() is None


def test_candidates_are_dealt_over_the_devices() -> None:
    job = ProbeJob(study_dir=Path("s"), candidates=CANDIDATES, numbers=(0, 1, 2), seed=0)
    assert [own.numbers for own in deal_candidates(job, 2)] == [(0, 2), (1,)]
    assert [own.numbers for own in deal_candidates(job, 8)] == [(0,), (1,), (2,)]
