"""The features of a frozen body, computed once: equal to what the network sees, and small enough to keep."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.artifacts import StudyFiles, read_arrays
from automl.config import LossConfig, ModelConfig, TransferConfig
from automl.data.resize import EvaluationPixels
from automl.tasks import Task
from automl.training import feature_cache
from automl.training.entry_points import run_trial
from automl.training.feature_cache import FeatureCache, SplitImages, cache_features, load_features
from automl.training.feature_store import FeatureStore
from automl.training.inference import predict_probs
from automl.training.network.create import Normalisation, build_model
from automl.training.network.network import Network
from automl.training.network.outputs import build_output_layer
from automl.training.optim.freezing import set_trainable
from automl.training.seeding import derive_seed
from tests.automl_tests.training_tests.soft_target_builders import N_TEST, payload_with, pseudo
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    payload_of,
    run,
    seeded_model,
    trained,
    write_study,
)

PIXELS = np.random.default_rng(0).integers(0, 256, size=(11, 40, 40, 3)).astype(np.uint8)
ROWS = np.array([9, 2, 7, 0, 4])
SIZE = 32


def network(backbone: str = "test_resnet", *, loss: str = "cross_entropy", **model: Any) -> Network:
    torch.manual_seed(0)
    output_layer = build_output_layer(LossConfig(name=loss), Task.MULTICLASS, 3)
    config = ModelConfig(backbone=backbone, pretrained=False, **model)
    return build_model(config, n_classes=3, weights_dir=None, output_layer=output_layer)


CONFIG = config_of()


def load_pixels() -> NDArray[np.uint8]:
    return PIXELS


def cached(model: Network, rows: NDArray[np.int64] = ROWS, **changes: Any) -> FeatureCache:
    given = {"load_pixels": load_pixels, "image_size": SIZE, "device": "cpu", **changes}
    cache = cache_features(model, CONFIG, [], rows, **given)
    assert cache is not None
    return cache


def normalised(model: Network, rows: NDArray[np.int64]) -> Tensor:
    return Normalisation.from_model(model)(EvaluationPixels(SIZE).resize_batch(PIXELS[rows]), "cpu")


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
    expected = predict_probs(net, PIXELS, ROWS, evaluation=EvaluationPixels(SIZE), device="cpu")
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
    np.testing.assert_array_equal(cached(net).features, first.features)


def test_they_do_not_depend_on_the_order_or_number_of_rows_requested() -> None:
    net = network()
    np.testing.assert_array_equal(cached(net, np.array([4, 4, 0, 9, 7, 2, 9])).features, cached(net).features)


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
    given = {"load_pixels": load_pixels, "image_size": SIZE, "device": "cpu"}
    assert cache_features(net, CONFIG, [], ROWS, on_batch=lambda: calls.append(1), **given) is None
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
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-4, atol=1e-6)


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


def images_of(pixels: NDArray[np.uint8] = PIXELS, fingerprint: str = "images") -> SplitImages:
    return SplitImages(n_images=len(pixels), fingerprint=fingerprint, load=lambda: pixels)


def refuse_to_load() -> NDArray[np.uint8]:
    raise AssertionError("the pixels were loaded")


def test_features_of_a_split_are_the_backbones_own_in_both_views(tmp_path: Path) -> None:
    net, store = network(), FeatureStore(tmp_path)
    given: dict[str, Any] = {"image_size": SIZE, "device": "cpu", "store": store}
    identity = load_features(net, CONFIG, images_of(), **given)
    mirrored = load_features(net, CONFIG, images_of(), view="mirror", **given)
    net.eval()
    with torch.no_grad():
        images = normalised(net, np.arange(len(PIXELS)))
        expected, other = net.neck(net.extract_features(images)), net.neck(net.extract_features(images.flip(-1)))
    np.testing.assert_allclose(identity, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mirrored, other, rtol=1e-4, atol=1e-5)
    assert not np.allclose(identity, mirrored)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_stored_features_need_neither_pixels_nor_the_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = network(), {"image_size": SIZE, "device": "cpu", "store": FeatureStore(tmp_path)}
    first = load_features(net, CONFIG, images_of(), **given)
    monkeypatch.setattr(Network, "extract_features", refuse_to_load)
    again = load_features(net, CONFIG, SplitImages(n_images=11, fingerprint="images", load=refuse_to_load), **given)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("change", ["weights", "size", "images", "pooling", "crop", "interpolation"])
def test_other_features_are_another_file(tmp_path: Path, change: str) -> None:
    given: dict[str, Any] = {"image_size": SIZE, "device": "cpu", "store": FeatureStore(tmp_path)}
    load_features(network(), CONFIG, images_of(), **given)
    net, config, images = network(), CONFIG, images_of()
    if change == "weights":
        with torch.no_grad():
            next(net.body.parameters()).view(-1)[0].add_(1e-7)
    elif change == "size":
        given["image_size"] = SIZE - 8
    elif change == "images":
        images = images_of(fingerprint="others")
    elif change == "pooling":
        config = replace(CONFIG, model=replace(CONFIG.model, pooling="catavgmax"))
        net = network(pooling="catavgmax")
    else:
        key, value = ("crop_pct", 0.875) if change == "crop" else ("interpolation", "bicubic")
        config = replace(CONFIG, resize=replace(CONFIG.resize, **{key: value}))
    load_features(net, config, images, **given)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_the_head_has_no_say_in_the_file(tmp_path: Path) -> None:
    given: dict[str, Any] = {"image_size": SIZE, "device": "cpu", "store": FeatureStore(tmp_path)}
    load_features(network(), CONFIG, images_of(), **given)
    load_features(network(hidden=(8,), loss="ordinal"), replace(CONFIG, batch_size=8), images_of(), **given)
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_without_room_in_the_store_features_are_kept_in_memory_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"image_size": SIZE, "device": "cpu"}
    stored = load_features(network(), CONFIG, images_of(), store=FeatureStore(tmp_path), **given)
    for store in (None, FeatureStore(tmp_path / "full", limit_gb=0)):
        np.testing.assert_array_equal(load_features(network(), CONFIG, images_of(), store=store, **given), stored)
    monkeypatch.setattr(feature_cache, "MEMORY_LIMIT", 1)
    assert load_features(network(), CONFIG, images_of(), store=None, **given) is None
    assert load_features(network(), CONFIG, images_of(), store=FeatureStore(tmp_path), **given) is not None


@pytest.mark.parametrize("has_store", [True, False])
def test_no_images_have_no_features(tmp_path: Path, has_store: bool) -> None:
    store = FeatureStore(tmp_path / "features") if has_store else None
    given: dict[str, Any] = {"image_size": SIZE, "device": "cpu", "store": store}
    found = load_features(network(), CONFIG, images_of(PIXELS[:0]), **given)
    assert found is not None
    assert found.shape == (0, 96)
    assert not (tmp_path / "features").exists()


def test_rows_of_two_splits_follow_each_other(tmp_path: Path) -> None:
    net = network()
    splits = [images_of(PIXELS[:4], "train"), images_of(PIXELS[4:], "test")]
    found = cache_features(
        net, CONFIG, splits, ROWS, load_pixels=None, image_size=SIZE, device="cpu", store=FeatureStore(tmp_path)
    )
    assert found is not None
    order = np.array([9, 0, 4])
    torch.testing.assert_close(
        found.compute_logits(net, order), cached(net).compute_logits(net, order), rtol=1e-4, atol=1e-5
    )
    assert len(list(tmp_path.glob("*.npy"))) == 2


FROZEN = config_of(transfer=TransferConfig(trainable_blocks=0), epochs=2, ema_horizon=0.2, epoch_choice="best")


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass through a backbone had."""
    passed: list[int] = []
    whole = Network.extract_features

    def count(self: Network, images: Tensor) -> Tensor:
        passed.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(Network, "extract_features", count)
    return passed


