"""Heads on one backbone: the bits of whole networks in any order, and one forward pass for all of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch

from automl.artifacts import StudyFiles
from automl.config import ModelConfig
from automl.ensemble import shared_features
from automl.ensemble.build import has_shared_backbone, measure_seconds
from automl.ensemble.candidates import Member, list_probes, read_members
from automl.ensemble.predictor import Predictor, TrainedFold
from automl.ensemble.shared_features import SharedFeatures, find_shared_backbone
from automl.ensemble.tta import IDENTITY, MIRROR, TTA_GROUPS
from automl.errors import StorageError
from automl.training.feature_cache import SplitImages, load_features
from automl.training.feature_store import FeatureStore
from automl.training.inference import predict_probs
from automl.training.network.create import load_head, load_trained
from automl.training.network.network import Network
from automl.training.network.shared_backbone import read_backbone_digest, read_weights
from tests.automl_tests.ensemble_tests.small_studies import N_TEST, TrainedStudy, create_predictor

ROWS = np.arange(N_TEST)[::-1].copy()
VIEWS = [IDENTITY, *TTA_GROUPS["crops"][1:3], *TTA_GROUPS["flips"][1:]]


def read_probe(study: TrainedStudy, index: int = 0) -> Member:
    """Probe 1, the better one, or probe 0."""
    probes = list_probes(study.files, print)[index : index + 1]
    (member,) = read_members(probes, study.files, study.competition, study.folds, notify=print)
    return member


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each forward pass of a backbone."""
    counted: list[int] = []
    extract_features = Network.extract_features

    def count(self: Network, images: Any) -> Any:
        counted.append(len(images))
        return extract_features(self, images)

    monkeypatch.setattr(Network, "extract_features", count)
    return counted


def test_heads_predict_the_bits_of_whole_networks_in_any_order_after_one_forward_pass(
    probed: TrainedStudy, tmp_path: Path, passes: list[int]
) -> None:
    member = read_probe(probed)
    whole = {}
    for fold, trained in member.models.items():
        place = tmp_path / f"{fold}.safetensors"
        safetensors.torch.save_file(read_weights(trained.weights), place)
        whole[fold] = create_predictor(probed).predict_views(TrainedFold(trained.config, place), VIEWS, "test", ROWS)
    assert passes == [N_TEST] * len(VIEWS) * 3
    for folds in ((0, 1, 2), (2, 0, 1)):
        predictor = create_predictor(probed)
        passes.clear()
        for fold in folds:
            predicted = predictor.predict_views(member.models[fold], VIEWS, "test", ROWS)
            assert predicted.tobytes() == whole[fold].tobytes()
        assert passes == [N_TEST] * len(VIEWS)
    for view in VIEWS[::-1]:
        (alone,) = create_predictor(probed).predict_views(member.models[1], [view], "test", ROWS)
        assert alone.tobytes() == whole[1][VIEWS.index(view)].tobytes()


def test_the_identity_view_is_what_validation_predicts(probed: TrainedStudy) -> None:
    trained = read_probe(probed).models[0]
    model = load_trained(trained.config, trained.weights, competition=probed.competition, device="cpu")
    pixels = probed.cache.load_pixels("train", trained.image_size)
    expected = predict_probs(model, pixels, ROWS, evaluation=trained.evaluation, device="cpu")
    assert np.array_equal(create_predictor(probed).predict_views(trained, [IDENTITY], "train", ROWS)[0], expected)


def test_other_rows_splits_backbones_and_sizes_share_nothing(probed: TrainedStudy, passes: list[int]) -> None:
    predictor, trained, other = create_predictor(probed), read_probe(probed).models[0], read_probe(probed, 1).models[0]
    larger = replace(trained, config=replace(trained.config, resize=replace(trained.config.resize, image_sizes=(48,))))
    requests = [(trained, "test", ROWS), (trained, "train", ROWS), (trained, "test", ROWS[:5]), (other, "test", ROWS)]
    for own, split, rows in [*requests, (larger, "test", ROWS), *requests]:
        predictor.predict_views(own, [IDENTITY], split, rows)  # type: ignore[arg-type]
    assert passes == [N_TEST, N_TEST, 5, N_TEST, N_TEST]


