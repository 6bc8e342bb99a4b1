"""Ray on this machine, started once for all tests of a module that want it; it believes in two GPUs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runners.base import Runner


@pytest.fixture(scope="module")
def make_ray_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Runner]]:
    """Makes runners: (n_slots, **what else they take)."""
    from runners.ray_tune import OBJECT_STORE_BYTES, RayTuneRunner, mute_ray

    def make(n_slots: int, **others: Any) -> Runner:
        storage = tmp_path_factory.mktemp("tune")
        return RayTuneRunner(**{"n_slots": n_slots, "n_threads": 1, "grace_s": 3.0, "storage": storage} | others)

    import ray

    with mute_ray():
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            object_store_memory=OBJECT_STORE_BYTES,
        )
        try:
            yield make
        finally:
            ray.shutdown()
