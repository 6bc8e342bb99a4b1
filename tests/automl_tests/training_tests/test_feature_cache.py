"""The features of a frozen body, computed once: equal to what the network sees, and small enough to keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.artifacts import StudyFiles
from automl.config import LossConfig, ModelConfig, TransferConfig
from automl.data.resize import resize_batch
from automl.tasks import Task
from automl.training import feature_cache
from automl.training.feature_cache import FeatureCache, cache_features
from automl.training.inference import predict_probs
from automl.training.network.create import Normalisation, build_model
from automl.training.network.network import Network
from automl.training.network.outputs import build_output_layer
from automl.training.optim.freezing import set_trainable
from tests.automl_tests.training_tests.trial_builders import (
    config_of,
    run,
    seeded_model,
    trained,
)

PIXELS = np.random.default_rng(0).integers(0, 256, size=(11, 40, 40, 3)).astype(np.uint8)
ROWS = np.array([9, 2, 7, 0, 4])
SIZE = 32


def network(backbone: str = "test_resnet", *, loss: str = "cross_entropy", **model: Any) -> Network:
    torch.manual_seed(0)
    output_layer = build_output_layer(LossConfig(name=loss), Task.MULTICLASS, 3)
    config = ModelConfig(backbone=backbone, pretrained=False, **model)
    return build_model(config, n_classes=3, weights_dir=None, output_layer=output_layer)


def cached(model: Network, rows: NDArray[np.int64] = ROWS, **changes: Any) -> FeatureCache:
    cache = cache_features(model, PIXELS, rows, **{"image_size": SIZE, "device": "cpu", **changes})
    assert cache is not None
    return cache


def normalised(model: Network, rows: NDArray[np.int64]) -> Tensor:
    return Normalisation.from_model(model)(resize_batch(PIXELS[rows], SIZE), "cpu")


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"pooling": "catavgmax"},
        {"pooling": "gem", "hidden": (8,)},
        {"pooling": "avg", "attention": "cbam", "cut": 1},
        {"backbone": "test_byobnet", "dropout": 0.5},
        {"backbone": "test_convnext", "drop_path": 0.5, "pooling": "attention"},
    ],
    ids=str,
)
def test_cached_features_give_the_networks_own_outputs(model: dict[str, Any]) -> None:
    net = network(**model)
    cache = cached(net)
    order = np.array([4, 9, 4])
    net.eval()
    torch.testing.assert_close(cache.compute_logits(net, order), net(normalised(net, order)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "ordinal"])
def test_their_probabilities_are_those_of_inference(loss: str) -> None:
    net = network(loss=loss, hidden=(8,), dropout=0.5)
    cache = cached(net)
    net.train()
    expected = predict_probs(net, PIXELS, ROWS, image_size=SIZE, device="cpu")
    net.train()
    np.testing.assert_allclose(cache.predict_probs(net, ROWS), expected, rtol=1e-4, atol=1e-6)
    assert cache.predict_probs(net, ROWS).dtype == np.float32
    assert not net.training
    assert cache.predict_probs(net, ROWS[:0]).shape == (0, 3)


def test_probabilities_of_many_rows_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    cache = cached(net)
    whole = cache.predict_probs(net, ROWS)
    monkeypatch.setattr(feature_cache, "BATCH_SIZE", 2)
    np.testing.assert_allclose(cache.predict_probs(net, ROWS), whole, rtol=1e-5)


def test_gradients_reach_head_and_neck_and_are_those_of_the_whole_network() -> None:
    net = network(attention="se", pooling="avg", hidden=(8,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    set_trainable(net, optimizer, TransferConfig(freeze_epochs=1), epoch=0)
    cache, targets = cached(net), torch.tensor([0, 1, 2, 1, 0])
    nn.functional.cross_entropy(cache.compute_logits(net, ROWS), targets).backward()
    found = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    nn.functional.cross_entropy(net(normalised(net, ROWS)), targets).backward()
    assert set(found) == {name for name, _ in net.named_parameters() if not name.startswith("body.")}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, net.get_parameter(name).grad, rtol=1e-3, atol=1e-5)


def test_the_head_keeps_its_mode_and_its_dropout() -> None:
    net = network(dropout=0.5).train()
    cache = cached(net)
    assert net.head.training
    assert not torch.equal(cache.compute_logits(net, ROWS), cache.compute_logits(net, ROWS))


def test_the_body_is_run_in_evaluation_mode_and_its_statistics_stay() -> None:
    net = network().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    first = cached(net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(cached(net).features, first.features)
    assert not first.features.requires_grad


def test_they_do_not_depend_on_the_order_or_number_of_rows_requested() -> None:
    net = network()
    assert torch.equal(cached(net, np.array([4, 4, 0, 9, 7, 2, 9])).features, cached(net).features)


def test_vectors_are_kept_where_the_neck_has_no_weights_and_maps_where_it_has() -> None:
    assert cached(network(pooling="avg")).features.shape == (5, 96)
    assert cached(network(pooling="gem")).features.shape == (5, 96, 1, 1)
    assert cached(network(pooling="gem", cut=1)).features.shape == (5, 192, 2, 2)


def test_more_than_the_limit_of_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    n_bytes = len(ROWS) * 96 * 4
    monkeypatch.setattr(feature_cache, "MEMORY_LIMIT", n_bytes)
    assert cached(net).features.nbytes == n_bytes
    monkeypatch.setattr(feature_cache, "MEMORY_LIMIT", n_bytes - 1)
    calls: list[int] = []
    assert cache_features(net, PIXELS, ROWS, image_size=SIZE, device="cpu", on_batch=lambda: calls.append(1)) is None
    assert calls == []  # it is known after the first batch


def test_a_batch_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    expected = cached(net)
    sizes: list[int] = []
    whole = type(net).extract_features

    def cramped(self: Network, images: Tensor) -> Tensor:
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("no room")
        return whole(self, images)

    monkeypatch.setattr(feature_cache, "BATCH_SIZE", 8)
    monkeypatch.setattr(Network, "extract_features", cramped)
    calls: list[int] = []
    found = cached(net, on_batch=lambda: calls.append(1))
    assert sizes == [5, 4, 2, 2, 1]
    assert len(calls) == 3
    torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-6)


def test_one_image_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Network, images: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Network, "extract_features", full)
    with pytest.raises(torch.OutOfMemoryError):
        cached(network())


def test_a_row_that_was_not_cached_is_not_mistaken_for_another() -> None:
    net = network()
    with pytest.raises(KeyError, match="row 3"):
        cached(net).compute_logits(net, np.array([9, 3]))


def test_head_epochs_from_cached_features_are_those_of_the_frozen_backbone_run_each_time(
    shapes: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(transfer=TransferConfig(freeze_epochs=2), epochs=2 + 1)
    cached = run(shapes, config)
    monkeypatch.setattr("automl.training.training_loop.cache_features", lambda *args, **rest: None)
    uncached = run(shapes, config)
    for one, other in zip(cached[2][:2], uncached[2][:2], strict=True):
        assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-5) for name in one)
    assert [record.score for record in cached[0].history[:2]] == [record.score for record in uncached[0].history[:2]]


def test_a_frozen_backbone_sees_each_image_once(shapes: StudyFiles) -> None:
    config = config_of(transfer=TransferConfig(trainable_blocks=0), epochs=4)
    model = seeded_model(config)
    seen: list[int] = []
    model.body.register_forward_hook(lambda module, arguments, output: seen.append(len(arguments[0])))
    trained(shapes, config, model)
    assert sum(seen) == 60
