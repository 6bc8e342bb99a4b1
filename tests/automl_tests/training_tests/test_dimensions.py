"""Each dimension of a configuration changes what is trained: one test for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from automl.artifacts import StudyFiles
from automl.config import OPTIMIZERS, LossConfig, ModelConfig, OptimConfig, TransferConfig, TrialConfig
from automl.training.network.create import build_model
from automl.training.optim.freezing import set_trainable
from automl.training.optim.optimizers import build_optimizer
from automl.training.training_loop import train_fold
from tests.automl_tests.training_tests.worlds import PlainNet, config_of, seeded_model, state_of, task_of, trained


class Watched(PlainNet):
    """Keeps the batches that it was trained on."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.batches: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.batches.append(images.clone())
        return super().forward(images)


def watched(shapes: StudyFiles, config: TrialConfig) -> Watched:
    model = Watched()
    trained(shapes, config, model)
    return model


def weights_after(shapes: StudyFiles, config: TrialConfig) -> dict[str, Tensor]:
    return trained(shapes, config).model.state_dict()


def assert_differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_backbone_is_the_tree_of_modules() -> None:
    trees = [repr(seeded_model(config_of(backbone=backbone))) for backbone in ("test_resnet", "test_byobnet")]
    assert "ResNet" in trees[0]
    assert "ByobNet" in trees[1]


def test_pretrained_weights_are_where_the_training_begins(tmp_path: Path) -> None:
    save_file(seeded_model(config_of()).body.state_dict(), tmp_path / "test_resnet.safetensors")
    torch.manual_seed(77)
    pretrained = build_model(ModelConfig(backbone="test_resnet"), n_classes=3, weights_dir=tmp_path)
    scratch = build_model(ModelConfig(backbone="test_resnet", pretrained=False), n_classes=3, weights_dir=tmp_path)
    begun = seeded_model(config_of()).body.state_dict()
    assert all(torch.equal(tensor, begun[name]) for name, tensor in pretrained.body.state_dict().items())
    assert_differ(scratch.body.state_dict(), begun)


