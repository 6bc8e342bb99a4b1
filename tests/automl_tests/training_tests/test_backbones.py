"""Backbones by name: which are known, what is suggested in place of others, and skeletons without numbers."""

from __future__ import annotations

import pytest
import timm

from automl.config import INTERPOLATIONS, ModelConfig
from automl.errors import UsageError
from automl.training.network.backbones import build_skeleton, count_multiply_adds, get_pretrained_crop
from automl.training.network.create import build_model
from tests.automl_tests.training_tests.trial_builders import (
    config_of,
    seeded_model,
)


@pytest.mark.parametrize(
    ("backbone", "image_size", "interpolation", "crop_pct"),
    [
        ("tf_efficientnet_lite0", 224, "bicubic", 0.875),
        ("test_resnet", 160, "bilinear", 0.95),
        ("resnet50.a1_in1k", 224, "bicubic", 0.95),
        ("resnet50.a1_in1k", 288, "bicubic", 1.0),  # larger than in training, evaluated on the whole image
        ("no_such_model", 224, "bicubic", 1.0),
    ],
)
def test_weights_are_evaluated_as_those_who_made_them_did(
    backbone: str, image_size: int, interpolation: str, crop_pct: float
) -> None:
    assert get_pretrained_crop(backbone, image_size) == (interpolation, crop_pct)


def test_no_backbone_is_evaluated_on_more_than_the_whole_image() -> None:
    assert {get_pretrained_crop(name, 224)[1] <= 1.0 for name in timm.list_pretrained()} == {True}
    assert {get_pretrained_crop(name, 224)[0] for name in timm.list_pretrained()} <= set(INTERPOLATIONS)


def test_the_backbone_is_the_tree_of_modules() -> None:
    trees = [repr(seeded_model(config_of(backbone=backbone))) for backbone in ("test_resnet", "test_byobnet")]
    assert "ResNet" in trees[0]
    assert "ByobNet" in trees[1]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("efficientnet_b33", "efficientnet_b3"),
        ("resnet18.a1_in2k", "resnet18.a1_in1k"),
        ("ResNet50", "resnet50"),
        ("convnext-tiny", "convnext_tiny"),
        ("timm/convnext_tiny.in12k", "convnext_tiny.in12k"),
        ("ResNet18.A1-in1k", "resnet18.a1_in1k"),
        ("resnt18.a1_in1k", "resnet18.a1_in1k"),
        ("alexnet.imagenet", "alexnet"),
        ("tf_efficientnet_b0_ns", "tf_efficientnet_b0.ns_jft_in1k"),  # so timm once called it
    ],
)
def test_an_unknown_backbone_is_refused_with_names_like_it(name: str, near: str) -> None:
    with pytest.raises(UsageError, match="timm has no backbone") as caught:
        build_model(ModelConfig(backbone=name), n_classes=3, weights_dir=None)
    assert caught.value.hint.startswith("did you mean ")
    assert near in caught.value.hint.removeprefix("did you mean ").rstrip("?").split(", ")


def test_the_likest_name_is_named_first() -> None:
    with pytest.raises(UsageError) as caught:
        build_model(ModelConfig(backbone="resnet50.A1_in1k"), n_classes=3, weights_dir=None)
    assert caught.value.hint.startswith("did you mean resnet50.a1_in1k?")


def test_a_skeleton_holds_no_numbers() -> None:
    assert all(parameter.is_meta for parameter in build_skeleton("test_resnet").parameters())


def test_multiplications_are_counted_and_grow_with_the_pixels() -> None:
    """ResNet-18 takes 1.8 billion at 224 px (He et al. 2016, Deep Residual Learning, table 1)."""
    assert count_multiply_adds("resnet18", 224) == pytest.approx(1.8e9, rel=0.02)
    assert count_multiply_adds("resnet18", 112) == pytest.approx(count_multiply_adds("resnet18", 224) / 4)
