"""Place trials on devices: the slots that the flags mean, and the runner that fills them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.errors import UnfitEnvironmentError, UsageError
from runners.base import Runner
from runners.devices import count_cpus, group_devices, list_visible_gpus

PRELOAD = ("automl.training.trial",)  # what a worker imports before it has a job


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where trials run, as the flags say.

    Attributes:
        gpus: of this machine; None for all that are visible.
        trials_per_gpu: how many trials share a GPU.
        gpus_per_trial: how many GPUs a trial gets; None for one where there are GPUs.
        cpu_slots: trials at once where no GPU is used; None for two.
        ray_address: of a cluster, or None for this machine.
        slots: trials at once on a cluster.
        cpus_per_trial: processor cores for each trial; None for its share of this machine's, or one on a cluster.
        storage: a folder for the runner's own notes.
    """

    runner: str = "process"
    gpus: int | None = None
    trials_per_gpu: int = 1
    gpus_per_trial: int | None = None
    cpu_slots: int | None = None
    ray_address: str | None = None
    slots: int | None = None
    cpus_per_trial: int | None = None
    silence_timeout_s: float | None = None
    storage: Path = Path()

    def list_devices(self) -> list[str]:
        """Return one entry for each slot: "cuda:0", "cuda:0+cuda:1" for a trial on two GPUs, or "cpu".

        Raises:
            UnfitEnvironmentError: more GPUs are asked for than are visible.
            UsageError: the numbers contradict one another.
        """
        self._require_consistent()
        if self.ray_address is not None:
            return [f"{self.gpus_per_trial} GPUs" if self.gpus_per_trial else "cpu"] * (self.slots or 0)
        gpus = _select_gpus(self.gpus)
        if gpus and self.cpu_slots:
            raise UsageError("--cpu-slots was given together with GPUs", hint="add --gpus 0 to train on the CPU")
        if not gpus and (self.gpus_per_trial or 0) > 0:
            raise UnfitEnvironmentError(
                f"--gpus-per-trial {self.gpus_per_trial} was asked, but no GPU is used",
                hint="leave it out to train on the CPU, or check CUDA_VISIBLE_DEVICES",
            )
        try:
            grouped = group_devices(gpus, self.gpus_per_trial or 1) if gpus else []
        except ValueError as error:
            raise UsageError(
                f"--gpus-per-trial {self.gpus_per_trial} does not divide {len(gpus)} GPUs",
                hint="choose --gpus and --gpus-per-trial so that none is left over",
            ) from error
        return grouped * self.trials_per_gpu or ["cpu"] * (self.cpu_slots or min(2, count_cpus()))

    def build_runner(self) -> Runner:
        """Build the runner of that name, with the cores of this machine shared among its slots.

        Raises:
            UsageError: there is none of that name, or the numbers contradict one another.
            UnfitEnvironmentError: more GPUs are asked for than are visible.
        """
        if self.runner not in _BUILDERS:
            raise UsageError(f"there is no runner '{self.runner}'", hint=f"use one of {', '.join(_BUILDERS)}")
        return _BUILDERS[self.runner](self)

    def _require_consistent(self) -> None:
        if self.ray_address is not None and self.runner != "ray":
            raise UsageError("--ray-address was given without --runner ray", hint="add --runner ray")
        if (self.ray_address is None) != (self.slots is None):
            raise UsageError(
                "--ray-address and --slots belong together",
                hint="say with --slots how many trials the cluster shall run at once",
            )
        if self.slots is not None and self.cpu_slots is not None:
            raise UsageError("--slots and --cpu-slots were both given", hint="--slots counts those of the cluster")
        if self.trials_per_gpu > 1 and (self.gpus_per_trial or 1) > 1:
            raise UsageError(
                "--trials-per-gpu and --gpus-per-trial were both given", hint="share a GPU, or take several, not both"
            )

    def count_threads(self, devices: Sequence[str]) -> int:
        """Return the processor cores for each slot; on a cluster those of this machine do not count."""
        share = 1 if self.ray_address is not None else max(1, count_cpus() // len(devices))
        return self.cpus_per_trial or share


def _select_gpus(n_gpus: int | None) -> list[str]:
    visible = list_visible_gpus()
    if n_gpus is not None and n_gpus > len(visible):
        names = f" ({', '.join(visible)})" if visible else ""
        use = f"use --gpus {len(visible)}" if visible else "leave --gpus out to train on the CPU"
        raise UnfitEnvironmentError(
            f"--gpus {n_gpus} was asked, but {len(visible)} are visible{names}",
            hint=f"{use}, or check CUDA_VISIBLE_DEVICES",
        )
    return visible[:n_gpus]


def _build_process_runner(placement: Placement) -> Runner:
    from runners.process import ProcessRunner

    devices = placement.list_devices()
    return ProcessRunner(
        devices,
        n_threads=placement.count_threads(devices),
        preload=PRELOAD,
        silence_timeout_s=placement.silence_timeout_s,
    )


def _build_inline_runner(placement: Placement) -> Runner:
    from runners.inline import InlineRunner

    return InlineRunner(device=placement.list_devices()[0], n_threads=count_cpus())


def _build_ray_runner(placement: Placement) -> Runner:
    from runners.ray_tune import RayTuneRunner

    devices = placement.list_devices()
    n_threads = placement.count_threads(devices)
    uses_gpus = devices[0] != "cpu"
    return RayTuneRunner(
        n_slots=len(devices),
        n_threads=n_threads,
        storage=placement.storage,
        address=placement.ray_address,
        cpus_per_job=n_threads,
        gpus_per_job=(placement.gpus_per_trial or 1) / placement.trials_per_gpu if uses_gpus else 0,
        preload=PRELOAD,
        silence_timeout_s=placement.silence_timeout_s,
    )


_BUILDERS: dict[str, Callable[[Placement], Runner]] = {
    "process": _build_process_runner,
    "inline": _build_inline_runner,
    "ray": _build_ray_runner,
}


def describe_devices(devices: list[str]) -> str:
    """Return the devices in words: "2 slots of cpu"."""
    return ", ".join(
        device if devices.count(device) == 1 else f"{devices.count(device)} slots of {device}"
        for device in dict.fromkeys(devices)
    )
