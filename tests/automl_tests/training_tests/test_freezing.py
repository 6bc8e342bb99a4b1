"""Which parameters train when, and in which mode the modules are meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from automl.artifacts import StudyFiles
from automl.config import ModelConfig, OptimConfig, TransferConfig
from automl.training.network.create import build_model
from automl.training.network.network import Network
from automl.training.optim.freezing import is_backbone_frozen, set_trainable
from automl.training.optim.optimizers import build_optimizer
from automl.training.optim.param_groups import number_layers
from automl.training.training_loop import train_fold
from tests.automl_tests.training_tests.trial_builders import (
    config_of,
    seeded_model,
    state_of,
    task_of,
    weights_after,
)

ALL = TransferConfig()


def network(backbone: str = "test_resnet", **model: Any) -> Network:
    torch.manual_seed(0)
    return build_model(ModelConfig(backbone=backbone, pretrained=False, **model), n_classes=3, weights_dir=None)


def frozen_for(model: Network, transfer: TransferConfig, epoch: int = 0) -> torch.optim.Optimizer:
    optimizer = build_optimizer(model, OptimConfig(optimizer="sgd", lr=0.1, weight_decay=0.1), transfer)
    set_trainable(model, optimizer, transfer, epoch=epoch)
    return optimizer


def step(model: Network, optimizer: torch.optim.Optimizer) -> set[str]:
    """Train one step; the names of what it changed."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer.zero_grad(set_to_none=True)
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def decayed(model: Network) -> set[str]:
    """What any step changes where it trains, even without a gradient (behind a scale that begins at zero)."""
    return {name for name, parameter in model.named_parameters() if parameter.ndim > 1}


def statistics(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_buffers() if "running" in name or "num_batches" in name}


