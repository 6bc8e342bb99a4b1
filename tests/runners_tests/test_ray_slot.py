"""A slot on Ray, without Ray: one job at a time in a process of its own, asked for its events one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runners.base import Failed, Finished, Reported, Started, Stopped
from runners.ray_slot import Relay, SlotSettings
from tests.runners_tests import tasks
from tests.runners_tests.processes import children_of, is_gone

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@contextmanager
def _relay(task: str, **settings: Any) -> Iterator[Relay]:
    common = {"n_threads": 1, "n_gpus": 0, "preload": (), "grace_s": 3.0, "silence_timeout_s": None, "folder": "."}
    relay = Relay(SlotSettings(**common | settings))
    relay.begin("a", task, {})
    yield relay
    relay.close()


def test_a_job_goes_on_when_its_next_event_is_asked_for() -> None:
    with _relay(f"{tasks.__name__}:climb") as relay:
        events = [relay.wait_for_event(20.0) for _ in range(5)]
        assert [type(event) for event in events] == [Started, Reported, Reported, Reported, Finished]
        relay.begin("b", f"{tasks.__name__}:echo", {"value": 7})
        assert [relay.wait_for_event(20.0), relay.wait_for_event(20.0)] == [
            Started(job_id="b", device="cpu"),
            Finished(job_id="b", result=7),
        ]


def test_a_job_that_says_nothing_gives_none() -> None:
    with _relay(f"{tasks.__name__}:be_silent") as relay:
        assert isinstance(relay.wait_for_event(20.0), Started) and isinstance(relay.wait_for_event(20.0), Reported)
        assert relay.wait_for_event(0.2) is None


def test_a_closed_slot_has_killed_its_silent_job_and_the_process_that_stood_by() -> None:
    before = children_of()
    with _relay(f"{tasks.__name__}:be_silent") as relay:
        relay.wait_for_event(20.0)
        event = relay.wait_for_event(20.0)
        assert isinstance(event, Reported)
        assert relay.wait_for_event(0.1) is None
    assert is_gone(event.detail["pid"])
    assert children_of() == before


def test_a_stop_holds_for_one_job_only() -> None:
    with _relay(f"{tasks.__name__}:climb_deaf") as relay:
        assert isinstance(relay.wait_for_event(20.0), Started) and isinstance(relay.wait_for_event(20.0), Reported)
        relay.request_stop()
        assert relay.wait_for_event(20.0) == Stopped(job_id="a")
        relay.begin("b", f"{tasks.__name__}:climb", {"n_steps": 1})
        assert [type(relay.wait_for_event(20.0)) for _ in range(3)] == [Started, Reported, Finished]


def test_a_task_that_this_machine_cannot_import_fails_and_the_next_job_runs() -> None:
    with _relay("nowhere:train") as relay:
        end = relay.wait_for_event(20.0)
        assert isinstance(end, Failed) and not end.died
        assert end.reason == "ModuleNotFoundError: No module named 'nowhere'"
        relay.begin("b", f"{tasks.__name__}:echo", {"value": 7})
        assert [type(relay.wait_for_event(20.0)) for _ in range(2)] == [Started, Finished]
