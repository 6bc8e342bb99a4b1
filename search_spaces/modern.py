"""What wins today: ConvNeXt and its relatives, DINOv3, and vision transformers.

    automl search --space modern --trials 50 --gpus 4

Strong on photographs and with few labels, thanks to their pretraining; they want small learning rates and more memory
than `default`. Transformers that were made for 224 pixels interpolate their position embedding for other sizes.
"""

from __future__ import annotations

from automl.config import ModelConfig, TrialConfig
from automl.questions import ask_augment, ask_ema, ask_loss, ask_optim, ask_resize, ask_transfer
from automl.space import Suggest

EPOCHS = 12

CONVOLUTIONAL = [
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnextv2_nano",
    "convnextv2_tiny",
    "convnextv2_base",
    "caformer_s18",
    "nfnet_l0",
]
TRANSFORMERS = [
    "vit_small_patch16_dinov3",
    "vit_base_patch16_dinov3",
    "vit_small_patch16_224",
    "vit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
]

FIRST_TRIALS = (
    {"backbone": "convnext_tiny", "resize": "224", "lr": 1e-4, "weight_decay": 5e-2, "drop_path": 0.1},
    {"backbone": "vit_small_patch16_dinov3", "resize": "256", "lr": 3e-5, "weight_decay": 5e-2, "drop_path": 0.1},
    {"backbone": "convnextv2_tiny", "resize": "160-224", "lr": 1e-4, "weight_decay": 5e-2, "drop_path": 0.1},
    {"backbone": "swin_tiny_patch4_window7_224", "lr": 5e-5, "weight_decay": 5e-2, "drop_path": 0.1},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A fine-tuning configuration of one modern network."""
    return TrialConfig(
        model=ModelConfig(
            backbone=trial.suggest_categorical("backbone", [*CONVOLUTIONAL, *TRANSFORMERS]),
            dropout=trial.suggest_float("dropout", 0.0, 0.3),
            drop_path=trial.suggest_float("drop_path", 0.0, 0.3),
        ),
        resize=ask_resize(trial, ["224", "256", "320", "160-224", "128-192-256", "160-240-320"]),
        loss=ask_loss(trial, ["cross_entropy", "focal", "bce"], smoothing=0.2),
        optim=ask_optim(trial, ["adamw", "nadamw", "lion", "muon"], lr=(3e-6, 1e-3), weight_decay=(1e-4, 2e-1)),
        augment=ask_augment(trial, ["light", "medium", "heavy", "none"]),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=ask_transfer(trial, freeze_epochs=2, layer_decays=[1.0, 0.9, 0.75], head_init="probe"),
        ema_horizon=ask_ema(trial),
    )
