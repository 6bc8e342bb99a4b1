"""What only a runner with processes of its own must survive."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, cast

import pytest

from runners.base import Event, Failed, Finished, Interrupted, Job, Progressed, Reported, Started, Stopped, Verdict
from runners.child import Child
from runners.process import Attempt, ProcessRunner, Slot
from tests.runners_tests import tasks
from tests.runners_tests.process_runs import carry, collect_results, run_to_failure
from tests.runners_tests.processes import children_of, is_gone, wait_until_gone
from tests.runners_tests.supervisors import Recorder

PRELOADED = f"{__package__}.preloaded"


class TestDeath:
    def test_a_killed_worker_fails_its_job_and_the_others_go_on(self) -> None:
        jobs = [Job(id="bad", task=tasks.kill_itself), Job(id="b", task=tasks.climb), Job(id="c", task=tasks.climb)]
        supervisor = carry(*jobs, devices=["cpu", "cpu"], environment={"PYTHONUNBUFFERED": ""})
        bad = supervisor.ends()["bad"]
        assert bad == Failed(job_id="bad", reason="killed by signal 9", died=True, log="about to go")
        assert isinstance(supervisor.ends()["b"], Finished) and isinstance(supervisor.ends()["c"], Finished)

    def test_what_a_dead_worker_said_is_heard_before_its_end(self) -> None:
        assert carry(Job(id="a", task=tasks.kill_itself)).kinds("a") == ["Started", "Reported", "Failed"]

    def test_a_worker_that_dies_before_it_hears_its_verdict_fails(self) -> None:
        def kill(event: Event) -> None:
            if isinstance(event, Reported):
                os.kill(pid := event.detail["pid"], signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        assert carry(Job(id="a", task=tasks.be_silent), decide=kill).kinds("a") == ["Started", "Reported", "Failed"]

    def test_a_frozen_worker_that_reads_nothing_holds_nobody_up(self) -> None:
        before = children_of()

        def freeze_standby(event: Event) -> None:
            if isinstance(event, Finished) and event.job_id == "first":
                for pid in children_of() - before:
                    os.kill(pid, signal.SIGSTOP)

        big = {"value": "x" * 1_000_000}  # more than a pipe holds
        jobs = [Job(id="first", task=tasks.climb), Job(id="frozen", task=tasks.echo, payload=big)]
        end = carry(*jobs, decide=freeze_standby, silence_timeout_s=1.0).ends()["frozen"]
        assert isinstance(end, Failed) and end.reason == "no sign of life for 1 s"

    def test_a_worker_that_exits_without_a_word_fails_with_its_code(self) -> None:
        end = run_to_failure(tasks.exit_without_a_word)
        assert (end.reason, end.died) == ("exited with code 3", True)

    def test_a_worker_that_garbles_its_events_is_killed(self) -> None:
        end = run_to_failure(tasks.garble)
        assert end.died and end.reason.startswith("its process sent what is no event")

    def test_a_task_that_cannot_be_named_is_refused(self) -> None:
        with pytest.raises(ValueError, match="top of a module"):
            carry(Job(id="a", task=lambda payload, context: None))

    def test_a_silent_worker_is_killed_after_the_timeout(self) -> None:
        end = carry(Job(id="a", task=tasks.be_silent), silence_timeout_s=0.6).ends()["a"]
        assert end == Failed(job_id="a", reason="no sign of life for 0.6 s", died=True)

    def test_a_beating_worker_is_not_silent(self) -> None:
        supervisor = carry(Job(id="a", task=tasks.beat_for, payload={"seconds": 2.6}), silence_timeout_s=2.0)
        assert isinstance(supervisor.ends()["a"], Finished)

    def test_a_supervisor_that_takes_its_time_makes_no_worker_silent(self) -> None:
        def dawdle(event: Event) -> None:
            if isinstance(event, Reported) and event.job_id == "slow":
                time.sleep(2.4)

        jobs = [
            Job(id="slow", task=tasks.climb, payload={"n_steps": 1}),
            Job(id="other", task=tasks.beat_for, payload={"seconds": 3.0}),
        ]
        supervisor = carry(*jobs, decide=dawdle, devices=["cpu", "cpu"], silence_timeout_s=2.0)
        assert isinstance(supervisor.ends()["other"], Finished)

    @pytest.mark.parametrize("payload", [{}, {"die": True}])
    def test_what_a_job_started_ends_with_it(self, payload: dict[str, bool]) -> None:
        supervisor = carry(Job(id="a", task=tasks.start_a_process_and_wait, payload=payload))
        assert isinstance(supervisor.ends()["a"], Failed if payload else Finished)
        wait_until_gone([supervisor.told(Reported)[0].detail["pid"]])

    def test_a_death_is_noticed_although_a_forked_process_holds_the_pipes(self) -> None:
        assert run_to_failure(tasks.fork_and_die).reason == "exited with code 6"

    def test_a_worker_that_hangs_after_its_result_is_killed_and_has_finished(self) -> None:
        supervisor = carry(Job(id="a", task=tasks.hang_at_the_end), grace_s=0.3)
        assert supervisor.ends()["a"] == Finished(job_id="a", result="done")


class TestStop:
    def test_a_job_that_does_not_heed_its_stop_is_killed_and_stopped(self) -> None:
        def stop(event: Event) -> Verdict | None:
            return Verdict.STOP if isinstance(event, Started) else None

        supervisor = carry(Job(id="a", task=tasks.be_silent), Job(id="b", task=tasks.climb), decide=stop, grace_s=0.3)
        assert supervisor.kinds("a") == ["Started", "Stopped"]

    def test_a_frozen_job_is_killed_too(self) -> None:
        frozen: list[int] = []

        def stop(event: Event) -> Verdict | None:
            if isinstance(event, Progressed):
                os.kill(frozen[0], signal.SIGSTOP)
                return Verdict.STOP
            if isinstance(event, Reported):
                frozen.append(event.detail["pid"])
            return None

        supervisor = carry(Job(id="a", task=tasks.beat_for_ever), decide=stop, grace_s=0.3)
        assert isinstance(supervisor.ends()["a"], Stopped)
        assert is_gone(frozen[0])

    def test_an_interrupt_waits_for_no_worker_that_is_still_importing(self, tmp_path: Path) -> None:
        class InterruptingRecorder(Recorder):
            def next_job(self) -> Job | None:
                os.kill(os.getpid(), signal.SIGINT)
                return super().next_job()

        runner = ProcessRunner(
            ["cpu"],
            n_threads=1,
            grace_s=60.0,
            preload=[f"{__package__}.slow_import"],
            environment={"PRELOADS": str(tmp_path)},
        )
        with pytest.raises(Interrupted):
            runner.run(InterruptingRecorder([Job(id="a", task=tasks.climb)]))
        assert not (tmp_path / "slow").exists()


class TestSlots:
    def test_each_job_has_a_fresh_process_and_session(self) -> None:
        results = collect_results(*(Job(id=str(n), task=tasks.describe_process) for n in range(3)))
        assert len({result["pid"] for result in results}) == 3
        assert all(result["session"] == result["pid"] for result in results)

    def test_two_jobs_really_run_at_the_same_time(self, tmp_path: Path) -> None:
        left, right = str(tmp_path / "left"), str(tmp_path / "right")
        jobs = [
            Job(id="left", task=tasks.meet, payload={"mine": left, "other": right}),
            Job(id="right", task=tasks.meet, payload={"mine": right, "other": left}),
        ]
        supervisor = carry(*jobs, devices=["cpu", "cpu"])
        assert [type(end) for end in supervisor.ends().values()] == [Finished, Finished]

    def test_the_next_process_stands_by_with_its_imports_done(self, tmp_path: Path) -> None:
        jobs = [
            Job(id="first", task=tasks.wait_for_preloads, payload={"n_preloads": 2}),
            Job(id="second", task=tasks.describe_process),
        ]
        ready, second = collect_results(*jobs, preload=[PRELOADED], environment={"PRELOADS": str(tmp_path)})
        assert len(ready) == 2 and second["pid"] in ready

    def test_a_standby_that_died_is_replaced(self) -> None:
        before, killed = children_of(), []

        def kill_standby(event: Event) -> None:
            if isinstance(event, Finished) and event.job_id == "0":
                for pid in children_of() - before:
                    os.kill(pid, signal.SIGKILL)
                    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                    killed.append(pid)

        jobs = [Job(id=str(n), task=tasks.describe_process) for n in range(2)]
        assert isinstance(carry(*jobs, decide=kill_standby).ends()["1"], Finished)
        assert len(killed) == 1

    def test_no_standby_is_left_at_the_end(self) -> None:
        before = children_of()
        carry(Job(id="a", task=tasks.climb), devices=["cpu", "cpu"])
        assert children_of() == before

    def test_the_worker_sees_its_own_gpus_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
        jobs = [Job(id=str(n), task=tasks.describe_process) for n in range(3)]
        devices = ["cpu", "cuda:1", "cuda:1+cuda:0"]
        supervisor = carry(*jobs, devices=devices)
        results = [end.result for _, end in sorted(supervisor.ends().items()) if isinstance(end, Finished)]
        on_cpu, on_gpu, on_both = results
        assert [event.device for event in sorted(supervisor.told(Started), key=lambda event: event.job_id)] == devices
        assert (on_cpu["device"], on_cpu["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")
        assert (on_gpu["device"], on_gpu["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cuda:0", "3")
        assert (on_both["device"], on_both["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cuda:0+cuda:1", "3,2")

    def test_a_hidden_gpu_or_no_device_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
        with pytest.raises(ValueError, match="cuda:2"):
            ProcessRunner(["cuda:2"], n_threads=1)
        with pytest.raises(ValueError, match="at least one"):
            ProcessRunner([], n_threads=1)

    def test_the_worker_keeps_to_its_threads_and_gets_extra_variables(self) -> None:
        (result,) = collect_results(Job(id="a", task=tasks.describe_process), n_threads=3, environment={"EXTRA": "yes"})
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "EXTRA")
        assert [result["environment"][name] for name in names] == ["3", "3", "yes"]

    def test_descriptors_do_not_leak(self) -> None:
        carry(Job(id="warm up", task=tasks.climb))
        before = len(list(Path("/proc/self/fd").iterdir()))
        carry(
            *(Job(id=str(n), task=tasks.climb if n % 3 else tasks.kill_itself) for n in range(30)), devices=["cpu"] * 2
        )
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class SilentChild:
    """A process that only writes down what is done to it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.killed = False
        self.disconnected = False

    def send(self, line: bytes) -> None:
        self.sent.append(json.loads(line))

    def kill(self) -> None:
        self.killed = True

    def describe_end(self) -> str:
        return "exited with code 3"

    def read_log_tail(self) -> str:
        return "last words"


