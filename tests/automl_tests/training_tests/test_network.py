"""Networks of a body, a neck and a head: parity with timm, and what pooling, dropout and depth change."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import group_parameters
from torch import Tensor, nn

from automl.artifacts import StudyFiles
from automl.config import (
    POOLINGS,
    LossConfig,
    ModelConfig,
)
from automl.errors import UnfitEnvironmentError
from automl.space import describe, load_space
from automl.tasks import Task
from automl.training.network.create import build_model
from automl.training.network.input_sizes import fit_sizes
from automl.training.network.network import Network
from automl.training.network.outputs import build_output_layer
from tests.automl_tests.training_tests.networks import LARGE, SMALL, images_of, network_of, small, small_and_large
from tests.automl_tests.training_tests.trial_builders import (
    config_of,
    seeded_model,
    trained,
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


def test_the_file_of_a_cut_backbone_must_be_whole_all_the_same(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    save_file(dict(list(state.items())[:-8]), tmp_path / "test_resnet.safetensors")
    with pytest.raises(UnfitEnvironmentError, match="it lacks"):
        build_model(ModelConfig(backbone="test_resnet", pooling="avg", cut=2), n_classes=3, weights_dir=tmp_path)


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


def test_the_output_layer_decides_how_many_outputs_there_are() -> None:
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


def losses_of_networks(shapes: StudyFiles, *models: ModelConfig) -> list[float]:
    """The loss of the first epoch of each network."""
    configs = [replace(config_of(epochs=1), model=model) for model in models]
    return [trained(shapes, config).history[0].train_loss for config in configs]


@pytest.mark.slow
def test_the_pooling_changes_what_is_trained(shapes: StudyFiles) -> None:
    plain = ModelConfig(backbone="test_resnet", pretrained=False)
    own, mean = losses_of_networks(shapes, plain, replace(plain, pooling="avg"))
    assert own == pytest.approx(mean, rel=1e-3)  # which is what a ResNet does
    # Without the last stage the map has more than one cell. Attention begins as the mean.
    others = [pooling for pooling in POOLINGS if pooling not in ("own", "attention")]
    losses = losses_of_networks(shapes, *(replace(plain, pooling=pooling, cut=1) for pooling in others))
    assert len({round(loss, 4) for loss in losses}) == len(others)


def test_hidden_layers_change_what_is_trained(shapes: StudyFiles) -> None:
    linear, hidden = (ModelConfig(backbone="test_resnet", pretrained=False, hidden=h) for h in ((), (32,)))
    one, other = losses_of_networks(shapes, linear, hidden)
    assert one != pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_byobnet", "test_efficientnet", "test_convnext"])
def test_dropout_makes_the_training_random_and_only_the_training(backbone: str) -> None:
    images = torch.rand(4, 3, 32, 32)
    for dropout, differs in ((0.0, False), (0.5, True)):
        model = seeded_model(config_of(backbone=backbone, dropout=dropout))
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 0.0
        assert torch.equal(model(images), model(images)) is not differs
        model.eval()
        assert torch.equal(model(images), model(images))


def test_stochastic_depth_is_in_the_tree_of_modules() -> None:
    config = ModelConfig(backbone="test_convnext", pretrained=False, drop_path=0.4)
    rates = [
        module.drop_prob
        for module in build_model(config, n_classes=3, weights_dir=None).modules()
        if type(module).__name__ == "DropPath"
    ]
    assert max(rates) == pytest.approx(0.4)
