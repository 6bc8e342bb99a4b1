"""The networks of the textbooks: LeNet, AlexNet, VGG, ResNet, ResNeXt, Inception, DenseNet.

    automl search --space classic --trials 50 --gpus 4

Errors of these families differ from those of EfficientNet, which is what an ensemble lives on. LeNet-5 and AlexNet are
baselines: nobody offers weights of theirs that timm could load, so they are always trained from scratch.
"""

from __future__ import annotations

from automl.config import ModelConfig, TrialConfig
from automl.questions import ask_augment, ask_loss, ask_optim, ask_resize, ask_transfer
from automl.space import Suggest

EPOCHS = 12

VGG = ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
RESNET = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
RESNEXT = ["resnext50_32x4d", "resnext101_32x8d"]
INCEPTION = ["inception_v3", "inception_v4", "inception_resnet_v2"]
DENSENET = ["densenet121", "densenet161", "densenet169", "densenet201"]
FROM_SCRATCH = ["alexnet", "lenet5"]

FIRST_TRIALS = (
    {"backbone": "resnet50", "resize": "224", "optimizer": "sgd", "lr": 1e-2, "weight_decay": 1e-4, "batch_size": 32},
    {"backbone": "densenet121", "resize": "160-224", "optimizer": "adam", "lr": 1e-4, "batch_size": 32},
    {"backbone": "inception_v3", "resize": "288", "optimizer": "adamw", "lr": 1e-4, "batch_size": 32},
    {"backbone": "resnext50_32x4d", "resize": "224", "optimizer": "adamw", "lr": 1e-4, "batch_size": 32},
)


def suggest(trial: Suggest) -> TrialConfig:
    """A configuration of one classic network."""
    backbone = trial.suggest_categorical("backbone", [*RESNET, *RESNEXT, *DENSENET, *INCEPTION, *VGG, *FROM_SCRATCH])
    return TrialConfig(
        model=ModelConfig(
            backbone=backbone,
            pretrained=backbone not in FROM_SCRATCH,
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
        ),
        resize=ask_resize(trial, ["224", "288", "160-224", "128-192-256", "160-240-320"]),
        loss=ask_loss(trial, ["cross_entropy", "focal"]),
        optim=ask_optim(
            trial,
            ["sgd", "adam", "adamw"],
            lr=(1e-5, 3e-2),
            weight_decay=(1e-6, 1e-2),
            schedules=["cosine", "step", "plateau"],
        ),
        augment=ask_augment(trial, ["light", "medium", "none"], mixes=False),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=ask_transfer(trial, freeze_epochs=2, head_init="random" if backbone in FROM_SCRATCH else "probe"),
    )
