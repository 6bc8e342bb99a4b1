"""Small networks and small images, for a CPU, a first try, and `make demo`.

    automl search --space tiny --no-pretrained --trials 12

Expect a trial on 1,400 images to take 5 to 15 seconds on one core and, nine times out of ten, to read scikit-learn's
8x8 digits from scratch with 96 to 99 % accuracy. On photographs it shows that everything works, not how good a model
can be: with a GPU use `default`.
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

EPOCHS = 8

FIRST_TRIALS = (
    {
        "backbone": "test_resnet",
        "resize": "32",
        "optimizer": "adamw",
        "lr": 3e-3,
        "weight_decay": 1e-2,
        "batch_size": 32,
    },
    {"backbone": "test_byobnet", "resize": "24-32", "optimizer": "adamw", "lr": 3e-3, "weight_decay": 1e-2},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A configuration that trains in seconds."""
    backbone = trial.suggest_categorical("backbone", ["test_resnet", "test_byobnet", "test_efficientnet"])
    resize = trial.suggest_categorical("resize", ["32", "24-32", "32-48"])
    loss = trial.suggest_categorical("loss", ["cross_entropy", "focal"])
    focal_gamma = trial.suggest_float("focal_gamma", 0.5, 3.0) if loss == "focal" else None
    return TrialConfig(
        model=ModelConfig(backbone=backbone, dropout=trial.suggest_float("dropout", 0.0, 0.3)),
        resize=ResizeConfig.parse(resize),
        loss=LossConfig(name=loss, focal_gamma=focal_gamma),
        optim=OptimConfig(
            optimizer=trial.suggest_categorical("optimizer", ["adamw", "adam", "nadamw"]),
            lr=trial.suggest_float("lr", 1e-3, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
        ),
        augment=AugmentConfig(policy=trial.suggest_categorical("augment", ["light", "medium", "none"])),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=TransferConfig(freeze_epochs=trial.suggest_int("freeze_epochs", 0, 1)),
    )