def test_the_network_is_built_once_for_all_heads(probed: TrainedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Path] = []

    def load(config: Any, weights: Path, **rest: Any) -> Network:
        loaded.append(weights)
        return load_trained(config, weights, **rest)

    monkeypatch.setattr("automl.ensemble.predictor.load_trained", load)
    predictor, member = create_predictor(probed), read_probe(probed)
    for fold in (1, 0, 2):
        predictor.predict_views(member.models[fold], [IDENTITY], "test", ROWS)
    assert loaded == [member.models[1].weights]


def test_what_is_cached_on_the_disk_is_read_without_a_network(probed: TrainedStudy, tmp_path: Path) -> None:
    def build() -> Predictor:
        return Predictor(probed.competition, probed.cache, device="cpu", cache_folder=tmp_path)

    trained = read_probe(probed).models[2]
    first = build()
    probs = first.predict_views(trained, VIEWS, "test", ROWS)
    again = build()
    again.load_model = None  # type: ignore[assignment, method-assign]
    assert np.array_equal(again.predict_views(trained, VIEWS, "test", ROWS), probs)
    assert again.measure_seconds_per_image(trained) == first.measure_seconds_per_image(trained)


def test_a_fold_of_a_probe_costs_its_part_of_one_forward_pass(probed: TrainedStudy) -> None:
    probe, predictor = read_probe(probed), create_predictor(probed)
    trial = read_members(probed.candidates[:1], probed.files, probed.competition, probed.folds, notify=print)[0]
    assert has_shared_backbone(probe)
    assert not has_shared_backbone(trial)
    seconds = measure_seconds([probe, trial], predictor)
    assert seconds["1-probe"] == predictor.measure_seconds_per_image(probe.models[0]) / 3
    assert seconds[trial.name] == predictor.measure_seconds_per_image(trial.models[0])


def test_heads_that_were_timed_from_features_count_the_forward_pass_as_well(
    probed: TrainedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, predictor = read_probe(probed), create_predictor(probed)
    predict_and_time = shared_features.predict_by_head
    monkeypatch.setattr("automl.ensemble.predictor.predict_by_head", lambda *given: (predict_and_time(*given)[0], 0.0))
    predictor.predict_views(probe.models[0], [IDENTITY], "test", ROWS)
    forward_s = predictor.measure_seconds_per_image(probe.models[0])
    predictor.predict_views(probe.models[1], [IDENTITY], "test", ROWS)
    assert predictor.measure_seconds_per_image(probe.models[1]) == forward_s > 0


def test_a_backbone_that_is_gone_is_named_with_a_hint(probed: TrainedStudy, tmp_path: Path) -> None:
    shutil.copytree(probed.files.root, tmp_path / "study")
    files = StudyFiles(tmp_path / "study")
    weights = files.get_probe_files(1).get_weights_path(0)
    digest = read_backbone_digest(weights)
    (files.backbones / f"{digest}.safetensors").unlink()
    trained = TrainedFold(read_probe(probed).config, weights)
    with pytest.raises(StorageError, match=rf"backbones/{digest}\.safetensors") as raised:
        create_predictor(probed).predict_views(trained, [IDENTITY], "test", ROWS)
    assert raised.value.hint
    weights.unlink()
    with pytest.raises(StorageError, match=r"weights are missing: .*fold0\.safetensors"):
        create_predictor(probed).predict_views(trained, [IDENTITY], "test", ROWS)


def test_a_head_of_another_network_or_of_other_classes_is_refused(probed: TrainedStudy) -> None:
    trained, other = read_probe(probed).models[0], read_probe(probed, 1).models[0]
    network = load_trained(trained.config, trained.weights, competition=probed.competition, device="cpu")
    with pytest.raises(StorageError, match="cannot be loaded"):
        load_head(network, other.weights, competition=probed.competition)
    swapped = replace(probed.competition, classes=probed.competition.classes[::-1])
    with pytest.raises(StorageError, match="of other classes"):
        load_head(network, trained.weights, competition=swapped)


def test_a_pooling_with_parameters_gives_each_head_features_of_its_own(probed: TrainedStudy) -> None:
    weights = read_probe(probed).models[0].weights
    plain = ModelConfig(backbone="test_efficientnet", pretrained=False, pooling="avg")
    assert find_shared_backbone(weights, plain) == read_backbone_digest(weights)
    for trained in (replace(plain, pooling="gem"), replace(plain, pooling="attention"), replace(plain, attention="se")):
        assert find_shared_backbone(weights, trained) is None


@pytest.mark.parametrize("small", [2**28, 0])
def test_features_are_kept_in_memory_or_in_a_file_until_others_need_the_room(
    small: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_features, "SMALL", small)
    monkeypatch.setattr(shared_features, "KEPT", 2)
    kept, features = SharedFeatures(tmp_path / "cache"), np.random.default_rng(0).random((4, 3), dtype=np.float32)
    kept.put("a", (4, 8), 10, features, 0.5)
    assert kept.get("a", (0, 4)) is None
    found = kept.get("a", (4, 8))
    assert found is not None and np.array_equal(found[0], features) and found[1] == 0.5
    for key in ("b", "c"):
        kept.put(key, (0, 4), 4, features, 1.0)
    assert kept.get("a", (4, 8)) is None
    assert kept.get("b", (0, 4)) is not None
    assert (tmp_path / "cache").exists() == (small == 0)
    assert not list(tmp_path.glob("cache/*"))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared_features, "IN_MEMORY", 100)
    kept, features = SharedFeatures(tmp_path), np.ones((4, 3), np.float32)
    for key in ("a", "b", "c"):
        kept.put(key, (0, 4), 4, features, 1.0)
    assert [kept.get(key, (0, 4)) is not None for key in ("a", "b", "c")] == [False, True, True]


