"""Every technique of the training recipe, on a few strong backbones of moderate size.

    automl search --space recipe --trials 100 --gpus 4
    automl search --space recipe --fix backbone=convnext_tiny --choices augment=dihedral,heavy --trials 50

For when the backbone is settled and the last points are in the recipe: where the features are cut and pooled, the head,
losses, optimizers, schedules, augmentation, mixing, averaged weights. It asks up to 35 questions, so give it a hundred
trials, or pin what is known. The first trials are ordinary recipes with everything unusual off.
"""

from __future__ import annotations

from automl.config import TrialConfig
from automl.questions import ask_augment, ask_ema, ask_head, ask_loss, ask_optim, ask_resize, ask_transfer
from automl.space import Suggest

EPOCHS = 12

WITH_DROP_PATH = ["efficientnet_b0", "efficientnet_b3", "tf_efficientnetv2_s", "convnext_tiny", "resnet50"]
WITHOUT_DROP_PATH = ["densenet121", "inception_v3"]

FIRST_TRIALS = (
    {"backbone": "efficientnet_b0", "resize": "224", "optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-2},
    {
        "backbone": "convnext_tiny",
        "resize": "160-224",
        "optimizer": "adamw",
        "lr": 1e-4,
        "weight_decay": 5e-2,
        "layer_decay": 0.9,
        "ema_horizon": 0.02,
    },
    {
        "backbone": "resnet50",
        "resize": "224",
        "pooling": "gem",
        "optimizer": "sgd",
        "lr": 1e-2,
        "weight_decay": 1e-4,
        "schedule": "one_cycle",
        "freeze_epochs": 1,
    },
)


def suggest(trial: Suggest) -> TrialConfig:
    """A configuration in which every technique has its say."""
    backbone = trial.suggest_categorical("backbone", [*WITH_DROP_PATH, *WITHOUT_DROP_PATH])
    return TrialConfig(
        model=ask_head(
            trial,
            backbone,
            poolings=["own", "avg", "max", "avgmax", "catavgmax", "gem", "flatten", "attention"],
            attentions=["none", "se", "cbam", "eca"],
            cuts=[0, 1, 2],
            drop_path=0.0 if backbone in WITHOUT_DROP_PATH else 0.3,
        ),
        resize=ask_resize(trial, ["224", "288", "160-224", "128-192-256"], scaled=True),
        loss=ask_loss(
            trial,
            ["cross_entropy", "focal", "bce", "focal_bce"],
            class_weights=["none", "balanced", "effective"],
            smoothing=0.2,
        ),
        optim=ask_optim(
            trial,
            [
                "adamw",
                "adam",
                "sgd",
                "rmsprop",
                "radam",
                "nadamw",
                "lion",
                "lookahead_adam",
                "ranger",
                "sam",
                "muon",
            ],
            lr=(1e-5, 3e-2),
            weight_decay=(1e-6, 1e-1),
            schedules=["cosine", "one_cycle", "cosine_restarts", "step", "plateau", "constant"],
            clip_norms=[1.0, 0.1, None],
        ),
        augment=ask_augment(trial, ["light", "medium", "heavy", "dihedral", "rand", "photometric", "none"]),
        transfer=ask_transfer(
            trial,
            freeze_epochs=3,
            trainable_blocks=[None, 1, 3, 0],
            layer_decays=[1.0, 0.95, 0.9],
            head_init="probe",
        ),
        class_sampling=trial.suggest_categorical("class_sampling", ["natural", "sqrt", "balanced"]),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        ema_horizon=ask_ema(trial),
    )