def test_by_default_everything_trains_in_training_mode() -> None:
    model = network()
    changed = step(model, frozen_for(model, ALL))
    assert changed >= decayed(model) | statistics(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_in_the_first_epochs_neck_and_head_alone_train_and_then_everything() -> None:
    model = network(attention="se", pooling="avg", hidden=(8,), dropout=0.1)
    transfer = TransferConfig(freeze_epochs=2)
    optimizer = frozen_for(model, transfer, epoch=1)
    changed = step(model, optimizer)
    assert {name.split(".")[0] for name in changed} == {"neck", "head"}
    assert changed >= {name for name in decayed(model) if not name.startswith("body.")}
    set_trainable(model, optimizer, transfer, epoch=2)
    assert step(model, optimizer) >= decayed(model) | statistics(model)
    assert all(module.training for module in model.modules())


def test_which_epochs_have_a_frozen_body() -> None:
    assert [is_backbone_frozen(TransferConfig(freeze_epochs=2), epoch) for epoch in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert all(is_backbone_frozen(TransferConfig(trainable_blocks=0), epoch) for epoch in range(4))
    assert not is_backbone_frozen(TransferConfig(trainable_blocks=1), 0)
    assert is_backbone_frozen(TransferConfig(trainable_blocks=1, freeze_epochs=1), 0)
    assert not is_backbone_frozen(ALL, 0)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_byobnet", "test_vit", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_only_the_last_blocks_and_the_head_are_changed(backbone: str, blocks: int) -> None:
    model = network(backbone)
    numbers = number_layers(model)
    last = max(numbers.values())
    changed = step(model, frozen_for(model, TransferConfig(trainable_blocks=blocks), epoch=3))
    expected = {name for name, number in numbers.items() if number >= last - blocks}
    assert changed - statistics(model) <= expected
    assert decayed(model) & expected <= changed
    for name in changed & statistics(model):
        assert f"{name.rpartition('.')[0]}.weight" in expected


def test_the_last_bottlenecks_are_counted_from_the_head() -> None:
    model = network("resnet26")
    frozen_for(model, TransferConfig(trainable_blocks=3))
    trained = {".".join(n.split(".")[1:3]) for n, p in model.named_parameters() if p.requires_grad and n[:4] == "body"}
    assert trained == {"layer4.1", "layer4.0", "layer3.1"}


def test_the_stem_trains_only_where_more_blocks_are_requested_than_there_are() -> None:
    model = network()  # of four blocks
    frozen_for(model, TransferConfig(trainable_blocks=4))
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[1] for name in fixed} == {"conv1", "bn1"}
    for more in (5, 100):
        model = network()
        frozen_for(model, TransferConfig(trainable_blocks=more))
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert all(module.training for module in model.modules())


def test_batch_norms_of_frozen_blocks_keep_their_statistics_and_those_above_learn() -> None:
    model = network()
    changed = step(model, frozen_for(model, TransferConfig(trainable_blocks=1))) & statistics(model)
    assert changed == {name for name in statistics(model) if name.startswith("body.layer4.")}


def test_frozen_norms_keep_their_statistics_and_learn_their_scales() -> None:
    model = network()
    changed = step(model, frozen_for(model, TransferConfig(freeze_norms=True)))
    assert changed & statistics(model) == set()
    assert "body.bn1.weight" in changed


def test_a_norm_without_weights_of_its_own_goes_with_its_block() -> None:
    model = network()
    for block in ("layer3", "layer4"):
        model.get_submodule(f"body.{block}.0").bn2 = nn.BatchNorm2d(96 if block == "layer4" else 64, affine=False)
    frozen_for(model, TransferConfig(trainable_blocks=1))
    assert not model.get_submodule("body.layer3.0.bn2").training
    assert model.get_submodule("body.layer4.0.bn2").training


def test_a_wholly_frozen_body_gives_the_same_features_each_time_and_the_head_still_drops() -> None:
    model = network("test_vit", drop_path=0.5, dropout=0.5)
    images = torch.rand(8, 3, 160, 160)
    frozen_for(model, ALL)
    assert not torch.equal(model.extract_features(images), model.extract_features(images))
    frozen_for(model, TransferConfig(freeze_epochs=1))
    assert torch.equal(model.extract_features(images), model.extract_features(images))
    assert not torch.equal(model(images), model(images))


def test_what_the_optimizer_does_not_hold_is_left_alone() -> None:
    model = network()
    fixed = model.get_parameter("body.layer4.0.conv1.weight")
    fixed.requires_grad_(False)
    transfer = TransferConfig(freeze_epochs=1)
    optimizer = frozen_for(model, transfer)
    set_trainable(model, optimizer, transfer, epoch=1)
    assert [parameter is fixed for parameter in model.parameters() if not parameter.requires_grad] == [True]


def test_only_the_last_blocks_train_where_the_configuration_says_so(shapes: StudyFiles) -> None:
    begun = seeded_model(config_of()).state_dict()
    ended = weights_after(shapes, config_of(transfer=TransferConfig(trainable_blocks=1), epochs=1))
    moved = {name for name in begun if not torch.equal(begun[name], ended[name])}
    assert {name.split(".")[0] for name in moved} == {"body", "head"}
    assert any(name.startswith("body.layer4") for name in moved)
    assert not any(name.startswith(("body.conv1", "body.layer1", "body.layer2")) for name in moved)


def test_while_it_is_frozen_the_backbone_and_its_statistics_stay_and_then_they_move(shapes: StudyFiles) -> None:
    config = config_of(transfer=TransferConfig(freeze_epochs=1), epochs=2)
    state = state_of(seeded_model(config), config)
    snapshots = [{name: tensor.clone() for name, tensor in state.model.state_dict().items()}]

    def keep() -> None:
        snapshots.append({name: tensor.clone() for name, tensor in state.model.state_dict().items()})

    train_fold(task_of(shapes, config), state, on_epoch=keep, on_batch=lambda now: None)
    begun, frozen, free = snapshots
    changed = {name for name in begun if not torch.equal(begun[name], frozen[name])}
    assert {name.partition(".")[0] for name in changed} == {"head"}
    moved = {name for name in begun if not torch.equal(frozen[name], free[name])}
    assert any("running_mean" in name for name in moved)
    assert {name for name, parameter in state.model.named_parameters()} <= moved


@pytest.mark.parametrize(
    "backbone", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "deit_tiny_distilled_patch16_224"]
)
def test_the_head_is_what_trains_while_the_backbone_is_frozen(backbone: str) -> None:
    model = seeded_model(config_of(backbone=backbone))
    transfer = TransferConfig(freeze_epochs=1)
    optimizer = build_optimizer(model, OptimConfig(), transfer)
    set_trainable(model, optimizer, transfer, epoch=0)
    trainable = {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {"head"}
    set_trainable(model, optimizer, transfer, epoch=1)
    assert all(parameter.requires_grad for parameter in model.parameters())
