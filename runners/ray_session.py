"""Connect to Ray for the time of a run: a Ray of this process's own, or a cluster's.

Silent, and without traces.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import ray

from runners.base import NoPlaceError
from runners.signals import RECORDED_SIGNALS

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
