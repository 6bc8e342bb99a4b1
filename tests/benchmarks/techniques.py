"""The techniques that tests.benchmarks.recipe switches on alone: each is one change to a baseline's configuration.

Left out: class weights and balanced sampling, since both competitions have equal classes and nothing would change;
losses of ranks, since no class lies between two others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from automl.config import TrialConfig

Change = Callable[[TrialConfig], TrialConfig]

BASELINE, AGAIN, SCRATCH = "baseline", "again", "scratch"


class Technique(NamedTuple):
    """A change of the configuration, and what the table says of it."""

    says: str
    change: Change


def group(which: str, /, **changes: Any) -> Change:
    """Other values in one group of the configuration."""
    return lambda config: replace(config, **{which: replace(getattr(config, which), **changes)})


def whole(**changes: Any) -> Change:
    """Other values of the configuration itself."""
    return lambda config: replace(config, **changes)


def optimizer(name: str, lr_factor: float = 1.0) -> Change:
    """Another optimizer at the baseline's learning rate, or at the multiple of it that is usual for the optimizer."""
    return lambda config: group("optim", optimizer=name, lr=config.optim.lr * lr_factor)(config)


def growing(**changes: Any) -> Change:
    """Images of three quarters of the side in the first half of the epochs."""

    def change(config: TrialConfig) -> TrialConfig:
        final = config.resize.image_sizes[-1]
        return group("resize", image_sizes=(final * 3 // 4, final), **changes)(config)

    return change


def same(config: TrialConfig) -> TrialConfig:
    return config


TECHNIQUES: dict[str, Technique] = {
    BASELINE: Technique("baseline", same),
    AGAIN: Technique("the baseline again, other seeds", same),
    # ---- Losses
    "focal": Technique("focal loss, gamma 2", group("loss", name="focal", focal_gamma=2.0)),
    "label_smoothing": Technique("label smoothing 0.1", group("loss", label_smoothing=0.1)),
    "bce": Technique("binary cross-entropy", group("loss", name="bce")),
    # ---- Optimizers
    "sgd": Technique("SGD, lr x 10", optimizer("sgd", 10.0)),
    "sam": Technique("SAM on SGD, lr x 10", optimizer("sam", 10.0)),
    "radam": Technique("RAdam", optimizer("radam")),
    "nadamw": Technique("NAdamW", optimizer("nadamw")),
    "lion": Technique("Lion, lr / 5", optimizer("lion", 0.2)),
    "lookahead_adam": Technique("Lookahead on Adam", optimizer("lookahead_adam")),
    "ranger": Technique("Ranger", optimizer("ranger")),
    "muon": Technique("Muon", optimizer("muon")),
    "no_clipping": Technique("no gradient clipping", group("optim", clip_norm=None)),
    # ---- Schedules
    "one_cycle": Technique("one cycle", group("optim", schedule="one_cycle")),
    "cosine_restarts": Technique(
        "cosine with restarts, 2 cycles", group("optim", schedule="cosine_restarts", cycles=2)
    ),
    "step": Technique("step", group("optim", schedule="step")),
    "plateau": Technique("reduce on plateau", group("optim", schedule="plateau")),
    "constant": Technique("constant learning rate", group("optim", schedule="constant")),
    # ---- Augmentation
    "augment_none": Technique("no augmentation", group("augment", policy="none")),
    "augment_medium": Technique("medium augmentation", group("augment", policy="medium")),
    "augment_heavy": Technique("heavy augmentation", group("augment", policy="heavy")),
    "dihedral": Technique("dihedral augmentation", group("augment", policy="dihedral")),
    "rand": Technique("RandAugment, magnitude 5", group("augment", policy="rand", magnitude=5.0)),
    "photometric": Technique("photometric augmentation", group("augment", policy="photometric")),
    "mixup": Technique("mixup, alpha 0.2", group("augment", mixup_alpha=0.2)),
    "cutmix": Technique("CutMix, alpha 1", group("augment", cutmix_alpha=1.0)),
    # ---- Which weights predict
    "ema_0.02": Technique("EMA over 2 % of the steps", whole(ema_horizon=0.02)),
    "ema_0.1": Technique("EMA over 10 % of the steps", whole(ema_horizon=0.1)),
    "best_epoch": Technique("weights of the best epoch *", whole(epoch_choice="best")),
    # ---- Image sizes
    "resize": Technique("progressive resizing, 3/4 first", growing()),
    "resize_batch": Technique("the same with larger batches first", growing(scale_batch=True)),
    "resize_augment": Technique("the same with less augmentation first", growing(scale_augment=True)),
    # ---- The network above the backbone
    "gem": Technique("GeM pooling", group("model", pooling="gem")),
    "catavgmax": Technique("average and maximum pooling", group("model", pooling="catavgmax")),
    "attention_pooling": Technique("attention pooling", group("model", pooling="attention")),
    "se": Technique("SE block", group("model", attention="se")),
    "eca": Technique("ECA block", group("model", attention="eca")),
    "cbam": Technique("CBAM block", group("model", attention="cbam")),
    "head_256": Technique("hidden layer of 256", group("model", hidden=(256,))),
    "dropout": Technique("dropout 0.2", group("model", dropout=0.2)),
}

# Of a baseline with pretrained weights; the first row has none.
TRANSFER: dict[str, Technique] = {
    SCRATCH: Technique("from scratch", group("model", pretrained=False)),
    "fine_tuned": Technique("pretrained, everything trained", same),
    "frozen_epoch": Technique("pretrained, frozen in the first epoch", group("transfer", freeze_epochs=1)),
    "last_block": Technique("pretrained, last block and head", group("transfer", trainable_blocks=1)),
    "frozen": Technique("pretrained, head alone", group("transfer", trainable_blocks=0)),
    "layer_decay": Technique("pretrained, layer decay 0.75", group("transfer", layer_decay=0.75)),
}
