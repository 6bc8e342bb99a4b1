"""The first space to try on a GPU: the convolutional families that win image competitions, fine-tuned.

    automl search --trials 50 --gpus 4
    automl search --trials 50 --choices backbone=efficientnet_b0,densenet121 --fix optimizer=adamw

Meant for 1,000 to 50,000 photographs. The curated first trials are ordinary fine-tuning recipes, and one of them is
usually among the best ten in the end. A trial's cost varies by a factor of forty within this space, from minutes with
EfficientNet-B0 at 224 pixels to hours with B7 at 320.
"""

from __future__ import annotations

from automl.config import ModelConfig, TrialConfig
from automl.questions import ask_augment, ask_ema, ask_loss, ask_optim, ask_resize, ask_transfer
from automl.space import Suggest

EPOCHS = 12  # divides into two and three stages

EFFICIENTNET = [
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "tf_efficientnet_b6",  # timm has no weights of its own for B6 and B7
    "tf_efficientnet_b7",
    "tf_efficientnetv2_b0",
    "tf_efficientnetv2_b3",
    "tf_efficientnetv2_s",
    "tf_efficientnetv2_m",
]
DENSENET = ["densenet121", "densenet161", "densenet169", "densenet201"]
INCEPTION = ["inception_v3", "inception_v4"]
RESNET = ["resnet34", "resnet50", "resnet101"]
RESNEXT = ["resnext50_32x4d", "resnext101_32x8d"]

FIRST_TRIALS = (
    {
        "backbone": "efficientnet_b3",
        "resize": "320",
        "optimizer": "adam",
        "lr": 3e-5,
        "weight_decay": 1e-5,
        "dropout": 0.3,
        "batch_size": 16,
        "augment": "light",
        "freeze_epochs": 0,
    },
    {
        "backbone": "tf_efficientnetv2_s",
        "resize": "160-240-320",
        "optimizer": "adamw",
        "lr": 1e-4,
        "weight_decay": 1e-2,
        "dropout": 0.2,
        "batch_size": 32,
        "augment": "medium",
        "freeze_epochs": 1,
    },
    {
        "backbone": "resnext50_32x4d",
        "resize": "224",
        "optimizer": "adamw",
        "lr": 1e-4,
        "weight_decay": 1e-3,
        "dropout": 0.1,
        "batch_size": 32,
        "augment": "medium",
        "freeze_epochs": 1,
    },
    {
        "backbone": "densenet121",
        "resize": "160-224",
        "optimizer": "adam",
        "lr": 1e-4,
        "weight_decay": 1e-5,
        "dropout": 0.2,
        "batch_size": 32,
        "augment": "light",
        "freeze_epochs": 1,
    },
    {
        "backbone": "resnet50",
        "resize": "224",
        "optimizer": "sgd",
        "lr": 1e-2,
        "weight_decay": 1e-4,
        "dropout": 0.0,
        "batch_size": 32,
        "augment": "light",
        "freeze_epochs": 0,
    },
)


def suggest(trial: Suggest) -> TrialConfig:
    """A fine-tuning configuration."""
    backbone = trial.suggest_categorical("backbone", [*EFFICIENTNET, *DENSENET, *INCEPTION, *RESNET, *RESNEXT])
    return TrialConfig(
        model=ModelConfig(backbone=backbone, dropout=trial.suggest_float("dropout", 0.0, 0.5)),
        resize=ask_resize(trial, ["224", "320", "160-224", "128-192-256", "160-240-320"]),
        loss=ask_loss(trial, ["cross_entropy", "focal"], smoothing=0.2),
        optim=ask_optim(
            trial, ["adam", "adamw", "radam", "rmsprop", "sgd"], lr=(1e-5, 1e-2), weight_decay=(1e-6, 1e-1)
        ),
        augment=ask_augment(trial, ["none", "light", "medium", "heavy"]),
        batch_size=trial.suggest_categorical("batch_size", [16, 32, 64]),
        epochs=EPOCHS,
        transfer=ask_transfer(trial, freeze_epochs=2, head_init="probe"),
        ema_horizon=ask_ema(trial),
    )
