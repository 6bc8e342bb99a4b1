"""A trial on two devices: the same training as on one, and its end when a process of it ends.

The devices are two CPUs, which exchange gradients through gloo; NCCL needs two GPUs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from automl.artifacts import StudyFiles, read_arrays
from automl.errors import UsageError
from automl.training import reporting
from automl.training.distributed import main_rank, other_rank
from automl.training.distributed.main_rank import MainRank, RankLostError
from automl.training.entry_points import run_trial
from automl.training.trial_job import TrialJob
from runners.base import Finished, Job, JobStopped, Reported, Started
from runners.process import ProcessRunner
from tests.automl_tests.training_tests.forks import fork_ranks
from tests.automl_tests.training_tests.trial_builders import (
    TWO_DEVICES,
    UNNORMALISED,
    ScriptedContext,
    payload_of,
    write_study,
)
from tests.runners_tests.processes import children_of
from tests.runners_tests.supervisors import Recorder

pytestmark = pytest.mark.usefixtures("no_process_is_left")


# ---- Whole trials ----------------------------------------------------------------------------------------------------


@dataclass
class Ended:
    """A trial that was run."""

    study: StudyFiles
    answer: dict[str, Any] = field(default_factory=dict)
    context: ScriptedContext = field(default_factory=ScriptedContext)

    def load_weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.study.get_trial_files(0).get_weights_path(0))


def run(study: StudyFiles, device: str, *, n_folds: int = 1, **script: Any) -> Ended:
    context = ScriptedContext(device=device, n_threads=device.count("cpu"), **script)
    ended = Ended(study, context=context)
    with contextlib.suppress(JobStopped):
        ended.answer = run_trial(payload_of(study, UNNORMALISED, train_folds=n_folds), context)
    return ended


def require_alike(one: Ended, other: Ended) -> None:
    """Equal but for the order in which floats were added."""
    assert one.context.reports == other.context.reports
    losses = [[detail["train_loss"] for detail in ended.context.details] for ended in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    ours, theirs = one.load_weights(), other.load_weights()
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)


@pytest.fixture(scope="module")
def on_one(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return run(write_study(tmp_path_factory.mktemp("one")), "cpu", n_folds=2)


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    with fork_ranks():
        return run(write_study(tmp_path_factory.mktemp("two")), TWO_DEVICES, n_folds=2)


@pytest.fixture(scope="module")
def stopped_on_two(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    stopped = run(write_study(tmp_path_factory.mktemp("stopped")), TWO_DEVICES, stop_at_step=0)
    assert stopped.answer == {}
    return stopped


def test_a_trial_on_two_devices_is_that_of_one(on_one: Ended, on_two: Ended) -> None:
    assert on_two.answer["score"] == on_one.answer["score"]
    assert on_two.answer["attributes"]["n_parameters"] == on_one.answer["attributes"]["n_parameters"]
    require_alike(on_two, on_one)
    ours, theirs = (read_arrays(ended.study.get_trial_files(0).oof) for ended in (on_one, on_two))
    assert np.array_equal(ours["rows"], theirs["rows"])
    assert np.allclose(ours["probs"], theirs["probs"], atol=1e-4)


@pytest.mark.slow
def test_a_trial_begun_on_two_devices_goes_on_with_one(stopped_on_two: Ended, on_one: Ended, tmp_path: Path) -> None:
    copytree(stopped_on_two.study.root, tmp_path / "study")
    require_alike(run(StudyFiles(tmp_path / "study"), "cpu"), on_one)


@pytest.mark.slow
def test_a_trial_begun_on_one_device_goes_on_with_two(on_one: Ended, tmp_path: Path) -> None:
    study = write_study(tmp_path)
    assert run(study, "cpu", stop_at_step=1).answer == {}
    with fork_ranks():
        require_alike(run(study, TWO_DEVICES), on_one)


@pytest.mark.slow
def test_an_interrupted_trial_on_two_devices_is_bit_for_bit_the_undisturbed_one(
    stopped_on_two: Ended, on_two: Ended, tmp_path: Path
) -> None:
    copytree(stopped_on_two.study.root, tmp_path / "study")
    resumed = run(StudyFiles(tmp_path / "study"), TWO_DEVICES)
    assert resumed.context.reports == on_two.context.reports
    ours, theirs = resumed.load_weights(), on_two.load_weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_runner_carries_a_trial_on_two_devices(on_two: Ended, tmp_path: Path) -> None:
    payload = payload_of(write_study(tmp_path), UNNORMALISED)
    supervisor = Recorder([Job(id="a", task=run_trial, payload=payload)])
    ProcessRunner([TWO_DEVICES], n_threads=2).run(supervisor)
    end = supervisor.ends()["a"]
    assert isinstance(end, Finished), end
    assert [event.device for event in supervisor.told(Started)] == [TWO_DEVICES]
    assert [(event.step, event.value) for event in supervisor.told(Reported)] == on_two.context.reports


# ---- Ends ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lead a trial whose other rank is a shell script; the order to train an epoch waits until the script is ready."""

    def lead_script(script: str) -> None:
        executable = tmp_path / "other_rank"
        executable.write_text(f"#!/bin/sh\n{script}\n")
        executable.chmod(0o700)
        monkeypatch.setattr(main_rank, "POLL_S", 0.05)
        job = TrialJob(trial=0, study_dir=tmp_path, config=UNNORMALISED, seed=0)
        with MainRank(["cpu", "cpu"], job, n_threads=2, beat=lambda: None) as ranks:
            with monkeypatch.context() as patch:
                patch.setattr(sys, "executable", str(executable))
                ranks.begin_fold(0)
            ranks.begin_epoch(torch.nn.Linear(2, 2), 0, 0)

    return lead_script


