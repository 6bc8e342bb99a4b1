"""Pretrained weights in a folder: as pickles, in the hub's layouts, and for other inputs."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from automl.errors import UnfitEnvironmentError
from automl.training.network import pretrained
from automl.training.network.pretrained import load_file_weights

State = dict[str, Tensor]


class Malicious:
    """Touches a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.canary,)


def state_of(backbone: str = "test_resnet", **arguments: Any) -> State:
    torch.manual_seed(9)
    return dict(timm.create_model(backbone, **{"num_classes": 11, **arguments}).state_dict())


def load(folder: Path, backbone: str = "test_resnet") -> nn.Module:
    return load_file_weights(lambda **changes: timm.create_model(backbone, **changes), backbone, folder)


def assert_holds(model: nn.Module, state: State) -> None:
    found = model.state_dict()
    assert set(found) == set(state)
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "name", ["test_resnet.pth", "test_resnet.r160_in1k.pt", "test_resnet.bin", "test_resnet/pytorch_model.bin",
             "test_resnet.pth.tar", "test_resnet-5c106cde.pth"],
)  # fmt: skip
def test_a_pickle_of_tensors_alone_is_used(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    torch.save(state_of(), tmp_path / name)
    assert_holds(load(tmp_path), state_of())


def test_pickles_from_before_torchs_archive_are_used(tmp_path: Path) -> None:
    torch.save(state_of(), tmp_path / "test_resnet.pth", _use_new_zipfile_serialization=False)
    assert_holds(load(tmp_path), state_of())


@pytest.mark.parametrize(
    "nest",
    [
        lambda state: {"state_dict": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        lambda state: {"model": state},
        lambda state: {"state_dict": {n: t + 1 for n, t in state.items()}, "state_dict_ema": state},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()}},
    ],
    ids=["state_dict", "model", "ema", "module", "compiled"],
)
def test_what_training_scripts_put_around_the_weights_is_taken_off(
    nest: Callable[[State], dict[str, Any]], tmp_path: Path
) -> None:
    torch.save(nest(state_of()), tmp_path / "test_resnet.pth")
    assert_holds(load(tmp_path), state_of())


def test_tensors_that_share_memory_or_are_transposed_are_used(tmp_path: Path) -> None:
    state = state_of()
    name = "layer2.0.conv1.weight"
    state[name] = state[name].contiguous(memory_format=torch.channels_last)
    together = torch.cat([state["bn1.weight"], state["bn1.bias"]])
    state["bn1.weight"], state["bn1.bias"] = together.chunk(2)
    torch.save(state, tmp_path / "test_resnet.pth")
    assert_holds(load(tmp_path), state)


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    torch.save(state_of(), tmp_path / "test_resnet.pth")
    other = {name: tensor + 1 for name, tensor in state_of().items()}
    save_file(other, tmp_path / "test_resnet.r160_in1k.safetensors")
    assert_holds(load(tmp_path), other)


