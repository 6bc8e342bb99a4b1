"""What a fold trains on, and how it comes to the loop in batches: varied, mixed, or as features of a frozen backbone.

Not responsible for: how single images are varied (automl.data.transforms), the algebra of mixing
(automl.training.loss.mixup), or gradients (automl.training.optim.accumulation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.config import AugmentConfig, TrialConfig
from automl.data.augmentation import strength_of_stage
from automl.data.competition import Competition
from automl.data.pixels import Pixels
from automl.data.transforms import Transform, build_transform, parted, training_batches
from automl.training.checkpoints import TrainingState
from automl.training.distributed.peers import Alone, Peers, share_of
from automl.training.feature_cache import FeatureCache
from automl.training.loss.class_balance import epoch_rows, sampled_kinds, weighed_counts
from automl.training.loss.losses import Loss, build_loss
from automl.training.loss.mixup import Mix, as_shares, draw_mix, is_mixed, mix_images, mix_shares
from automl.training.loss.soft_targets import Taught
from automl.training.network.create import Normalisation
from automl.training.optim.accumulation import Batch
from automl.training.optim.freezing import is_body_frozen
from automl.training.resizing import batch_size_of_epoch, image_size_of_epoch, stage_of_epoch
from automl.training.seeding import derive_seed

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTask:
    """What a fold trains and is validated on.

    Attributes:
        pixels: image size -> (n, C, C, 3) of the training images' cache; with a lesson those of the test images follow.
        train_rows: (n_train,) row numbers, at least 2.
        valid_rows: (n_valid,) row numbers, all below n.
        taught: what a lesson has it trained on in place of the labels; scores are always those of the labels.
        seeds: study's seed, trial, fold.
        device: of this process; its peers have others.
    """

    config: TrialConfig
    competition: Competition
    pixels: Callable[[int], Pixels]
    train_rows: Rows
    valid_rows: Rows
    seeds: tuple[int, ...]
    device: str
    n_threads: int
    peers: Peers = field(default_factory=Alone)
    taught: Taught | None = None

    @property
    def targets(self) -> NDArray[Any]:
        """By rows of the pixels: what losses take."""
        return self.competition.training_targets if self.taught is None else self.taught.targets

    @property
    def labelled(self) -> Competition:
        """By rows of the pixels: what class sampling and class weights go by."""
        return self.competition if self.taught is None else self.taught.labelled

    @property
    def prior(self) -> NDArray[np.float64] | None:
        """(n_classes,) the mean of the shares that are trained on; None where an image has one class."""
        if self.competition.task.one_class_each:
            return None
        shares = self.competition.shares if self.taught is None else self.taught.targets
        mean: NDArray[np.float64] = shares[self.train_rows].mean(axis=0, dtype=np.float64)
        return mean

    @property
    def greater_is_better(self) -> bool:
        return self.competition.metric.greater_is_better


def loss_of_fold(task: FoldTask) -> Loss:
    """The configuration's loss, with class weights by the rows that are trained on."""
    loss, competition = task.config.loss, task.competition
    counts = None if loss.class_weights == "none" else weighed_counts(task.labelled, task.train_rows)
    return build_loss(loss, task=competition.task, n_classes=competition.n_classes, class_counts=counts)


def rows_of_epoch(task: FoldTask, rng: np.random.Generator) -> Rows:
    """(n_train,) the rows of an epoch in the order in which they are trained on, as class_sampling draws them."""
    sampling = task.config.class_sampling
    kinds = None if sampling == "natural" else sampled_kinds(task.labelled)
    return epoch_rows(task.train_rows, kinds, sampling, rng)


def batches_of_epoch(
    task: FoldTask, state: TrainingState, epoch: int, rows: Rows, *, seed: int, features: FeatureCache | None
) -> Iterator[Batch]:
    """What the steps of an epoch train on, in the order of rows.

    While the backbone is frozen, images are neither varied nor mixed: its features, wherever they come from, are then
    those of the images as they are.

    Args:
        seed: of the epoch; what happens to an image follows from it and the image's place.
        features: of the frozen backbone, or None to run the network on the images.
    """
    if features is None:
        return _image_batches(task, state, epoch, rows, seed)
    return _feature_batches(task, state, epoch, rows, features)


def _feature_batches(
    task: FoldTask, state: TrainingState, epoch: int, rows: Rows, features: FeatureCache
) -> Iterator[Batch]:
    targets = torch.from_numpy(task.targets)
    for batch_rows in parted(rows, batch_size_of_epoch(task.config, epoch)):
        yield Batch(
            n_images=len(batch_rows),
            targets=targets[batch_rows],
            forward=partial(_forward_features, state, features, batch_rows),
            content=f"features of images of {features.image_size} pixels",
        )


def _forward_features(state: TrainingState, features: FeatureCache, rows: Rows, part: slice, is_last: bool) -> Tensor:
    return features.logits(state.model, rows[part])


def _image_batches(task: FoldTask, state: TrainingState, epoch: int, rows: Rows, seed: int) -> Iterator[Batch]:
    config, peers = task.config, task.peers
    image_size = image_size_of_epoch(config.resize.image_sizes, epoch, config.epochs)
    is_frozen = is_body_frozen(config.transfer, epoch)
    mixes = is_mixed(config.augment, epoch, config.epochs) and not is_frozen
    draws = np.random.default_rng(derive_seed(seed, "mix", peers.rank))
    targets = torch.from_numpy(task.targets)
    share = partial(share_of, rank=peers.rank, n_ranks=peers.n_ranks)
    varied = training_batches(
        task.pixels(image_size),
        rows,
        batch_size=batch_size_of_epoch(config, epoch),
        transform=_transform(task, epoch, varies=not is_frozen),
        seed=seed,
        n_threads=task.n_threads,
        share=share,
    )
    for images, batch_rows in varied:
        mix = draw_mix(config.augment, len(images), image_size, draws) if mixes else None
        own = targets[batch_rows][share(len(batch_rows))]
        yield Batch(
            n_images=len(batch_rows),
            targets=own if mix is None else _mixed_targets(own, task.competition.n_classes, mix),
            forward=partial(_forward_images, task, state, images, mix),
            content=f"images of {image_size} pixels",
        )


def _transform(task: FoldTask, epoch: int, *, varies: bool) -> Transform:
    resize, augment = task.config.resize, task.config.augment
    n_stages = len(resize.image_sizes)
    stage = stage_of_epoch(n_stages, epoch, task.config.epochs)
    return build_transform(
        augment if varies else AugmentConfig(policy="none"),
        image_size=resize.image_sizes[stage],
        flips=task.competition.flips,
        strength=strength_of_stage(stage, n_stages, scale_augment=resize.scale_augment),
    )


def _mixed_targets(targets: Tensor, n_classes: int, mix: Mix) -> Tensor:
    shares = as_shares(targets, n_classes)
    return mix_shares(shares, shares[mix.partners], mix)


def _forward_images(
    task: FoldTask, state: TrainingState, images: NDArray[np.uint8], mix: Mix | None, part: slice, is_last: bool
) -> Tensor:
    """Mixed before they are parted, so that neither the size of micro-batches nor memory has a say in it."""
    normalise = Normalisation.of(state.model)
    normalised = normalise(images[part], task.device)
    if mix is not None:
        normalised = mix_images(normalised, normalise(images[mix.partners[part]], task.device), mix)
    return task.peers.forward(state.model, normalised, is_last=is_last)
