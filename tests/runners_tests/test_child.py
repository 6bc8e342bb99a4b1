"""A worker process as its driver sees it: what it sends and prints arrives, and nothing of it is left."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.base import Finished, Job, Started
from runners.child import Child
from runners.messages import decode_event, encode_job
from tests.runners_tests import tasks
from tests.runners_tests.process_runs import run_to_failure
from tests.runners_tests.processes import is_gone

PATIENCE_S = 20.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child(environment=ENVIRONMENT, preload=[])
    yield started
    started.close()


def wait_for_exit(child: Child) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not child.has_exited():
        assert time.monotonic() < end_s, "it is still running"
        time.sleep(0.01)


def test_a_job_is_sent_and_its_events_are_received_until_the_pipe_closes(child: Child) -> None:
    child.send(encode_job(Job(id="a", task=tasks.echo, payload={"value": "x" * 200_000}), device="cpu", n_threads=1))
    messages, end_s = [], time.monotonic() + PATIENCE_S
    while not child.disconnected:
        assert time.monotonic() < end_s, "it sends nothing"
        child.flush()
        select.select([child], [], [], 0.01)
        messages += child.receive()
    wait_for_exit(child)
    assert [decode_event(message) for message in messages] == [
        Started(job_id="a", device="cpu"),
        Finished(job_id="a", result="x" * 200_000),
    ]
    assert not child.has_unsent
    assert child.describe_end() == "exited with code 0"


def test_what_a_frozen_process_does_not_take_stays_unsent(child: Child) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    child.send(b"x" * 1_000_000)
    assert child.has_unsent
    assert child.receive() == []
    assert not child.disconnected


def test_to_an_ended_process_nothing_is_sent(child: Child) -> None:
    child.kill()
    wait_for_exit(child)
    child.send(b"verdict\n")
    assert (child.has_unsent, child.killed, child.describe_end()) == (False, True, "killed by signal 9")


def test_the_log_of_a_death_is_its_last_lines() -> None:
    lines = run_to_failure(tasks.babble_then_die).log.splitlines()
    assert lines == [f"line {number}" for number in range(9_961, 10_000)] + ["snow \ufffd"]


def test_a_closed_child_leaves_no_process_and_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    child = Child(environment=ENVIRONMENT, preload=[])
    child.close()
    assert is_gone(child.pid)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
