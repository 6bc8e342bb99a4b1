"""Configuration of a trial: `TrialConfig` and its groups, which a search space returns.

Frozen dataclasses that become JSON and come back equal; no invalid one exists. Every trick is off by default.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.errors import UsageError
from automl.shared_settings import SharedSetting, declare_shared, find_shared_settings

POOLINGS = ("own", "avg", "max", "avgmax", "catavgmax", "gem", "flatten", "attention")
ATTENTIONS = ("none", "se", "cbam", "eca")
FOCAL_LOSSES = ("focal", "focal_bce")
RANK_LOSSES = ("ordinal", "smooth_l1")  # they take the classes' order for a scale
LOSSES = ("cross_entropy", "bce", *FOCAL_LOSSES, *RANK_LOSSES)
CLASS_WEIGHTS = ("none", "balanced", "effective")
CLASS_SAMPLINGS = ("natural", "sqrt", "balanced")
OPTIMIZERS = (
    "adam",
    "adamw",
    "sgd",
    "rmsprop",
    "radam",
    "nadamw",
    "lion",
    "lookahead_adam",
    "ranger",
    "sam",
    "muon",
)
SCHEDULES = ("cosine", "cosine_restarts", "one_cycle", "step", "plateau", "constant")
AUGMENT_POLICIES = ("none", "light", "medium", "heavy", "dihedral", "rand", "photometric")
EPOCH_CHOICES = ("last", "best")
HEAD_INITS = ("random", "probe")
INTERPOLATIONS = ("area", "bilinear", "bicubic", "lanczos")  # area first: that of configurations that name none


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network: any timm backbone, cut where wished, and a fresh head.

    Attributes:
        backbone: timm's name, with or without the tag of its pretraining.
        cut: how many of the backbone's last stages are left off.
        attention: block on the last feature map.
        pooling: of the last feature map; "own" is the backbone's.
        hidden: widths of the head's hidden layers; none is a linear head.
        dropout: before each of the head's layers.
        drop_path: stochastic depth.
    """

    backbone: str
    pretrained: bool = declare_shared(
        True, help="Start from pretrained weights.", in_fingerprint=True, affects_steps=True
    )
    cut: int = 0
    attention: str = "none"
    pooling: str = "own"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        _require(bool(self.backbone), "backbone", self.backbone, "the name of a timm model")
        _require(0 <= self.cut <= 4, "cut", self.cut, "between 0 and 4 stages")
        _require_known("attention", self.attention, ATTENTIONS)
        _require_known("pooling", self.pooling, POOLINGS)
        needs_map = self.cut > 0 or self.attention != "none"
        _require(not (needs_map and self.pooling == "own"), "pooling", self.pooling, "named with cut or attention")
        fits = len(self.hidden) <= 3 and all(1 <= width <= 16384 for width in self.hidden)
        _require(fits, "hidden", self.hidden, "up to three widths from 1 to 16384")
        _require(0.0 <= self.dropout < 1.0, "dropout", self.dropout, "in [0, 1)")
        _require(0.0 <= self.drop_path < 1.0, "drop_path", self.drop_path, "in [0, 1)")