def test_the_resize_schedule_is_the_size_of_the_images_in_each_epoch(shapes: StudyFiles) -> None:
    asked: list[int] = []
    config = config_of(sizes="16-24-32", epochs=4, batch_size=48)
    task = task_of(shapes, config)
    pixels = task.pixels

    def noted(image_size: int) -> Any:
        asked.append(image_size)
        return pixels(image_size)

    model = Watched()
    train_fold(replace(task, pixels=noted), state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
    assert [batch.shape[2:] for batch in model.batches] == [(16, 16), (24, 24), (32, 32), (32, 32)]
    assert list(dict.fromkeys(asked)) == [16, 24, 32]


def test_validation_sees_the_size_that_is_being_trained(shapes: StudyFiles) -> None:
    model = PlainNet()
    trained(shapes, config_of(sizes="16-32", epochs=2, batch_size=48), model)
    assert model.seen == [(48, 3, 16, 16), (12, 3, 16, 16), (48, 3, 32, 32), (12, 3, 32, 32)]


def test_weights_are_carried_from_stage_to_stage(shapes: StudyFiles) -> None:
    small = weights_after(shapes, config_of(sizes="24", epochs=1, optim=OptimConfig(lr=1e-3, schedule="constant")))
    model = seeded_model(config_of())
    tiny_steps = OptimConfig(lr=1e-12, schedule="constant")
    state = state_of(model, config_of(optim=tiny_steps))
    state.model.load_state_dict(small)
    train_fold(
        task_of(shapes, config_of(sizes="32", epochs=1, optim=tiny_steps)),
        state,
        on_epoch=lambda: None,
        on_batch=lambda now: None,
    )
    assert torch.allclose(state.model.state_dict()["body.conv1.0.weight"], small["body.conv1.0.weight"], atol=1e-6)


def test_loss_and_gamma_and_smoothing_change_the_loss_that_is_trained(shapes: StudyFiles) -> None:
    losses = [
        LossConfig(),
        LossConfig(label_smoothing=0.2),
        LossConfig(name="focal", focal_gamma=1.0),
        LossConfig(name="focal", focal_gamma=3.0),
    ]
    values = [trained(shapes, config_of(loss=loss, epochs=1), Watched()).history[0].train_loss for loss in losses]
    assert len(set(values)) == 4
    zero = trained(shapes, config_of(loss=LossConfig(name="focal", focal_gamma=0.0), epochs=1), Watched()).history[0]
    assert zero.train_loss == pytest.approx(values[0], rel=1e-5)


def test_the_optimizer_is_of_its_own_class() -> None:
    kinds = {
        name: type(build_optimizer(PlainNet(), OptimConfig(optimizer=name), TransferConfig())).__name__.lower()
        for name in OPTIMIZERS
    }
    own = {
        "sgd": "sgd",
        "lookahead_adam": "lookahead",
        "ranger": "lookahead",
        "sam": "sgd",
    }  # sam changes the gradients
    assert kinds == {name: own.get(name, name) for name in OPTIMIZERS}


def test_sgd_has_the_momentum_of_nesterov_and_rmsprop_has_none() -> None:
    sgd = build_optimizer(PlainNet(), OptimConfig(optimizer="sgd"), TransferConfig()).param_groups[0]
    rmsprop = build_optimizer(PlainNet(), OptimConfig(optimizer="rmsprop"), TransferConfig()).param_groups[0]
    assert (sgd["momentum"], sgd["nesterov"]) == (0.9, True)
    assert rmsprop["momentum"] == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains(name: str, shapes: StudyFiles) -> None:
    before = Watched().state_dict()
    config = config_of(optim=OptimConfig(optimizer=name, lr=1e-3), epochs=1)
    assert_differ(trained(shapes, config, Watched()).model.state_dict(), before)


def test_the_learning_rate_and_its_schedule_reach_every_group(shapes: StudyFiles) -> None:
    def last_rates(optim: OptimConfig) -> set[float]:
        state = trained(shapes, config_of(optim=optim, epochs=2), Watched())
        assert state.history[-1].lr == state.optimizer.param_groups[0]["lr"]
        return {group["lr"] for group in state.optimizer.param_groups}

    assert last_rates(OptimConfig(lr=2e-3, schedule="constant")) == {2e-3}
    (falling,) = last_rates(OptimConfig(lr=2e-3, schedule="cosine"))
    assert 0 < falling < 1e-3


def test_weight_decay_acts_on_matrices_and_filters_alone() -> None:
    model = seeded_model(config_of())
    optimizer = build_optimizer(model, OptimConfig(weight_decay=0.3), TransferConfig())
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {decay[id(p)] for p in model.parameters() if p.ndim > 1} == {0.3}
    assert {decay[id(p)] for p in model.parameters() if p.ndim <= 1} == {0.0}
    assert len(decay) == len(list(model.parameters()))


def test_weight_decay_changes_the_weights(shapes: StudyFiles) -> None:
    light, heavy = (OptimConfig(lr=1e-2, weight_decay=decay) for decay in (0.0, 1.0))
    assert_differ(
        weights_after(shapes, config_of(optim=light, epochs=1)), weights_after(shapes, config_of(optim=heavy, epochs=1))
    )


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


def test_the_batch_size_is_the_number_of_images_in_a_step(shapes: StudyFiles) -> None:
    sizes = {
        batch_size: [len(batch) for batch in watched(shapes, config_of(batch_size=batch_size, epochs=1)).batches]
        for batch_size in (16, 20, 47)
    }
    assert sizes == {16: [16, 16, 16], 20: [20, 20, 8], 47: [48]}


def test_the_augmentation_changes_the_pixels_that_are_trained_on(shapes: StudyFiles) -> None:
    first = {
        policy: watched(shapes, config_of(augment=policy, epochs=1)).batches[0]
        for policy in ("none", "light", "medium")
    }
    assert not torch.equal(first["none"], first["light"])
    assert not torch.equal(first["none"], first["medium"])
    assert not torch.equal(first["light"], first["medium"])


@pytest.mark.parametrize("flips", [False, True])
def test_images_are_mirrored_only_where_the_competition_allows_it(flips: bool, shapes: StudyFiles) -> None:
    config = config_of(augment="light", epochs=1, batch_size=48)
    task = task_of(shapes, config)
    half_bright = np.zeros((60, 32, 32, 3), dtype=np.uint8)
    half_bright[:, :, :16] = 255
    marked = replace(task, competition=replace(task.competition, flips=flips), pixels=lambda image_size: half_bright)
    model = Watched()
    train_fold(marked, state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
    (batch,) = model.batches
    mirrored = batch[..., :4].mean(dim=(1, 2, 3)) < batch[..., -4:].mean(dim=(1, 2, 3))
    assert mirrored.any().item() is flips


def test_without_augmentation_the_images_are_those_of_the_cache_in_another_order_each_epoch(shapes: StudyFiles) -> None:
    config = config_of(augment="none", epochs=2, batch_size=48)
    first, second = watched(shapes, config).batches
    pixels = task_of(shapes, config).pixels(32)[:48]

    def digests(batch: Tensor) -> list[float]:
        return [round(image.double().sum().item(), 3) for image in batch]

    expected = [round((image / 255 - 0.5).sum() / 0.25, 3) for image in pixels.astype(float)]
    assert sorted(digests(first)) == pytest.approx(sorted(expected), abs=0.01)
    assert digests(first) != digests(second)
    assert sorted(digests(first)) == sorted(digests(second))


def test_epochs_are_the_number_of_passes(shapes: StudyFiles) -> None:
    assert len(watched(shapes, config_of(epochs=1, batch_size=48)).batches) == 1
    assert len(watched(shapes, config_of(epochs=3, batch_size=48)).batches) == 3


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


@pytest.mark.parametrize("change", [lambda n: {"seeds": (n, 0, 0)}, lambda n: {"seeds": (5, n, 0)}])
def test_the_seed_changes_order_and_augmentation(change: Callable[[int], dict[str, Any]], shapes: StudyFiles) -> None:
    seen = []
    for number in (1, 2):
        model, config = Watched(), config_of(epochs=1)
        task = task_of(shapes, config, **change(number))
        train_fold(task, state_of(model, config), on_epoch=lambda: None, on_batch=lambda now: None)
        seen.append(model.batches[0].numpy())
    assert not np.array_equal(seen[0], seen[1])
