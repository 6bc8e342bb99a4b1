"""The context of a trial: what its folds share of configuration, images, split, files and process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, TrialFiles
from automl.config import TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.data.pixels import ConcatenatedPixels
from automl.training.distributed.rank_group import RankGroup, SingleProcess
from automl.training.network.input_sizes import fit_sizes
from automl.training.reporting import Reporter, RunnerContext
from automl.training.trial_job import TrialJob


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialContext:
    """What all folds of a trial have in common.

    Attributes:
        folds: (n,) fold of each training image, -1 for those that are only trained on.
        config: its image sizes are those that the backbone takes.
        weights_dir: folder of pretrained weights, or None for the hub.
        init_from: folder of another trial whose weights training begins with, or None.
        soft_targets: file of the targets that take the place of the labels, or None.
        single_fold: the one that is trained by itself after the search, or None where the trial trains its folds.
        device: of this process.
        n_threads: processor cores for all processes of the trial together.
        ranks: those processes, as this one sees them.
    """

    number: int
    seed: int
    config: TrialConfig
    competition: Competition
    folds: NDArray[np.int64]
    pixel_cache: PixelCache
    files: TrialFiles
    weights_dir: Path | None
    init_from: Path | None
    device: str
    n_threads: int
    reporter: Reporter
    ranks: RankGroup = field(default_factory=SingleProcess)
    soft_targets: Path | None = None
    single_fold: int | None = None

    @classmethod
    def open_job(cls, job: TrialJob, runner: RunnerContext) -> TrialContext:
        """Open what a job refers to, for the process on the first of the trial's devices.

        Raises:
            StorageError: the study's files are missing or damaged.
        """
        study = StudyFiles(job.study_dir)
        competition = load_competition(study.competition)
        return cls(
            number=job.trial,
            seed=job.seed,
            config=_fit_image_sizes(job.config),
            competition=competition,
            folds=load_folds(study.folds, competition),
            pixel_cache=PixelCache(competition, job.pixel_cache or study.cache),
            files=find_trial_files(job),
            weights_dir=job.weights_dir,
            init_from=job.init_from,
            device=runner.device.split("+")[0],
            n_threads=runner.n_threads,
            reporter=Reporter(runner),
            soft_targets=job.soft_targets,
            single_fold=job.fold,
        )

    @property
    def reported_fold(self) -> int:
        """The fold whose epochs are reported: the only one, or else the trial's first."""
        return 0 if self.single_fold is None else self.single_fold

    @property
    def threads_per_rank(self) -> int:
        """How many cores this process may use."""
        return max(1, self.n_threads // self.ranks.n_ranks)

    def load_pixels(self, split: Literal["train", "test"], image_size: int) -> NDArray[np.uint8]:
        """Return (n, C, C, 3) of the cache, decoded now if no trial has needed this size before."""
        beat = self.reporter.beat
        return self.pixel_cache.load_pixels(
            split, image_size, n_threads=self.n_threads, on_progress=lambda done, total: beat()
        )

    def load_all_pixels(self, image_size: int) -> ConcatenatedPixels:
        """Return (n + n_test, C, C, 3) of the training images, and after them of the test images."""
        return ConcatenatedPixels(self.load_pixels("train", image_size), self.load_pixels("test", image_size))


def find_trial_files(job: TrialJob) -> TrialFiles:
    """Return the files that the job writes: the trial's own, or those of its folds that a refit trains."""
    files = StudyFiles(job.study_dir).get_trial_files(job.trial)
    return files if job.refit_kind is None else files.get_refit_files(job.refit_kind)


def _fit_image_sizes(config: TrialConfig) -> TrialConfig:
    """Return the configuration with image sizes that its backbone takes."""
    sizes = fit_sizes(config.model.backbone, config.resize.image_sizes)
    return replace(config, resize=replace(config.resize, image_sizes=sizes))
