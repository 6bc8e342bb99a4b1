"""A driver to be killed: `python -m tests.soak.driver FOLDER`; the product's study, search loop and process runner."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles
from automl.errors import AutomlError
from automl.search.search_loop import SearchLoop, search
from automl.study.study import open_study
from runners.base import Interrupted, Runner
from runners.inline import InlineRunner
from runners.process import ProcessRunner
from tests.soak.space import SPACE, TERMS, payload_of
from tests.soak.task import train


def main() -> None:
    """Search, and exit as the command line would."""
    options = arguments()
    try:
        run(
            StudyFiles(options.folder),
            _runner(options),
            n_trials=options.trials,
            sampler=options.sampler,
            epoch_seconds=options.epoch_seconds,
            faults=json.loads(options.faults),
        )
    except AutomlError as error:
        print(f"Error: {error.problem}\n  hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Interrupted as interrupted:
        sys.exit(128 + interrupted.signal_number)


def run(files: StudyFiles, runner: Runner, *, n_trials: int, sampler: str = "random", **settings: Any) -> None:
    """Search until so many trials have ended."""
    with open_study(files, TERMS, sampler=sampler) as study:
        loop = SearchLoop(
            study,
            SPACE,
            train,
            lambda number, config: payload_of(files, number, config, **settings),
            n_trials=n_trials,
        )
        search(loop, runner)


def _runner(options: argparse.Namespace) -> Runner:
    if options.inline:
        return InlineRunner()
    return ProcessRunner(["cpu"] * options.slots, n_threads=1, grace_s=options.grace, silence_timeout_s=options.silence)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--inline", action="store_true")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--epoch-seconds", type=float, default=0.08)
    parser.add_argument("--grace", type=float, default=8.0)
    parser.add_argument("--silence", type=float, default=None)
    parser.add_argument("--faults", default="{}", help="JSON: trial number -> fault")
    return parser.parse_args()


if __name__ == "__main__":
    main()
