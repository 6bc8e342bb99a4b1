"""The lines between a driver and its workers."""

from __future__ import annotations

import sys

import pytest

from runners.base import Failed, Finished, Progressed, Reported, Started, Stopped
from runners.messages import LineBuffer, decode_event, encode_event, get_task_name, load_task
from tests.runners_tests import tasks

EVENTS = [
    Started(job_id="a", device="cpu"),
    Progressed(job_id="a", detail={"batch": 1}),
    Reported(job_id="a", step=2, value=0.1 + 0.2, detail={"note": "line\nbreak \u2603"}),
    Finished(job_id="a", result=[1, None]),
    Stopped(job_id="a"),
    Failed(job_id="a", reason="killed by signal 9", died=True, log="last\nlines"),
]


@pytest.mark.parametrize("n_bytes", [1, 7, 10_000])
def test_events_survive_a_stream_that_is_cut_anywhere(n_bytes: int) -> None:
    stream = b"".join(encode_event(event) for event in EVENTS)
    lines = LineBuffer()
    chunks = [stream[start : start + n_bytes] for start in range(0, len(stream), n_bytes)]
    assert [decode_event(message) for chunk in chunks for message in lines.feed(chunk)] == EVENTS


def test_a_line_that_is_cut_off_is_never_a_message() -> None:
    assert LineBuffer().feed(encode_event(EVENTS[0])[:-1]) == []


@pytest.mark.parametrize("message", [None, 3, {}, {"event": "Sung"}, {"event": "Started", "id": 1}, {"event": []}])
def test_other_json_is_no_event(message: object) -> None:
    with pytest.raises(ValueError, match="no event"):
        decode_event(message)


def test_a_task_is_found_by_its_name() -> None:
    assert load_task(get_task_name(tasks.climb)) is tasks.climb


def test_a_task_of_the_main_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def task(payload: object, context: object) -> None: ...

    task.__module__, task.__qualname__ = "__main__", "task"
    monkeypatch.setattr(sys.modules["__main__"], "task", task, raising=False)
    with pytest.raises(ValueError, match="another process can import"):
        get_task_name(task)


def test_a_task_that_is_not_there_says_so() -> None:
    with pytest.raises(ImportError, match="no_such_task"):
        load_task(f"{tasks.__name__}:no_such_task")
