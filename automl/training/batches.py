"""Training data of a fold in batches: augmented, mixed, or as features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.config import AugmentConfig, TrialConfig
from automl.data.augmentation import compute_stage_strength
from automl.data.competition import Competition
from automl.data.pixels import Pixels
from automl.data.resize import EvaluationPixels
from automl.data.transforms import Transform, build_transform, iterate_training_batches, split_batches
from automl.training.checkpoints import TrainingState
from automl.training.distributed.rank_group import RankGroup, SingleProcess, get_rank_slice
from automl.training.feature_cache import FeatureCache, SplitImages
from automl.training.feature_store import FeatureStore
from automl.training.linear_head import HeadTask, convert_head_targets, get_link
from automl.training.loss.by_task import get_objective
from automl.training.loss.class_balance import count_for_weights, get_sampling_strata, sample_epoch_rows
from automl.training.loss.losses import Loss, build_image_weights, build_loss, smooth_labels
from automl.training.loss.mixup import Mix, draw_mix, is_mixed, mix_images, mix_targets, to_soft_targets
from automl.training.loss.soft_targets import FoldTargets
from automl.training.network.create import Normalisation
from automl.training.optim.accumulation import Batch
from automl.training.optim.freezing import is_backbone_frozen
from automl.training.resizing import get_batch_size, get_image_size, get_stage
from automl.training.seeding import derive_seed

Rows = NDArray[np.int64]


def _list_no_splits(image_size: int) -> Sequence[SplitImages]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTask:
    """What a fold trains and is validated on.

    Attributes:
        pixels: image size -> (n, C, C, 3) of the training images' cache; with soft targets those of the test images
            follow.
        train_rows: (n_train,) row numbers, at least 2.
        valid_rows: (n_valid,) row numbers, all below n.
        fold_targets: soft targets that are trained on in place of the labels; scores are always those of the labels.
        features: the store of features of frozen backbones, or None to keep them in memory alone.
        splits: image size -> the splits whose pixels these are, one after the other, as the store knows them.
        seeds: study's seed, trial, fold.
        device: of this process; other ranks have others.
    """

    config: TrialConfig
    competition: Competition
    pixels: Callable[[int], Pixels]
    train_rows: Rows
    valid_rows: Rows
    seeds: tuple[int, ...]
    device: str
    n_threads: int
    ranks: RankGroup = field(default_factory=SingleProcess)
    fold_targets: FoldTargets | None = None
    features: FeatureStore | None = None
    splits: Callable[[int], Sequence[SplitImages]] = _list_no_splits

    @property
    def targets(self) -> NDArray[Any]:
        """By rows of the pixels: what losses take."""
        return self.competition.training_targets if self.fold_targets is None else self.fold_targets.targets

    @property
    def labelled(self) -> Competition:
        """By rows of the pixels: what class sampling and class weights go by."""
        return self.competition if self.fold_targets is None else self.fold_targets.labelled

    @property
    def soft_targets(self) -> NDArray[np.float32]:
        """(n, n_classes) by rows of the pixels: what is trained on, before labels are smoothed."""
        return self.competition.soft_targets if self.fold_targets is None else self.fold_targets.targets

    def compute_prior(self) -> NDArray[np.float64]:
        """Return (n_classes,) the mean of the soft targets that are trained on."""
        mean: NDArray[np.float64] = self.soft_targets[self.train_rows].mean(axis=0, dtype=np.float64)
        return mean

    @property
    def greater_is_better(self) -> bool:
        return self.competition.metric.greater_is_better


def build_fold_loss(task: FoldTask) -> Loss:
    """Build the configuration's loss, with class weights by the rows that are trained on."""
    loss, competition = task.config.loss, task.competition
    counts = None if loss.class_weights == "none" else count_for_weights(task.labelled, task.train_rows)
    return build_loss(
        loss,
        task=competition.task,
        n_classes=competition.n_classes,
        head_sizes=competition.head_sizes,
        class_counts=counts,
    )


def build_head_task(task: FoldTask, features: FeatureCache, *, on_step: Callable[[], object]) -> HeadTask:
    """Build what a linear head has to be fitted to so that the configuration's loss is small.

    A focal loss counts as the one without focus; how often class_sampling shows an image is left out of account.
    """
    loss, competition = task.config.loss, task.competition
    objective = get_objective(loss.name, competition.task)
    soft_targets = torch.from_numpy(task.soft_targets)
    n_choices = competition.target_kind.count_choices(competition.n_classes)
    smoothed = smooth_labels(soft_targets, loss.label_smoothing, n_choices)
    counts = None if loss.class_weights == "none" else count_for_weights(task.labelled, task.train_rows)
    compute_weights = build_image_weights(loss, counts, competition.task)
    return HeadTask(
        views=[features],
        targets=convert_head_targets(smoothed.numpy(), objective),
        link=get_link(objective),
        head_sizes=competition.head_sizes,
        sample_weights=None if compute_weights is None else compute_weights(soft_targets).numpy(),
        device=task.device,
        on_step=on_step,
    )


