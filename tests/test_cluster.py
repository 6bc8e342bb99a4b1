"""A search on two machines of a Ray cluster, played by two nodes on this one; a folder is all that they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from automl.artifacts import StudyFiles
from automl.search.search_loop import SearchLoop, search
from automl.study.study import ENDED, open_study, read_study
from runners.base import Event, Failed, Finished, Job, Reported, Started, Verdict
from runners.inline import InlineRunner
from tests.soak.journal import read_journal
from tests.soak.space import EPOCHS, SPACE, TERMS, payload_of
from tests.soak.task import train

pytestmark = [pytest.mark.ray, pytest.mark.slow]

N_TRIALS = 12
EPOCH_SECONDS = 0.3


class Nodes:
    """The nodes "left" and "right", with room for one job each."""

    def __init__(self, cluster: Any) -> None:
        from runners.ray_tune import OBJECT_STORE_BYTES

        self.address = cluster.address
        self._cluster = cluster
        self._nodes = {
            name: cluster.add_node(num_cpus=1, node_name=name, object_store_memory=OBJECT_STORE_BYTES)
            for name in ("left", "right")
        }

    def kill(self, name: str) -> None:
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    from ray.cluster_utils import Cluster

    from runners.ray_tune import OBJECT_STORE_BYTES, mute_ray

    with mute_ray():
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield Nodes(cluster)
        finally:
            cluster.shutdown()


def test_the_same_study_comes_out_of_ray_as_of_one_process(nodes: Nodes, tmp_path: Path) -> None:
    from runners.ray_tune import RayTuneRunner

    inline = _outcomes(tmp_path / "inline", InlineRunner())
    runner = RayTuneRunner(n_slots=1, n_threads=1, storage=tmp_path / "tune", address=nodes.address)
    ray = _outcomes(tmp_path / "ray", runner)
    assert ray == inline
    states = Counter(state for _, state, _, _ in ray)
    assert states[TrialState.COMPLETE] and states[TrialState.PRUNED]


def _outcomes(folder: Path, runner: Any) -> list[tuple[object, ...]]:
    files = StudyFiles(folder)
    with open_study(files, TERMS, sampler="tpe") as study:
        loop = SearchLoop(
            study,
            SPACE,
            train,
            lambda number, config: payload_of(files, number, config),
            n_trials=16,
            keep_complete=2,
        )
        search(loop, runner)
    trials: list[FrozenTrial] = read_study(files).get_trials()
    assert {trial.state for trial in trials} <= set(ENDED)
    return [(trial.params, trial.state, trial.value, trial.intermediate_values) for trial in trials]


class Watcher:
    """The search loop, and somebody who kills the node "right" in the third epoch of a trial there."""

    def __init__(self, loop: SearchLoop, nodes: Nodes) -> None:
        self.devices: dict[str, list[str]] = {}
        self.deaths: list[Failed] = []
        self.interrupted: str | None = None
        self._loop = loop
        self._nodes = nodes
        self._n_finished = 0

    def next_job(self) -> Job | None:
        return self._loop.next_job()

    def handle(self, event: Event) -> Verdict:
        if isinstance(event, Started):
            self.devices.setdefault(event.job_id, []).append(event.device)
        if isinstance(event, Failed):
            self.deaths.append(event)
        if isinstance(event, Finished):
            self._n_finished += 1
        if isinstance(event, Reported) and event.step == 2 and self._is_time(event.job_id):
            self.interrupted = event.job_id
            self._nodes.kill("right")
        return self._loop.handle(event)

    def _is_time(self, job_id: str) -> bool:
        return self.interrupted is None and self._n_finished >= 1 and self.devices[job_id] == ["right cpu"]


def test_a_search_on_two_nodes_outlives_one_of_them(nodes: Nodes, tmp_path: Path) -> None:
    from runners.ray_tune import RayTuneRunner

    files = StudyFiles(tmp_path / "study")
    runner = RayTuneRunner(n_slots=2, n_threads=1, storage=tmp_path / "tune", address=nodes.address)
    with open_study(files, TERMS, sampler="random", pruner="none") as study:
        loop = SearchLoop(
            study,
            SPACE,
            train,
            lambda number, config: payload_of(files, number, config, epoch_seconds=EPOCH_SECONDS),
            n_trials=N_TRIALS,
        )
        watcher = Watcher(loop, nodes)
        search(loop, runner, watcher)
    trials = read_study(files).get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * N_TRIALS
    assert {device for devices in watcher.devices.values() for device in devices} == {"left cpu", "right cpu"}
    assert [(death.job_id, death.died) for death in watcher.deaths] == [(watcher.interrupted, True)]
    assert watcher.interrupted is not None
    assert watcher.devices[watcher.interrupted] == ["right cpu", "left cpu"]
    _require_little_repeated(files, int(watcher.interrupted))


def _require_little_repeated(files: StudyFiles, interrupted: int) -> None:
    """That the trial went on from its checkpoint, and no other epoch of any trial was trained a second time."""
    journal = read_journal(files)
    first, second = journal.attempts[interrupted]
    assert len(first) >= 3 and len(second) < EPOCHS and first[-1] <= second[0] + 1
    assert journal.n_repeated <= 1
    assert journal.n_lost_attempts == 1
