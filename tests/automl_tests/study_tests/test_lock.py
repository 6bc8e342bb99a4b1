"""One driver for each study, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from automl.artifacts import StudyFiles
from automl.errors import StudyInUseError
from automl.study.lock import find_driver, lock_study


def test_a_second_driver_is_refused_with_the_first_ones_process(files: StudyFiles) -> None:
    with lock_study(files), pytest.raises(StudyInUseError, match=f"process {os.getpid()}"), lock_study(files):
        pass


def test_the_lock_is_free_the_moment_its_holder_is_killed(files: StudyFiles) -> None:
    program = (
        "import pathlib, sys, time\nfrom automl.study.lock import lock_study\nfrom automl.artifacts import StudyFiles\n"
        "with lock_study(StudyFiles(pathlib.Path(sys.argv[1]))):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(files.root)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert find_driver(files) == f"process {holder.pid} on {os.uname().nodename}"
        with pytest.raises(StudyInUseError), lock_study(files):
            pass
        holder.send_signal(signal.SIGKILL)
    with lock_study(files):
        pass
    assert find_driver(files) is None
