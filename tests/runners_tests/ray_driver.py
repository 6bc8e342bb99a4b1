"""A driver to be ended by a test: `python -m ...ray_driver TASK STORAGE`; starts a Ray of its own, two slots."""

from __future__ import annotations

import sys
from pathlib import Path

from runners.base import Event, Interrupted, Job, Reported
from runners.ray_tune import RayTuneRunner
from tests.runners_tests import tasks
from tests.runners_tests.supervisors import FINAL, Recorder


def tell(event: Event) -> None:
    if isinstance(event, Reported):
        print("pid", event.detail["pid"], flush=True)
    if isinstance(event, FINAL):
        print("end", event.job_id, flush=True)


def main() -> None:
    task = getattr(tasks, sys.argv[1])
    supervisor = Recorder([Job(id=str(n), task=task) for n in range(4)], tell)
    try:
        RayTuneRunner(n_slots=2, n_threads=1, storage=Path(sys.argv[2])).run(supervisor)
    except Interrupted as interrupted:
        print("interrupted", interrupted.signal_number, flush=True)


if __name__ == "__main__":
    main()
