"""What wins today: ConvNeXt and its relatives, DINOv3, and transformers of a fixed image size.

    automl search --space modern --trials 50 --gpus 4

Strong on photographs and with few labels, thanks to their pretraining; they want small learning rates and more memory
than `default`. ViT and Swin take images of 224 pixels only, so that they are not asked for a resize schedule.
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

ANY_SIZE = [
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnextv2_nano",
    "convnextv2_tiny",
    "convnextv2_base",
    "caformer_s18",
    "nfnet_l0",
    "vit_small_patch16_dinov3",  # any multiple of 16
    "vit_base_patch16_dinov3",
]
ONLY_224 = ["vit_small_patch16_224", "vit_base_patch16_224", "swin_tiny_patch4_window7_224"]

FIRST_TRIALS = (
    {"backbone": "convnext_tiny", "resize": "224", "lr": 1e-4, "weight_decay": 5e-2, "drop_path": 0.1},
    {"backbone": "vit_small_patch16_dinov3", "resize": "256", "lr": 3e-5, "weight_decay": 5e-2, "drop_path": 0.1},
    {"backbone": "convnextv2_tiny", "resize": "160-224", "lr": 1e-4, "weight_decay": 5e-2, "drop_path": 0.1},
    {"backbone": "swin_tiny_patch4_window7_224", "lr": 5e-5, "weight_decay": 5e-2, "drop_path": 0.1},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A fine-tuning configuration of one modern network."""
    backbone = trial.suggest_categorical("backbone", [*ANY_SIZE, *ONLY_224])
    resize = "224"
    if backbone not in ONLY_224:
        resize = trial.suggest_categorical("resize", ["224", "256", "320", "160-224", "128-192-256", "160-240-320"])
    loss = trial.suggest_categorical("loss", ["cross_entropy", "focal"])
    focal_gamma = trial.suggest_float("focal_gamma", 0.5, 5.0) if loss == "focal" else None
    return TrialConfig(
        model=ModelConfig(
            backbone=backbone,
            dropout=trial.suggest_float("dropout", 0.0, 0.3),
            drop_path=trial.suggest_float("drop_path", 0.0, 0.3),
        ),
        resize=ResizeConfig.parse(resize),
        loss=LossConfig(name=loss, focal_gamma=focal_gamma),
        optim=OptimConfig(
            optimizer=trial.suggest_categorical("optimizer", ["adamw", "nadamw", "lion"]),
            lr=trial.suggest_float("lr", 3e-6, 1e-3, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 2e-1, log=True),
        ),
        augment=AugmentConfig(policy=trial.suggest_categorical("augment", ["light", "medium", "none"])),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=TransferConfig(freeze_epochs=trial.suggest_int("freeze_epochs", 0, 2)),
    )
