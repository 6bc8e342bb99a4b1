"""Run jobs on Ray Tune: on this machine, or on the machines of a Ray cluster which share a folder.

Tune finds the places and notices what dies; what runs, what stops and what is tried again is the supervisor's choice.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Read as Ray is imported. What its daemons print, forty lines about each node that is lost, is of no use here.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

import ray
from ray import tune

from runners.base import NoPlaceError, Supervisor
from runners.ray_bridge import Bridge, EndStopper, JobScheduler, JobSearcher
from runners.ray_slot import RaySlot, SlotSettings, encode_order
from runners.signals import RECORDED_SIGNALS, SignalRecorder

OBJECT_STORE_BYTES = 128 * 1024 * 1024  # events are small; Ray would take a third of the memory
CONNECT_TIMEOUT_S = 10.0
_SILENT = {"log_to_driver": False, "logging_level": logging.CRITICAL}
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # what Tune remembers is of no use: the study is what is resumed
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
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


@contextlib.contextmanager
def connect(address: str | None, *, n_cpus: int) -> Iterator[None]:
    """Be connected to the cluster at the address; without one, start Ray here, unless this process has it already.

    Args:
        n_cpus: how many cores a Ray that is started here shall believe in; it counts the GPUs itself.

    Raises:
        NoPlaceError: there is no cluster at the address.
    """
    if address:
        _require_listener(address)
    if ray.is_initialized():
        yield
        return
    try:
        with _restore_handlers():
            _join(address) if address else _start(n_cpus)
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def mute_ray() -> Iterator[None]:
    """Keep Ray off the terminal, and what it sets in this process to this time."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with _set_environment(_QUIET), _restore_handlers():
            yield
    finally:
        logger.setLevel(level)


def require_room(resources: dict[str, float]) -> None:
    """Refuse what Ray would wait for without end.

    Raises:
        NoPlaceError: no machine offers so much.
    """
    needed = {name.upper(): amount for name, amount in resources.items() if amount}
    offers = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(offer.get(name, 0) >= amount for name, amount in needed.items()) for offer in offers):
        words = " and ".join(f"{amount:g} {name}" for name, amount in needed.items())
        raise NoPlaceError(f"a job needs {words}, but no machine of the Ray cluster has as much")


def get_node_prefix(node_id: str) -> str:
    """Return the name of a node and a blank; nothing for the node of the driver."""
    if node_id == ray.get_runtime_context().get_node_id():
        return ""
    names = {node["NodeID"]: node["NodeName"] for node in ray.nodes()}
    return f"{names.get(node_id, node_id)} "


def _join(address: str) -> None:
    environment = {"PYTHONPATH": _import_path()}
    ray.init(address=address, runtime_env={"env_vars": environment}, **_SILENT)


def _start(n_cpus: int) -> None:
    with _set_environment({"PYTHONPATH": _import_path()}), _block_signals():
        ray.init(
            address="local",  # else a variable of the environment might name a cluster
            num_cpus=n_cpus,
            include_dashboard=False,  # it runs what anybody sends who reaches its port
            object_store_memory=OBJECT_STORE_BYTES,
            **_SILENT,
        )


def _import_path() -> str:
    """Return where this process imports from, apart from its installation, which each machine has for itself."""
    installed = tuple(f"{prefix}{os.sep}" for prefix in {sys.prefix, sys.base_prefix})
    folders = [str(Path(entry).absolute()) for entry in sys.path]
    return os.pathsep.join(folder for folder in folders if not folder.startswith(installed))


def _require_listener(address: str) -> None:
    """Refuse what Ray would try to reach without end.

    Raises:
        NoPlaceError: nothing listens there.
    """
    host, _, port = address.rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise NoPlaceError(f"no Ray cluster answers at {address}: {error}") from error


@contextlib.contextmanager
def _set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _restore_handlers() -> Iterator[None]:
    """Ray and Tune set signal handlers of their own; undo that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _block_signals() -> Iterator[None]:
    """Block signals, also for processes started meanwhile: a terminal or `timeout` signals the whole group.

    Ray's daemons would die at once, and the driver would wait for them instead of ending its jobs.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, RECORDED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
