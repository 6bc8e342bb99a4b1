"""A process that leads a trial on two devices: `python -m ... STUDY_DIR`; it prints its ranks and goes on for ever."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles
from automl.training import reporting
from automl.training.entry_points import run_trial
from tests.automl_tests.training_tests.trial_builders import ScriptedContext, config_of, payload_of
from tests.runners_tests.processes import children_of


class Frozen(ScriptedContext):
    """Stays where it is once training has begun."""

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        if detail:
            print(*children_of(), flush=True)
            time.sleep(600)


if __name__ == "__main__":
    reporting.BEAT_INTERVAL_S = 0.0
    run_trial(payload_of(StudyFiles(Path(sys.argv[1])), config_of()), Frozen(device="cpu+cpu"))