def parse_hidden(text: str) -> tuple[int, ...]:
    """Read the widths of a head's hidden layers: "linear" for none, "256", or "512-256".

    Raises:
        UsageError: the text is neither.
    """
    if text == "linear":
        return ()
    if not re.fullmatch(r"\d+(-\d+)*", text):
        raise UsageError(f"'{text}' is not a head", hint="write linear, or widths joined by hyphens, such as 512-256")
    return tuple(int(width) for width in text.split("-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConfig:
    """How much of the pretrained backbone is trained, and how fast.

    Attributes:
        freeze_epochs: first epochs in which the head alone is trained, on images as they are.
        trainable_blocks: how many of the backbone's last blocks are ever trained; None is all, 0 is the head alone.
        layer_decay: each layer's learning rate over that of the layer above it; 1 is the same for all.
        head_init: the head's first weights: by chance, or the best ones for the backbone's features as they are, as
            automl.training.linear_head fits them; by chance where the weights are not pretrained, the head has hidden
            layers, or the pooling parameters.
        head_lr_factor: learning rate of pooling and head over that of the backbone's last layer.
        freeze_norms: whether the backbone's batch norms keep the statistics that they were pretrained with; a head that
            fits the features as they are would not fit those of a batch's own statistics.
    """

    freeze_epochs: int = 0
    trainable_blocks: int | None = None
    layer_decay: float = 1.0
    head_init: str = "random"
    head_lr_factor: float = 1.0
    freeze_norms: bool = False

    def __post_init__(self) -> None:
        _require(self.freeze_epochs >= 0, "freeze_epochs", self.freeze_epochs, "not negative")
        blocks = self.trainable_blocks
        _require(blocks is None or blocks >= 0, "trainable_blocks", blocks, "none, or not negative")
        _require(0.0 < self.layer_decay <= 1.0, "layer_decay", self.layer_decay, "in (0, 1]")
        _require_known("head_init", self.head_init, HEAD_INITS)
        _require(0.0 < self.head_lr_factor < math.inf, "head_lr_factor", self.head_lr_factor, "positive and finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeConfig:
    """Image sizes in pixels per side, in the order in which they are trained, and how images come to them.

    Attributes:
        image_sizes: each is rounded to the nearest that the backbone takes; one means no schedule.
        scale_batch: whether stages of smaller images have larger batches, which take the same memory.
        scale_augment: whether stages of smaller images are augmented less.
        interpolation: of the images that are predicted. A trial that begins with neither this nor crop_pct set takes
            both from its backbone's pretraining; see automl.training.trial_context.
        crop_pct: side of the middle that is predicted / side of the whole image.
    """

    image_sizes: tuple[int, ...]
    scale_batch: bool = False
    scale_augment: bool = False
    interpolation: str = "area"
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        sizes = self.image_sizes
        _require(1 <= len(sizes) <= 5, "image_sizes", sizes, "one to five sizes")
        _require(all(8 <= s <= 4096 for s in sizes), "image_sizes", sizes, "between 8 and 4096")
        _require_known("interpolation", self.interpolation, INTERPOLATIONS)
        _require(0.0 < self.crop_pct <= 1.0, "crop_pct", self.crop_pct, "in (0, 1]")

    @classmethod
    def parse(cls, text: str, *, scale_batch: bool = False, scale_augment: bool = False) -> ResizeConfig:
        """Read "160-240-320", or "224" for no schedule.

        Raises:
            UsageError: the text is not sizes joined by hyphens.
        """
        if not re.fullmatch(r"\d+(-\d+)*", text):
            raise UsageError(
                f"'{text}' is not a resize schedule",
                hint="write sizes in pixels joined by hyphens, such as 224 or 160-240-320",
            )
        sizes = tuple(int(size) for size in text.split("-"))
        return cls(image_sizes=sizes, scale_batch=scale_batch, scale_augment=scale_augment)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """What backpropagation minimises.

    Attributes:
        focal_gamma: with a focal loss only.
        focal_alpha: weight of positives with focal_bce, that of negatives is 1 - alpha; for focal see class_weights.
        class_weights: of each image's loss, by its class, its labels, or the tenth of the scale that its values are in.
    """

    name: str = "cross_entropy"
    focal_gamma: float | None = None
    focal_alpha: float | None = None
    label_smoothing: float = 0.0
    class_weights: str = "none"

    def __post_init__(self) -> None:
        _require_known("loss", self.name, LOSSES)
        _require_known("class_weights", self.class_weights, CLASS_WEIGHTS)
        gamma, alpha = self.focal_gamma, self.focal_alpha
        if self.name in FOCAL_LOSSES:
            _require(gamma is not None and 0.0 <= gamma <= 10.0, "focal_gamma", gamma, "in [0, 10]")
        else:
            _require(gamma is None, "focal_gamma", gamma, "absent without focal loss")
        if self.name == "focal_bce":
            _require(alpha is None or 0.0 < alpha < 1.0, "focal_alpha", alpha, "none, or in (0, 1)")
        else:
            _require(alpha is None, "focal_alpha", alpha, "absent without focal_bce; use class_weights")
        highest = 0.0 if self.name in RANK_LOSSES else 0.999
        expected = "0 with a loss of ranks" if self.name in RANK_LOSSES else "in [0, 1)"
        _require(0.0 <= self.label_smoothing <= highest, "label_smoothing", self.label_smoothing, expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """The optimizer and the course of its learning rate.

    Attributes:
        lr: the highest that the schedule reaches.
        warmup_fraction: of all steps; one_cycle has a warmup of its own.
        cycles: how often cosine_restarts falls.
        clip_norm: of the gradient, None for no clipping.
        sam_rho: radius of the neighbourhood that sam looks at.
    """

    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup_fraction: float = 0.05
    cycles: int = 1
    clip_norm: float | None = 1.0
    sam_rho: float = 0.05

    def __post_init__(self) -> None:
        _require_known("optimizer", self.optimizer, OPTIMIZERS)
        _require(0.0 < self.lr < math.inf, "lr", self.lr, "positive and finite")
        _require(0.0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "not negative")
        _require_known("schedule", self.schedule, SCHEDULES)
        _require(0.0 <= self.warmup_fraction < 1.0, "warmup_fraction", self.warmup_fraction, "in [0, 1)")
        restarts = self.schedule == "cosine_restarts"
        _require(self.cycles == 1 or (restarts and self.cycles > 1), "cycles", self.cycles, "1 without restarts")
        _require(self.clip_norm is None or self.clip_norm > 0.0, "clip_norm", self.clip_norm, "positive or none")
        _require(0.0 < self.sam_rho <= 1.0, "sam_rho", self.sam_rho, "in (0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How training images are varied; whether flips are allowed is the competition's affair.

    Attributes:
        magnitude: of policy rand, from 0 (light alone) to 10.
        mixup_alpha, cutmix_alpha: of the Beta distribution that mixing draws from, 0 is off; with both on, each batch
            has one of them.
        mix_probability: of a batch being mixed at all.
        mix_off_fraction: of the epochs, the last ones, in which nothing is mixed.
    """

    policy: str = "light"
    magnitude: float | None = None
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mix_probability: float = 1.0
    mix_off_fraction: float = 0.2

    def __post_init__(self) -> None:
        _require_known("augment", self.policy, AUGMENT_POLICIES)
        magnitude = self.magnitude
        if self.policy == "rand":
            _require(magnitude is not None and 0.0 <= magnitude <= 10.0, "magnitude", magnitude, "in [0, 10]")
        else:
            _require(magnitude is None, "magnitude", magnitude, "absent without policy rand")
        _require(0.0 <= self.mixup_alpha < math.inf, "mixup_alpha", self.mixup_alpha, "not negative")
        _require(0.0 <= self.cutmix_alpha < math.inf, "cutmix_alpha", self.cutmix_alpha, "not negative")
        _require(0.0 < self.mix_probability <= 1.0, "mix_probability", self.mix_probability, "in (0, 1]")
        _require(0.0 <= self.mix_off_fraction <= 1.0, "mix_off_fraction", self.mix_off_fraction, "in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """Everything that one trial trains with.

    Invariant: `TrialConfig.from_json(config.to_json()) == config`.

    Attributes:
        class_sampling: how often an epoch shows the images of each class, rarest label, or tenth of the scale.
        batch_size: of one step, in however many passes memory demands; at the last image size.
        epochs: the same for every trial of a study, so that steps compare.
        ema_horizon: how far back the average of the weights reaches, as a fraction of all steps; 0 is no average.
        epoch_choice: whose weights predict: those of the last epoch, or of the best one at the last image size.
        patience: epochs without a better score after which training ends; None is never.
        compile: whether the network is compiled first.
    """

    model: ModelConfig
    resize: ResizeConfig
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    class_sampling: str = "natural"
    batch_size: int = 32
    epochs: int = declare_shared(
        10,
        help="Epochs of each trial, instead of the space's.",
        in_fingerprint=True,
        affects_steps=True,
        minimum=1,
    )
    ema_horizon: float = 0.0
    epoch_choice: str = declare_shared(
        "last",
        help="Whose weights predict: last, or best by the validation score, which flatters that score.",
        in_fingerprint=True,
        affects_steps=False,
        choices=EPOCH_CHOICES,
    )
    patience: int | None = declare_shared(
        None,
        help="Epochs without a better score after which a trial ends.",
        in_fingerprint=True,
        affects_steps=False,
        minimum=1,
    )
    compile: bool = declare_shared(
        False,
        help="Compile each network first, which takes minutes.",
        in_fingerprint=True,
        affects_steps=False,
    )

    def __post_init__(self) -> None:
        _require_known("class_sampling", self.class_sampling, CLASS_SAMPLINGS)
        _require(2 <= self.batch_size <= 65536, "batch_size", self.batch_size, "at least 2")
        _require(1 <= self.epochs <= 10000, "epochs", self.epochs, "at least 1")
        stages = len(self.resize.image_sizes)
        _require(stages <= self.epochs, "epochs", self.epochs, f"at least one for each of {stages} image sizes")
        frozen = self.transfer.freeze_epochs
        _require(frozen < self.epochs, "freeze_epochs", frozen, "below epochs")
        _require(0.0 <= self.ema_horizon <= 1.0, "ema_horizon", self.ema_horizon, "in [0, 1]")
        _require_known("epoch_choice", self.epoch_choice, EPOCH_CHOICES)
        _require(self.patience is None or self.patience >= 1, "patience", self.patience, "none, or at least 1")

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars."""
        document: dict[str, Any] = _listed(dataclasses.asdict(self))
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrialConfig:
        """The config that `to_json` wrote.

        Raises:
            UsageError: a key is unknown or a value invalid.
        """
        groups = dict(document)
        try:
            return cls(
                model=ModelConfig(**_tupled(groups.pop("model"))),
                resize=ResizeConfig(**_tupled(groups.pop("resize"))),
                loss=LossConfig(**groups.pop("loss")),
                optim=OptimConfig(**groups.pop("optim")),
                augment=AugmentConfig(**groups.pop("augment")),
                transfer=TransferConfig(**groups.pop("transfer")),
                **groups,
            )
        except (TypeError, KeyError) as error:
            raise UsageError(
                f"a trial's configuration is not of this version: {error}",
                hint="use the version of automl that wrote it, or begin another study with --study",
            ) from error


@functools.cache
def list_shared_settings() -> tuple[SharedSetting, ...]:
    """Return every setting that a flag may set for all trials, those of TrialConfig's groups first."""
    return find_shared_settings(TrialConfig)


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UsageError(f"{name} = {value!r}, but it must be {expected}", hint="fix the search space")


def _require_known(name: str, value: str, known: tuple[str, ...]) -> None:
    _require(value in known, name, value, f"one of {', '.join(known)}")


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return value


def _tupled(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in group.items()}
