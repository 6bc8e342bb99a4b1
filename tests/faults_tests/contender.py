"""Wants the lock of each study named on its stdin, at once; tells "won" and holds it until the next line, or "lost"."""

from __future__ import annotations

import sys
from pathlib import Path

from automl.artifacts import StudyFiles
from automl.errors import StudyInUseError
from automl.study.lock import lock_study


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            with lock_study(StudyFiles(Path(line.strip()))):
                print("won", flush=True)
                sys.stdin.readline()
        except StudyInUseError as error:
            print(f"lost with {error.exit_code}", flush=True)
            sys.stdin.readline()


if __name__ == "__main__":
    main()
