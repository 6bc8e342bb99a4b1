"""Networks from a configuration: their heads, and where pretrained weights come from."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from automl.artifacts import StudyFiles
from automl.config import ModelConfig
from automl.data.competition import load_competition
from automl.errors import StorageError, UnfitEnvironmentError, UsageError
from automl.tasks import Task
from automl.training.network import pretrained
from automl.training.network.create import Normalisation, build_model, load_trained, move_to_device, require_sizes_fit
from automl.training.network.network import Network
from automl.training.network.outputs import build_output_layer
from tests.automl_tests.training_tests.trial_builders import (
    assert_differ,
    config_of,
    seeded_model,
)


class Malicious:
    """Touches a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.canary,)


TINY = ModelConfig(backbone="test_resnet")


def save_weights(path: Path, backbone: str = "test_resnet", n_classes: int = 11) -> dict[str, torch.Tensor]:
    """The state of a network with weights of its own, saved as safetensors."""
    torch.manual_seed(9)
    state = timm.create_model(backbone, num_classes=n_classes).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return state


def assert_backbone_is(model: Network, state: dict[str, torch.Tensor]) -> None:
    own = model.body.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.items())
    assert {name for name in state if name not in own} <= {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    "name",
    [
        "test_resnet.safetensors",
        "test_resnet.r160_in1k.safetensors",
        "test_resnet/model.safetensors",
        "test_resnet.r160_in1k/model.safetensors",
    ],
)
def test_weights_from_a_folder_fill_the_backbone_and_leave_the_head_fresh(name: str, tmp_path: Path) -> None:
    state = save_weights(tmp_path / name)
    model = build_model(TINY, n_classes=3, weights_dir=tmp_path)
    assert_backbone_is(model, state)
    assert model.head.state_dict()["fc.weight"].shape == (3, state["fc.weight"].shape[1])
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


def test_a_backbone_with_a_tag_finds_the_file_without_it(tmp_path: Path) -> None:
    state = save_weights(tmp_path / "test_resnet.safetensors")
    tagged = ModelConfig(backbone="test_resnet.r160_in1k")
    assert_backbone_is(build_model(tagged, n_classes=3, weights_dir=tmp_path), state)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_byobnet", "test_vit", "test_convnext", "test_nfnet"])
def test_weights_of_every_kind_of_network_are_loaded_but_for_the_head(backbone: str, tmp_path: Path) -> None:
    state = save_weights(tmp_path / f"{backbone}.safetensors", backbone)
    model = build_model(ModelConfig(backbone=backbone), n_classes=4, weights_dir=tmp_path)
    own = model.body.state_dict()
    classifier = model.pretrained_cfg["classifier"]
    assert set(state) - set(own) == {f"{classifier}.weight", f"{classifier}.bias"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.items())
    assert model(torch.zeros(2, 3, 160, 160)).shape == (2, 4)


def test_a_file_without_a_classifier_will_do(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    save_file(state, tmp_path / "test_resnet.safetensors")
    assert_backbone_is(build_model(TINY, n_classes=3, weights_dir=tmp_path), state)


def test_dropout_and_stochastic_depth_survive_the_loading_of_weights(tmp_path: Path) -> None:
    save_weights(tmp_path / "test_convnext.safetensors", "test_convnext")
    config = ModelConfig(backbone="test_convnext", dropout=0.3, drop_path=0.2)
    model = build_model(config, n_classes=3, weights_dir=tmp_path)
    assert [part.p for part in model.head.modules() if isinstance(part, nn.Dropout)] == [0.3]
    assert "DropPath" in repr(model.body)


def test_a_file_of_another_network_is_refused_with_the_first_mismatch(tmp_path: Path) -> None:
    save_weights(tmp_path / "test_resnet.safetensors", "test_byobnet")
    with pytest.raises(UnfitEnvironmentError, match=r"does not hold the weights of 'test_resnet': it lacks 'conv1"):
        build_model(TINY, n_classes=3, weights_dir=tmp_path)


def test_a_file_of_a_deeper_network_of_the_family_is_refused(tmp_path: Path) -> None:
    # All names of resnet10t are in resnet14t too, with the same shapes: what is too many must be noticed.
    save_weights(tmp_path / "resnet10t.safetensors", "resnet14t")
    with pytest.raises(UnfitEnvironmentError, match="which the network lacks"):
        build_model(ModelConfig(backbone="resnet10t"), n_classes=3, weights_dir=tmp_path)


def test_a_family_that_passes_over_what_does_not_fit_is_checked_all_the_same(tmp_path: Path) -> None:
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "dla46_c.safetensors")
    with pytest.raises(UnfitEnvironmentError, match="does not hold the weights of 'dla46_c'"):
        build_model(ModelConfig(backbone="dla46_c"), n_classes=3, weights_dir=tmp_path)
    state = save_weights(tmp_path / "dla46_c.safetensors", "dla46_c")
    assert_backbone_is(build_model(ModelConfig(backbone="dla46_c"), n_classes=3, weights_dir=tmp_path), state)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    state = save_weights(tmp_path / "test_resnet.safetensors")
    name = next(iter(state))
    save_file({**state, name: torch.zeros(2, 3, 3, 3)}, tmp_path / "test_resnet.safetensors")
    with pytest.raises(UnfitEnvironmentError, match=rf"'{name}' is \(2, 3, 3, 3\) in it, but"):
        build_model(TINY, n_classes=3, weights_dir=tmp_path)


