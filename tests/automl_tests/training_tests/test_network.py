"""Networks of a body, a neck and a head: parity with timm, feature maps, cuts."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import group_parameters
from torch import Tensor, nn

from automl.config import LossConfig, ModelConfig
from automl.errors import UnfitEnvironmentError, UsageError
from automl.space import describe, load_space
from automl.tasks import Task
from automl.training.network.create import build_model
from automl.training.network.feature_extractor import find_stage_ends
from automl.training.network.input_sizes import fit_sizes
from automl.training.network.network import Network
from automl.training.network.outputs import build_output_layer

SMALL = ["test_resnet", "test_byobnet", "test_efficientnet", "test_convnext", "test_vit"]
LARGE = ["vgg11_bn", "inception_v3", "densenet121", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"]
small = pytest.mark.parametrize("backbone", SMALL)
small_and_large = pytest.mark.parametrize(
    "backbone", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)


class TwoVectors(nn.Module):
    """What gives two vectors for each image."""

    def __init__(self, num_classes: int = 1000, **rest: object) -> None:
        super().__init__()
        self.num_classes = num_classes

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)).unsqueeze(1).expand(-1, 2, -1)


def two_vectors(pretrained: bool = False, **arguments: Any) -> nn.Module:
    model: nn.Module = timm.models.build_model_with_cfg(TwoVectors, "two_vectors", pretrained, **arguments)
    return model


timm.models.register_model(two_vectors)


def network_of(backbone: str, *, seed: int = 1, **model: object) -> Network:
    torch.manual_seed(seed)
    config = ModelConfig(backbone=backbone, pretrained=False, **model)  # type: ignore[arg-type]
    return build_model(config, n_classes=3, weights_dir=None)


def images_of(backbone: str) -> Tensor:
    image_size = {"inception_v3": 96, "test_convnext": 64, "swin_tiny_patch4_window7_224": 64}.get(backbone, 32)
    return torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(5))


def timms_own(network: Network, backbone: str, **arguments: object) -> nn.Module:
    """timm's model of three classes with the network's weights."""
    extra = {"dynamic_img_size": True} if getattr(network.body, "dynamic_img_size", False) else {}
    model: nn.Module = timm.create_model(backbone, num_classes=3, **extra, **arguments)
    state = model.state_dict() | network.body.state_dict()
    model.load_state_dict(state)
    classifiers = model.get_classifier()  # type: ignore[operator]
    for classifier in classifiers if isinstance(classifiers, tuple) else (classifiers,):
        classifier.load_state_dict({name: network.head.state_dict()[f"fc.{name}"] for name in ("weight", "bias")})
    return model


@pytest.mark.parametrize(
    "backbone",
    [
        *SMALL,
        "lenet5",
        *(pytest.param(name, marks=pytest.mark.slow) for name in (*LARGE, "nfnet_l0", "mobilenetv3_small_050")),
    ],
)
def test_with_pooling_own_and_a_linear_head_it_computes_what_timm_does(backbone: str) -> None:
    network = network_of(backbone).eval()
    reference = timms_own(network, backbone).eval()
    images = images_of(backbone)
    with torch.no_grad():
        assert torch.equal(network(images), reference(images))


def test_the_two_classifiers_of_a_distilled_transformer_become_one_of_the_mean_of_what_they_read() -> None:
    network = network_of("deit_tiny_distilled_patch16_224").eval()
    reference = timms_own(network, "deit_tiny_distilled_patch16_224").eval()
    images = images_of("deit_tiny_distilled_patch16_224")
    with torch.no_grad():
        torch.testing.assert_close(network(images), reference(images))


@pytest.mark.parametrize(
    "backbone", ["test_resnet", "test_efficientnet", "lenet5", pytest.param("vgg11", marks=pytest.mark.slow)]
)
def test_dropout_falls_where_timm_has_it(backbone: str) -> None:
    network = network_of(backbone, dropout=0.5).train()
    reference = timms_own(network, backbone, drop_rate=0.5).train()
    images = images_of(backbone)
    outputs = []
    for model in (network, reference):
        torch.manual_seed(7)
        outputs.append(model(images))
    assert torch.equal(*outputs)
    torch.manual_seed(8)
    assert not torch.equal(network(images), outputs[0])


@small
def test_the_parts_in_turn_are_the_whole(backbone: str) -> None:
    network = network_of(backbone, pooling="gem", attention="se", hidden=(8,)).eval()
    images = images_of(backbone)
    features = network.extract_features(images)
    assert features.ndim == 4
    assert torch.equal(network.head(network.neck(features)), network(images))
    assert {name.partition(".")[0] for name in network.state_dict()} == {"body", "neck", "head"}


@small_and_large
def test_the_map_of_an_uncut_backbone_averages_to_its_own_pooling_where_that_is_a_mean(backbone: str) -> None:
    network = network_of(backbone, pooling="avg").eval()
    images = images_of(backbone)
    features = network.extract_features(images)
    side = images.shape[-1] // 16
    assert features.shape[2] == features.shape[3] <= side
    own = network_of(backbone).eval()
    if backbone in ("test_resnet", "test_byobnet", "test_efficientnet", "densenet121", "swin_tiny_patch4_window7_224"):
        torch.testing.assert_close(network.neck(features), own.extract_features(images))


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


def test_the_file_of_a_cut_backbone_must_be_whole_all_the_same(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    save_file(dict(list(state.items())[:-8]), tmp_path / "test_resnet.safetensors")
    with pytest.raises(UnfitEnvironmentError, match="it lacks"):
        build_model(ModelConfig(backbone="test_resnet", pooling="avg", cut=2), n_classes=3, weights_dir=tmp_path)


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


@small
@pytest.mark.parametrize("cut", [0, 1])
def test_the_layers_of_the_body_are_still_grouped_by_depth(backbone: str, cut: int) -> None:
    network = network_of(backbone, pooling="avg", cut=cut)
    groups = group_parameters(network.body, network.body.group_matcher())  # type: ignore[operator]
    assert len(groups) >= 3
    assert sum(len(names) for names in groups.values()) == len(list(network.body.parameters()))


def test_names_that_the_backbone_does_not_decay_are_prefixed() -> None:
    kept = network_of("test_vit").no_weight_decay()
    assert "body.pos_embed" in kept
    assert network_of("test_resnet").no_weight_decay() == set()


def test_the_link_decides_how_many_outputs_there_are() -> None:
    output_layer = build_output_layer(LossConfig(), Task.MULTICLASS, 7)
    config = ModelConfig(backbone="test_resnet", pretrained=False)
    network = build_model(config, n_classes=7, weights_dir=None, output_layer=output_layer)
    assert network.output_layer is output_layer
    assert network.num_classes == 7
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, output_layer.n_outputs)
    assert network.pretrained_cfg == network.body.pretrained_cfg


def test_a_copy_computes_the_same() -> None:
    network = network_of("test_resnet", pooling="gem", cut=1).eval()
    images = images_of("test_resnet")
    assert torch.equal(copy.deepcopy(network)(images), network(images))


def test_how_a_network_is_read_is_found_out_without_random_numbers() -> None:
    weights = []
    for _ in range(2):  # the second time it is known
        network = network_of("test_byobnet", pooling="avg", cut=1)
        weights.append(network.head.state_dict()["fc.weight"])
    assert torch.equal(*weights)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["tiny", "default", "classic", "efficientnet", "modern"])
@pytest.mark.parametrize(
    "model", [{}, {"pooling": "gem", "attention": "cbam"}, {"pooling": "avg", "cut": 1}], ids=["own", "gem", "cut"]
)
def test_every_backbone_of_the_spaces_builds_and_trains_all_of_its_weights(name: str, model: dict[str, Any]) -> None:
    (backbones,) = [dimension for dimension in describe(load_space(name)) if dimension.name == "backbone"]
    for backbone in backbones.domain.split(", "):
        network = network_of(backbone, **model).train()
        (image_size,) = fit_sizes(backbone, (64,))
        outputs = network(torch.randn(2, 3, image_size, image_size))
        assert outputs.shape == (2, 3), backbone
        outputs.square().sum().backward()
        idle = [weights for weights, parameter in network.named_parameters() if parameter.grad is None]
        assert idle == [], backbone
