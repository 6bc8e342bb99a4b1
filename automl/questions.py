"""Parameters shared by several search spaces: each function suggests one group of the configuration.

The first of a question's answers leaves its trick off, so that a first trial that does not mention it does without.
A space of your own may use them or ask its own; it only has to return a TrialConfig.
See also: automl.training, which names the source of each trick.
"""

from __future__ import annotations

from collections.abc import Sequence

from automl.config import (
    FOCAL_LOSSES,
    AugmentConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResizeConfig,
    TransferConfig,
    parse_hidden,
)
from automl.suggest import Suggest

MIXINGS = ("none", "mixup", "cutmix", "both")
HEADS = ("linear", "256", "512-256")  # widths of hidden layers


def ask_resize(trial: Suggest, schedules: Sequence[str], *, scaled: bool = False) -> ResizeConfig:
    """Image sizes; with `scaled` also whether earlier stages have larger batches and weaker augmentation."""
    schedule = trial.suggest_categorical("resize", schedules)
    if not scaled or "-" not in schedule:
        return ResizeConfig.parse(schedule)
    return ResizeConfig.parse(
        schedule,
        scale_batch=trial.suggest_categorical("scale_batch", [False, True]),
        scale_augment=trial.suggest_categorical("scale_augment", [False, True]),
    )


def ask_head(
    trial: Suggest,
    backbone: str,
    *,
    poolings: Sequence[str],
    attentions: Sequence[str] = ("none",),
    cuts: Sequence[int] = (0,),
    pretrained: bool = True,
    drop_path: float = 0.0,
) -> ModelConfig:
    """Where the features are cut, how they are pooled, and the head on top of them.

    Args:
        drop_path: the highest rate of stochastic depth to ask for, where the backbone has it.
    """
    pooling = trial.suggest_categorical("pooling", poolings)
    attention, cut = "none", 0
    if pooling != "own":
        attention = trial.suggest_categorical("attention", attentions)
        cut = trial.suggest_categorical("cut", cuts)
    head = trial.suggest_categorical("head", HEADS)
    return ModelConfig(
        backbone=backbone,
        pretrained=pretrained,
        pooling=pooling,
        attention=attention,
        cut=cut,
        hidden=parse_hidden(head),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        drop_path=trial.suggest_float("drop_path", 0.0, drop_path) if drop_path > 0 else 0.0,
    )


def ask_loss(
    trial: Suggest, losses: Sequence[str], *, class_weights: Sequence[str] = (), smoothing: float = 0.0
) -> LossConfig:
    """The loss with what belongs to it.

    Args:
        class_weights: to choose from, none of them by default.
        smoothing: the highest label smoothing to ask for.
    """
    name = trial.suggest_categorical("loss", losses)
    return LossConfig(
        name=name,
        focal_gamma=trial.suggest_float("focal_gamma", 0.5, 5.0) if name in FOCAL_LOSSES else None,
        focal_alpha=trial.suggest_float("focal_alpha", 0.25, 0.75) if name == "focal_bce" else None,
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, smoothing) if smoothing > 0 else 0.0,
        class_weights=trial.suggest_categorical("class_weights", class_weights) if class_weights else "none",
    )


def ask_optim(
    trial: Suggest,
    optimizers: Sequence[str],
    *,
    lr: tuple[float, float],
    weight_decay: tuple[float, float],
    schedules: Sequence[str] = ("cosine",),
    clip_norms: Sequence[float | None] = (1.0,),
) -> OptimConfig:
    """The optimizer and the course of its learning rate; lr and weight_decay are asked on a log scale."""
    schedule = trial.suggest_categorical("schedule", schedules) if len(schedules) > 1 else schedules[0]
    return OptimConfig(
        optimizer=trial.suggest_categorical("optimizer", optimizers),
        lr=trial.suggest_float("lr", *lr, log=True),
        weight_decay=trial.suggest_float("weight_decay", *weight_decay, log=True),
        schedule=schedule,
        cycles=trial.suggest_int("cycles", 2, 4) if schedule == "cosine_restarts" else 1,
        clip_norm=trial.suggest_categorical("clip_norm", clip_norms) if len(clip_norms) > 1 else clip_norms[0],
    )


def ask_augment(trial: Suggest, policies: Sequence[str], *, mixes: bool = True) -> AugmentConfig:
    """How images are varied; with `mixes` also whether and how they are mixed with one another."""
    policy = trial.suggest_categorical("augment", policies)
    magnitude = trial.suggest_float("magnitude", 1.0, 9.0) if policy == "rand" else None
    mixing = trial.suggest_categorical("mixing", MIXINGS) if mixes else "none"
    alpha = trial.suggest_float("mix_alpha", 0.1, 1.0) if mixing != "none" else 0.0
    return AugmentConfig(
        policy=policy,
        magnitude=magnitude,
        mixup_alpha=alpha if mixing in ("mixup", "both") else 0.0,
        cutmix_alpha=alpha if mixing in ("cutmix", "both") else 0.0,
    )


def ask_transfer(
    trial: Suggest,
    *,
    freeze_epochs: int,
    trainable_blocks: Sequence[int | None] = (None,),
    layer_decays: Sequence[float] = (1.0,),
    head_init: str = "random",
    head_lr_factors: Sequence[float] = (1.0,),
) -> TransferConfig:
    """How much of the pretrained backbone is trained, and how fast; head_init is not asked.

    With a head that begins at the probe's solution, batch norms keep their statistics.
    """
    blocks = None
    if len(trainable_blocks) > 1:
        blocks = trial.suggest_categorical("trainable_blocks", trainable_blocks)
    decay = trial.suggest_categorical("layer_decay", layer_decays) if len(layer_decays) > 1 else layer_decays[0]
    factor = head_lr_factors[0]
    if len(head_lr_factors) > 1:
        factor = trial.suggest_categorical("head_lr_factor", head_lr_factors)
    return TransferConfig(
        freeze_epochs=trial.suggest_int("freeze_epochs", 0, freeze_epochs),
        trainable_blocks=blocks,
        layer_decay=decay,
        head_init=head_init,
        head_lr_factor=factor,
        freeze_norms=head_init == "probe",
    )


def ask_ema(trial: Suggest) -> float:
    """How far back the average of the weights reaches."""
    return float(trial.suggest_categorical("ema_horizon", [0.0, 0.02, 0.1]))
