"""What an epoch of a frozen backbone costs beside one that trains all of it: python -m tests.benchmarks.frozen_epoch

Whole trials by the product's own way, in turn; an epoch is what lies between two reports, its validation and all that
it writes included. The first epoch of a frozen backbone, which looks at every image once, is shown by itself.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from automl.artifacts import StudyFiles
from automl.config import AugmentConfig, ModelConfig, OptimConfig, ResizeConfig, TransferConfig, TrialConfig
from automl.data.competition import load_competition, save_competition
from automl.data.folds import make_folds, save_folds
from automl.training.entry_points import run_trial
from tests.automl_tests.training_tests.trial_builders import payload_of, write_study

BACKBONE, IMAGE_SIZE, N_IMAGES, REPEATS = "resnet18", 128, 160, 2


@dataclass
class Clock:
    """A runner's context that notes when each epoch was reported."""

    device: str = "cuda:0" if torch.cuda.is_available() else "cpu"
    n_threads: int = os.cpu_count() or 1
    times: list[float] = field(default_factory=list)

    def report(self, step: int, value: float, detail: Mapping[str, Any] | None = None) -> None:
        self.times.append(time.perf_counter())

    def beat(self, detail: Mapping[str, Any] | None = None) -> None:
        pass


def config_of(*, frozen: bool, epochs: int) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone=BACKBONE, pretrained=False),
        resize=ResizeConfig(image_sizes=(IMAGE_SIZE,)),
        transfer=TransferConfig(trainable_blocks=0 if frozen else None),
        optim=OptimConfig(lr=1e-3),
        augment=AugmentConfig(policy="light"),
        batch_size=32,
        epochs=epochs,
    )


def make_study(folder: Path) -> StudyFiles:
    """A study of photos of noise, as large as photos are."""
    study = write_study(folder, n_train=N_IMAGES, n_test=8)
    competition = load_competition(study.competition)
    rng = np.random.default_rng(0)
    for path in (*competition.image_paths, *competition.test_paths):
        noise = rng.integers(0, 256, (20, 15, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((200, 150), Image.Resampling.BICUBIC).save(path)
    save_competition(competition, study.competition)
    save_folds(make_folds(competition), competition, study.folds)
    return study


def seconds_of_epochs(study: StudyFiles, number: int, config: TrialConfig) -> list[float]:
    """Of all epochs but the first, and before them from the start to the first report."""
    clock, began = Clock(), time.perf_counter()
    answer = run_trial(payload_of(study, config, trial=number), clock)
    assert answer["outcome"] == "completed", answer
    return np.diff([began, *clock.times]).tolist()


def main() -> None:
    full: list[float] = []
    frozen: list[float] = []
    first: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder))
        for repeat in range(REPEATS):
            full += seconds_of_epochs(study, 2 * repeat, config_of(frozen=False, epochs=2))[1:]
            epochs = seconds_of_epochs(study, 2 * repeat + 1, config_of(frozen=True, epochs=12))
            first.append(epochs[0])
            frozen += epochs[1:]
    per_side = {"full epoch": full, "frozen epoch": frozen, "start and first frozen epoch": first}
    print(f"{BACKBONE}, {IMAGE_SIZE} px, {N_IMAGES} images, medians")
    for name, seconds in per_side.items():
        print(f"{name:30} {statistics.median(seconds):9.3f} s   {min(seconds):.3f} to {max(seconds):.3f}")
    print(f"{'full / frozen':30} {statistics.median(full) / statistics.median(frozen):9.1f}")


if __name__ == "__main__":
    main()