def draw_epoch_rows(task: FoldTask, rng: np.random.Generator) -> Rows:
    """Draw (n_train,) the rows of an epoch in the order in which they are trained on, as class_sampling draws them."""
    sampling = task.config.class_sampling
    strata = None if sampling == "natural" else get_sampling_strata(task.labelled)
    return sample_epoch_rows(task.train_rows, strata, sampling, rng)


def iterate_batches(
    task: FoldTask, state: TrainingState, epoch: int, rows: Rows, *, seed: int, features: FeatureCache | None
) -> Iterator[Batch]:
    """Iterate over what the steps of an epoch train on, in the order of rows.

    While the backbone is frozen, images are neither varied nor mixed: its features, wherever they come from, are then
    those of the images as they are.

    Args:
        seed: of the epoch; what happens to an image follows from it and the image's position.
        features: of the frozen backbone, or None to run the network on the images.
    """
    if features is None:
        return _image_batches(task, state, epoch, rows, seed)
    return _feature_batches(task, state, epoch, rows, features)


def _feature_batches(
    task: FoldTask, state: TrainingState, epoch: int, rows: Rows, features: FeatureCache
) -> Iterator[Batch]:
    targets = torch.from_numpy(task.targets)
    for batch_rows in split_batches(rows, get_batch_size(task.config, epoch)):
        yield Batch(
            n_images=len(batch_rows),
            targets=targets[batch_rows],
            forward=partial(_forward_features, state, features, batch_rows),
            content=f"features of images of {features.image_size} pixels",
        )


def _forward_features(state: TrainingState, features: FeatureCache, rows: Rows, part: slice, is_last: bool) -> Tensor:
    return features.compute_logits(state.model, rows[part])


def _image_batches(task: FoldTask, state: TrainingState, epoch: int, rows: Rows, seed: int) -> Iterator[Batch]:
    config, ranks = task.config, task.ranks
    image_size = get_image_size(config.resize.image_sizes, epoch, config.epochs)
    is_frozen = is_backbone_frozen(config.transfer, epoch)
    mixes = is_mixed(config.augment, epoch, config.epochs) and not is_frozen
    draws = np.random.default_rng(derive_seed(seed, "mix", ranks.rank))
    targets = torch.from_numpy(task.targets)
    share = partial(get_rank_slice, rank=ranks.rank, n_ranks=ranks.n_ranks)
    varied = iterate_training_batches(
        task.pixels(image_size),
        rows,
        batch_size=get_batch_size(config, epoch),
        transform=_build_transform(task, epoch, varies=not is_frozen),
        seed=seed,
        n_threads=task.n_threads,
        share=share,
    )
    for images, batch_rows in varied:
        mix = draw_mix(config.augment, len(images), image_size, draws) if mixes else None
        own = targets[batch_rows][share(len(batch_rows))]
        yield Batch(
            n_images=len(batch_rows),
            targets=own if mix is None else _mix_targets(own, task.competition.n_classes, mix),
            forward=partial(_forward_images, task, state, images, mix),
            content=f"images of {image_size} pixels",
        )


def _build_transform(task: FoldTask, epoch: int, *, varies: bool) -> Transform:
    resize, augment = task.config.resize, task.config.augment
    n_stages = len(resize.image_sizes)
    stage = get_stage(n_stages, epoch, task.config.epochs)
    return build_transform(
        augment if varies else AugmentConfig(policy="none"),
        evaluation=EvaluationPixels.from_config(task.config, resize.image_sizes[stage]),
        flips=task.competition.flips,
        strength=compute_stage_strength(stage, n_stages, scale_augment=resize.scale_augment),
    )


def _mix_targets(targets: Tensor, n_classes: int, mix: Mix) -> Tensor:
    soft_targets = to_soft_targets(targets, n_classes)
    return mix_targets(soft_targets, soft_targets[mix.partners], mix)


def _forward_images(
    task: FoldTask, state: TrainingState, images: NDArray[np.uint8], mix: Mix | None, part: slice, is_last: bool
) -> Tensor:
    """Mixed before they are parted, so that neither the size of micro-batches nor memory has a say in it."""
    normalise = Normalisation.from_model(state.model)
    normalised = normalise(images[part], task.device)
    if mix is not None:
        normalised = mix_images(normalised, normalise(images[mix.partners[part]], task.device), mix)
    return task.ranks.forward(state.model, normalised, is_last=is_last)
