"""The simulated runner's clock."""

from __future__ import annotations

import random

from runners.base import Event, Failed, Finished, Job, Reported, Stopped, Verdict
from runners.simulated import SimulatedClock, SimulatedRunner
from tests.runners_tests import tasks
from tests.runners_tests.supervisors import Recorder


def _climbs(*seconds: float, n_steps: int = 2) -> list[Job]:
    return [
        Job(id=str(n), task=tasks.climb, payload={"seconds": each, "n_steps": n_steps})
        for n, each in enumerate(seconds)
    ]


def test_events_come_in_the_order_of_simulated_time() -> None:
    runner = SimulatedRunner(2)
    told: list[tuple[str, float]] = []
    runner.run(Recorder(_climbs(10.0, 3.0), lambda event: told.append((event.job_id, runner.elapsed_s))))
    assert told == [
        ("0", 0.0),
        ("1", 0.0),
        ("1", 3.0),
        ("1", 6.0),
        ("1", 6.0),
        ("0", 10.0),
        ("0", 20.0),
        ("0", 20.0),
    ]


def test_a_free_slot_takes_the_next_job_at_that_moment() -> None:
    runner = SimulatedRunner(2)
    supervisor = Recorder(_climbs(10.0, 3.0, 4.0))
    runner.run(supervisor)
    assert supervisor.order() == ["Started 0", "Started 1", "Finished 1", "Started 2", "Finished 2", "Finished 0"]
    assert runner.elapsed_s == 20.0
    assert runner.busy_s == 34.0


def test_a_stopped_job_costs_only_the_steps_that_it_made() -> None:
    runner = SimulatedRunner(1)
    runner.run(Recorder(_climbs(5.0, n_steps=9), lambda e: Verdict.STOP if isinstance(e, Reported) else None))
    assert runner.elapsed_s == runner.busy_s == 5.0


def test_others_may_read_its_clock() -> None:
    clock = SimulatedClock()
    SimulatedRunner(1, clock, step_s=7.0).run(Recorder([Job(id="a", task=tasks.climb_and_echo_context)]))
    assert clock() == 7.0


def test_a_process_that_dies_can_be_played() -> None:
    supervisor = Recorder([Job(id="a", task=tasks.die_in_simulation), *_climbs(1.0)])
    SimulatedRunner(1).run(supervisor)
    assert supervisor.ends()["a"] == Failed(job_id="a", reason="killed by signal 9", died=True)
    assert isinstance(supervisor.ends()["0"], Finished)


def test_an_asynchronous_search_comes_out_the_same_each_time() -> None:
    def run_once() -> list[Event]:
        draw = random.Random(3)
        jobs = [
            Job(
                id=str(n),
                task=tasks.climb,
                payload={"seconds": draw.uniform(1, 5), "n_steps": 8, "start": draw.random()},
            )
            for n in range(50)
        ]
        supervisor = Recorder(jobs, lambda e: Verdict.STOP if isinstance(e, Reported) and e.value < 0.5 else None)
        SimulatedRunner(4).run(supervisor)
        return supervisor.events

    first = run_once()
    assert first == run_once()
    assert len([event for event in first if isinstance(event, Finished | Stopped)]) == 50
