"""Losses of a range test, and a runner that answers with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runners.base import Finished, Job, Supervisor

LOSSES = [0.7] * 40 + [0.7 - 0.02 * step for step in range(20)] + [0.3] * 5 + [0.5, 1.0, 2.0, 8.0]


LRS = [10.0 ** (-7 + 8 * step / 99) for step in range(len(LOSSES))]


class Scripted:
    """A runner whose job answers at once; notes the payloads."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        self.jobs: list[Job] = []
        self.folders: list[set[str]] = []

    def run(self, supervisor: Supervisor) -> None:
        job = supervisor.next_job()
        assert job is not None
        self.jobs.append(job)
        self.folders.append({path.name for path in Path(job.payload["study_dir"]).iterdir()})
        supervisor.handle(Finished(job_id=job.id, result=dict(self.answer)))
        assert supervisor.next_job() is None


def completed(losses: list[float] = LOSSES) -> Scripted:
    swept = {"lrs": LRS[: len(losses)], "losses": losses, "image_size": 24, "batch_size": 32}
    return Scripted({"outcome": "completed", **swept})
