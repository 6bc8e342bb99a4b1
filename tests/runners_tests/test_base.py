"""The messages between runners and supervisors keep to their contract, and a stop cannot be swallowed by accident."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from runners.base import Failed, Finished, Interrupted, Job, JobStopped, NoPlaceError, Progressed, Reported
from tests.runners_tests import tasks


@pytest.mark.parametrize("error", [JobStopped(), Interrupted(2)])
def test_a_task_that_catches_every_exception_does_not_catch_a_stop(error: BaseException) -> None:
    assert not isinstance(error, Exception)


def test_an_interruption_tells_its_signal() -> None:
    interrupted = Interrupted(15)
    assert (interrupted.signal_number, str(interrupted)) == (15, "signal 15")


def test_no_place_for_jobs_is_an_ordinary_error() -> None:
    assert issubclass(NoPlaceError, Exception)


def test_jobs_and_events_do_not_share_their_empty_details() -> None:
    first, second = Job(id="a", task=tasks.climb), Job(id="b", task=tasks.climb)
    assert first.payload == {} and first.payload is not second.payload
    assert Progressed(job_id="a").detail is not Progressed(job_id="a").detail
    assert Finished(job_id="a").result is None
    assert (Failed(job_id="a", reason="x").died, Failed(job_id="a", reason="x").log) == (False, "")


def test_an_event_cannot_be_changed_on_its_way() -> None:
    event = Reported(job_id="a", step=1, value=0.5)
    with pytest.raises(FrozenInstanceError):
        event.value = 0.9  # type: ignore[misc]
