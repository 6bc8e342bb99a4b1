"""List the GPUs and count the cores that this process may use, without torch and without initialising CUDA.

A device is "cpu" or "cuda:0", "cuda:1", ...: the n-th GPU that is visible to this process; or several of one kind for
one job, joined by a plus sign: "cuda:0+cuda:1".
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def list_visible_gpus(
    environment: Mapping[str, str] = os.environ,
    installed: Callable[[], Sequence[str]] | None = None,
) -> list[str]:
    """List the names "cuda:0", "cuda:1", ... of the GPUs that CUDA would show to this process.

    Args:
        environment: where CUDA_VISIBLE_DEVICES is looked up.
        installed: gives the UUIDs of the machine's GPUs, by default `list_installed_gpus`.
    """
    uuids = (installed or list_installed_gpus)()
    allowed = _parse_allowed_gpus(environment)
    n_visible = len(uuids) if allowed is None else _count_found(allowed, uuids)
    return [f"cuda:{index}" for index in range(n_visible)]


def group_devices(devices: Sequence[str], n_per_job: int) -> list[str]:
    """Group the devices for jobs that take several: "cuda:0+cuda:1", "cuda:2+cuda:3".

    Raises:
        ValueError: they are too few for one job, or some are left over.
    """
    if n_per_job < 1 or len(devices) < n_per_job or len(devices) % n_per_job:
        raise ValueError(f"{len(devices)} devices cannot be divided among jobs of {n_per_job}")
    return ["+".join(devices[start : start + n_per_job]) for start in range(0, len(devices), n_per_job)]


def split_device(device: str) -> list[str]:
    """Split it into the single devices that it names.

    Raises:
        ValueError: one of them is unknown or a GPU is repeated, or they are not of one kind.
    """
    names = device.split("+")
    for name in names:
        if not re.fullmatch(r"cpu|cuda:(0|[1-9]\d*)", name):
            raise ValueError(f"unknown device {name!r}; devices are 'cpu', 'cuda:0', 'cuda:1', ...")
    if "cpu" in names and set(names) != {"cpu"}:
        raise ValueError(f"device {device!r} is of two kinds; one job takes GPUs alone or none")
    if "cpu" not in names and len(set(names)) < len(names):
        raise ValueError(f"device {device!r} names a GPU twice")
    return names


def get_cuda_visible_devices(device: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return CUDA_VISIBLE_DEVICES for a process that shall see this device alone, as `get_inner_device` names it.

    Raises:
        ValueError: the device's name is unknown, or CUDA_VISIBLE_DEVICES hides it from this process already.
    """
    allowed = _parse_allowed_gpus(environment)
    indices = [int(name.removeprefix("cuda:")) for name in split_device(device) if name != "cpu"]
    if allowed is None:
        return ",".join(map(str, indices))
    if max(indices, default=-1) >= len(allowed):
        raise ValueError(f"device {device!r} is hidden by {_VISIBLE}={environment[_VISIBLE]!r}")
    return ",".join(allowed[index] for index in indices)


def get_inner_device(device: str) -> str:
    """Return what a device is called in a process that sees no other: its GPUs are counted from 0."""
    names = split_device(device)
    return "+".join(name if name == "cpu" else f"cuda:{number}" for number, name in enumerate(names))


def count_cpus() -> int:
    """Count the cores that this process may use: an affinity mask, as of a batch system, counts."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def list_installed_gpus() -> list[str]:
    """List the UUIDs of this machine's GPUs in the driver's order; empty without an NVIDIA driver."""
    uuids = _query_nvml()
    return _query_nvidia_smi() if uuids is None else uuids


def _parse_allowed_gpus(environment: Mapping[str, str]) -> list[str] | None:
    """Parse the entries of CUDA_VISIBLE_DEVICES which CUDA would read, or None when it is not set.

    CUDA stops at the first entry that it does not understand, and shows nothing when one is repeated.
    Source: torch.cuda._parse_visible_devices.
    """
    value = environment.get(_VISIBLE)
    if value is None:
        return None
    prefix = next((prefix for prefix in ("GPU-", "MIG-") if value.startswith(prefix)), "")
    entries: list[str] = []
    for raw in value.split(","):
        entry = raw.strip()
        if not (entry.startswith(prefix) if prefix else re.fullmatch(r"\d+", entry)):
            break
        entries.append(str(int(entry)) if entry.isdigit() else entry)
    return entries if len(set(entries)) == len(entries) else []


def _count_found(allowed: Sequence[str], uuids: Sequence[str]) -> int:
    """Count how many entries name an installed GPU, up to the first that does not."""
    for position, entry in enumerate(allowed):
        if entry.isdigit():
            found = int(entry) < len(uuids)
        elif entry.startswith("MIG-"):  # a slice of a GPU, which only CUDA can look up
            found = bool(uuids)
        else:
            found = sum(uuid.startswith(entry) for uuid in uuids) == 1
        if not found:
            return position
    return len(allowed)


def _query_nvml() -> list[str] | None:
    """Query the driver's management library, which creates no CUDA context; None when it does not answer."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        n_gpus = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(n_gpus)) != 0:
            return None
        return [_get_nvml_uuid(nvml, index) for index in range(n_gpus.value)]
    finally:
        nvml.nvmlShutdown()


def _get_nvml_uuid(nvml: ctypes.CDLL, index: int) -> str:
    """Return a GPU's UUID; empty when it has none, so that it still counts."""
    handle, uuid = ctypes.c_void_p(), ctypes.create_string_buffer(96)
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
        return ""
    nvml.nvmlDeviceGetUUID(handle, uuid, len(uuid))
    return uuid.value.decode()


def _query_nvidia_smi() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
        return parse_nvidia_smi(answer)
    return []


def parse_nvidia_smi(listing: str) -> list[str]:
    """Parse the UUIDs in the answer of `nvidia-smi -L`, without those of MIG slices."""
    return re.findall(r"^GPU \d+: .*\(UUID: (GPU-[^)]+)\)", listing, flags=re.MULTILINE)