def run_frozen(study: StudyFiles, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The OOF and the test arrays of a trial."""
    payload = payload_of(study, FROZEN, **changes)
    assert run_trial(payload, ScriptedContext())["outcome"] == "completed"
    files = study.get_trial_files(payload["trial"])
    return read_arrays(files.oof), read_arrays(files.test)


@pytest.mark.slow
def test_a_trial_predicts_the_same_with_the_store_without_it_and_after_it_is_deleted(
    tmp_path: Path, forwards: list[int]
) -> None:
    one, other = write_study(tmp_path / "one"), write_study(tmp_path / "other")
    stored = run_frozen(one)
    assert len(list(one.features.glob("*.npy"))) == 2  # of the training images, and of the test images
    assert sum(forwards) == 1 + 60 + 7  # a blank one, each image once
    forwards.clear()
    plain = run_frozen(other, cache_gb=0)
    assert not other.features.exists()
    shutil.rmtree(one.features)
    shutil.rmtree(one.trials)
    again = run_frozen(one)
    for index in range(2):
        np.testing.assert_allclose(stored[index]["probs"], plain[index]["probs"], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(stored[index]["probs"], again[index]["probs"])


@pytest.mark.slow
def test_trials_of_one_backbone_share_its_features(
    tmp_path: Path, forwards: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, network_seed = write_study(tmp_path), derive_seed(1)
    monkeypatch.setattr("automl.training.fold.derive_seed", lambda *parts: network_seed)  # as pretrained ones are
    run_frozen(study, train_folds=2)
    forwards.clear()
    shutil.rmtree(study.cache)
    run_frozen(study, trial=1, train_folds=3)
    assert sum(forwards) == 3  # blank ones
    assert not study.cache.exists()


@pytest.mark.slow
def test_a_trial_on_soft_targets_stores_the_test_images_too(tmp_path: Path, forwards: list[int]) -> None:
    study = write_study(tmp_path, n_test=N_TEST)
    payload = payload_with(study, FROZEN, pseudo(study))
    assert run_trial(payload, ScriptedContext())["outcome"] == "completed"
    assert sum(forwards) == 1 + 60 + N_TEST
    plain = write_study(tmp_path / "plain", n_test=N_TEST)
    assert (
        run_trial(payload_with(plain, FROZEN, pseudo(plain), cache_gb=0), ScriptedContext())["outcome"] == "completed"
    )
    probs = [read_arrays(own.get_trial_files(0).test)["probs"] for own in (study, plain)]
    np.testing.assert_allclose(*probs, rtol=0, atol=1e-6)