@pytest.mark.parametrize("kind", ["archive", "plain pickle", "among weights"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_would_run_code_is_refused_and_does_not(kind: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "executed", tmp_path / "test_resnet.pth"
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(Malicious(canary)))
    else:
        torch.save({**(state_of() if kind == "among weights" else {}), "x": Malicious(canary)}, path)
    with pytest.raises(UnfitEnvironmentError, match=r"test_resnet.pth is a pickle that holds more") as caught:
        load(tmp_path)
    assert caught.value.hint == (
        "convert it to test_resnet.safetensors with safetensors.torch.save_file where you trust it"
    )
    assert not canary.exists()
    torch.load(path, weights_only=False) if kind != "plain pickle" else pickle.loads(path.read_bytes())
    assert canary.exists()  # so the test can fail


def test_nothing_but_this_module_opens_a_pickle(tmp_path: Path) -> None:
    opened: list[str] = []

    def build(*, pretrained_cfg_overlay: dict[str, Any], **changes: Any) -> nn.Module:
        opened.append(Path(pretrained_cfg_overlay["file"]).suffix)
        return timm.create_model("test_resnet", pretrained_cfg_overlay=pretrained_cfg_overlay, **changes)  # type: ignore[no-any-return]

    torch.save(state_of(), tmp_path / "test_resnet.pth")
    load_file_weights(build, "test_resnet", tmp_path)
    assert opened == [".safetensors"]


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("damage", ["cut", "empty", "text", "list", "scalars", "tensor"])
def test_a_damaged_pickle_is_refused(damage: str, archive: bool, tmp_path: Path) -> None:
    path = tmp_path / "test_resnet.pth"
    content: Any = {"list": [torch.zeros(2)], "scalars": {"lr": 0.1}, "tensor": torch.zeros(3)}.get(damage, state_of())
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    damaged = {"cut": path.read_bytes()[:-900], "empty": b"", "text": b"<html>404</html>"}
    path.write_bytes(damaged.get(damage, path.read_bytes()))
    with pytest.raises(UnfitEnvironmentError, match=r"test_resnet.pth is not a whole file of weights") as caught:
        load(tmp_path)
    assert "download it again" in caught.value.hint


def test_a_pickle_of_another_network_is_refused_with_the_first_mismatch(tmp_path: Path) -> None:
    torch.save(state_of("test_byobnet"), tmp_path / "test_resnet.pth")
    with pytest.raises(UnfitEnvironmentError, match=r"test_resnet.pth does not hold.* it lacks 'conv1\.0\.weight'"):
        load(tmp_path)
    torch.save({**state_of(), "bn1.weight": torch.zeros(7)}, tmp_path / "test_resnet.pth")
    with pytest.raises(UnfitEnvironmentError, match=r"'bn1\.weight' is \(7\) in it, but \(\d+\) in the network"):
        load(tmp_path)
    torch.save({**state_of(), "layer9.weight": torch.zeros(7)}, tmp_path / "test_resnet.pth")
    with pytest.raises(UnfitEnvironmentError, match=r"it has 'layer9\.weight', which the network lacks"):
        load(tmp_path)


def test_a_pickle_without_a_classifier_will_do(tmp_path: Path) -> None:
    state = state_of(num_classes=0)
    torch.save(state, tmp_path / "test_resnet.pth")
    assert_holds(load(tmp_path), state)


def published(state: State) -> State:
    """A ConvNeXt as its authors name its parts."""
    renamed = {}
    for name, tensor in state.items():
        name = name.replace("head.norm.", "norm.").replace("head.fc.", "head.").replace("conv_dw", "dwconv")
        name = name.replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2").replace(".blocks.", ".")
        name = re.sub(r"^stem\.", "downsample_layers.0.", name)
        renamed[re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)] = tensor
    return renamed


def test_the_familys_own_conversion_is_applied_to_pickles(tmp_path: Path) -> None:
    state = state_of("test_convnext", num_classes=1000)
    torch.save({"model": published(state)}, tmp_path / "test_convnext.pth")
    assert_holds(load(tmp_path, "test_convnext"), state)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "test_vit"])
def test_a_stem_for_grey_images_sees_them_the_same_in_three_channels(
    backbone: str, suffix: str, tmp_path: Path
) -> None:
    torch.manual_seed(9)
    grey = timm.create_model(backbone, num_classes=11, in_chans=1).eval()
    path = tmp_path / f"{backbone}.{suffix}"
    save_file(grey.state_dict(), path) if suffix == "safetensors" else torch.save(grey.state_dict(), path)
    model = load(tmp_path, backbone).eval()
    images = torch.rand(2, 1, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(model(images.expand(-1, 3, -1, -1)), grey(images), rtol=1e-3, atol=1e-4)


def test_a_stem_for_more_channels_is_refused(tmp_path: Path) -> None:
    save_file(state_of(in_chans=6), tmp_path / "test_resnet.safetensors")
    with pytest.raises(UnfitEnvironmentError, match=r"'conv1\.0\.weight' takes 6 channels"):
        load(tmp_path)


def test_a_copy_of_the_hubs_cache_will_do_and_its_current_snapshot_counts(tmp_path: Path) -> None:
    repository = tmp_path / "models--timm--test_resnet.r160_in1k"
    states = {revision: {n: t + k for n, t in state_of().items()} for k, revision in enumerate(("abc", "def"))}
    for revision, state in states.items():
        (repository / "snapshots" / revision).mkdir(parents=True)
        save_file(state, repository / "snapshots" / revision / "model.safetensors")
    assert_holds(load(tmp_path), states["abc"])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("def")
    assert_holds(load(tmp_path), states["def"])


def test_a_pickle_in_a_copy_of_the_hubs_cache_will_do(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--timm--test_resnet.r160_in1k" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    torch.save(state_of(), snapshot / "pytorch_model.bin")
    assert_holds(load(tmp_path), state_of())


def test_the_converted_copy_of_a_pickle_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(pretrained.tempfile, "tempdir", str(scratch))
    torch.save(state_of(), tmp_path / "test_resnet.pth")
    assert_holds(load(tmp_path), state_of())
    assert list(scratch.iterdir()) == []


def test_a_network_whose_layout_is_torchvisions_takes_torchvisions_file(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = timm.create_model("resnet18").state_dict()
    torch.manual_seed(2)
    state = {name: torch.rand(tensor.shape).to(tensor.dtype) for name, tensor in shapes.items()}
    torch.save(state, tmp_path / "resnet18-f37072fd.pth")
    assert_holds(load(tmp_path, "resnet18"), state)
