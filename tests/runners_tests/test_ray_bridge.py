"""The bridge between a supervisor and Ray Tune, without Ray: who is asked what, and what a lost attempt becomes."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runners.base import Event, Failed, Finished, Job, Progressed, Stopped, Verdict
from runners.ray_bridge import Bridge
from runners.signals import SignalRecorder
from tests.runners_tests import tasks
from tests.runners_tests.supervisors import Recorder

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@contextmanager
def _bridge(supervisor: Any) -> Iterator[Bridge]:
    with SignalRecorder() as signals:
        yield Bridge(supervisor, signals, lambda job: {"order": job.id}, lambda node: f"{node} ", grace_s=1.0)


def _said(event: Event, **others: str) -> dict[str, str]:
    from runners.messages import encode_event

    return {"event": encode_event(event).decode(), "node": "left", "broken": ""} | others


def _tune_trial(trial_id: str) -> Any:
    return types.SimpleNamespace(trial_id=trial_id)


def test_the_supervisor_is_asked_again_only_after_an_event() -> None:
    supervisor = Recorder([Job(id="a", task=tasks.climb)])
    with _bridge(supervisor) as bridge:
        assert bridge.next_config("t1") == {"order": "a"}
        assert bridge.next_config("t2") is None
        supervisor.waiting.append(Job(id="b", task=tasks.climb))
        assert bridge.next_config("t3") is None
        bridge.handle_result(_tune_trial("t1"), _said(Progressed(job_id="a")))
        assert bridge.next_config("t4") == {"order": "b"}


def test_it_is_finished_when_there_is_no_job_and_none_runs() -> None:
    supervisor = Recorder([Job(id="a", task=tasks.climb)])
    with _bridge(supervisor) as bridge:
        bridge.next_config("t1")
        assert bridge.next_config("t2") is None
        bridge.end("t1", _said(Finished(job_id="a")))
        assert bridge.next_config("t3") == "FINISHED"


def test_an_attempt_that_was_lost_has_died_unless_it_was_stopped() -> None:
    supervisor = Recorder(
        [Job(id=name, task=tasks.climb) for name in "ab"],
        lambda event: Verdict.STOP if isinstance(event, Progressed) else None,
    )
    asked: list[str] = []
    stopper = types.SimpleNamespace(request_stop=types.SimpleNamespace(remote=lambda: asked.append("b")))
    with _bridge(supervisor) as bridge:
        bridge.next_config("t1")
        bridge.next_config("t2")
        trial = types.SimpleNamespace(trial_id="t2", temporary_state=types.SimpleNamespace(ray_actor=stopper))
        bridge.handle_result(trial, _said(Progressed(job_id="b")))
        bridge.handle_lost_slot("t1", "the node is gone")
        bridge.handle_lost_slot("t2", "the node is gone")
    assert asked == ["b"]
    assert isinstance(supervisor.ends()["a"], Failed) and isinstance(supervisor.ends()["b"], Stopped)


@pytest.mark.parametrize("broken", ["", "Traceback: the slot broke"])
def test_after_an_exception_nothing_is_asked_or_told_and_all_must_end(broken: str) -> None:
    def break_down(event: Event) -> None:
        raise LookupError("the study is gone")

    supervisor = Recorder([Job(id=name, task=tasks.climb) for name in "abc"], break_down)
    with _bridge(supervisor) as bridge:
        bridge.next_config("t1")
        bridge.next_config("t2")
        assert not bridge.needs_to_end()
        bridge.end("t1", _said(Finished(job_id="a"), broken=broken))
        assert bridge.needs_to_end()
        assert isinstance(bridge.error, RuntimeError if broken else LookupError)
        assert bridge.next_config("t3") is None
        bridge.handle_lost_slot("t2", "")
        assert bridge.next_config("t4") == "FINISHED"
    assert len(supervisor.events) == (0 if broken else 1)
    assert len(supervisor.waiting) == 1
