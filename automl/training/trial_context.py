"""The context of a trial: what its folds share of configuration, images, split, files and process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, TrialFiles, read_json
from automl.config import INTERPOLATIONS, ResizeConfig, TrialConfig
from automl.data.cache import PixelCache, Split
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.data.pixels import ConcatenatedRows
from automl.data.resize import EvaluationPixels
from automl.training.distributed.rank_group import RankGroup, SingleProcess
from automl.training.feature_cache import SplitImages
from automl.training.feature_store import FeatureStore
from automl.training.network.backbones import get_pretrained_crop
from automl.training.network.input_sizes import fit_sizes
from automl.training.network.warm_start import read_source_config
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
        features: the study's feature store.
        backbones: the study's folder of backbones that no trial has changed.
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
    features: FeatureStore
    backbones: Path
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
        own_config = study.get_trial_files(job.trial).config  # of a refit's folds too, which go on as the trial began
        config = fit_transfer(fit_image_sizes(job.config), own_config=own_config, init_from=job.init_from)
        competition = load_competition(study.competition)
        return cls(
            number=job.trial,
            seed=job.seed,
            config=fill_evaluation_pixels(config, own_config=own_config, init_from=job.init_from),
            competition=competition,
            folds=load_folds(study.folds, competition),
            pixel_cache=PixelCache(competition, job.pixel_cache or study.cache),
            files=find_trial_files(job),
            weights_dir=job.weights_dir,
            init_from=job.init_from,
            device=runner.device.split("+")[0],
            n_threads=runner.n_threads,
            reporter=Reporter(runner),
            features=FeatureStore(study.features, limit_gb=job.cache_gb),
            backbones=study.backbones,
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

    def load_pixels(self, split: Split, image_size: int) -> NDArray[np.uint8]:
        """Return (n, C, C, 3) of the cache, decoded now if no trial has needed this size before."""
        beat = self.reporter.beat
        return self.pixel_cache.load_pixels(
            split,
            image_size,
            interpolation=self.config.resize.interpolation,
            crop_pct=self.config.resize.crop_pct,
            n_threads=self.n_threads,
            on_progress=lambda done, total: beat(),
        )

    def load_all_pixels(self, image_size: int) -> ConcatenatedRows:
        """Return (n + n_test, C, C, 3) of the training images, and after them of the test images."""
        return ConcatenatedRows(self.load_pixels("train", image_size), self.load_pixels("test", image_size))

    def get_split_images(self, split: Split, image_size: int) -> SplitImages:
        """Return the images of a split as the feature store knows them; their pixels are loaded when they are needed.

        Raises:
            DataError: images are missing.
        """
        evaluation = EvaluationPixels.from_config(self.config, image_size)
        beat = self.reporter.beat
        return SplitImages.from_cache(
            self.pixel_cache, split, evaluation, n_threads=self.n_threads, on_progress=lambda done, total: beat()
        )


def find_trial_files(job: TrialJob) -> TrialFiles:
    """Return the files that the job writes: the trial's own, or those of its folds that a refit trains."""
    files = StudyFiles(job.study_dir).get_trial_files(job.trial)
    return files if job.refit_kind is None else files.get_refit_files(job.refit_kind)


def fit_image_sizes(config: TrialConfig) -> TrialConfig:
    """Return the configuration with image sizes that its backbone takes."""
    sizes = fit_sizes(config.model.backbone, config.resize.image_sizes)
    return replace(config, resize=replace(config.resize, image_sizes=sizes))


def fit_transfer(config: TrialConfig, *, own_config: Path, init_from: Path | None = None) -> TrialConfig:
    """Return the configuration with the head_init and freeze_norms that it can have.

    No parameter of a study says them: a trial that an older version began goes on as it was though its space has others
    now. A network whose weights begin by chance has neither features to fit a head to nor statistics to keep.

    Args:
        own_config: file of the trial's configuration, which is there once it has begun.

    Raises:
        StorageError: the file is damaged.
    """
    head_init, freeze_norms = config.transfer.head_init, config.transfer.freeze_norms
    if own_config.exists():
        begun = TrialConfig.from_json(read_json(own_config)).transfer
        head_init, freeze_norms = begun.head_init, begun.freeze_norms
    elif not config.model.pretrained and init_from is None:
        head_init, freeze_norms = "random", False
    transfer = replace(config.transfer, head_init=head_init, freeze_norms=freeze_norms)
    return replace(config, transfer=transfer)


def fill_evaluation_pixels(config: TrialConfig, *, own_config: Path, init_from: Path | None = None) -> TrialConfig:
    """Return the configuration with the interpolation and the crop_pct of the images that are predicted.

    Where it names none, they are those that the trial began with; of a new one those of the trial whose weights it
    begins with, or else those that its backbone's pretrained weights are evaluated with. Without any weights images are
    whole.

    Args:
        own_config: file of the trial's configuration, which is there once it has begun; older ones name neither.

    Raises:
        UsageError: init_from is not the folder of a trial.
        StorageError: a configuration is damaged.
    """
    resize, model = config.resize, config.model
    default = ResizeConfig(image_sizes=resize.image_sizes)
    if (resize.interpolation, resize.crop_pct) != (default.interpolation, default.crop_pct):
        return config
    if own_config.exists():
        source = TrialConfig.from_json(read_json(own_config)).resize
    elif init_from is not None:
        source = read_source_config(init_from).resize
    else:
        interpolation, crop_pct = get_pretrained_crop(model.backbone, resize.image_sizes[-1])
        if not model.pretrained:
            interpolation, crop_pct = "bicubic", 1.0
        known = interpolation if interpolation in INTERPOLATIONS else "bicubic"
        source = replace(default, interpolation=known, crop_pct=crop_pct)
    return replace(config, resize=replace(resize, interpolation=source.interpolation, crop_pct=source.crop_pct))
