"""Signals are noted while a run lasts, wake whoever waits, and become an `Interrupted` at its end."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from runners.base import Finished, Interrupted, Job, Started, Verdict
from runners.signals import RECORDED_SIGNALS, SignalRecorder
from tests.runners_tests import tasks
from tests.runners_tests.supervisors import Recorder


@pytest.mark.parametrize("number", RECORDED_SIGNALS)
def test_a_signal_is_noted_and_raised_at_the_end_alone(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, SignalRecorder() as signals:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
        assert (signals.first, signals.count) == (number, 2)
    assert caught.value.signal_number == number
    assert signal.getsignal(number) is before


def test_the_second_signal_is_raised_on_the_spot_where_work_cannot_be_killed() -> None:
    reached = []
    with pytest.raises(Interrupted), SignalRecorder(raise_second=True):
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("after the first")
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("after the second")
    assert reached == ["after the first"]


def test_a_signal_wakes_a_selector_until_it_is_cleared() -> None:
    with pytest.raises(Interrupted), SignalRecorder() as signals:
        assert select.select([signals], [], [], 0.0)[0] == []
        os.kill(os.getpid(), signal.SIGINT)
        assert select.select([signals], [], [], 5.0)[0] == [signals]
        signals.clear_wakeup()
        assert select.select([signals], [], [], 0.0)[0] == []


def test_an_error_is_not_hidden_by_a_signal() -> None:
    with pytest.raises(LookupError), SignalRecorder():
        os.kill(os.getpid(), signal.SIGINT)
        raise LookupError


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalRecorder() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_noted() -> None:
    handlers = []

    def run() -> None:
        with SignalRecorder():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_after_a_signal_the_supervisor_gives_no_job_and_all_is_to_stop() -> None:
    recorder = Recorder([Job(id=name, task=tasks.climb) for name in "ab"])
    with pytest.raises(Interrupted), SignalRecorder() as signals:
        supervisor = signals.stop_at_signal(recorder)
        assert supervisor.next_job() is not None
        assert supervisor.handle(Started(job_id="a", device="cpu")) is Verdict.CONTINUE
        os.kill(os.getpid(), signal.SIGINT)
        assert supervisor.next_job() is None
        assert supervisor.handle(Finished(job_id="a")) is Verdict.STOP
    assert recorder.kinds("a") == ["Started"]
