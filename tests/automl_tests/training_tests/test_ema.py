"""The average of the weights against its closed form and timm's."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from automl.artifacts import StudyFiles
from automl.config import (
    OptimConfig,
)
from automl.training.checkpoints import flatten, unflatten
from automl.training.optim.ema import ModelEma, compute_decay, warm_up_decay
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    assert_differ,
    config_of,
    run,
    seeded_model,
)

LATE = 10**9  # so many updates that the decay has warmed up


class SharingNet(nn.Module):
    """A batch norm, and a weight that two modules share."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight


def move(model: nn.Module, seed: int) -> None:
    """Other weights and statistics, which follow from the seed."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.randn(tensor.shape, generator=generator)
        else:
            tensor.fill_(seed)


def test_with_a_constant_decay_the_average_has_its_closed_form() -> None:
    model = SharingNet()
    average = ModelEma(model, decay=0.8)
    seen = [copy.deepcopy(model.state_dict())]
    for seed in range(5):
        move(model, seed)
        seen.append(copy.deepcopy(model.state_dict()))
        average.update(model, LATE)
    shares = [0.8**5, *(0.2 * 0.8 ** (4 - seed) for seed in range(5))]
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            expected = sum(share * weights[key] for share, weights in zip(shares, seen, strict=True))
            torch.testing.assert_close(value, expected)
    assert int(average.state_dict()["norm.num_batches_tracked"]) == 4


def test_the_average_agrees_with_timms() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    ours, theirs = ModelEma(model, decay=0.9), ModelEmaV3(model, decay=0.9)
    for seed in range(6):
        move(model, seed)
        ours.update(model, LATE)
        theirs.update(model)
    for value, other in zip(ours.state_dict().values(), theirs.module.state_dict().values(), strict=True):
        assert value.equal(other)


def test_the_averaged_network_is_another_one_that_is_not_trained() -> None:
    model = SharingNet()
    average = ModelEma(model, decay=0.9)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert not average.model.training and not any(parameter.requires_grad for parameter in average.model.parameters())
    before = copy.deepcopy(average.state_dict())
    move(model, 1)
    assert all(value.equal(before[key]) for key, value in average.state_dict().items())


def test_weights_that_stay_the_same_are_their_own_average_bit_for_bit() -> None:
    model = SharingNet()
    move(model, 3)
    average = ModelEma(model, decay=0.97)
    for number in range(50):
        average.update(model, number)
    assert all(value.equal(model.state_dict()[key]) for key, value in average.state_dict().items())


def test_the_average_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    model = SharingNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = ModelEma(model, decay=0.9)
    resumed = ModelEma(model, decay=0.9)
    for number in range(8):
        if number == 4:
            tensors: dict[str, Tensor] = {}
            document = flatten(average.state_dict(), "average", tensors)
            content = safetensors.torch.save(tensors)
            resumed.load_state_dict(unflatten(document, safetensors.torch.load(content)))
        move(model, number)
        average.update(model, number)
        if number >= 4:
            resumed.update(model, number)
    assert all(value.equal(resumed.state_dict()[key]) for key, value in average.state_dict().items())
    assert resumed.model.get_parameter("convolution.weight").is_contiguous(memory_format=torch.channels_last)


def test_an_average_in_float32_takes_in_weights_of_half_the_precision() -> None:
    model = nn.Linear(4, 4)
    average = ModelEma(model, decay=0.5)
    begin = model.weight.detach().clone()
    average.update(model.to(torch.bfloat16), LATE)
    mean = average.model.get_parameter("weight")
    torch.testing.assert_close(mean.detach(), (begin + model.weight.detach().float()) / 2)


@pytest.mark.parametrize(
    ("horizon_fraction", "n_steps", "decay"), [(0.1, 1000, 0.99), (0.5, 4, 0.5), (1.0, 1, 0.0), (0.01, 10, 0.0)]
)
def test_the_decay_reaches_back_over_its_fraction_of_the_steps(
    horizon_fraction: float, n_steps: int, decay: float
) -> None:
    assert compute_decay(horizon_fraction, n_steps) == pytest.approx(decay, abs=1e-12)


def test_the_decay_warms_up_and_then_stays() -> None:
    assert [warm_up_decay(0.5, number) for number in (0, 1, 7, 8, 9, 1000)] == [0.1, 2 / 11, 8 / 17, 0.5, 0.5, 0.5]


def test_the_weights_that_training_began_with_are_soon_forgotten() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = ModelEma(model, decay=0.999)
    nn.init.zeros_(model.weight)
    for number in range(20):
        average.update(model, number)
    assert 0.0 < average.model.get_parameter("weight").item() < 1e-5


def test_averaged_weights_are_what_is_evaluated_and_kept(shapes: StudyFiles) -> None:
    config = config_of(optim=OptimConfig(lr=1e-2, schedule="constant"), epochs=3)
    plain, averaged = run(shapes, config), run(shapes, replace(config, ema_horizon=0.3))
    for one, other in zip(plain[2][:-1], averaged[2][:-1], strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())  # training itself is the same
    assert_differ(plain[0].model.state_dict(), averaged[0].model.state_dict())
    assert not np.array_equal(plain[1], averaged[1])
    steps = [torch.nn.utils.parameters_to_vector(state.model.parameters()) for state in (plain[0], averaged[0])]
    begun = torch.nn.utils.parameters_to_vector(seeded_model(config).parameters())
    assert (steps[1] - begun).norm() < (steps[0] - begun).norm()  # it lags behind


def test_a_backbone_that_does_not_change_needs_no_averaging() -> None:
    torch.manual_seed(0)
    model = PlainNet()
    whole, partial = ModelEma(model, decay=0.9), ModelEma(model, decay=0.9)
    for step in range(12):
        with torch.no_grad():
            model.head.weight.add_(0.1)
        whole.update(model, step)
        partial.update(model, step, with_backbone=False)
    assert all(torch.equal(tensor, partial.state_dict()[name]) for name, tensor in whole.state_dict().items())
    assert not torch.equal(whole.state_dict()["head.weight"], model.head.weight)
