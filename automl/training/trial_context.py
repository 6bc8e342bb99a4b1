"""What all folds of a trial share: its configuration, images, split and files, and the process that trains them.

Not responsible for: what is made of them in a fold (automl.training.fold).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, TrialFiles
from automl.config import TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.data.pixels import JoinedPixels
from automl.training.distributed.peers import Alone, Peers
from automl.training.network.input_sizes import fitted_sizes
from automl.training.reporting import Context, Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all folds of a trial share.

    Attributes:
        folds: (n,) fold of each training image, -1 for those that are only trained on.
        config: its image sizes are those that the backbone takes.
        weights_dir: folder of pretrained weights, or None for the hub.
        init_from: folder of another trial whose weights training begins with, or None.
        lesson: file of the targets that take the place of the labels, or None.
        single_fold: the one that is trained by itself after the search, or None where the trial trains its folds.
        device: of this process.
        n_threads: processor cores for all processes of the trial together.
        peers: this process among them.
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
    peers: Peers = field(default_factory=Alone)
    lesson: Path | None = None
    single_fold: int | None = None

    @classmethod
    def opened(cls, payload: Mapping[str, Any], context: Context) -> Setting:
        """What a payload and context refer to, for the process on the first of the trial's devices.

        A payload with a kind (refit, pseudo, distilled) is about folds that are trained after the search.

        Raises:
            StorageError: the study's files are missing or damaged.
        """
        study = StudyFiles(Path(payload["study_dir"]))
        competition = load_competition(study.competition)
        return cls(
            number=payload["trial"],
            seed=payload["seed"],
            config=_fitted(TrialConfig.from_json(payload["config"])),
            competition=competition,
            folds=load_folds(study.folds, competition),
            pixel_cache=PixelCache(competition, study.cache),
            files=_files_of(study, payload),
            weights_dir=None if payload["weights_dir"] is None else Path(payload["weights_dir"]),
            init_from=None if payload["init_from"] is None else Path(payload["init_from"]),
            device=context.device.split("+")[0],
            n_threads=context.n_threads,
            reporter=Reporter(context),
            lesson=None if payload.get("lesson") is None else Path(payload["lesson"]),
            single_fold=payload.get("fold"),
        )

    @property
    def told_fold(self) -> int:
        """Whose epochs are reported: the only fold, or else the trial's first."""
        return 0 if self.single_fold is None else self.single_fold

    @property
    def own_threads(self) -> int:
        """This process's share of the cores."""
        return max(1, self.n_threads // self.peers.n_ranks)

    def pixels(self, split: Literal["train", "test"], image_size: int) -> NDArray[np.uint8]:
        """(n, C, C, 3) of the cache, decoded now if no trial has needed this size before."""
        alive = self.reporter.beat
        return self.pixel_cache.pixels(
            split, image_size, n_threads=self.n_threads, on_progress=lambda done, total: alive()
        )

    def joined_pixels(self, image_size: int) -> JoinedPixels:
        """(n + n_test, C, C, 3) of the training images, and after them of the test images."""
        return JoinedPixels(self.pixels("train", image_size), self.pixels("test", image_size))


def _files_of(study: StudyFiles, payload: Mapping[str, Any]) -> TrialFiles:
    files, kind = study.trial(payload["trial"]), payload.get("kind")
    return files if kind is None else files.retrained(kind)


def _fitted(config: TrialConfig) -> TrialConfig:
    """The configuration with image sizes that its backbone takes."""
    sizes = fitted_sizes(config.model.backbone, config.resize.image_sizes)
    return replace(config, resize=replace(config.resize, image_sizes=sizes))
