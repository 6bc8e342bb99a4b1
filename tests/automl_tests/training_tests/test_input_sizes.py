"""Which image sizes backbones take, and that they truly do."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from automl.config import ModelConfig
from automl.errors import UsageError
from automl.training.network.create import build_model
from automl.training.network.input_sizes import SizeRule, find_size_rule, fit_sizes


@pytest.mark.parametrize(
    ("backbone", "requested", "fitted"),
    [
        ("test_resnet", (8, 31, 224), (8, 31, 224)),
        ("test_vit", (8, 40, 39, 224), (16, 48, 32, 224)),
        ("vit_small_patch16_dinov3", (100, 160, 230), (96, 160, 224)),
        pytest.param("vit_small_patch14_dinov2", (224, 518, 230), (224, 518, 224), marks=pytest.mark.slow),
        pytest.param("inception_v3", (64, 75, 100), (75, 75, 100), marks=pytest.mark.slow),
        ("vgg11", (16, 32, 33), (32, 32, 33)),
        ("swin_tiny_patch4_window7_224", (97, 160, 224, 320), (96, 160, 224, 320)),
        ("beit_base_patch16_224", (32, 224, 320), (224, 224, 224)),  # its positions are bound to one size
        pytest.param("maxvit_tiny_tf_224", (160, 320, 400), (224, 224, 448), marks=pytest.mark.slow),  # by its windows
        pytest.param(
            "coatnet_pico_rw_224", (160, 231, 320), (224, 224, 224), marks=pytest.mark.slow
        ),  # takes a few more
        ("alexnet", (32, 224), (63, 224)),
    ],
)
def test_sizes_are_brought_to_those_that_the_backbone_takes(
    backbone: str, requested: tuple[int, ...], fitted: tuple[int, ...]
) -> None:
    assert fit_sizes(backbone, requested) == fitted


def test_a_backbone_without_weights_of_its_name_is_refused() -> None:
    with pytest.raises(UsageError, match="timm has no backbone 'resnet51'"):
        fit_sizes("resnet51", (32,))


def test_the_nearest_size_is_taken_and_the_larger_of_two() -> None:
    rule = SizeRule(16, 16)
    assert [rule.round_size(size) for size in (1, 16, 23, 24, 25, 39, 40, 512)] == [16, 16, 16, 32, 32, 32, 48, 512]
    assert [SizeRule(75, 1).round_size(size) for size in (8, 75, 76)] == [75, 75, 76]
    assert SizeRule(224, 0).round_size(512) == 224
    assert [str(SizeRule(224, 0)), str(SizeRule(75, 1))] == ["224 only", "75 and more"]


def test_finding_out_takes_no_random_numbers() -> None:
    find_size_rule.cache_clear()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fit_sizes("test_vit", (40,))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_byobnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_what_a_skeleton_takes_the_network_takes(backbone: str) -> None:
    network = build_model(ModelConfig(backbone=backbone, pretrained=False), n_classes=3, weights_dir=None)
    for image_size in fit_sizes(backbone, (8, 24, 50)):
        assert torch.isfinite(network(torch.randn(2, 3, image_size, image_size))).all()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_transformer_of_a_fixed_size_computes_the_same_there_and_takes_other_sizes(
    backbone: str, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    reference = timm.create_model(backbone, num_classes=0).eval()
    save_file(reference.state_dict(), tmp_path / f"{backbone}.safetensors")
    network = build_model(ModelConfig(backbone=backbone), n_classes=3, weights_dir=tmp_path).eval()
    images = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(network.extract_features(images), reference(images))
    assert {name: tensor.shape for name, tensor in network.body.state_dict().items()} == {
        name: tensor.shape for name, tensor in reference.state_dict().items()
    }
    for image_size in fit_sizes(backbone, (33, 160, 300)):
        assert torch.isfinite(network(torch.randn(1, 3, image_size, image_size))).all()


def test_one_set_of_parameters_serves_all_sizes_of_a_schedule() -> None:
    network = build_model(ModelConfig(backbone="test_vit", pretrained=False), n_classes=3, weights_dir=None)
    shapes = {name: tensor.shape for name, tensor in timm.create_model("test_vit", num_classes=0).state_dict().items()}
    assert {name: tensor.shape for name, tensor in network.body.state_dict().items()} == shapes
    for image_size in (32, 48, 160):
        network(torch.randn(2, 3, image_size, image_size)).sum().backward()
    positions: torch.Tensor = network.body.pos_embed  # type: ignore[assignment]
    assert positions.grad is not None and positions.grad.abs().sum() > 0
