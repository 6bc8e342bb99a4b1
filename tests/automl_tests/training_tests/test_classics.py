"""LeNet-5 and AlexNet, as timm sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.models import group_parameters
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

import automl.training.network.create  # noqa: F401 - registers them
from automl.config import ModelConfig
from automl.errors import UnfitEnvironmentError
from automl.training.network.create import build_model
from automl.training.network.feature_extractor import find_stage_ends

both = pytest.mark.parametrize("name", ["lenet5", "alexnet"])


def on_paper(name: str, **arguments: object) -> torch.nn.Module:
    """Without numbers, in evaluation mode."""
    with torch.device("meta"):
        model: torch.nn.Module = timm.create_model(name, **arguments)
    return model.eval()


def test_lenet5_has_the_sizes_of_the_paper() -> None:
    model = timm.create_model("lenet5", num_classes=10, in_chans=1)
    shapes = [tuple(parameter.shape) for name, parameter in model.named_parameters() if name.endswith("weight")]
    assert shapes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
    taps = model.forward_intermediates(torch.zeros(1, 1, 32, 32), intermediates_only=True)
    assert [tuple(tap.shape[1:]) for tap in taps] == [(6, 14, 14), (16, 5, 5)]  # S2 and S4
    image = torch.randn(1, 1, 32, 32)
    (subsampled,) = model.forward_intermediates(image, indices=[0], intermediates_only=True)
    torch.testing.assert_close(subsampled, F.avg_pool2d(model.features[0](image).tanh(), 2))
    # 156, 48 120 and 10 164 trainable parameters in C1, C5 and F6: section II.B of the paper.
    counts = [sum(p.numel() for p in model.get_submodule(part).parameters()) for part in ("features.0", "classifier.0")]
    assert counts == [156, 48_120]
    assert sum(p.numel() for p in model.get_submodule("classifier.2").parameters()) == 10_164


def test_lenet5_at_its_own_size_pools_nothing_more() -> None:
    model = timm.create_model("lenet5", num_classes=10)
    maps = torch.randn(2, 16, 5, 5)
    torch.testing.assert_close(model.avgpool(maps), maps)


@pytest.mark.parametrize("image_size", [28, 32, 100])
def test_lenet5_takes_images_of_the_sizes_of_its_time_and_larger(image_size: int) -> None:
    network = build_model(ModelConfig(backbone="lenet5", pretrained=False), n_classes=3, weights_dir=None)
    assert network(torch.randn(2, 3, image_size, image_size)).shape == (2, 3)


def test_alexnet_has_the_names_and_shapes_of_torchvisions() -> None:
    with torch.device("meta"):
        reference = torchvision.models.alexnet()
    shapes = {name: tensor.shape for name, tensor in reference.state_dict().items()}
    assert {name: tensor.shape for name, tensor in on_paper("alexnet").state_dict().items()} == shapes


@pytest.mark.slow
def test_torchvisions_weights_make_alexnet_compute_what_torchvisions_does(tmp_path: Path) -> None:
    torch.manual_seed(3)
    reference = torchvision.models.alexnet().eval()
    save_file(reference.state_dict(), tmp_path / "alexnet.safetensors")
    network = build_model(ModelConfig(backbone="alexnet"), n_classes=1000, weights_dir=tmp_path).eval()
    network.head.load_state_dict({"fc.weight": reference.classifier[6].weight, "fc.bias": reference.classifier[6].bias})
    for image_size in (63, 224):
        images = torch.randn(2, 3, image_size, image_size)
        torch.testing.assert_close(network(images), reference(images))


def test_alexnets_first_dropout_stays_with_it_and_the_last_one_goes_to_the_head() -> None:
    config = ModelConfig(backbone="alexnet", pretrained=False, dropout=0.5)
    network = build_model(config, n_classes=3, weights_dir=None)
    rates = {
        part: [module.p for module in network.get_submodule(part).modules() if isinstance(module, torch.nn.Dropout)]
        for part in ("body", "head")
    }
    assert rates == {"body": [0.5, 0.0], "head": [0.5]}


@both
def test_they_keep_timms_conventions(name: str) -> None:
    model = on_paper(name, num_classes=7)
    images = torch.empty(2, 3, 96, 96, device="meta")
    features = model.forward_features(images)
    assert model(images).shape == model.forward_head(features).shape == (2, 7)
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)
    assert model.get_classifier() is model.get_submodule(model.pretrained_cfg["classifier"])
    assert model.get_submodule(model.pretrained_cfg["first_conv"]).in_channels == 3
    final, taps = model.forward_intermediates(images)
    assert final.shape == taps[-1].shape == features.shape
    assert [tap.shape[1] for tap in taps] == [info["num_chs"] for info in model.feature_info]
    assert len(model.forward_intermediates(images, indices=[0], stop_early=True, intermediates_only=True)) == 1
    with torch.device("meta"):
        model.reset_classifier(5)
    assert model(images).shape == (2, 5)
    model.reset_classifier(0)
    assert model(images).shape == (2, model.head_hidden_size)
    with pytest.raises(AssertionError):
        model.set_grad_checkpointing()


@both
def test_their_layers_are_in_the_order_of_the_network(name: str) -> None:
    model = on_paper(name)
    groups = group_parameters(model, model.group_matcher())
    names = [parameter for number in sorted(groups) for parameter in groups[number]]
    assert names == [parameter for parameter, _ in model.named_parameters()]
    assert len(groups) == len(names) // 2


@pytest.mark.slow
@both
def test_each_of_their_stages_can_be_cut_but_the_first(name: str) -> None:
    n_stages = len(find_stage_ends(name))
    sizes = []
    for cut in range(n_stages):
        config = ModelConfig(backbone=name, pretrained=False, pooling="avg", cut=cut)
        network = build_model(config, n_classes=3, weights_dir=None)
        assert network(torch.randn(2, 3, 64, 64)).shape == (2, 3)
        assert not [parameter for parameter in network.body.state_dict() if parameter.startswith("classifier")]
        sizes.append(sum(parameter.numel() for parameter in network.body.parameters()))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == n_stages


@both
def test_the_hub_has_no_weights_of_them(name: str) -> None:
    with pytest.raises(UnfitEnvironmentError, match=f"no pretrained weights of '{name}'"):
        build_model(ModelConfig(backbone=name), n_classes=3, weights_dir=None)


def test_a_file_with_weights_of_lenet5_is_loaded(tmp_path: Path) -> None:
    state = timm.create_model("lenet5", num_classes=10).state_dict()
    save_file(state, tmp_path / "lenet5.safetensors")
    body = build_model(ModelConfig(backbone="lenet5"), n_classes=3, weights_dir=tmp_path).body.state_dict()
    assert set(state) - set(body) == {"classifier.5.weight", "classifier.5.bias"}
    assert all(torch.equal(body[name], state[name]) for name in body)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "lenet5"])
def test_weights_without_a_classifier_will_do(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = timm.create_model(name, num_classes=0).state_dict()
    save_file(state, tmp_path / f"{name}.safetensors")
    network = build_model(ModelConfig(backbone=name), n_classes=3, weights_dir=tmp_path)
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.body.state_dict().items())
