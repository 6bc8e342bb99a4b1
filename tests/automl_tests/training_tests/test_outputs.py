"""Links: rows of probabilities for any output, and what they mean, worked by hand."""

from __future__ import annotations

import copy
import math
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from torch import Tensor

from automl.config import FOCAL_LOSSES, LOSSES, LossConfig, ModelConfig
from automl.data.resize import EvaluationPixels
from automl.tasks import Task
from automl.training.inference import predict_probs
from automl.training.network.create import build_model
from automl.training.network.outputs import build_output_layer

# Width 32, so that hypothesis draws floats that are floats of torch too.
LOGITS = st.floats(-1e4, 1e4, width=32)


def loss_named(name: str) -> LossConfig:
    return LossConfig(name=name, focal_gamma=2.0 if name in FOCAL_LOSSES else None)


def probs_of(name: str, rows: list[list[float]], n_classes: int) -> Tensor:
    return build_output_layer(loss_named(name), Task.MULTICLASS, n_classes).to_probs(torch.tensor(rows))


@pytest.mark.parametrize(
    ("name", "n_outputs"),
    [("cross_entropy", 5), ("focal", 5), ("bce", 5), ("focal_bce", 5), ("ordinal", 4), ("smooth_l1", 1)],
)
def test_each_loss_has_the_outputs_that_it_trains(name: str, n_outputs: int) -> None:
    output_layer = build_output_layer(loss_named(name), Task.MULTICLASS, 5)
    assert (output_layer.n_classes, output_layer.n_outputs) == (5, n_outputs)
    assert output_layer.to_probs(torch.zeros(3, n_outputs)).shape == (3, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
@given(content=st.data(), n_classes=st.integers(2, 9))
def test_all_finite_outputs_become_probabilities(name: str, content: st.DataObject, n_classes: int) -> None:
    output_layer = build_output_layer(loss_named(name), Task.MULTICLASS, n_classes)
    outputs = content.draw(arrays(np.float32, (3, output_layer.n_outputs), elements=LOGITS))
    probs = output_layer.to_probs(torch.from_numpy(outputs))
    assert probs.shape == (3, n_classes)
    assert probs.dtype is torch.float32
    assert torch.isfinite(probs).all()
    assert (probs >= 0).all()
    assert torch.allclose(probs.sum(dim=1), torch.ones(3), atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_an_output_layer_is_copied_and_pickled_with_its_network(name: str) -> None:
    output_layer = build_output_layer(loss_named(name), Task.MULTICLASS, 4)
    outputs = torch.randn(2, output_layer.n_outputs, generator=torch.Generator().manual_seed(0))
    for twin in (copy.deepcopy(output_layer), pickle.loads(pickle.dumps(output_layer))):
        assert (twin.n_classes, twin.n_outputs) == (4, output_layer.n_outputs)
        assert torch.equal(twin.to_probs(outputs), output_layer.to_probs(outputs))


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_softmax_is_torchs_own(name: str) -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * 5
    assert torch.equal(
        build_output_layer(loss_named(name), Task.MULTICLASS, 3).to_probs(logits), torch.softmax(logits, 1)
    )


@pytest.mark.parametrize("name", ["bce", "focal_bce"])
def test_sigmoids_are_divided_by_their_sum(name: str) -> None:
    logits = torch.logit(torch.tensor([[0.8, 0.4, 0.4], [0.1, 0.1, 0.3]]))
    expected = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    assert torch.allclose(build_output_layer(loss_named(name), Task.MULTICLASS, 3).to_probs(logits), expected)


def test_sigmoids_that_are_all_zero_still_tell_the_likeliest_class() -> None:
    probs = probs_of("bce", [[-900.0, -901.0, -905.0], [-1e4, -1e4, -1e4]], 3)
    assert torch.allclose(probs[0], torch.tensor([900.0, 899.0, 895.0]).softmax(0))
    assert torch.allclose(probs[1], torch.full((3,), 1 / 3))


def test_ordinal_classes_are_the_steps_between_their_thresholds() -> None:
    logits = torch.logit(torch.tensor([[0.9, 0.6, 0.1]]))
    probs = build_output_layer(loss_named("ordinal"), Task.MULTICLASS, 4).to_probs(logits)
    assert torch.allclose(probs, torch.tensor([[0.1, 0.3, 0.5, 0.1]]))
    assert (probs * torch.arange(4)).sum().item() == pytest.approx(0.9 + 0.6 + 0.1)


def test_a_threshold_that_is_likelier_than_the_one_below_it_is_lowered_to_it() -> None:
    logits = torch.logit(torch.tensor([[0.5, 0.8, 0.2]]))
    probs = build_output_layer(loss_named("ordinal"), Task.MULTICLASS, 4).to_probs(logits)
    assert torch.allclose(probs, torch.tensor([[0.5, 0.0, 0.3, 0.2]]))


def test_two_ordinal_classes_are_one_sigmoid() -> None:
    assert torch.allclose(probs_of("ordinal", [[2.0]], 2)[0, 1], torch.tensor(2.0).sigmoid())


def test_unlikely_ordinal_classes_keep_a_probability_that_a_log_loss_can_tell_from_zero() -> None:
    probs = probs_of("ordinal", [[25.0, 24.0]], 3)
    assert probs[0, 0].item() == pytest.approx(np.exp(-25.0), rel=1e-4)


def test_a_value_is_shared_between_its_neighbours() -> None:
    probs = probs_of("smooth_l1", [[2.25], [3.0], [-4.0], [4.7]], 5)
    expected = [[0, 0, 0.75, 0.25, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert torch.equal(probs, torch.tensor(expected))


@given(st.lists(st.floats(0, 6, width=32), min_size=2, max_size=5))
def test_the_expected_class_is_the_value_also_of_a_mean_of_rows(values: list[float]) -> None:
    probs = probs_of("smooth_l1", [[value] for value in values], 7)
    expectations = (probs * torch.arange(7)).sum(dim=1)
    assert torch.allclose(expectations, torch.tensor(values), atol=1e-5)
    assert (probs.mean(dim=0) * torch.arange(7)).sum().item() == pytest.approx(np.mean(values), abs=1e-5)


@pytest.mark.parametrize(("loss", "expected"), [("bce", 1 / 7), ("focal_bce", 1 / 7)])
def test_outputs_against_the_rest_begin_at_equal_chances(loss: str, expected: float) -> None:
    gamma = 2.0 if loss == "focal_bce" else None
    output_layer = build_output_layer(LossConfig(name=loss, focal_gamma=gamma), Task.MULTICLASS, 7)
    model = build_model(
        ModelConfig(backbone="test_resnet", pretrained=False), n_classes=7, weights_dir=None, output_layer=output_layer
    )
    bias = model.head.get_submodule("fc").get_parameter("bias")
    assert torch.allclose(bias.sigmoid(), torch.tensor(expected))


def test_a_value_begins_in_the_middle_and_logits_begin_by_chance() -> None:
    config = ModelConfig(backbone="test_resnet", pretrained=False)
    value = build_model(
        config,
        n_classes=5,
        weights_dir=None,
        output_layer=build_output_layer(LossConfig(name="smooth_l1"), Task.MULTICLASS, 5),
    )
    assert value.head.get_submodule("fc").get_parameter("bias").tolist() == [2.0]
    logits = build_model(config, n_classes=5, weights_dir=None)
    assert len(set(logits.head.get_submodule("fc").get_parameter("bias").tolist())) == 5


@pytest.mark.parametrize("task", [Task.MULTILABEL, Task.REGRESSION])
@given(content=st.data(), n_classes=st.integers(1, 9))
def test_labels_and_values_are_sigmoids_of_their_own_outputs(
    task: Task, content: st.DataObject, n_classes: int
) -> None:
    output_layer = build_output_layer(loss_named("bce"), task, n_classes)
    outputs = torch.from_numpy(content.draw(arrays(np.float32, (3, n_classes), elements=LOGITS)))
    probs = output_layer.to_probs(outputs)
    assert (output_layer.n_outputs, probs.dtype) == (n_classes, torch.float32)
    assert torch.equal(probs, torch.sigmoid(outputs))
    assert torch.isfinite(probs).all()
    assert (probs >= 0).all()
    assert (probs <= 1).all()


@pytest.mark.parametrize("task", [Task.MULTILABEL, Task.REGRESSION])
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "bce", "focal_bce"])
def test_labels_and_values_begin_at_their_prior_and_never_at_certainty(task: Task, name: str) -> None:
    output_layer = build_output_layer(loss_named(name), task, 4, compute_prior=lambda: np.array([0.5, 0.02, 0.0, 1.0]))
    model = build_model(
        ModelConfig(backbone="test_resnet", pretrained=False), n_classes=4, weights_dir=None, output_layer=output_layer
    )
    bias = model.head.get_submodule("fc").get_parameter("bias")
    assert torch.allclose(bias.sigmoid(), torch.tensor([0.5, 0.02, 1e-4, 1 - 1e-4]))
    assert bias.dtype is torch.float32
    assert bias.requires_grad


def test_without_a_prior_labels_begin_as_classes_and_values_in_the_middle() -> None:
    assert build_output_layer(loss_named("bce"), Task.MULTILABEL, 5).initial_bias == pytest.approx(-np.log(4))
    assert build_output_layer(loss_named("bce"), Task.REGRESSION, 5).initial_bias == 0.0


@pytest.mark.parametrize("name", LOSSES)
def test_a_prior_is_of_no_account_where_an_image_has_one_class(name: str) -> None:
    with_prior = build_output_layer(
        loss_named(name), Task.ORDINAL, 4, compute_prior=lambda: np.array([0.7, 0.1, 0.1, 0.1])
    )
    assert with_prior.initial_bias == build_output_layer(loss_named(name), Task.ORDINAL, 4).initial_bias


def test_values_begin_at_their_prior_whatever_the_image() -> None:
    output_layer = build_output_layer(loss_named("bce"), Task.REGRESSION, 2, compute_prior=lambda: np.array([0.2, 0.7]))
    model = ModelConfig(backbone="test_resnet", pretrained=False)
    network = build_model(model, n_classes=2, weights_dir=None, output_layer=output_layer)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    probs = predict_probs(network, images, np.arange(8), evaluation=EvaluationPixels(32), device="cpu")
    assert probs == pytest.approx(np.tile([[0.2, 0.7]], (8, 1)), abs=0.05)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "bce", "focal_bce"])
def test_each_head_has_the_probabilities_that_it_would_have_alone(name: str) -> None:
    outputs = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    both = build_output_layer(loss_named(name), Task.MULTIOUTPUT, 5, head_sizes=(3, 2))
    alone = [
        build_output_layer(loss_named(name), Task.MULTICLASS, size).to_probs(own)
        for size, own in zip((3, 2), outputs.split((3, 2), dim=1), strict=True)
    ]
    assert torch.equal(both.to_probs(outputs), torch.cat(alone, dim=1))
    assert torch.equal(pickle.loads(pickle.dumps(both)).to_probs(outputs), both.to_probs(outputs))
    assert both.n_outputs == 5
    if name in ("bce", "focal_bce"):
        assert both.initial_bias == pytest.approx((-math.log(2),) * 3 + (0.0,) * 2)
