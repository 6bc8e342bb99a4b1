"""Networks pretrained on hundreds of millions of images: DINOv3, SigLIP 2, CLIP, EVA-02, ConvNeXt V2.

    automl search --space foundation --trials 30 --gpus 4
    automl search --space foundation --choices backbone=vit_small_patch16_dinov3.lvd1689m,convnext_tiny.dinov3_lvd1689m

Their frozen features alone often beat a smaller network that was fine-tuned, so let the search probe them; fine-tuned
gently, with a low learning rate that falls towards the first layers, they are hard to beat with few labels. From 6 to
316 million parameters: narrow the backbones to what the GPU holds. Some weights have a licence of their own: DINOv3
that of its authors, ConvNeXt V2 is for non-commercial use.
"""

from __future__ import annotations

from automl.config import ModelConfig, TrialConfig
from automl.questions import ask_augment, ask_ema, ask_loss, ask_optim, ask_resize, ask_transfer
from automl.space import Suggest

EPOCHS = 8

DINOV3 = [
    "vit_small_patch16_dinov3.lvd1689m",
    "convnext_tiny.dinov3_lvd1689m",
    "convnext_small.dinov3_lvd1689m",
    "vit_base_patch16_dinov3.lvd1689m",
    "vit_large_patch16_dinov3.lvd1689m",
]
CONVNEXT_V2 = [
    "convnextv2_nano.fcmae_ft_in22k_in1k",
    "convnextv2_tiny.fcmae_ft_in22k_in1k",
    "convnextv2_base.fcmae_ft_in22k_in1k",
]
SIGLIP2 = [
    "vit_base_patch32_siglip_256.v2_webli",
    "vit_base_patch16_siglip_256.v2_webli",
    "vit_large_patch16_siglip_256.v2_webli",
]
EVA02 = [
    "eva02_tiny_patch14_336.mim_in22k_ft_in1k",
    "eva02_small_patch14_336.mim_in22k_ft_in1k",
    "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k",
]
CLIP = [
    "vit_base_patch32_clip_224.laion2b_ft_in12k_in1k",
    "vit_base_patch16_clip_224.laion2b_ft_in12k_in1k",
    "convnext_base.clip_laion2b_augreg_ft_in12k_in1k",
    "eva02_base_patch16_clip_224.merged2b",
]

FIRST_TRIALS = (
    {
        "backbone": "vit_small_patch16_dinov3.lvd1689m",
        "resize": "256",
        "lr": 5e-5,
        "weight_decay": 5e-2,
        "drop_path": 0.1,
        "layer_decay": 0.75,
    },
    {
        "backbone": "convnextv2_tiny.fcmae_ft_in22k_in1k",
        "resize": "160-224",
        "lr": 1e-4,
        "weight_decay": 5e-2,
        "drop_path": 0.1,
        "layer_decay": 0.9,
        "head_lr_factor": 1.0,
    },
    {
        "backbone": "eva02_small_patch14_336.mim_in22k_ft_in1k",
        "resize": "336",
        "lr": 5e-5,
        "weight_decay": 5e-2,
        "drop_path": 0.1,
        "layer_decay": 0.75,
        "batch_size": 16,
    },
    {
        "backbone": "vit_base_patch16_siglip_256.v2_webli",
        "resize": "256",
        "lr": 2e-5,
        "weight_decay": 5e-2,
        "layer_decay": 0.75,
        "batch_size": 16,
    },
    {
        "backbone": "convnext_base.clip_laion2b_augreg_ft_in12k_in1k",
        "resize": "256",
        "lr": 5e-5,
        "weight_decay": 5e-2,
        "drop_path": 0.1,
        "layer_decay": 0.9,
        "batch_size": 16,
        "ema_horizon": 0.02,
    },
)


def suggest(trial: Suggest) -> TrialConfig:
    """A gentle fine-tuning configuration of one network with strong features."""
    return TrialConfig(
        model=ModelConfig(
            backbone=trial.suggest_categorical("backbone", [*DINOV3, *CONVNEXT_V2, *SIGLIP2, *EVA02, *CLIP]),
            dropout=trial.suggest_float("dropout", 0.0, 0.3),
            drop_path=trial.suggest_float("drop_path", 0.0, 0.3),
        ),
        resize=ask_resize(trial, ["224", "256", "336", "448", "160-224", "224-336"]),
        loss=ask_loss(trial, ["cross_entropy", "focal", "bce"], smoothing=0.2),
        optim=ask_optim(trial, ["adamw", "nadamw", "lion"], lr=(1e-6, 5e-4), weight_decay=(1e-3, 2e-1)),
        augment=ask_augment(trial, ["light", "medium", "heavy", "none"]),
        batch_size=trial.suggest_categorical("batch_size", [32, 16, 64]),
        epochs=EPOCHS,
        transfer=ask_transfer(
            trial,
            freeze_epochs=1,
            layer_decays=[1.0, 0.9, 0.75, 0.65],
            head_init="probe",
            head_lr_factors=[1.0, 10.0],
        ),
        ema_horizon=ask_ema(trial),
    )
