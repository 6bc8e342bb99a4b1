"""Run jobs on Ray Tune: on this machine, or on the machines of a Ray cluster which share a folder.

Tune finds the places and notices what dies; what runs, what stops and what is tried again is the supervisor's choice.
"""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

# Read as Ray is imported. What its daemons print, forty lines about each node that is lost, is of no use here.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

from ray import tune

from runners.base import Supervisor
from runners.ray_bridge import Bridge, EndStopper, JobScheduler, JobSearcher
from runners.ray_session import connect, get_node_prefix, mute_ray, require_room
from runners.ray_slot import RaySlot, SlotSettings, encode_order
from runners.signals import SignalRecorder

_SPARE_S = 2.0  # so that a slot has ended its job before the driver drops the slot


class RayTuneRunner:
    """Runs jobs on Ray Tune, `n_slots` at a time, each in a process of its own on the machine that Ray chooses."""

    def __init__(
        self,
        *,
        n_slots: int,
        n_threads: int,
        storage: Path,
        address: str | None = None,
        cpus_per_job: float = 1,
        gpus_per_job: float = 0,
        preload: Sequence[str] = (),
        grace_s: float = 8.0,
        silence_timeout_s: float | None = None,
    ) -> None:
        """Make a runner; Ray is not started before `run`.

        Args:
            n_threads: processor cores for each job.
            storage: a folder for Tune's own notes, of use only while it runs.
            address: of a Ray cluster, "auto" for the one that this machine belongs to; None starts Ray on this machine,
                unless this process is connected already.
            cpus_per_job: by Ray's count, which limits how many jobs go to one machine.
            gpus_per_job: a fraction shares a GPU; a job sees only its own.
            preload: modules that every process imports before it waits for its job.
            grace_s: how long a job that was requested to stop may live on before it is killed.
            silence_timeout_s: a job that sends no event for so long is killed; None waits for ever.
        """
        self.n_slots = n_slots
        self.storage = storage
        self.address = address
        self.resources = {"cpu": cpus_per_job, "gpu": gpus_per_job}
        self.settings = SlotSettings(
            n_threads=n_threads,
            n_gpus=gpus_per_job,
            preload=tuple(preload),
            grace_s=grace_s,
            silence_timeout_s=silence_timeout_s,
            folder=str(Path.cwd()),
        )

    def run(self, supervisor: Supervisor) -> None:
        """See `runners.base.Runner`.

        Raises:
            NoPlaceError: there is no cluster at the address, or no machine is large enough for a job.
        """
        n_cpus = max(1, math.ceil(self.n_slots * self.resources["cpu"]))
        with SignalRecorder() as signals, mute_ray(), connect(self.address, n_cpus=n_cpus):
            require_room(self.resources)
            bridge = Bridge(
                supervisor,
                signals,
                lambda job: encode_order(job, self.settings),
                get_node_prefix,
                grace_s=self.settings.grace_s + _SPARE_S,
            )
            self._fit(bridge)
            if bridge.error is not None:
                raise bridge.error

    def _fit(self, bridge: Bridge) -> None:
        name = f"run-{uuid.uuid4().hex[:8]}"
        tuner = tune.Tuner(
            tune.with_resources(RaySlot, self.resources),
            tune_config=tune.TuneConfig(
                search_alg=JobSearcher(bridge),
                scheduler=JobScheduler(bridge),
                num_samples=-1,
                max_concurrent_trials=self.n_slots,
                # the actor lives on and prepares the next process while a job runs; jobs share no process
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=str(self.storage.absolute()),
                stop=EndStopper(bridge),
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            shutil.rmtree(self.storage / name, ignore_errors=True)
