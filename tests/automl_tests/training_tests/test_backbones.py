"""Backbones by name: which are known, what is suggested in place of others, and skeletons without numbers."""

from __future__ import annotations

import pytest

from automl.config import ModelConfig
from automl.errors import UsageError
from automl.training.network.backbones import build_skeleton
from automl.training.network.create import build_model
from tests.automl_tests.training_tests.trial_builders import (
    config_of,
    seeded_model,
)


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
