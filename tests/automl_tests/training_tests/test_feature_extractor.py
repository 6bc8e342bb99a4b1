"""Feature maps of trimmed backbones: where they are taken, how backbones are cut, and which cannot be."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from automl.config import (
    ModelConfig,
)
from automl.errors import UsageError
from automl.training.network.create import build_model
from automl.training.network.feature_extractor import find_stage_ends
from tests.automl_tests.training_tests.networks import SMALL, images_of, network_of, small, small_and_large


@pytest.mark.parametrize(
    "backbone",
    [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in ("vgg11_bn", "swin_tiny_patch4_window7_224"))],
)
def test_the_map_moves_with_the_image(backbone: str) -> None:
    # Rows and columns of the map are those of the image: a change at the lower left changes the lower left most.
    network = network_of(backbone, pooling="avg").eval()
    side = 2 * images_of(backbone).shape[-1]
    images = torch.zeros(1, 3, side, side)
    changed = images.clone()
    changed[:, :, -8:, :8] = 3.0
    with torch.no_grad():
        difference = (network.extract_features(changed) - network.extract_features(images)).abs().sum(dim=1)[0]
    assert difference.shape[0] >= 2
    assert difference.argmax().item() == difference.numel() - difference.shape[1]


@small_and_large
def test_each_cut_makes_the_body_smaller_and_the_outputs_others(backbone: str) -> None:
    n_stages = len(find_stage_ends(backbone))
    images = images_of(backbone)
    sizes, sides, outputs = [], [], []
    for cut in range(min(n_stages, 4)):
        network = network_of(backbone, pooling="avg", cut=cut).train()
        sizes.append(sum(tensor.numel() for tensor in network.body.state_dict().values()))
        sides.append(network.extract_features(images).shape[2])
        outputs.append(network(images))
        outputs[-1].square().sum().backward()
        assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert sizes == sorted(set(sizes), reverse=True)
    assert sides == sorted(sides)
    assert all(not torch.equal(one, other) for one, other in itertools.pairwise(outputs))


@small
def test_what_is_left_of_a_cut_backbone_has_the_pretrained_weights(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(9)
    state = timm.create_model(backbone).state_dict()
    save_file(state, tmp_path / f"{backbone}.safetensors")
    config = ModelConfig(backbone=backbone, pooling="avg", cut=2)
    left = build_model(config, n_classes=3, weights_dir=tmp_path).body.state_dict()
    assert 0 < len(left) < len(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in left.items())


def test_the_last_pooling_of_vgg_is_no_stage_of_its_own() -> None:
    assert find_stage_ends("vgg11") == (0, 1, 2, 3, 5)


def test_a_cut_takes_the_stages_of_timm() -> None:
    for cut, n_left in enumerate([4, 3, 2, 1, 0]):
        names = network_of("test_resnet", pooling="avg", cut=cut).body.state_dict()
        assert {name.partition(".")[0] for name in names if name.startswith("layer")} == {
            f"layer{number + 1}" for number in range(n_left)
        }


def test_a_transformer_is_cut_in_quarters_of_its_blocks_and_keeps_its_last_norm() -> None:
    for cut, n_left in enumerate([6, 5, 3, 2]):
        names = network_of("test_vit", pooling="avg", cut=cut).body.state_dict()
        assert {name.split(".")[1] for name in names if name.startswith("blocks")} == {str(n) for n in range(n_left)}
        assert any("norm.weight" in name and not name.startswith("blocks") for name in names)


@pytest.mark.slow
def test_inception_cut_once_ends_with_its_seventh_mixed_block_of_17_by_17() -> None:
    network = network_of("inception_v3", pooling="avg", cut=1).eval()
    assert network.extract_features(torch.zeros(1, 3, 299, 299)).shape == (1, 768, 17, 17)


@pytest.mark.parametrize(
    ("backbone", "cut", "deepest"), [("test_convnext", 4, 3), ("test_vit", 4, 3), ("lenet5", 3, 1)]
)
def test_a_cut_that_leaves_nothing_is_refused_with_the_deepest(backbone: str, cut: int, deepest: int) -> None:
    with pytest.raises(UsageError, match=f"cut = {cut}, but '{backbone}' has {deepest + 1} stages") as caught:
        network_of(backbone, pooling="avg", cut=cut)
    assert f"cut = {deepest} at most" in caught.value.hint


def test_a_backbone_with_neither_a_vector_nor_a_map_is_refused() -> None:
    with pytest.raises(UsageError, match="'two_vectors' has no pooling of its own that gives one vector"):
        network_of("two_vectors")
    with pytest.raises(UsageError, match="'two_vectors' has no feature map"):
        network_of("two_vectors", pooling="avg")
    with pytest.raises(UsageError, match="cut = 1, but 'two_vectors' has 1 stages") as caught:
        network_of("two_vectors", pooling="avg", cut=1)
    assert "cut = 0 at most" in caught.value.hint


@pytest.mark.slow
def test_a_backbone_of_parallel_branches_is_not_cut_by_half() -> None:
    assert network_of("hrnet_w18_small", pooling="avg").eval().extract_features(torch.zeros(1, 3, 64, 64)).ndim == 4
    with pytest.raises(UsageError, match="'hrnet_w18_small' cannot be cut"):
        network_of("hrnet_w18_small", pooling="avg", cut=1)


def test_how_a_network_is_read_is_found_out_without_random_numbers() -> None:
    weights = []
    for _ in range(2):  # the second time it is known
        network = network_of("test_byobnet", pooling="avg", cut=1)
        weights.append(network.head.state_dict()["fc.weight"])
    assert torch.equal(*weights)
