"""EfficientNet from B0 to B7 and EfficientNetV2: one family in all its sizes.

    automl search --space efficientnet --trials 50 --gpus 4

For when this family is known to suit the images and only its size, its image size and its recipe are open. The larger
networks want larger images: B0 was made for 224 pixels, B3 for 300, B7 for 600.
"""

from __future__ import annotations

from automl.config import ModelConfig, TrialConfig
from automl.questions import ask_augment, ask_ema, ask_loss, ask_optim, ask_resize, ask_transfer
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
    {"backbone": "tf_efficientnetv2_s", "resize": "160-240-320", "optimizer": "adamw", "lr": 1e-4, "batch_size": 32},
    {"backbone": "efficientnet_b0", "resize": "224", "optimizer": "adamw", "lr": 3e-4, "batch_size": 32},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A fine-tuning configuration of one EfficientNet."""
    return TrialConfig(
        model=ModelConfig(
            backbone=trial.suggest_categorical("backbone", BACKBONES),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            drop_path=trial.suggest_float("drop_path", 0.0, 0.3),
        ),
        resize=ask_resize(trial, ["224", "320", "448", "160-224", "160-240-320", "224-320-448"], scaled=True),
        loss=ask_loss(trial, ["cross_entropy", "focal"], smoothing=0.2),
        optim=ask_optim(trial, ["adamw", "adam", "radam", "rmsprop"], lr=(1e-5, 3e-3), weight_decay=(1e-6, 1e-1)),
        augment=ask_augment(trial, ["light", "medium", "heavy", "none"]),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=ask_transfer(trial, freeze_epochs=2, head_init="probe"),
        ema_horizon=ask_ema(trial),
    )