def attempt_of(child: SilentChild, **state: Any) -> Attempt:
    return Attempt(job_id="a", child=cast(Child, child), last_event_s=0.0, **state)


def test_a_stop_is_requested_once_and_never_moves_the_deadline_back() -> None:
    child = SilentChild()
    attempt = attempt_of(child, deadline_s=5.0)
    attempt.request_stop(9.0)
    attempt.request_stop(1.0)
    assert (attempt.deadline_s, attempt.stop_requested) == (5.0, True)
    assert child.sent == [{"verdict": Verdict.STOP.value}]


def test_an_attempt_without_a_word_has_died_of_how_its_process_ended() -> None:
    assert attempt_of(SilentChild()).end() == Failed(
        job_id="a", reason="exited with code 3", died=True, log="last words"
    )


def test_an_attempt_that_was_killed_has_died_of_the_reason() -> None:
    child = SilentChild()
    attempt = attempt_of(child)
    assert not attempt.is_ending
    attempt.kill_for("no sign of life for 1 s")
    assert (child.killed, attempt.is_ending) == (True, True)
    end = attempt.end()
    assert isinstance(end, Failed) and end.died
    assert end.reason == "no sign of life for 1 s"


def test_a_requested_stop_goes_before_the_death_and_a_last_event_before_both() -> None:
    attempt = attempt_of(SilentChild(), kill_reason="too late")
    attempt.request_stop(1.0)
    assert attempt.end() == Stopped(job_id="a")
    attempt.final_event = Finished(job_id="a", result=7)
    assert attempt.is_ending
    assert attempt.end() == Finished(job_id="a", result=7)


def test_a_process_that_hangs_up_is_ending() -> None:
    child = SilentChild()
    child.disconnected = True
    assert attempt_of(child).is_ending


def test_a_slot_has_the_process_of_its_attempt_and_the_one_that_stands_by() -> None:
    running, standby = cast(Child, SilentChild()), cast(Child, SilentChild())
    slot = Slot(device="cpu", environment={})
    assert slot.children == []
    slot.standby = standby
    assert slot.children == [standby]
    slot.attempt = Attempt(job_id="a", child=running, last_event_s=0.0)
    assert slot.children == [running, standby]
