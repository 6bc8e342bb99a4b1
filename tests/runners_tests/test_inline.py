"""What only a runner without processes has to do."""

from __future__ import annotations

import signal

import pytest

from runners.base import Interrupted, Job, Started
from runners.inline import InlineRunner
from tests.runners_tests import tasks
from tests.runners_tests.supervisors import Recorder


def test_a_second_signal_breaks_off_a_task_that_never_reports() -> None:
    supervisor = Recorder([Job(id="a", task=tasks.interrupt_twice_and_sleep)])
    with pytest.raises(Interrupted) as caught:
        InlineRunner().run(supervisor)
    assert caught.value.signal_number == signal.SIGINT
    assert supervisor.kinds("a") == ["Started"]


def test_the_task_gets_the_device_and_threads_of_the_runner() -> None:
    supervisor = Recorder([Job(id="a", task=tasks.climb_and_echo_context)])
    InlineRunner(device="cuda:0", n_threads=4).run(supervisor)
    assert supervisor.told(Started) == [Started(job_id="a", device="cuda:0")]
    (result,) = (event.result for event in supervisor.ends().values())  # type: ignore[union-attr]
    assert result == {"device": "cuda:0", "n_threads": 4}
