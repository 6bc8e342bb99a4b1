"""Configurations: none that is invalid exists, and each comes back from JSON as it was."""

from __future__ import annotations

import json

import pytest

from automl.config import AugmentConfig, LossConfig, ModelConfig, OptimConfig, ResizeConfig, TransferConfig, TrialConfig
from automl.errors import UsageError

CONFIG = TrialConfig(
    model=ModelConfig(backbone="resnet18", pretrained=False, dropout=0.2),
    resize=ResizeConfig(image_sizes=(160, 240, 320)),
    loss=LossConfig(name="focal", focal_gamma=2.0),
    optim=OptimConfig(optimizer="adam", lr=3e-5, weight_decay=1e-4, clip_norm=None),
    augment=AugmentConfig(policy="medium"),
    batch_size=16,
    epochs=12,
    transfer=TransferConfig(freeze_epochs=2),
)


def test_a_config_comes_back_from_json_as_it_was() -> None:
    assert TrialConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG


def test_a_config_of_an_older_version_has_the_pixels_of_that_version() -> None:
    document = json.loads(json.dumps(CONFIG.to_json()))
    del document["resize"]["interpolation"], document["resize"]["crop_pct"]
    resize = TrialConfig.from_json(document).resize
    assert (resize.interpolation, resize.crop_pct) == ("area", 1.0)


def test_a_config_of_an_older_version_has_a_head_as_that_version_had() -> None:
    document = json.loads(json.dumps(CONFIG.to_json()))
    for name in ("head_init", "head_lr_factor", "freeze_norms"):
        del document["transfer"][name]
    assert TrialConfig.from_json(document) == CONFIG
    assert (CONFIG.transfer.head_init, CONFIG.transfer.head_lr_factor) == ("random", 1.0)


def test_a_config_of_another_version_is_refused_by_the_key_that_is_unknown() -> None:
    with pytest.raises(UsageError, match="momentum"):
        TrialConfig.from_json({**CONFIG.to_json(), "momentum": 0.9})
    with pytest.raises(UsageError, match="model"):
        TrialConfig.from_json({"epochs": 3})


def test_a_resize_schedule_is_sizes_joined_by_hyphens() -> None:
    assert ResizeConfig.parse("160-240-320").image_sizes == (160, 240, 320)
    assert ResizeConfig.parse("224").image_sizes == (224,)
    for text in ("", "big", "160-", "160x240", "-1"):
        with pytest.raises(UsageError):
            ResizeConfig.parse(text)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ModelConfig(backbone="x", dropout=1.0), "dropout = 1.0"),
        (lambda: ModelConfig(backbone=""), "backbone"),
        (lambda: ResizeConfig(image_sizes=(2,)), "image_sizes"),
        (lambda: ResizeConfig(image_sizes=(32,), interpolation="nearest"), "interpolation = 'nearest'"),
        (lambda: ResizeConfig(image_sizes=(32,), crop_pct=0.0), "crop_pct = 0.0"),
        (lambda: ResizeConfig(image_sizes=(32,), crop_pct=1.1), "crop_pct = 1.1"),
        (lambda: TransferConfig(head_init="zero"), "head_init = 'zero'"),
        (lambda: TransferConfig(head_lr_factor=0.0), "head_lr_factor = 0.0"),
        (lambda: TransferConfig(head_lr_factor=float("inf")), "head_lr_factor = inf"),
        (lambda: LossConfig(name="hinge"), "loss = 'hinge'"),
        (lambda: LossConfig(name="focal"), "focal_gamma"),
        (lambda: LossConfig(focal_gamma=2.0), "absent without focal"),
        (lambda: OptimConfig(optimizer="lbfgs"), "optimizer = 'lbfgs'"),
        (lambda: OptimConfig(lr=0.0), "lr = 0.0"),
        (lambda: OptimConfig(lr=float("nan")), "lr = nan"),
        (lambda: AugmentConfig(policy="wild"), "augment = 'wild'"),
        (lambda: TrialConfig(model=CONFIG.model, resize=CONFIG.resize, batch_size=1), "batch_size = 1"),
        (lambda: TrialConfig(model=CONFIG.model, resize=CONFIG.resize, epochs=2), "3 image sizes"),
        (
            lambda: TrialConfig(
                model=CONFIG.model, resize=CONFIG.resize, epochs=3, transfer=TransferConfig(freeze_epochs=3)
            ),
            "freeze_epochs",
        ),
    ],
)
def test_no_invalid_config_exists(make: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()  # type: ignore[operator]
