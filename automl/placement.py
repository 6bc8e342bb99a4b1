"""Where trials run: the slots that the flags mean, and the runner that fills them.

Not responsible for: carrying jobs (runners) or what the flags are called (automl.cli).
"""

from __future__ import annotations

from automl.errors import UnfitEnvironmentError, UsageError
from runners.base import Runner
from runners.devices import cpu_count, visible_gpus


def choose_devices(gpus: int | None, cpu_slots: int | None, trials_per_gpu: int) -> list[str]:
    """One entry for each slot, "cuda:0" or "cpu".

    Raises:
        UnfitEnvironmentError: more GPUs are asked for than are visible.
        UsageError: CPU slots are asked for beside GPUs.
    """
    visible = visible_gpus()
    wanted = len(visible) if gpus is None else gpus
    if wanted > len(visible):
        names = f" ({', '.join(visible)})" if visible else ""
        use = f"use --gpus {len(visible)}" if visible else "leave --gpus out to train on the CPU"
        raise UnfitEnvironmentError(
            f"--gpus {wanted} was asked, but {len(visible)} are visible{names}",
            hint=f"{use}, or check CUDA_VISIBLE_DEVICES",
        )
    if wanted and cpu_slots:
        raise UsageError("--cpu-slots was given together with GPUs", hint="add --gpus 0 to train on the CPU")
    return visible[:wanted] * trials_per_gpu or ["cpu"] * (cpu_slots or min(2, cpu_count()))


def build_runner(name: str, devices: list[str], *, n_threads: int, silence_timeout_s: float) -> Runner:
    """The runner of that name.

    Raises:
        UsageError: there is none.
    """
    if name == "process":
        from runners.process import ProcessRunner

        preload = ("automl.training.trial",)
        return ProcessRunner(devices, n_threads=n_threads, preload=preload, silence_timeout_s=silence_timeout_s)
    if name == "inline":
        from runners.inline import InlineRunner

        return InlineRunner(device=devices[0], n_threads=n_threads)
    raise UsageError(f"there is no runner '{name}'", hint="use process or inline")


def counted(devices: list[str]) -> str:
    """The devices in words: "2 slots of cpu"."""
    return ", ".join(
        device if devices.count(device) == 1 else f"{devices.count(device)} slots of {device}"
        for device in dict.fromkeys(devices)
    )
