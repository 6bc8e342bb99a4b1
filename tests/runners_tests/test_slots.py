"""An attempt at a job is stopped once, killed for a reason, and ends in the event that says what became of it."""

from __future__ import annotations

import json
from typing import Any, cast

from runners.base import Failed, Finished, Stopped, Verdict
from runners.child import Child
from runners.process import Attempt, Slot


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
