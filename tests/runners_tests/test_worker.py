"""A worker process runs its one job undisturbed by output, signals and forks, and never outlives its driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from runners.base import Finished, Job
from runners.worker import DRIVER_GONE
from tests.runners_tests import tasks
from tests.runners_tests.process_runs import carry, collect_results, run_to_failure


def test_a_task_finds_stdin_empty_and_hands_the_pipe_of_events_to_no_program() -> None:
    (result,) = collect_results(Job(id="a", task=tasks.describe_process))
    assert (result["stdin"], result["shares_its_pipe"]) == ("", False)


def test_megabytes_and_broken_text_on_stdout_disturb_nothing() -> None:
    supervisor = carry(Job(id="a", task=tasks.babble))
    assert supervisor.kinds("a") == ["Started", "Reported", "Reported", "Finished"]
    assert supervisor.ends()["a"] == Finished(job_id="a", result="done")


@pytest.mark.parametrize(("driver_pid", "said"), [(os.getpid(), b""), (1, None)], ids=["hangs up", "is another"])
def test_a_worker_ends_when_its_driver_hangs_up_or_is_another(driver_pid: int, said: bytes | None) -> None:
    command = [sys.executable, "-m", "runners.worker", str(driver_pid), "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        if said is not None:
            worker.communicate(said)
        assert worker.wait(timeout=20) == DRIVER_GONE


def test_a_worker_ignores_ctrl_c() -> None:
    assert collect_results(Job(id="a", task=tasks.interrupt_is_ignored)) == ["still here"]


def test_a_job_can_terminate_the_helpers_that_it_forked() -> None:
    assert collect_results(Job(id="a", task=tasks.terminate_a_helper)) == [-signal.SIGTERM]


def test_a_worker_terminated_from_outside_is_no_stopped_job() -> None:
    end = run_to_failure(tasks.terminate_itself)
    assert (end.reason, end.died) == ("killed by signal 15", True)


def test_a_preload_that_fails_leaves_the_job_to_speak_for_itself() -> None:
    end = run_to_failure(tasks.fail, preload=["no_such_module"])
    assert end.reason == "ValueError: no such luck"
