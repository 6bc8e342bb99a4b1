"""A driver to be killed by a test: `python -m ...driver TASK`; two slots, prints the pid of each job as it reports."""

from __future__ import annotations

import sys

from runners.base import Event, Interrupted, Job, Reported
from runners.process import ProcessRunner
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
        ProcessRunner(["cpu", "cpu"], n_threads=1, grace_s=float(sys.argv[2])).run(supervisor)
    except Interrupted as interrupted:
        print("interrupted", interrupted.signal_number, flush=True)


if __name__ == "__main__":
    main()
