"""The networks of the textbooks: VGG, ResNet, ResNeXt, Inception, DenseNet.

    automl search --space classic --trials 50 --gpus 4

Errors of these families differ from those of EfficientNet, which is what an ensemble lives on. LeNet and AlexNet are
missing because timm has neither.
"""

from __future__ import annotations

from automl.config import (
    AugmentConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResizeConfig,
    TransferConfig,
    TrialConfig,
)
from automl.space import Suggest

EPOCHS = 12

VGG = ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
RESNET = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
RESNEXT = ["resnext50_32x4d", "resnext101_32x8d"]
INCEPTION = ["inception_v3", "inception_v4", "inception_resnet_v2"]
DENSENET = ["densenet121", "densenet161", "densenet169", "densenet201"]

FIRST_TRIALS = (
    {"backbone": "resnet50", "resize": "224", "optimizer": "sgd", "lr": 1e-2, "weight_decay": 1e-4, "batch_size": 32},
    {"backbone": "densenet121", "resize": "160-224", "optimizer": "adam", "lr": 1e-4, "batch_size": 32},
    {"backbone": "inception_v3", "resize": "288", "optimizer": "adamw", "lr": 1e-4, "batch_size": 32},
    {"backbone": "resnext50_32x4d", "resize": "224", "optimizer": "adamw", "lr": 1e-4, "batch_size": 32},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A fine-tuning configuration of one classic network."""
    backbone = trial.suggest_categorical("backbone", [*RESNET, *RESNEXT, *DENSENET, *INCEPTION, *VGG])
    resize = trial.suggest_categorical("resize", ["224", "288", "160-224", "128-192-256", "160-240-320"])
    loss = trial.suggest_categorical("loss", ["cross_entropy", "focal"])
    focal_gamma = trial.suggest_float("focal_gamma", 0.5, 5.0) if loss == "focal" else None
    return TrialConfig(
        model=ModelConfig(backbone=backbone, dropout=trial.suggest_float("dropout", 0.0, 0.5)),
        resize=ResizeConfig.parse(resize),
        loss=LossConfig(name=loss, focal_gamma=focal_gamma),
        optim=OptimConfig(
            optimizer=trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw"]),
            lr=trial.suggest_float("lr", 1e-5, 3e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        ),
        augment=AugmentConfig(policy=trial.suggest_categorical("augment", ["light", "medium", "none"])),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=TransferConfig(freeze_epochs=trial.suggest_int("freeze_epochs", 0, 2)),
    )