@pytest.mark.parametrize(
    ("script", "how"),
    [("kill -9 $$", "was killed by signal 9"), ("exit 7", "exited with code 7"), ("printf .; exit 7", "code 7")],
)
def test_a_rank_that_is_gone_before_an_epoch_ends_the_trial(lead: Callable[[str], None], script: str, how: str) -> None:
    with pytest.raises(RankLostError, match=f"the process that trains on cpu .*{how}"):
        lead(script)


def test_a_rank_that_ran_out_of_memory_is_an_error_of_memory(lead: Callable[[str], None]) -> None:
    with pytest.raises(torch.OutOfMemoryError, match="the process that trains on cpu ran out of memory"):
        lead(f"exit {main_rank.OUT_OF_MEMORY}")


def test_another_rank_is_started_as_a_module_with_the_number_of_this_process(
    lead: Callable[[str], None], tmp_path: Path
) -> None:
    with pytest.raises(RankLostError):
        lead(f'echo "$@" > {tmp_path}/arguments; exit 7')
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments == ["-P", "-m", other_rank.__name__, str(os.getpid())]


def test_an_exception_of_the_main_rank_leaves_no_other_rank(
    lead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise UsageError("no weights", hint="pass --weights")

    monkeypatch.setattr(MainRank, "begin_epoch", fail)
    with pytest.raises(UsageError, match="no weights"):
        lead("exec sleep 600")  # no_process_is_left looks for it


class Killing(ScriptedContext):
    """Kills the trial's other process in the middle of an epoch."""

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        super().beat(detail)
        if detail and detail["batch"] == 2:
            for child in children_of():
                os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_a_trial_ends_with_any_of_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BEAT_INTERVAL_S", 0.0)
    with fork_ranks(), pytest.raises(RankLostError, match="the process that trains on cpu was killed by signal 9"):
        run_trial(payload_of(write_study(tmp_path), UNNORMALISED), Killing(device=TWO_DEVICES))


WAITING_FOR_THE_DEAD = """
import os, signal, time
from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.training.distributed import main_rank, other_rank
from automl.training.trial_job import TrialJob
from pathlib import Path
main_rank.LOST_RANK_TIMEOUT_S = 0.0
config = TrialConfig(model=ModelConfig(backbone="test_resnet"), resize=ResizeConfig(image_sizes=(32,)))
job = TrialJob(trial=0, study_dir=Path("nowhere"), config=config, seed=0)
ranks = main_rank.MainRank(["cpu", "cpu"], job, n_threads=1, beat=lambda: None)
ranks._in_epoch = True
ranks.begin_fold(0)  # without a study the other process fails at once
time.sleep(200)
"""


@pytest.mark.slow
def test_a_main_rank_that_no_exception_reaches_ends_itself_when_another_rank_is_gone() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WAITING_FOR_THE_DEAD], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == main_rank.RANK_LOST
    assert ended.stderr.splitlines()[-1] == "the process that trains on cpu exited with code 1"
