"""From flags to slots: on how many GPUs this machine has, not on how many it is tested with."""

from __future__ import annotations

import pytest

from automl.errors import AutomlError, UnfitEnvironmentError, UsageError
from automl.search import placement
from automl.search.placement import Placement, describe_devices
from runners.inline import InlineRunner
from runners.process import ProcessRunner


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "list_visible_gpus", lambda: ["cuda:0", "cuda:1", "cuda:2", "cuda:3"])


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "list_visible_gpus", list)
    monkeypatch.setattr(placement, "count_cpus", lambda: 8)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("flags", "devices"),
    [
        ({}, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ({"gpus": 2}, ["cuda:0", "cuda:1"]),
        ({"gpus": 2, "trials_per_gpu": 2}, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        ({"gpus_per_trial": 2}, ["cuda:0+cuda:1", "cuda:2+cuda:3"]),
        ({"gpus": 0, "cpu_slots": 3}, ["cpu", "cpu", "cpu"]),
    ],
)
def test_gpus_become_slots(flags: dict[str, int], devices: list[str]) -> None:
    assert Placement(**flags).list_devices() == devices  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_there_are_cpu_slots_that_share_the_cores() -> None:
    assert Placement().list_devices() == ["cpu", "cpu"]
    assert Placement(cpu_slots=3).list_devices() == ["cpu"] * 3
    assert Placement().count_threads(["cpu"] * 3) == 2
    assert Placement().count_threads(["cpu"] * 99) == 1
    assert Placement(cpus_per_trial=4).count_threads(["cpu"] * 3) == 4


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("flags", "kind", "words"),
    [
        (
            {"gpus": 5},
            UnfitEnvironmentError,
            r"--gpus 5 was asked, but 4 are visible \(cuda:0, cuda:1, cuda:2, cuda:3\)",
        ),
        ({"cpu_slots": 2}, UsageError, "--cpu-slots"),
        ({"gpus_per_trial": 3}, UsageError, "--gpus-per-trial 3 does not divide 4 GPUs"),
        ({"gpus_per_trial": 2, "trials_per_gpu": 2}, UsageError, "both given"),
        ({"ray_address": "auto", "slots": 2}, UsageError, "without --runner ray"),
        ({"runner": "ray", "ray_address": "auto"}, UsageError, "belong together"),
        ({"slots": 2}, UsageError, "belong together"),
        ({"gpus": 0, "gpus_per_trial": 2}, UnfitEnvironmentError, "no GPU is used"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(flags: dict[str, object], kind: type[AutomlError], words: str) -> None:
    with pytest.raises(kind, match=words):
        Placement(**flags).list_devices()  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_gpu")
def test_each_runner_is_built_by_its_name() -> None:
    built = Placement(runner="process", cpu_slots=4, silence_timeout_s=60).build_runner()
    assert isinstance(built, ProcessRunner)
    assert (built.n_threads, len(built.environments), built.silence_timeout_s) == (2, 4, 60)
    assert isinstance(Placement(runner="inline").build_runner(), InlineRunner)
    with pytest.raises(UsageError, match="no runner 'slurm'"):
        Placement(runner="slurm").build_runner()


@pytest.mark.ray
@pytest.mark.usefixtures("no_gpu")
def test_a_cluster_gets_the_slots_and_gpus_of_the_flags() -> None:
    on_cluster = Placement(runner="ray", ray_address="auto", slots=16, gpus_per_trial=1).build_runner()
    assert on_cluster.n_slots == 16  # type: ignore[attr-defined]
    assert on_cluster.resources == {"cpu": 1, "gpu": 1}  # type: ignore[attr-defined]
    here = Placement(runner="ray", cpu_slots=4).build_runner()
    assert here.n_slots == 4  # type: ignore[attr-defined]
    assert here.resources == {"cpu": 2, "gpu": 0}  # type: ignore[attr-defined]


def test_slots_are_counted_in_words() -> None:
    assert describe_devices(["cpu", "cpu"]) == "2 slots of cpu"
    assert describe_devices(["cuda:0", "cuda:1"]) == "cuda:0, cuda:1"
