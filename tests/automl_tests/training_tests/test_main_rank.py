"""A trial on two devices: the same training as on one, and no process left of it however it ends.

The devices are two CPUs, which exchange gradients through gloo; NCCL needs two GPUs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from automl.artifacts import StudyFiles, read_arrays
from automl.config import TransferConfig
from automl.training import reporting
from automl.training.distributed import main_rank
from automl.training.distributed.main_rank import RankLostError
from automl.training.distributed.rank_group import get_rank_slice
from automl.training.entry_points import run_trial
from runners.base import Finished, Job, JobStopped, Reported, Started
from runners.process import ProcessRunner
from tests.automl_tests.training_tests import two_ranks
from tests.automl_tests.training_tests.test_training_loop import accumulate, gradients, plain_state
from tests.automl_tests.training_tests.worlds import (
    PlainNet,
    ScriptedContext,
    config_of,
    payload_of,
    state_of,
    task_of,
    write_study,
)
from tests.runners_tests.processes import children_of, wait_until_gone
from tests.runners_tests.supervisors import Recorder

# Without batch norm and dropout, which treat the parts of a batch in another way than the whole.
CONFIG = config_of(
    backbone="test_efficientnet_ln", sizes="24-32", augment="medium", transfer=TransferConfig(freeze_epochs=1)
)
TWO = "cpu+cpu"


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = children_of()
    yield
    assert children_of() <= before


# ---- Shares ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(1, 8))
def test_shares_make_up_the_batch_and_none_is_a_single_image_of_it(n_images: int, n_ranks: int) -> None:
    shares = [range(n_images)[get_rank_slice(n_images, rank, n_ranks)] for rank in range(n_ranks)]
    sizes = [len(share) for share in shares]
    if n_images < 2 * n_ranks:
        assert sizes == [n_images] * n_ranks
    else:
        assert [image for share in shares for image in share] == list(range(n_images))
        assert min(sizes) >= 2
        assert max(sizes) - min(sizes) <= 1


# ---- Two ranks from close by -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, shapes: StudyFiles) -> list[dict[str, Any]]:
    """What each rank saw in each scene of `two_ranks`."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", two_ranks.__name__, str(folder), str(shapes.root)]
    processes = [subprocess.Popen([*command, str(rank)]) for rank in range(2)]
    assert [process.wait(240) for process in processes] == [0, 0]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("scene", ["whole", "short of memory"])
def test_the_gradients_of_shares_average_to_those_of_the_batch(scene: str, seen: list[dict[str, Any]]) -> None:
    alone = plain_state()
    loss = accumulate(alone)
    for rank in seen:
        for again in rank[scene]:  # the first time they are exchanged after all passes, then during the last one
            assert again["loss"] == pytest.approx(loss, rel=1e-6)
            assert np.allclose(again["gradients"], gradients(alone), rtol=1e-4, atol=1e-7)


def test_each_rank_computes_its_share_alone(seen: list[dict[str, Any]]) -> None:
    assert [rank["whole"][0]["seen"] for rank in seen] == [[11, 11, 11], [10, 10, 10]]


def test_all_ranks_halve_their_micro_batch_when_one_is_out_of_memory(seen: list[dict[str, Any]]) -> None:
    for rank in seen:
        assert [again["micro_batch"] for again in rank["short of memory"]] == [5, 5, 5]
    # What does not fit is tried but once: the share of 10, not the micro-batch of 20 that no rank is ever given.
    assert [rank["short of memory"][0]["seen"] for rank in seen] == [[11] + [4, 4, 3] * 3, [10] + [5, 5] * 3]


def test_all_ranks_meet_the_dead_end_of_the_one_without_memory(seen: list[dict[str, Any]]) -> None:
    for rank in seen:
        (end,) = rank["no memory"]
        assert (end["constraint"], end["micro_batch"]) == ("memory", 2)


def test_a_batch_too_small_to_be_shared_is_computed_by_every_rank(seen: list[dict[str, Any]]) -> None:
    alone = plain_state()
    loss = accumulate(alone, n_images=3)
    for rank in seen:
        (scene,) = rank["three images"]
        assert scene["seen"] == [3]
        assert scene["loss"] == pytest.approx(loss, rel=1e-6)
        assert np.allclose(scene["gradients"], gradients(alone), rtol=1e-4, atol=1e-7)


def test_a_parameter_without_gradient_stays_without(seen: list[dict[str, Any]]) -> None:
    expected = [name.startswith("idle") for name, _ in two_ranks.HalfUsed().named_parameters()]
    assert [rank["idle layer"] for rank in seen] == [expected, expected]


@pytest.mark.parametrize("scene", ["trained", "trained, short of memory", "sharpness-aware"])
def test_two_ranks_train_the_model_that_one_would(scene: str, seen: list[dict[str, Any]], shapes: StudyFiles) -> None:
    torch.manual_seed(0)
    config = two_ranks.SHARP if scene == "sharpness-aware" else two_ranks.TRAINED
    state, task = state_of(PlainNet(), config), task_of(shapes, config)
    losses = [epoch.train_loss for epoch in two_ranks.train_epochs(task, state)]
    assert seen[0][scene]["weights"] == seen[1][scene]["weights"]
    assert seen[0][scene]["losses"] == pytest.approx(losses, rel=1e-5)
    assert np.allclose(seen[0][scene]["weights"], two_ranks.flat_weights(state.model), atol=1e-5)


