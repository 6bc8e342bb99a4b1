"""Every optimizer against an independent one or a hand-worked step, and through a checkpoint."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_optimizer
import safetensors.torch
import torch
from torch import Tensor, nn

from automl.artifacts import StudyFiles
from automl.config import OPTIMIZERS, OptimConfig, TransferConfig
from automl.training.checkpoints import flatten, unflatten
from automl.training.optim.optimizers import build_optimizer, set_lr
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    Watched,
    assert_differ,
    config_of,
    trained,
)

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


class SmallNet(nn.Module):
    """A filter bank, a depthwise one, a table that is not to be decayed, norms and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU())
        body.register_parameter("table", nn.Parameter(torch.randn(5, 8)))
        self.body = body
        self.head = nn.Linear(8, 4)

    def no_weight_decay(self) -> set[str]:
        return {"body.table"}

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images).mean(dim=(2, 3)) + self.body.get_parameter("table").mean(dim=0)
        return self.head(features)  # type: ignore[no-any-return]


def optimizer_over(model: nn.Module, name: str, *, lr: float = 0.01, decay: float = 0.0) -> torch.optim.Optimizer:
    optimizer = build_optimizer(model, OptimConfig(optimizer=name, lr=lr, weight_decay=decay), TransferConfig())
    set_lr(optimizer, lr)
    return optimizer


def step_at_random(model: nn.Module, optimizer: torch.optim.Optimizer, number: int, *, head_only: bool = False) -> None:
    """A step along gradients that follow from its number; with head_only the body has none."""
    generator = torch.Generator().manual_seed(number)
    for name, parameter in model.named_parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if head_only and name.startswith("body") else gradient
    optimizer.step()


def weights_after(
    optimizer_of: Callable[[nn.Module], torch.optim.Optimizer], *, n_steps: int = 15
) -> dict[str, Tensor]:
    model = SmallNet()
    optimizer = optimizer_of(model)
    for number in range(n_steps):
        step_at_random(model, optimizer, number)
    return model.state_dict()


