"""What only the Ray runner does: processes below actors, Tune's bookkeeping, a Ray of its own."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runners.base import Event, Failed, Finished, Job, NoPlaceError, Reported, Started, Verdict
from runners.ray_tune import RayTuneRunner
from tests.runners_tests import tasks
from tests.runners_tests.processes import children_of, wait_until_gone
from tests.runners_tests.ray_machine import make_ray_runner  # noqa: F401
from tests.runners_tests.supervisors import Recorder

pytestmark = [pytest.mark.ray, pytest.mark.slow]  # the conformance suite runs on Ray in `make test`
MakeRunner = Callable[..., RayTuneRunner]


def test_each_job_has_a_process_of_its_own_with_its_share_of_the_cores(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    supervisor = Recorder([Job(id=name, task=tasks.describe_process) for name in "ab"])
    make_ray_runner(1, n_threads=3).run(supervisor)
    a, b = (_result(supervisor, name) for name in "ab")
    assert a["pid"] != b["pid"]
    for process in (a, b):
        assert process["environment"]["OMP_NUM_THREADS"] == process["environment"]["MKL_NUM_THREADS"] == "3"
        assert (process["device"], process["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")


def test_a_job_sees_its_own_gpu_alone_and_the_supervisor_hears_which(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    supervisor = Recorder([Job(id=name, task=tasks.describe_process) for name in "ab"])
    make_ray_runner(2, gpus_per_job=1).run(supervisor)
    for started in supervisor.told(Started):
        process = _result(supervisor, started.job_id)
        assert process["device"] == "cuda:0"
        assert started.device in ("cuda:0", "cuda:1")
        assert f"cuda:{process['environment']['CUDA_VISIBLE_DEVICES']}" == started.device


@pytest.mark.slow
def test_a_job_may_have_several_gpus(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    supervisor = Recorder([Job(id="a", task=tasks.describe_process)])
    make_ray_runner(1, gpus_per_job=2).run(supervisor)
    process = _result(supervisor, "a")
    assert (process["device"], process["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cuda:0+cuda:1", "0,1")
    assert supervisor.told(Started)[0].device == "cuda:0+cuda:1"


def test_a_killed_process_has_died_and_what_it_printed_is_told(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    supervisor = Recorder([Job(id="a", task=tasks.kill_itself), Job(id="b", task=tasks.climb)])
    make_ray_runner(1).run(supervisor)
    assert supervisor.ends()["a"] == Failed(job_id="a", reason="killed by signal 9", died=True, log="about to go")
    assert isinstance(supervisor.ends()["b"], Finished)


def test_a_killed_actor_takes_its_job_along_and_the_job_may_be_given_again(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    pids: list[int] = []

    def kill_and_retry(event: Event) -> None:
        if isinstance(event, Reported) and not pids:
            pids.append(event.detail["pid"])
            os.kill(_parent_of(pids[0]), signal.SIGKILL)
        if isinstance(event, Failed):
            supervisor.waiting.append(Job(id=event.job_id, task=tasks.echo, payload={"value": 1}))

    supervisor = Recorder([Job(id="a", task=tasks.be_silent)], kill_and_retry)
    make_ray_runner(1).run(supervisor)
    assert supervisor.kinds("a") == ["Started", "Reported", "Failed", "Started", "Finished"]
    assert supervisor.told(Failed)[0].died and "actor" in supervisor.told(Failed)[0].log
    wait_until_gone(pids)


def test_an_exception_of_the_supervisor_ends_jobs_that_say_nothing_too(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    pids: list[int] = []

    def break_down(event: Event) -> None:
        if isinstance(event, Reported):
            pids.append(event.detail["pid"])
        if len(pids) == 2:
            raise LookupError("the study is gone")

    runner = make_ray_runner(2)
    with pytest.raises(LookupError, match="the study is gone"):
        runner.run(Recorder([Job(id=name, task=tasks.be_silent) for name in "ab"], break_down))
    wait_until_gone(pids)
    assert list(runner.storage.iterdir()) == []


def test_what_ray_would_wait_for_without_end_is_refused(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    with pytest.raises(NoPlaceError, match="a job needs 1 CPU and 3 GPU, but no machine"):
        make_ray_runner(1, gpus_per_job=3).run(Recorder([Job(id="a", task=tasks.climb)]))


def test_an_address_where_nobody_listens_is_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(NoPlaceError, match=f"no Ray cluster answers at {address}"):
            RayTuneRunner(n_slots=1, n_threads=1, storage=tmp_path, address=address).run(Recorder([]))


@pytest.mark.slow
def test_a_silent_job_is_killed_and_has_died(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    supervisor = Recorder([Job(id="a", task=tasks.be_silent)])
    make_ray_runner(1, silence_timeout_s=0.5).run(supervisor)
    assert supervisor.ends()["a"] == Failed(job_id="a", reason="no sign of life for 0.5 s", died=True)


@pytest.mark.slow
def test_a_job_that_heeds_no_stop_is_killed_after_the_grace(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    supervisor = Recorder([Job(id="a", task=tasks.freeze)], lambda e: Verdict.STOP if isinstance(e, Reported) else None)
    make_ray_runner(1, grace_s=0.5).run(supervisor)
    assert supervisor.kinds("a") == ["Started", "Reported", "Stopped"]
    wait_until_gone([supervisor.told(Reported)[0].detail["pid"]])


@pytest.mark.slow
def test_a_slot_that_breaks_ends_the_run_with_its_traceback(make_ray_runner: MakeRunner) -> None:  # noqa: F811
    runner = make_ray_runner(1)
    runner.settings = replace(runner.settings, n_gpus=math.nan)
    with pytest.raises(RuntimeError, match=r"a slot of the Ray runner broke:\nTraceback(.*\n)*ValueError: .*NaN"):
        runner.run(Recorder([Job(id="a", task=tasks.climb)]))


# A driver with a Ray of its own


@pytest.mark.parametrize(
    ("task", "number"),
    [
        ("beat_for_ever", signal.SIGINT),
        pytest.param("beat_for_ever", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("beat_for_ever", signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param("be_silent", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signalled_driver_ends_quietly_with_all_that_it_has_started(
    tmp_path: Path, task: str, number: signal.Signals
) -> None:
    with _driver(task, tmp_path) as driver:
        workers = [_read_pid(driver) for _ in range(2)]
        everything = _family_of(driver.pid)
        assert everything > set(workers)
        os.killpg(driver.pid, number)  # as a terminal does
        out, err = driver.communicate(timeout=60)
        assert (out.split(), err) == (["interrupted", str(int(number))], "")
        wait_until_gone(list(everything), patience_s=20.0)


@pytest.mark.slow
def test_a_killed_driver_leaves_no_job_and_no_actor(tmp_path: Path) -> None:
    with _driver("be_silent", tmp_path) as driver:
        workers = [_read_pid(driver) for _ in range(2)]
        actors = [_parent_of(pid) for pid in workers]
        driver.kill()
        wait_until_gone(workers + actors, patience_s=10.0)


@contextmanager
def _driver(task: str, storage: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.ray_driver", task, str(storage)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as driver:
        try:
            yield driver
        finally:
            driver.kill()


def _read_pid(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout is not None
    word, _, pid = driver.stdout.readline().partition(" ")
    assert word == "pid", driver.communicate()
    return int(pid)


def _family_of(pid: int) -> set[int]:
    """A process's children and theirs, and so on."""
    children = children_of(pid)
    return children.union(*(_family_of(child) for child in children))


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _result(supervisor: Recorder, job_id: str) -> Any:
    end = supervisor.ends()[job_id]
    assert isinstance(end, Finished), end
    return end.result