def test_all_ranks_agree_that_the_training_diverged(seen: list[dict[str, Any]]) -> None:
    assert seen[0]["diverging"] == seen[1]["diverging"]
    assert seen[0]["diverging"]["constraint"] == "diverged"
    assert "in epoch 1, step 2" in seen[0]["diverging"]["reason"]


def test_all_ranks_end_an_epoch_with_the_same_running_statistics(seen: list[dict[str, Any]]) -> None:
    assert seen[0]["statistics"]
    assert seen[0]["statistics"] == seen[1]["statistics"]


def test_devices_that_would_compute_in_different_precisions_are_refused(seen: list[dict[str, Any]]) -> None:
    assert all("are of different kinds" in rank["precisions"] for rank in seen)


def test_memory_that_runs_out_late_is_an_error_and_no_deadlock(seen: list[dict[str, Any]]) -> None:
    assert seen[1]["late lack of memory"] == "cpu ran out of memory with 21 images, which fitted before"
    assert seen[0]["late lack of memory"] != ""


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
    context = ScriptedContext(device=device, n_threads=2, **script)
    ended = Ended(study, context=context)
    with contextlib.suppress(JobStopped):
        ended.answer = run_trial(payload_of(study, CONFIG, train_folds=n_folds), context)
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
    return run(write_study(tmp_path_factory.mktemp("two")), TWO, n_folds=2)


@pytest.fixture(scope="module")
def stopped_on_two(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    stopped = run(write_study(tmp_path_factory.mktemp("stopped")), TWO, stop_at_step=0)
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


def test_a_trial_begun_on_one_device_goes_on_with_two(on_one: Ended, tmp_path: Path) -> None:
    study = write_study(tmp_path)
    assert run(study, "cpu", stop_at_step=1).answer == {}
    require_alike(run(study, TWO), on_one)


@pytest.mark.slow
def test_an_interrupted_trial_on_two_devices_is_bit_for_bit_the_undisturbed_one(
    stopped_on_two: Ended, on_two: Ended, tmp_path: Path
) -> None:
    copytree(stopped_on_two.study.root, tmp_path / "study")
    resumed = run(StudyFiles(tmp_path / "study"), TWO)
    assert resumed.context.reports == on_two.context.reports
    ours, theirs = resumed.load_weights(), on_two.load_weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_runner_carries_a_trial_on_two_devices(on_two: Ended, tmp_path: Path) -> None:
    payload = payload_of(write_study(tmp_path), CONFIG)
    supervisor = Recorder([Job(id="a", task=run_trial, payload=payload)])
    ProcessRunner([TWO], n_threads=2).run(supervisor)
    end = supervisor.ends()["a"]
    assert isinstance(end, Finished), end
    assert [event.device for event in supervisor.told(Started)] == [TWO]
    assert [(event.step, event.value) for event in supervisor.told(Reported)] == on_two.context.reports


# ---- Ends ------------------------------------------------------------------------------------------------------------


class Killing(ScriptedContext):
    """Kills the trial's other process in the middle of an epoch."""

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        super().beat(detail)
        if detail and detail["batch"] == 2:
            for child in children_of():
                os.kill(child, signal.SIGKILL)


def test_a_trial_ends_with_any_of_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BEAT_INTERVAL_S", 0.0)
    with pytest.raises(RankLostError, match="the process that trains on cpu was killed by signal 9"):
        run_trial(payload_of(write_study(tmp_path), CONFIG), Killing(device=TWO))


WITHOUT_MEMORY = """
import sys
if "automl.training.distributed.other_rank" in sys.orig_argv:
    import torch
    def refuse(*ignored, **also_ignored):
        raise torch.OutOfMemoryError("no room")
    torch.nn.Module.to = refuse
"""


def test_a_network_that_does_not_fit_on_the_other_device_is_a_dead_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_MEMORY)  # Python imports it when it starts
    monkeypatch.syspath_prepend(tmp_path)
    answer = run_trial(payload_of(write_study(tmp_path / "root"), CONFIG), ScriptedContext(device=TWO))
    assert (answer["outcome"], answer["constraint"]) == ("dead_end", "memory")


def test_no_process_outlives_the_one_that_leads_the_trial(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    command = [sys.executable, "-m", "tests.automl_tests.training_tests.lead_main_rank", str(study.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdout is not None
        peers = [int(pid) for pid in leader.stdout.readline().split()]
        leader.kill()
    assert len(peers) == 1
    wait_until_gone(peers)


WAITING_FOR_THE_DEAD = """
import os, signal, time
from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.training.distributed import main_rank
from automl.training.trial_job import TrialJob
from pathlib import Path
main_rank.LOST_RANK_TIMEOUT_S = 0.0
config = TrialConfig(model=ModelConfig(backbone="test_resnet"), resize=ResizeConfig(image_sizes=(32,)))
job = TrialJob(trial=0, study_dir=Path("nowhere"), config=config, seed=0)
leader = main_rank.MainRank(["cpu", "cpu"], job, n_threads=1, beat=lambda: None)
leader._in_epoch = True
leader.begin_fold(0)  # without a study the other process fails at once
time.sleep(200)
"""


@pytest.mark.slow
def test_a_leader_that_no_exception_reaches_ends_itself_when_a_peer_is_gone() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WAITING_FOR_THE_DEAD], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == main_rank.RANK_LOST
    assert ended.stderr.splitlines()[-1] == "the process that trains on cpu exited with code 1"