def test_where_neither_memory_nor_disk_has_room_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared_features, "SMALL", 0)
    (tmp_path / "file").write_text("no folder")
    kept = SharedFeatures(tmp_path / "file")
    kept.put("a", (0, 4), 4, np.ones((4, 3), np.float32), 1.0)
    assert kept.get("a", (0, 4)) is None


def test_training_images_are_not_seen_again_where_the_study_s_store_has_their_features(
    probed: TrainedStudy, tmp_path: Path, passes: list[int]
) -> None:
    """Test images are, so that a kit comes to the same bits."""
    trained, store = read_probe(probed).models[0], FeatureStore(tmp_path / "features")
    views, rows = [IDENTITY, MIRROR], np.arange(7, 30)
    plain = create_predictor(probed).predict_views(trained, views, "train", rows)
    network = load_trained(trained.config, trained.weights, competition=probed.competition, device="cpu")
    for split, view in (("train", "identity"), ("train", "mirror"), ("test", "identity")):
        images = SplitImages.from_cache(probed.cache, split, trained.evaluation)  # type: ignore[arg-type]
        size = trained.image_size
        load_features(network, trained.config, images, image_size=size, device="cpu", store=store, view=view)  # type: ignore[arg-type]
    predictor = create_predictor(probed, feature_store=store)
    passes.clear()
    stored = predictor.predict_views(trained, views, "train", rows)
    assert passes == []
    np.testing.assert_allclose(stored, plain, atol=1e-5)
    predictor.predict_views(trained, [TTA_GROUPS["shifts"][1]], "train", rows)
    predictor.predict_views(trained, [IDENTITY], "test", ROWS)
    assert passes == [len(rows), N_TEST]


def test_features_of_a_store_do_not_tell_how_long_they_took(probed: TrainedStudy, tmp_path: Path) -> None:
    trained, store = read_probe(probed).models[0], FeatureStore(tmp_path / "features")
    network = load_trained(trained.config, trained.weights, competition=probed.competition, device="cpu")
    images = SplitImages.from_cache(probed.cache, "train", trained.evaluation)
    load_features(network, trained.config, images, image_size=trained.image_size, device="cpu", store=store)
    predictor = create_predictor(probed, feature_store=store)
    predictor.predict_views(trained, [IDENTITY], "train", ROWS)
    assert predictor.measure_seconds_per_image(trained) > 1e-5  # measured now, on blank images
