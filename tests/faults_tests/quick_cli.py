"""The real command line with trials that train nothing: `python -m tests.faults_tests.quick_cli search ...`."""

from __future__ import annotations

from typing import Any

import runners.process
from automl.cli.app import main
from automl.training import entry_points
from tests.faults_tests.quick_trial import quick_trial


class WithoutPreload(runners.process.ProcessRunner):
    """Does not import torch, which takes seconds."""

    def __init__(self, devices: list[str], **options: Any) -> None:
        super().__init__(devices, **options | {"preload": ()})


if __name__ == "__main__":
    entry_points.run_trial = quick_trial
    runners.process.ProcessRunner = WithoutPreload  # type: ignore[misc]
    main()