@pytest.mark.parametrize("damage", [b"", b"\x80\x04pickle", None])
def test_a_damaged_file_is_refused(damage: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "test_resnet.safetensors"
    save_weights(path)
    path.write_bytes(path.read_bytes()[:-1000] if damage is None else damage)
    with pytest.raises(UnfitEnvironmentError, match="is not a whole safetensors file"):
        build_model(TINY, n_classes=3, weights_dir=tmp_path)


def test_a_pickle_is_refused_without_being_opened(tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    (tmp_path / "test_resnet.pth").write_bytes(pickle.dumps(Malicious(canary)))
    with pytest.raises(UnfitEnvironmentError, match="is a pickle") as caught:
        build_model(TINY, n_classes=3, weights_dir=tmp_path)
    assert "convert it to test_resnet.safetensors" in caught.value.hint
    assert not canary.exists()


def test_a_pickle_by_the_name_of_safetensors_is_refused_without_running(tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    (tmp_path / "test_resnet.safetensors").write_bytes(pickle.dumps(Malicious(canary)))
    with pytest.raises(UnfitEnvironmentError, match="is not a whole safetensors file"):
        build_model(TINY, n_classes=3, weights_dir=tmp_path)
    assert not canary.exists()


def test_a_folder_without_the_weights_is_an_error_and_not_a_reason_to_start_from_scratch(tmp_path: Path) -> None:
    with pytest.raises(UnfitEnvironmentError, match="holds no weights of 'test_resnet'"):
        build_model(TINY, n_classes=3, weights_dir=tmp_path)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No hub at its address, and an empty cache of it; the cache's folder."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.usefixtures("no_hub")
def test_without_hub_and_folder_the_error_says_which_two_flags_help() -> None:
    with pytest.raises(UnfitEnvironmentError) as caught:
        build_model(TINY, n_classes=3, weights_dir=None)
    assert str(caught.value) == (
        "the pretrained weights of 'test_resnet' can be had neither from the hub nor from a folder"
    )
    assert caught.value.hint == (
        "pass --weights DIR with test_resnet.safetensors, or --no-pretrained to train from scratch"
    )


@pytest.mark.usefixtures("no_hub")
def test_a_hub_that_is_gone_is_tried_once_and_not_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(UnfitEnvironmentError):
        build_model(TINY, n_classes=3, weights_dir=None)
    assert waits == []
    assert pretrained.HUB_TIMEOUT_S <= 10


def test_weights_in_the_cache_of_the_hub_need_no_network(no_hub: Path) -> None:
    repository = no_hub / "models--timm--test_resnet.r160_in1k"
    state = save_weights(repository / "snapshots" / "abc" / "model.safetensors", n_classes=1000)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert_backbone_is(build_model(TINY, n_classes=3, weights_dir=None), state)


def test_a_backbone_that_nobody_has_trained_has_no_weights() -> None:
    with pytest.raises(UnfitEnvironmentError, match="no pretrained weights of 'efficientnet_b7'"):
        build_model(ModelConfig(backbone="efficientnet_b7"), n_classes=3, weights_dir=None)


def test_stochastic_depth_is_refused_where_it_would_do_nothing() -> None:
    config = ModelConfig(backbone="vgg11", pretrained=False, drop_path=0.1)
    with pytest.raises(UsageError, match="has no stochastic depth"):
        build_model(config, n_classes=3, weights_dir=None)


def test_pixels_are_normalised_as_the_backbone_was_pretrained() -> None:
    for backbone, mean, std in (("test_resnet", 0.5, 0.5), ("test_efficientnet", 0.485, 0.229)):
        model = build_model(ModelConfig(backbone=backbone, pretrained=False), n_classes=3, weights_dir=None)
        images = np.random.default_rng(0).integers(0, 256, size=(2, 4, 5, 3)).astype(np.uint8)
        normalised = Normalisation.from_model(model)(images, "cpu")
        assert normalised.shape == (2, 3, 4, 5)
        expected = (images[1, 2, 3, 0] / 255 - mean) / std
        assert normalised[1, 0, 2, 3].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("content", [None, b"", b"no safetensors at all"])
def test_trained_weights_that_are_gone_or_damaged_are_a_storage_error(
    content: bytes | None, tmp_path: Path, shapes: StudyFiles
) -> None:
    files = StudyFiles(tmp_path).get_trial_files(0)
    if content is not None:
        files.root.mkdir(parents=True)
        files.get_weights_path(0).write_bytes(content)
    with pytest.raises(StorageError, match="are missing" if content is None else "cannot be loaded") as caught:
        load_trained(
            config_of(), files.get_weights_path(0), competition=load_competition(shapes.competition), device="cpu"
        )
    assert str(files.get_weights_path(0)) in caught.value.problem
    assert "automl refit" in caught.value.hint


def test_trained_weights_of_another_network_are_a_storage_error(tmp_path: Path, shapes: StudyFiles) -> None:
    files = StudyFiles(tmp_path).get_trial_files(0)
    save_weights(files.get_weights_path(0), n_classes=4)
    with pytest.raises(StorageError, match="cannot be loaded"):
        load_trained(
            config_of(), files.get_weights_path(0), competition=load_competition(shapes.competition), device="cpu"
        )


def test_a_trained_network_comes_back_with_its_output_layer_neck_and_head(tmp_path: Path, shapes: StudyFiles) -> None:
    files = StudyFiles(tmp_path).get_trial_files(0)
    model = ModelConfig(
        backbone="test_resnet", pretrained=False, cut=1, attention="se", pooling="gem", hidden=(8, 4), dropout=0.2
    )
    config = replace(config_of(), model=model)
    network = build_model(
        model, n_classes=3, weights_dir=None, output_layer=build_output_layer(config.loss, Task.MULTICLASS, 3)
    ).eval()
    files.root.mkdir(parents=True)
    save_file(network.state_dict(), files.get_weights_path(0))
    again = load_trained(
        config, files.get_weights_path(0), competition=load_competition(shapes.competition), device="cpu"
    )
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(images), network(images))
    assert again.output_layer == network.output_layer
    assert not again.training


def test_a_size_that_does_not_fit_is_refused_with_those_that_do() -> None:
    network = build_model(ModelConfig(backbone="test_vit", pretrained=False), n_classes=3, weights_dir=None)
    require_sizes_fit(network, (32, 48), "test_vit")
    with pytest.raises(UsageError, match="'test_vit' cannot take images of 40 x 40 pixels") as caught:
        require_sizes_fit(network, (32, 40), "test_vit")
    assert "16, 32, 48 and so on in steps of 16" in caught.value.hint


def test_placing_a_network_returns_the_network_itself() -> None:
    network = build_model(ModelConfig(backbone="test_resnet", pretrained=False), n_classes=3, weights_dir=None)
    assert move_to_device(network, "cpu") is network


def test_pretrained_weights_are_where_the_training_begins(tmp_path: Path) -> None:
    save_file(seeded_model(config_of()).body.state_dict(), tmp_path / "test_resnet.safetensors")
    torch.manual_seed(77)
    pretrained = build_model(ModelConfig(backbone="test_resnet"), n_classes=3, weights_dir=tmp_path)
    scratch = build_model(ModelConfig(backbone="test_resnet", pretrained=False), n_classes=3, weights_dir=tmp_path)
    begun = seeded_model(config_of()).body.state_dict()
    assert all(torch.equal(tensor, begun[name]) for name, tensor in pretrained.body.state_dict().items())
    assert_differ(scratch.body.state_dict(), begun)
