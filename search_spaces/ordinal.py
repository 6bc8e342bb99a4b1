"""Classes with an order, such as grades, stages and ages: losses that know that 4 is further from 0 than 1 is.

    automl search --space ordinal --trials 50 --gpus 4

The order is that of the classes as `automl search` names them. Diabetic retinopathy (APTOS 2019) was won with smooth
L1 on the grade, prostate cancer grading (PANDA) with ordinal bins; images as large as memory allows matter more there
than the network.
"""

from __future__ import annotations

from automl.config import ModelConfig, TrialConfig
from automl.questions import ask_augment, ask_ema, ask_loss, ask_optim, ask_resize, ask_transfer
from automl.space import Suggest

EPOCHS = 15

BACKBONES = [
    "efficientnet_b3",
    "efficientnet_b0",
    "efficientnet_b5",
    "tf_efficientnetv2_s",
    "seresnext50_32x4d",
    "inception_v4",
    "convnext_tiny",
]

FIRST_TRIALS = (
    {"backbone": "efficientnet_b3", "resize": "320", "loss": "smooth_l1", "optimizer": "adamw", "lr": 3e-4},
    {"backbone": "seresnext50_32x4d", "resize": "256-384", "loss": "ordinal", "optimizer": "adamw", "lr": 3e-4},
    {"backbone": "efficientnet_b3", "resize": "320", "loss": "cross_entropy", "optimizer": "adamw", "lr": 3e-4},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A fine-tuning configuration for classes with an order."""
    return TrialConfig(
        model=ModelConfig(
            backbone=trial.suggest_categorical("backbone", BACKBONES),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
        ),
        resize=ask_resize(trial, ["320", "512", "256-384", "256-384-512"], scaled=True),
        loss=ask_loss(trial, ["smooth_l1", "ordinal", "cross_entropy", "focal"]),
        optim=ask_optim(trial, ["adamw", "adam", "radam"], lr=(1e-5, 3e-3), weight_decay=(1e-6, 1e-1)),
        augment=ask_augment(trial, ["light", "medium", "heavy", "dihedral"], mixes=False),
        class_sampling=trial.suggest_categorical("class_sampling", ["natural", "sqrt"]),
        batch_size=trial.suggest_categorical("batch_size", [16, 8, 32]),
        epochs=EPOCHS,
        transfer=ask_transfer(trial, freeze_epochs=2, head_init="probe"),
        ema_horizon=ask_ema(trial),
    )
