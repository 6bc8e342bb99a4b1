"""The context passes reports and beats on, stops a task for good, and a task's end becomes its last event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from runners.base import (
    JSON,
    Context,
    Event,
    Failed,
    Finished,
    Job,
    JobStopped,
    Progressed,
    Reported,
    Stopped,
    Task,
    Verdict,
)
from runners.context import JobContext, run_task, to_plain_json
from tests.runners_tests import tasks
from tests.runners_tests.process_runs import carry


def context_of(sent: list[Event], *, stop_at: int | None = None, **options: Any) -> JobContext:
    """A context that writes down what it sends; the verdict on the event of that number is to stop."""

    def send(event: Event) -> Verdict:
        sent.append(event)
        return Verdict.STOP if len(sent) == stop_at else Verdict.CONTINUE

    return JobContext("a", send, device="cpu", n_threads=2, **options)


def test_reports_carry_plain_numbers_and_plain_json() -> None:
    sent: list[Event] = []
    context_of(sent).report(True, 3, {"pair": (1, 2)})
    assert sent == [Reported(job_id="a", step=1, value=3.0, detail={"pair": [1, 2]})]
    assert type(sent[0].value) is float  # type: ignore[union-attr]


def test_beats_are_throttled() -> None:
    supervisor = carry(Job(id="a", task=tasks.beat_for, payload={"seconds": 0.8}))
    end = supervisor.ends()["a"]
    assert isinstance(end, Finished) and end.result > 5
    assert 1 <= len(supervisor.told(Progressed)) <= 2


def test_each_beat_is_sent_where_there_is_no_interval() -> None:
    sent: list[Event] = []
    context = context_of(sent, beat_interval_s=0.0)
    context.beat({"batch": 1})
    context.beat()
    assert sent == [Progressed(job_id="a", detail={"batch": 1}), Progressed(job_id="a", detail={})]


@pytest.mark.parametrize("call", [lambda context: context.report(9, 0.0), lambda context: context.beat()])
def test_once_stopped_every_further_call_stops_and_sends_nothing(call: Callable[[Context], None]) -> None:
    sent: list[Event] = []
    context = context_of(sent, stop_at=1, beat_interval_s=0.0)
    with pytest.raises(JobStopped):
        call(context)
    assert context.stopped
    with pytest.raises(JobStopped):
        context.beat()
    with pytest.raises(JobStopped):
        context.report(1, 0.0)
    assert len(sent) == 1


def test_a_stop_requested_from_outside_needs_no_verdict() -> None:
    sent: list[Event] = []
    context = context_of(sent, stop_requested=lambda: True)
    with pytest.raises(JobStopped):
        context.report(0, 0.0)
    assert (context.stopped, sent) == (True, [])


def leave_by_keyboard(payload: Mapping[str, JSON], context: Context) -> JSON:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("task", "end"),
    [
        (tasks.climb, Finished(job_id="a", result={"n_steps": 3})),
        (tasks.fail, "ValueError: no such luck"),
        (tasks.leave, "SystemExit: 3"),
        (tasks.return_an_object, "TypeError: Object of type set is not JSON serializable"),
    ],
)
def test_what_becomes_of_a_task_is_its_last_event(task: Task, end: Finished | str) -> None:
    event = run_task("a", lambda: task, {}, context_of([]))
    if isinstance(end, Finished):
        assert event == end
    else:
        assert isinstance(event, Failed) and not event.died
        assert event.reason == end
        assert event.log.startswith("Traceback")


def test_a_task_that_cannot_be_loaded_fails() -> None:
    def load() -> Task:
        raise ImportError("no such module")

    event = run_task("a", load, {}, context_of([]))
    assert isinstance(event, Failed) and event.reason == "ImportError: no such module"


@pytest.mark.parametrize("task", [tasks.climb, tasks.climb_deaf, tasks.stop_badly])
def test_a_stopped_job_ends_as_stopped_whatever_its_task_makes_of_it(task: Task) -> None:
    assert run_task("a", lambda: task, {}, context_of([], stop_at=1)) == Stopped(job_id="a")


def test_an_interrupt_is_no_end_of_a_task() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_task("a", lambda: leave_by_keyboard, {}, context_of([]))


def test_only_json_travels() -> None:
    assert to_plain_json({1: (True, None)}) == {"1": [True, None]}
    with pytest.raises(TypeError):
        to_plain_json({"path": object()})
