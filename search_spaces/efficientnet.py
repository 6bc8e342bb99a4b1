"""EfficientNet from B0 to B7 and EfficientNetV2: one family in all its sizes.

    automl search --space efficientnet --trials 50 --gpus 4

For when this family is known to suit the images and only its size, its image size and its recipe are open. The larger
networks want larger images: B0 was made for 224 pixels, B3 for 300, B7 for 600.
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

BACKBONES = [
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "tf_efficientnet_b6",  # timm has no weights of its own for B6 and B7
    "tf_efficientnet_b7",
    "tf_efficientnetv2_b0",
    "tf_efficientnetv2_b1",
    "tf_efficientnetv2_b2",
    "tf_efficientnetv2_b3",
    "tf_efficientnetv2_s",
    "tf_efficientnetv2_m",
    "tf_efficientnetv2_l",
]

FIRST_TRIALS = (
    {
        "backbone": "efficientnet_b3",
        "resize": "320",
        "optimizer": "adam",
        "lr": 3e-5,
        "batch_size": 16,
        "augment": "light",
    },
    {"backbone": "tf_efficientnetv2_s", "resize": "160-240-320", "optimizer": "adamw", "lr": 3e-4, "batch_size": 32},
    {"backbone": "efficientnet_b0", "resize": "224", "optimizer": "adamw", "lr": 1e-3, "batch_size": 32},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A fine-tuning configuration of one EfficientNet."""
    backbone = trial.suggest_categorical("backbone", BACKBONES)
    resize = trial.suggest_categorical("resize", ["224", "320", "448", "160-224", "160-240-320", "224-320-448"])
    loss = trial.suggest_categorical("loss", ["cross_entropy", "focal"])
    focal_gamma = trial.suggest_float("focal_gamma", 0.5, 5.0) if loss == "focal" else None
    return TrialConfig(
        model=ModelConfig(
            backbone=backbone,
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            drop_path=trial.suggest_float("drop_path", 0.0, 0.3),
        ),
        resize=ResizeConfig.parse(resize),
        loss=LossConfig(name=loss, focal_gamma=focal_gamma),
        optim=OptimConfig(
            optimizer=trial.suggest_categorical("optimizer", ["adamw", "adam", "radam", "rmsprop"]),
            lr=trial.suggest_float("lr", 1e-5, 3e-3, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        ),
        augment=AugmentConfig(policy=trial.suggest_categorical("augment", ["light", "medium", "none"])),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=TransferConfig(freeze_epochs=trial.suggest_int("freeze_epochs", 0, 2)),
    )
