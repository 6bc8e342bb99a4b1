"""Entry point of a runner's job of probes, importable in an instant: torch is imported where it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.errors import AutomlError
from automl.probing.probe_job import ProbeJob
from automl.training.trial_job import Refused

if TYPE_CHECKING:
    from automl.training.reporting import RunnerContext


def run_probes(payload: Mapping[str, Any], context: RunnerContext) -> dict[str, Any]:
    """Compute the probes of a job, each reported as it ends; see `automl.probing.run_probe.run_probes`.

    Returns:
        the outcome "completed" with the number of reports, or "refused" where the whole command cannot go on.
    """
    started = time.monotonic()
    from automl.probing import run_probe

    try:
        reports = run_probe.run_probes(ProbeJob.from_json(payload), context, started=started)
    except AutomlError as error:
        return Refused.from_error(error).to_json()
    return {"outcome": "completed", "n_reports": len(reports)}
