"""The answer to a search space's questions: `TrialConfig` and its groups.

Frozen dataclasses that become JSON and come back equal; no invalid one exists.
Not responsible for: ranges to try (search_spaces) or acting on a value (automl.training).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.errors import UsageError

LOSSES = ("cross_entropy", "focal")
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "radam", "nadamw", "lion")
SCHEDULES = ("cosine", "constant")
AUGMENT_POLICIES = ("none", "light", "medium")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network: any timm backbone with a fresh linear head."""

    backbone: str
    pretrained: bool = True
    dropout: float = 0.0  # before the head
    drop_path: float = 0.0  # stochastic depth

    def __post_init__(self) -> None:
        _require(bool(self.backbone), "backbone", self.backbone, "the name of a timm model")
        _require(0.0 <= self.dropout < 1.0, "dropout", self.dropout, "in [0, 1)")
        _require(0.0 <= self.drop_path < 1.0, "drop_path", self.drop_path, "in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeConfig:
    """Image sizes in pixels per side, in the order in which they are trained; one means no schedule."""

    image_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = self.image_sizes
        _require(1 <= len(sizes) <= 5, "image_sizes", sizes, "one to five sizes")
        _require(all(8 <= s <= 4096 for s in sizes), "image_sizes", sizes, "between 8 and 4096")

    @classmethod
    def parse(cls, text: str) -> ResizeConfig:
        """Read "160-240-320", or "224" for no schedule.

        Raises:
            UsageError: the text is not sizes joined by hyphens.
        """
        if not re.fullmatch(r"\d+(-\d+)*", text):
            raise UsageError(
                f"'{text}' is not a resize schedule",
                hint="write sizes in pixels joined by hyphens, such as 224 or 160-240-320",
            )
        return cls(image_sizes=tuple(int(size) for size in text.split("-")))


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """What backpropagation minimises."""

    name: str = "cross_entropy"
    focal_gamma: float | None = None  # with focal only
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _require(self.name in LOSSES, "loss", self.name, f"one of {', '.join(LOSSES)}")
        if self.name == "focal":
            gamma = self.focal_gamma
            _require(gamma is not None and 0.0 <= gamma <= 10.0, "focal_gamma", gamma, "in [0, 10]")
        else:
            _require(self.focal_gamma is None, "focal_gamma", self.focal_gamma, "absent without focal loss")
        _require(0.0 <= self.label_smoothing < 1.0, "label_smoothing", self.label_smoothing, "in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """The optimizer and the course of its learning rate."""

    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup_fraction: float = 0.05  # of all steps
    clip_norm: float | None = 1.0  # of the gradient, None for no clipping

    def __post_init__(self) -> None:
        _require(self.optimizer in OPTIMIZERS, "optimizer", self.optimizer, f"one of {', '.join(OPTIMIZERS)}")
        _require(0.0 < self.lr < math.inf, "lr", self.lr, "positive and finite")
        _require(0.0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "not negative")
        _require(self.schedule in SCHEDULES, "schedule", self.schedule, f"one of {', '.join(SCHEDULES)}")
        _require(0.0 <= self.warmup_fraction < 1.0, "warmup_fraction", self.warmup_fraction, "in [0, 1)")
        _require(self.clip_norm is None or self.clip_norm > 0.0, "clip_norm", self.clip_norm, "positive or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How training images are varied; whether flips are allowed is the competition's affair."""

    policy: str = "light"

    def __post_init__(self) -> None:
        known = ", ".join(AUGMENT_POLICIES)
        _require(self.policy in AUGMENT_POLICIES, "augment", self.policy, f"one of {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """Everything that one trial trains with.

    Invariant: `TrialConfig.from_json(config.to_json()) == config`.
    """

    model: ModelConfig
    resize: ResizeConfig
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batch_size: int = 32
    epochs: int = 10  # the same for every trial of a study, so that steps compare
    freeze_epochs: int = 0  # first epochs in which only the head is trained

    def __post_init__(self) -> None:
        _require(2 <= self.batch_size <= 65536, "batch_size", self.batch_size, "at least 2")
        _require(1 <= self.epochs <= 10000, "epochs", self.epochs, "at least 1")
        stages = len(self.resize.image_sizes)
        _require(stages <= self.epochs, "epochs", self.epochs, f"at least one for each of {stages} image sizes")
        _require(0 <= self.freeze_epochs < self.epochs, "freeze_epochs", self.freeze_epochs, "below epochs")

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
                model=ModelConfig(**groups.pop("model")),
                resize=ResizeConfig(image_sizes=tuple(groups.pop("resize")["image_sizes"])),
                loss=LossConfig(**groups.pop("loss")),
                optim=OptimConfig(**groups.pop("optim")),
                augment=AugmentConfig(**groups.pop("augment")),
                **groups,
            )
        except (TypeError, KeyError) as error:
            raise UsageError(
                f"a trial's configuration is not of this version: {error}",
                hint="use the version of automl that wrote it, or begin another study with --study",
            ) from error


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UsageError(f"{name} = {value!r}, but it must be {expected}", hint="mend the search space")


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return value