def plain_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Which weights are decayed, written out."""
    decayed = [model.get_parameter(name) for name in ("body.0.weight", "body.2.weight", "head.weight")]
    rest = [p for p in model.parameters() if all(p is not other for other in decayed)]
    return [{"params": rest, "weight_decay": 0.0}, {"params": decayed, "weight_decay": decay}]


# ---- Every optimizer ------------------------------------------------------------------


@every_optimizer
def test_an_optimizer_learns(name: str) -> None:
    torch.manual_seed(0)
    images, targets = torch.randn(32, 3, 8, 8), torch.arange(32) % 4
    images += targets.view(-1, 1, 1, 1)
    model = SmallNet()
    optimizer = optimizer_over(model, name, lr=0.05 if name in ("sgd", "sam", "ranger") else 0.01)
    losses = []
    for _ in range(80):
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@every_optimizer
def test_each_group_moves_at_its_share_of_the_rate(name: str) -> None:
    model = SmallNet()
    optimizer = optimizer_over(model, name, decay=0.1)
    for share, group in enumerate(optimizer.param_groups):
        group["lr_scale"] = 0.5 * share
    set_lr(optimizer, 0.02)
    assert [group["lr"] for group in optimizer.param_groups] == [
        0.01 * share for share in range(len(optimizer.param_groups))
    ]
    still, *moving = ([(p, p.detach().clone()) for p in group["params"]] for group in optimizer.param_groups)
    for number in range(7):
        step_at_random(model, optimizer, number)
    assert all(parameter.equal(before) for parameter, before in still)
    assert not any(parameter.equal(before) for group in moving for parameter, before in group)


@every_optimizer
def test_a_lower_rate_takes_a_shorter_first_step(name: str) -> None:
    lengths = []
    for lr in (0.01, 0.0025):
        model = SmallNet()
        optimizer = optimizer_over(model, name, lr=0.05)
        set_lr(optimizer, lr)
        before = model.get_parameter("head.weight").detach().clone()
        step_at_random(model, optimizer, 0)
        lengths.append((model.get_parameter("head.weight") - before).norm().item())
    assert lengths[0] == pytest.approx(4 * lengths[1], rel=1e-3)


@every_optimizer
def test_only_matrices_and_filters_are_decayed_and_no_table_that_the_backbone_lists(name: str) -> None:
    model = SmallNet()
    optimizer = optimizer_over(model, name, decay=0.1)
    before = copy.deepcopy(model.state_dict())
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    shrunk = {key for key, value in model.named_parameters() if value.norm() < before[key].norm()}
    assert shrunk == {"body.0.weight", "body.2.weight", "head.weight"}
    assert all(value.equal(before[key]) for key, value in model.named_parameters() if key not in shrunk)


@every_optimizer
def test_a_body_without_gradients_is_left_alone(name: str) -> None:
    model = SmallNet()
    optimizer = optimizer_over(model, name, decay=0.1)
    before = copy.deepcopy(model.state_dict())
    for number in range(13):
        step_at_random(model, optimizer, number, head_only=True)
    moved = {key for key, value in model.named_parameters() if not value.equal(before[key])}
    assert moved == {"head.weight", "head.bias"}


@every_optimizer
def test_a_body_that_thaws_late_begins_as_one_that_never_was_frozen(name: str) -> None:
    late, early = SmallNet(), SmallNet()
    late_optimizer, early_optimizer = optimizer_over(late, name, decay=0.1), optimizer_over(early, name, decay=0.1)
    for number in range(8):
        step_at_random(late, late_optimizer, number, head_only=True)
    for number in range(3):
        step_at_random(late, late_optimizer, number)
        step_at_random(early, early_optimizer, number)
    for (key, value), other in zip(late.named_parameters(), early.parameters(), strict=True):
        assert not key.startswith("body") or value.equal(other), key


@every_optimizer
@pytest.mark.parametrize("n_before", [1, 4, 6, 9])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_an_optimizer_goes_on_from_a_checkpoint_as_if_nothing_had_happened(
    name: str, n_before: int, memory_format: torch.memory_format
) -> None:
    undisturbed = SmallNet().to(memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = optimizer_over(undisturbed, name, decay=0.1)
    for number in range(n_before):
        step_at_random(undisturbed, optimizer, number, head_only=number < 2)

    tensors: dict[str, Tensor] = {}
    document = json.dumps(flatten(optimizer.state_dict(), "optimizer", tensors))
    content = safetensors.torch.save(tensors)
    resumed = copy.deepcopy(undisturbed)
    fresh = optimizer_over(resumed, name, lr=0.3, decay=0.1)
    fresh.load_state_dict(unflatten(json.loads(document), safetensors.torch.load(content)))

    for number in range(n_before, n_before + 8):
        set_lr(optimizer, 0.01 / (number + 1))
        set_lr(fresh, 0.01 / (number + 1))
        step_at_random(undisturbed, optimizer, number)
        step_at_random(resumed, fresh, number)
    for (key, value), other in zip(undisturbed.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert value.equal(other), key


# ---- Against hand-worked steps ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "first_step"),
    [
        ("adam", lambda g: g.sign()),
        ("adamw", lambda g: g.sign()),
        ("lookahead_adam", lambda g: g.sign()),
        ("lion", lambda g: g.sign()),
        ("muon", lambda g: g.sign()),  # a bias is AdamW's
        ("nadamw", lambda g: 1.9 * g.sign()),  # (0.9 * 0.1 g + 0.1 g) / (1 - 0.9)
        ("rmsprop", lambda g: g.sign() / 0.1**0.5),
        ("radam", lambda g: g),  # not yet divided by its size
        ("ranger", lambda g: g),
        ("sgd", lambda g: 1.9 * g),  # Nesterov's look ahead along the new momentum
        ("sam", lambda g: 1.9 * g),
    ],
)
def test_the_first_step_of_a_bias_is_the_hand_worked_one(name: str, first_step: Callable[[Tensor], Tensor]) -> None:
    model = SmallNet()
    bias = model.get_parameter("head.bias")
    before = bias.detach().clone()
    step_at_random(model, optimizer_over(model, name, lr=0.01), 0)
    assert bias.grad is not None
    torch.testing.assert_close(bias.detach(), before - 0.01 * first_step(bias.grad), rtol=1e-4, atol=1e-6)


def test_after_six_steps_lookahead_is_half_way_to_where_adam_would_be() -> None:
    start = SmallNet().state_dict()
    adam = weights_after(lambda model: torch.optim.Adam(model.parameters(), lr=0.01), n_steps=6)
    ahead = weights_after(lambda model: optimizer_over(model, "lookahead_adam"), n_steps=6)
    for key, value in ahead.items():
        torch.testing.assert_close(value, (start[key] + adam[key]) / 2 if value.is_floating_point() else value)


def test_the_step_of_a_filter_bank_with_muon_is_the_orthogonal_matrix_nearest_to_its_gradient() -> None:
    model = SmallNet()
    filters = model.get_parameter("body.0.weight")
    before = filters.detach().clone()
    step_at_random(model, optimizer_over(model, "muon", lr=0.01), 0)
    assert filters.grad is not None
    step = (before - filters.detach()).flatten(1) / 0.01
    u, _, v = torch.linalg.svd(filters.grad.flatten(1), full_matrices=False)
    cosine = (step * (u @ v)).sum() / step.norm() / (u @ v).norm()
    assert cosine > 0.99
    assert step.square().mean().sqrt() == pytest.approx(0.2, rel=0.1)  # as large as AdamW's: Liu et al. 2025


def test_muon_leaves_to_adamw_what_is_no_hidden_matrix() -> None:
    model = SmallNet()
    optimizer = optimizer_over(model, "muon")
    step_at_random(model, optimizer, 0)
    orthogonalised = {key for key, value in model.named_parameters() if "momentum_buffer" in optimizer.state[value]}
    assert orthogonalised == {"body.0.weight"}


# ---- Against other libraries ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("adam", lambda groups: torch.optim.Adam(groups, lr=0.01)),
        ("adamw", lambda groups: torch.optim.AdamW(groups, lr=0.01)),
        ("sgd", lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)),
        ("rmsprop", lambda groups: torch.optim.RMSprop(groups, lr=0.01, alpha=0.9)),
        ("lion", lambda groups: pytorch_optimizer.Lion(groups, lr=0.01)),
        ("ranger", lambda groups: pytorch_optimizer.Ranger(groups, lr=0.01, degenerated_to_sgd=True)),
        ("lookahead_adam", lambda groups: pytorch_optimizer.Lookahead(torch.optim.Adam(groups, lr=0.01), k=6)),
    ],
)
def test_an_optimizer_agrees_with_another_implementation(name: str, reference: Callable[[Any], Any]) -> None:
    ours = weights_after(lambda model: optimizer_over(model, name, decay=0.1))
    theirs = weights_after(lambda model: reference(plain_groups(model, 0.1)))
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-4, atol=1e-5)


def test_radam_agrees_with_another_implementation_that_cannot_decay_as_torch_does() -> None:
    ours = weights_after(lambda model: optimizer_over(model, "radam"))
    theirs = weights_after(lambda model: pytorch_optimizer.RAdam(model.parameters(), lr=0.01, degenerated_to_sgd=True))
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-4, atol=1e-5)


def test_muon_agrees_with_another_implementation() -> None:
    def reference(model: nn.Module) -> torch.optim.Optimizer:
        rest, decayed = plain_groups(model, 0.1)
        hidden, *others = decayed["params"]
        adamw = {"use_muon": False, "lr": 0.01, "eps": 1e-7}
        groups = [
            {"params": [hidden], "weight_decay": 0.1, "use_muon": True, "lr": 0.01},
            {**adamw, "params": others, "weight_decay": 0.1},
            {**adamw, **rest},
        ]
        options = {"nesterov": False, "ns_coeffs": "quintic", "use_adjusted_lr": True}
        muon: torch.optim.Optimizer = pytorch_optimizer.Muon(groups, **options)
        return muon

    theirs = weights_after(reference)
    for key, value in weights_after(lambda model: optimizer_over(model, "muon", decay=0.1)).items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=1e-3)


# ---- By name ------------------------------------------------------------------


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
