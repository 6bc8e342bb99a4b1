"""Which devices are seen, on machines that these tests make up."""

from __future__ import annotations

import os
import re

import pytest

from runners import devices
from runners.devices import (
    count_cpus,
    get_cuda_visible_devices,
    get_inner_device,
    group_devices,
    list_visible_gpus,
    split_device,
)

FOUR = ["GPU-aa11", "GPU-ab22", "GPU-cc33", "GPU-dd44"]


def _visible(value: str | None, installed: list[str] = FOUR) -> int:
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    names = list_visible_gpus(environment, lambda: installed)
    assert names == [f"cuda:{index}" for index in range(len(names))]
    return len(names)


@pytest.mark.parametrize(
    ("value", "n_visible"),
    [
        (None, 4),
        ("", 0),
        ("-1", 0),
        ("2,3", 2),
        (" 2 , 3 ", 2),
        ("3", 1),
        ("0,-1,1", 1),
        ("0,7,1", 1),
        ("0,0", 0),
        ("0,00", 0),
        ("none", 0),
        ("GPU-cc33,GPU-aa11", 2),
        ("GPU-cc", 1),
        ("GPU-a", 0),
        ("GPU-cc33,GPU-ffff,GPU-aa11", 1),
        ("GPU-cc33,1", 1),
        ("MIG-0123", 1),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(value: str | None, n_visible: int) -> None:
    assert _visible(value) == n_visible


@pytest.mark.parametrize("value", [None, "0", "GPU-aa11", "MIG-0123"])
def test_a_machine_without_gpus_shows_none(value: str | None) -> None:
    assert _visible(value, []) == 0


@pytest.mark.parametrize(
    ("device", "value", "expected"),
    [
        ("cpu", None, ""),
        ("cpu", "2,3", ""),
        ("cuda:0", None, "0"),
        ("cuda:3", None, "3"),
        ("cuda:0", "2,3", "2"),
        ("cuda:1", "2,3", "3"),
        ("cuda:1", "GPU-cc33,GPU-aa11", "GPU-aa11"),
        ("cpu+cpu", "2,3", ""),
        ("cuda:2+cuda:3", None, "2,3"),
        ("cuda:1+cuda:0", "2,3", "3,2"),
        ("cuda:0+cuda:1", "GPU-cc33,GPU-aa11", "GPU-cc33,GPU-aa11"),
    ],
)
def test_a_worker_sees_the_gpu_that_its_driver_knows_by_that_name(
    device: str, value: str | None, expected: str
) -> None:
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert get_cuda_visible_devices(device, environment) == expected


@pytest.mark.parametrize(
    ("device", "value"),
    [("cuda:2", "2,3"), ("cuda:0", ""), ("cuda", "0"), ("gpu:0", "0"), ("cuda:00", "0"), ("cuda:0+cuda:2", "2,3")],
)
def test_a_hidden_or_unknown_device_is_refused(device: str, value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(device)):
        get_cuda_visible_devices(device, {"CUDA_VISIBLE_DEVICES": value})


@pytest.mark.parametrize(
    ("device", "inside"),
    [
        ("cpu", "cpu"),
        ("cpu+cpu", "cpu+cpu"),
        ("cuda:3", "cuda:0"),
        ("cuda:2+cuda:3", "cuda:0+cuda:1"),
        ("cuda:3+cuda:0", "cuda:0+cuda:1"),
    ],
)
def test_gpus_are_counted_from_0_where_no_others_are_seen(device: str, inside: str) -> None:
    assert get_inner_device(device) == inside


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("cuda:0+cuda:0", "names a GPU twice"),
        ("cuda:0+cpu", "is of two kinds"),
        ("cuda:0+", "unknown device ''"),
        ("cuda:0+cuda:1+mps", "unknown device 'mps'"),
    ],
)
def test_devices_that_cannot_work_together_are_refused(device: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        split_device(device)


def test_devices_are_grouped_in_their_order_for_jobs_that_take_several() -> None:
    gpus = ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    assert group_devices(gpus, 1) == gpus
    assert group_devices(gpus, 2) == ["cuda:0+cuda:1", "cuda:2+cuda:3"]
    assert group_devices(gpus, 4) == ["cuda:0+cuda:1+cuda:2+cuda:3"]
    assert group_devices(["cpu"] * 4, 2) == ["cpu+cpu", "cpu+cpu"]


@pytest.mark.parametrize(("n_devices", "n_per_job"), [(4, 3), (2, 4), (0, 1), (2, 0)])
def test_devices_that_do_not_divide_among_jobs_are_refused(n_devices: int, n_per_job: int) -> None:
    with pytest.raises(ValueError, match=f"{n_devices} devices cannot be divided among jobs of {n_per_job}"):
        group_devices([f"cuda:{index}" for index in range(n_devices)], n_per_job)


def test_the_listing_of_nvidia_smi_is_read_without_its_mig_slices() -> None:
    listing = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aa11)\n"
        "  MIG 1g.5gb      Device  0: (UUID: MIG-99)\n"
        "GPU 1: NVIDIA H200 (UUID: GPU-ab22)\n"
    )
    assert devices.parse_nvidia_smi(listing) == ["GPU-aa11", "GPU-ab22"]


def test_the_installed_gpus_can_be_asked_for_on_any_machine() -> None:
    assert all(isinstance(uuid, str) for uuid in devices.list_installed_gpus())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_cores_outside_the_affinity_mask_do_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert count_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cpus() == len(allowed)
