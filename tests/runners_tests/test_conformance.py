"""What every runner promises, asked of each of them."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.base import (
    Event,
    Failed,
    Finished,
    Interrupted,
    Job,
    Progressed,
    Reported,
    Runner,
    Started,
    Stopped,
    Verdict,
)
from runners.inline import InlineRunner
from runners.process import ProcessRunner
from runners.simulated import SimulatedRunner
from tests.runners_tests import tasks
from tests.runners_tests.ray_machine import make_ray_runner  # noqa: F401
from tests.runners_tests.supervisors import Recorder

MAKERS: dict[str, Callable[[int], Runner]] = {
    "inline": lambda n_slots: InlineRunner(),
    "process": lambda n_slots: ProcessRunner(["cpu"] * n_slots, n_threads=1, grace_s=3.0),
    "simulated": SimulatedRunner,
}
RAY = pytest.param("ray", marks=pytest.mark.ray)
# On Ray a run takes seconds to begin: where a test tells it little that is its own, Ray waits for `make test-all`.
SLOW_ON_RAY = [*MAKERS, pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])]
slow_on_ray = pytest.mark.parametrize("runner", SLOW_ON_RAY, indirect=True)
slow_on_ray_of_two = pytest.mark.parametrize("runner_of_two", SLOW_ON_RAY[1:], indirect=True)


def _make(request: pytest.FixtureRequest, n_slots: int) -> Runner:
    if request.param == "ray":
        made: Runner = request.getfixturevalue("make_ray_runner")(n_slots)
        return made
    return MAKERS[request.param](n_slots)


def _stop_at(step: int) -> Callable[[Event], Verdict | None]:
    return lambda event: Verdict.STOP if isinstance(event, Reported) and event.step == step else None


def _signal_at_first_report(number: int) -> Callable[[Event], None]:
    def decide(event: Event) -> None:
        if isinstance(event, Reported):
            os.kill(os.getpid(), number)

    return decide


class TestEveryRunner:
    @pytest.fixture(params=[*MAKERS, RAY])
    def runner(self, request: pytest.FixtureRequest) -> Runner:
        """A runner with one slot."""
        return _make(request, 1)

    @pytest.fixture(params=["process", "simulated", RAY])
    def runner_of_two(self, request: pytest.FixtureRequest) -> Runner:
        return _make(request, 2)

    def test_a_job_reports_and_then_finishes(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.climb)])
        runner.run(supervisor)
        assert supervisor.kinds("a") == ["Started", "Reported", "Reported", "Reported", "Finished"]
        assert supervisor.ends()["a"] == Finished(job_id="a", result={"n_steps": 3})

    @slow_on_ray
    def test_steps_values_and_details_arrive_in_order(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.climb, payload={"start": 0.5, "n_steps": 4, "seconds": 2.0})])
        runner.run(supervisor)
        told = [(event.step, event.value) for event in supervisor.told(Reported)]
        assert told == [(0, 0.5), (1, 0.6), (2, 0.7), (3, 0.8)]
        assert supervisor.told(Reported)[0].detail == {"seconds": 2.0}

    @slow_on_ray
    def test_a_value_may_be_no_number(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.climb, payload={"start": math.nan, "n_steps": 1})])
        runner.run(supervisor)
        assert math.isnan(supervisor.told(Reported)[0].value)

    def test_stop_ends_the_job_at_that_step(self, runner: Runner, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        supervisor = Recorder([Job(id="a", task=tasks.climb, payload={"n_steps": 9, "trace": str(trace)})], _stop_at(1))
        runner.run(supervisor)
        assert supervisor.kinds("a") == ["Started", "Reported", "Reported", "Stopped"]
        assert trace.read_text().split() == ["0"]

    @slow_on_ray
    def test_stop_as_the_answer_to_the_start_ends_the_job_before_its_first_report(self, runner: Runner) -> None:
        supervisor = Recorder(
            [Job(id="a", task=tasks.climb)], lambda e: Verdict.STOP if isinstance(e, Started) else None
        )
        runner.run(supervisor)
        assert supervisor.kinds("a") == ["Started", "Stopped"]

    def test_stop_as_the_answer_to_a_beat_ends_the_job(self, runner: Runner) -> None:
        job = Job(id="a", task=tasks.beat_for, payload={"seconds": tasks.FOREVER_S})
        supervisor = Recorder([job], lambda e: Verdict.STOP if isinstance(e, Progressed) else None)
        runner.run(supervisor)
        assert isinstance(supervisor.ends()["a"], Stopped)

    @slow_on_ray
    def test_a_beat_is_told_with_its_detail(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.beat_once)])
        runner.run(supervisor)
        assert supervisor.told(Progressed) == [Progressed(job_id="a", detail={"batch": 7})]

    @slow_on_ray
    def test_a_job_that_goes_on_after_its_stop_is_told_no_more_and_ends_as_stopped(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.climb_deaf)], _stop_at(0))
        runner.run(supervisor)
        assert supervisor.kinds("a") == ["Started", "Reported", "Stopped"]

    @slow_on_ray
    def test_a_job_that_raises_when_it_is_stopped_ends_as_stopped(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.stop_badly)], _stop_at(0))
        runner.run(supervisor)
        assert supervisor.kinds("a") == ["Started", "Reported", "Stopped"]

    def test_an_exception_ends_the_job_and_not_the_run(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="bad", task=tasks.fail), Job(id="good", task=tasks.climb)])
        runner.run(supervisor)
        bad = supervisor.ends()["bad"]
        assert isinstance(bad, Failed)
        assert (bad.reason, bad.died) == ("ValueError: no such luck", False)
        assert bad.log.startswith("Traceback") and "in fail" in bad.log
        assert isinstance(supervisor.ends()["good"], Finished)

    @slow_on_ray
    @pytest.mark.parametrize("task", [tasks.leave, tasks.return_an_object])
    def test_an_exit_or_a_result_that_is_no_json_fails_the_job(
        self, runner: Runner, task: Callable[..., object]
    ) -> None:
        supervisor = Recorder([Job(id="a", task=task)])
        runner.run(supervisor)
        assert supervisor.kinds("a") == ["Started", "Failed"]

    def test_each_job_ends_exactly_once_and_hears_nothing_afterwards(self, runner: Runner) -> None:
        jobs = [Job(id=f"{task.__name__}", task=task) for task in (tasks.climb, tasks.fail, tasks.leave)]
        supervisor = Recorder(jobs, _stop_at(2))
        runner.run(supervisor)
        for job in jobs:
            kinds = supervisor.kinds(job.id)
            assert kinds[0] == "Started"
            assert [kind for kind in kinds if kind in {"Finished", "Stopped", "Failed"}] == kinds[-1:]

    @slow_on_ray
    def test_jobs_are_pulled_late(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id=str(n), task=tasks.climb, payload={"n_steps": 1}) for n in range(3)])
        runner.run(supervisor)
        assert supervisor.n_running_max == 1
        assert supervisor.order() == [f"{kind} {n}" for n in range(3) for kind in ("Started", "Finished")]

    @slow_on_ray
    def test_no_job_means_no_run(self, runner: Runner) -> None:
        supervisor = Recorder([])
        runner.run(supervisor)
        assert supervisor.events == []

    def test_a_job_given_after_an_earlier_none_is_still_run(self, runner: Runner) -> None:
        def retry(event: Event) -> None:
            if isinstance(event, Failed):
                supervisor.waiting.append(Job(id=event.job_id, task=tasks.climb))

        supervisor = Recorder([Job(id="a", task=tasks.fail)], retry)
        runner.run(supervisor)
        assert supervisor.order() == ["Started a", "Failed a", "Started a", "Finished a"]

    @slow_on_ray_of_two
    def test_a_free_slot_gets_the_job_that_a_running_one_brings_up(self, runner_of_two: Runner) -> None:
        def bring_up(event: Event) -> None:
            if isinstance(event, Reported) and event.job_id == "a" and event.step == 0:
                supervisor.waiting.append(Job(id="b", task=tasks.echo, payload={"value": 1}))

        supervisor = Recorder([Job(id="a", task=tasks.climb)], bring_up)
        runner_of_two.run(supervisor)
        assert supervisor.n_running_max == 2

    @slow_on_ray
    @pytest.mark.parametrize(
        "value", [None, [1, 2.5, "drei \ud800 \n"], {"nested": {"list": [True, []]}}, "x" * 300_000]
    )
    def test_payload_and_result_come_through_as_json(self, runner: Runner, value: object) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.echo, payload={"value": value})])
        runner.run(supervisor)
        assert supervisor.ends()["a"] == Finished(job_id="a", result=value)

    @slow_on_ray
    def test_what_json_would_change_is_changed_in_every_runner(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.echo, payload={"value": (1, {2: 3})})])
        runner.run(supervisor)
        assert supervisor.ends()["a"] == Finished(job_id="a", result=[1, {"2": 3}])

    def test_the_context_names_device_and_threads(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.climb_and_echo_context)])
        runner.run(supervisor)
        assert supervisor.ends()["a"] == Finished(job_id="a", result={"device": "cpu", "n_threads": 1})
        assert supervisor.told(Started) == [Started(job_id="a", device="cpu")]

    @slow_on_ray
    @pytest.mark.parametrize("kind", [Started, Progressed, Reported, Finished])
    def test_an_exception_of_the_supervisor_comes_out_and_leaves_nothing_running(
        self, runner: Runner, kind: type[Event]
    ) -> None:
        def break_down(event: Event) -> None:
            if isinstance(event, kind):
                raise LookupError("the study is gone")

        task = tasks.beat_once if kind is Progressed else tasks.climb
        supervisor = Recorder([Job(id="a", task=task), Job(id="b", task=task)], break_down)
        alive_before = _alive()
        with pytest.raises(LookupError, match="the study is gone"):
            runner.run(supervisor)
        assert isinstance(supervisor.events[-1], kind)
        assert _alive() == alive_before

    @slow_on_ray
    def test_a_runner_can_run_again(self, runner: Runner) -> None:
        for _ in range(2):
            supervisor = Recorder([Job(id="a", task=tasks.echo, payload={"value": 1})])
            runner.run(supervisor)
            assert supervisor.kinds("a") == ["Started", "Finished"]

    @slow_on_ray
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_the_run_and_is_told_to_nobody(self, runner: Runner, number: signal.Signals) -> None:
        before, alive_before = signal.getsignal(number), _alive()
        supervisor = Recorder([Job(id=name, task=tasks.climb) for name in "ab"], _signal_at_first_report(number))
        with pytest.raises(Interrupted) as caught:
            runner.run(supervisor)
        assert caught.value.signal_number == number
        assert supervisor.kinds("a") == ["Started", "Reported"] and supervisor.kinds("b") == []
        assert signal.getsignal(number) is before and signal.set_wakeup_fd(-1) == -1
        assert _alive() == alive_before

    @slow_on_ray_of_two
    def test_after_a_signal_nothing_is_told_of_any_job(self, runner_of_two: Runner) -> None:
        supervisor = Recorder(
            [Job(id=name, task=tasks.climb, payload={"n_steps": 1}) for name in "abc"],
            _signal_at_first_report(signal.SIGTERM),
        )
        with pytest.raises(Interrupted):
            runner_of_two.run(supervisor)
        assert isinstance(supervisor.events[-1], Reported) and supervisor.kinds("c") == []

    @slow_on_ray
    def test_an_exception_of_the_supervisor_is_not_hidden_by_a_signal(self, runner: Runner) -> None:
        def break_down(event: Event) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            raise LookupError("the study is gone")

        with pytest.raises(LookupError):
            runner.run(Recorder([Job(id="a", task=tasks.climb)], break_down))

    @slow_on_ray
    def test_a_signal_during_the_very_last_event_is_not_lost(self, runner: Runner) -> None:
        def interrupt(event: Event) -> None:
            if isinstance(event, Finished):
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(Interrupted):
            runner.run(Recorder([Job(id="a", task=tasks.echo, payload={"value": 1})], interrupt))

    @slow_on_ray
    def test_an_ignored_signal_stays_ignored(self, runner: Runner) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            supervisor = Recorder([Job(id="a", task=tasks.climb)], _signal_at_first_report(signal.SIGHUP))
            runner.run(supervisor)
        finally:
            signal.signal(signal.SIGHUP, before)
        assert isinstance(supervisor.ends()["a"], Finished)

    @slow_on_ray
    def test_it_runs_outside_the_main_thread(self, runner: Runner) -> None:
        supervisor = Recorder([Job(id="a", task=tasks.echo, payload={"value": 1})])
        thread = threading.Thread(target=runner.run, args=(supervisor,))
        thread.start()
        thread.join()
        assert supervisor.kinds("a") == ["Started", "Finished"]

    def test_two_slots_overlap_and_are_never_exceeded(self, runner_of_two: Runner) -> None:
        supervisor = Recorder([Job(id=str(n), task=tasks.climb, payload={"n_steps": 2}) for n in range(4)])
        runner_of_two.run(supervisor)
        assert supervisor.n_running_max == 2
        assert set(supervisor.ends()) == {"0", "1", "2", "3"}

    @slow_on_ray_of_two
    def test_stop_reaches_the_job_that_it_was_meant_for(self, runner_of_two: Runner) -> None:
        def stop_a(event: Event) -> Verdict | None:
            return Verdict.STOP if isinstance(event, Reported) and event.job_id == "a" else None

        supervisor = Recorder([Job(id=name, task=tasks.climb) for name in "ab"], stop_a)
        runner_of_two.run(supervisor)
        assert supervisor.kinds("a") == ["Started", "Reported", "Stopped"]
        assert supervisor.kinds("b") == ["Started", "Reported", "Reported", "Reported", "Finished"]


def _alive() -> set[object]:
    """The threads of this process, and the processes that they have started."""
    threads = set(threading.enumerate())
    return threads.union(
        *(Path(f"/proc/self/task/{thread.native_id}/children").read_text().split() for thread in threads)
    )
