"""Predictions under views: the same bits whatever is predicted together, cached, or interrupted."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from automl.config import LossConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition
from automl.data.resize import EvaluationPixels
from automl.ensemble import predictor as predictor_module
from automl.ensemble.predictor import (
    BLOCK,
    Predictor,
    TrainedFold,
    _compute_seconds_per_image,
    predict_and_time,
)
from automl.ensemble.tta import IDENTITY, MIRROR, TTA_GROUPS, VIEWS, compute_wide_side
from automl.errors import StorageError, UnfitEnvironmentError
from automl.training.inference import predict_probs
from automl.training.network.create import Normalisation, load_trained
from tests.automl_tests.ensemble_tests.tiny_networks import (
    N_IMAGES,
    ROWS,
    SIZE,
    SmallMemoryNetwork,
    config_of,
    put_model,
)
from tests.automl_tests.small_competitions import competition_of


@pytest.fixture(scope="module")
def competition(tmp_path_factory: pytest.TempPathFactory) -> Competition:
    """Noise in more pixels than the models take, so that there are wide views."""
    root = tmp_path_factory.mktemp("looking")
    rng = np.random.default_rng(0)
    names = [f"{part}/{number}.png" for part in ("train", "test") for number in range(N_IMAGES)]
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(root / name)
    return competition_of(root, names[:N_IMAGES], names[N_IMAGES:])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedFold:
    return put_model(tmp_path_factory.mktemp("weights") / "fold0.safetensors", config_of())


@pytest.fixture
def create_predictor(competition: Competition, tmp_path: Path) -> Callable[..., Predictor]:
    """Predictors that share their caches, as in one run after the other."""

    def build(**changes: Any) -> Predictor:
        cache = changes.pop("cache", PixelCache(competition, tmp_path / "cache"))
        given = {"device": "cpu", "cache_folder": tmp_path / "predictions", **changes}
        return Predictor(given.pop("competition", competition), cache, **given)

    return build


@pytest.fixture
def model_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(views, images) of each call of a model."""
    calls: list[tuple[int, int]] = []

    def counted(model: nn.Module, image_views: Any, n_images: int, **rest: Any) -> Any:
        calls.append((sum(len(own.views) for own in image_views), n_images))
        return predict_views(model, image_views, n_images, **rest)

    predict_views = predictor_module.predict_views
    monkeypatch.setattr(predictor_module, "predict_views", counted)
    return calls


EVERY_VIEW = list(VIEWS.values())


@pytest.mark.slow
def test_what_is_seen_is_what_a_plain_loop_over_the_views_sees(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, competition: Competition
) -> None:
    predictor = create_predictor()
    predicted = predictor.predict_views(trained, EVERY_VIEW, "test", ROWS)
    assert predicted.shape == (len(VIEWS), N_IMAGES, 2)
    assert predicted.dtype == np.float32
    model = load_trained(trained.config, trained.weights, competition=competition, device="cpu")
    pixels = predictor.cache.load_pixels("test", SIZE)
    for view, probs in zip(EVERY_VIEW, predicted, strict=True):
        images = EvaluationPixels(compute_wide_side(SIZE, pixels.shape[1]) if view.wide else SIZE).resize_batch(
            pixels[ROWS]
        )
        with torch.no_grad():
            logits = model(view.apply(Normalisation.from_model(model)(images, "cpu"), SIZE))
        assert probs == pytest.approx(logits.softmax(dim=1).numpy(), abs=1e-6), view.name


def test_through_the_identity_it_is_what_validation_predicts_to_the_last_bit(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, competition: Competition
) -> None:
    predictor = create_predictor()
    model = load_trained(trained.config, trained.weights, competition=competition, device="cpu")
    expected = predict_probs(
        model, predictor.cache.load_pixels("train", SIZE), ROWS, evaluation=EvaluationPixels(SIZE), device="cpu"
    )
    assert np.array_equal(predictor.predict_views(trained, [IDENTITY], "train", ROWS)[0], expected)


SHARP = {"interpolation": "bicubic", "crop_pct": 0.8}


def sharpen(trained: TrainedFold, **resize: Any) -> TrainedFold:
    """The same network, which predicts other pixels."""
    return TrainedFold(replace(trained.config, resize=replace(trained.config.resize, **resize)), trained.weights)


def test_of_cropped_images_the_identity_is_what_validation_predicts_and_the_wide_views_are_of_the_whole(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, competition: Competition
) -> None:
    predictor, sharp = create_predictor(), sharpen(trained, **SHARP)
    views = [VIEWS[name] for name in ("identity", "mirror", "top-left", "larger")]
    predicted = predictor.predict_views(sharp, views, "test", ROWS)
    model = load_trained(trained.config, trained.weights, competition=competition, device="cpu")
    pixels = predictor.cache.load_pixels("test", SIZE, **SHARP)
    assert pixels.shape[1] == 40  # SIZE / 0.8
    middle, corner = pixels[ROWS][:, 4:36, 4:36], pixels[ROWS][:, :SIZE, :SIZE]
    for images, probs in ((middle, predicted[0]), (middle[:, :, ::-1], predicted[1]), (corner, predicted[2])):
        normalised = Normalisation.from_model(model)(np.ascontiguousarray(images), "cpu")
        with torch.no_grad():
            assert probs == pytest.approx(model(normalised).softmax(dim=1).numpy(), abs=1e-6)
    expected = predict_probs(model, pixels, ROWS, evaluation=sharp.evaluation, device="cpu")
    assert np.array_equal(predicted[0], expected)
    normalised = Normalisation.from_model(model)(np.ascontiguousarray(middle), "cpu")
    with torch.no_grad():
        magnified = model(VIEWS["larger"].apply(normalised, SIZE)).softmax(dim=1).numpy()
    assert predicted[3] == pytest.approx(magnified, abs=1e-6)


def test_predictions_of_other_pixels_are_cached_apart(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, model_calls: list[tuple[int, int]]
) -> None:
    kinds = [{}, SHARP, {**SHARP, "interpolation": "bilinear"}, {**SHARP, "crop_pct": 0.9}]
    predicted = [create_predictor().predict_views(sharpen(trained, **kind), [IDENTITY], "test", ROWS) for kind in kinds]
    assert len(model_calls) == len(kinds)
    again = [create_predictor().predict_views(sharpen(trained, **kind), [IDENTITY], "test", ROWS) for kind in kinds]
    assert len(model_calls) == len(kinds)
    assert all(np.array_equal(one, other) for one, other in zip(predicted, again, strict=True))
    assert not np.array_equal(predicted[0], predicted[1])


@pytest.mark.slow
def test_no_bit_depends_on_the_views_that_are_predicted_together_or_on_what_was_cached(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, model_calls: list[tuple[int, int]]
) -> None:
    together = create_predictor(cache_folder=None).predict_views(trained, EVERY_VIEW, "test", ROWS)
    alone = create_predictor(cache_folder=None)
    for view, probs in zip(EVERY_VIEW, together, strict=True):
        assert np.array_equal(alone.predict_views(trained, [view], "test", ROWS)[0], probs), view.name
    create_predictor().predict_views(trained, EVERY_VIEW[::3], "test", ROWS)
    model_calls.clear()
    assert np.array_equal(create_predictor().predict_views(trained, EVERY_VIEW[::-1], "test", ROWS), together[::-1])
    assert sum(n_views for n_views, _ in model_calls) == len(VIEWS) - len(EVERY_VIEW[::3])
    model_calls.clear()
    assert np.array_equal(create_predictor().predict_views(trained, EVERY_VIEW, "test", ROWS), together)
    assert model_calls == []


def test_an_interrupted_prediction_goes_on_with_what_is_there(
    create_predictor: Callable[..., Predictor],
    trained: TrainedFold,
    model_calls: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictor_module, "BLOCK", 64)
    undisturbed = create_predictor(cache_folder=None).predict_views(trained, TTA_GROUPS["flips"], "test", ROWS)
    predict_views = predictor_module.predict_views

    def interrupted(model: nn.Module, image_views: Any, n_images: int, **rest: Any) -> Any:
        if n_images < 64:
            raise KeyboardInterrupt
        return predict_views(model, image_views, n_images, **rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(predictor_module, "predict_views", interrupted)
        create_predictor().predict_views(trained, TTA_GROUPS["flips"], "test", ROWS)
    model_calls.clear()
    assert np.array_equal(create_predictor().predict_views(trained, TTA_GROUPS["flips"], "test", ROWS), undisturbed)
    assert model_calls == [(2, N_IMAGES - 64)]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-30], lambda content: b"", lambda content: flipped(content)]
)
def test_damaged_cache_files_are_made_anew(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    first = create_predictor().predict_views(trained, TTA_GROUPS["flips"], "test", ROWS)
    files = sorted((tmp_path / "predictions").iterdir())
    assert len(files) == 2
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(damage(whole))
        assert np.array_equal(create_predictor().predict_views(trained, TTA_GROUPS["flips"], "test", ROWS), first)
        assert len(file.read_bytes()) == len(whole)


def flipped(content: bytes) -> bytes:
    """With one bit of the probabilities the other way."""
    middle = 300
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("what", ["weights", "loss", "images", "rows", "view", "threads", "side"])
def test_nothing_is_cached_of_other_weights_images_rows_or_views(
    what: str,
    create_predictor: Callable[..., Predictor],
    trained: TrainedFold,
    competition: Competition,
    model_calls: list[tuple[int, int]],
    tmp_path: Path,
) -> None:
    own = put_model(tmp_path / "own.safetensors", trained.config)
    create_predictor().predict_views(own, [MIRROR], "test", ROWS)
    rows, views, changes = ROWS, [MIRROR], {}
    if what == "weights":
        put_model(own.weights, own.config, seed=1)
    elif what == "loss":
        own = replace(own, config=replace(own.config, loss=LossConfig(name="focal", focal_gamma=2.0)))
    elif what == "images":
        images = tmp_path / "images"
        shutil.copytree(competition.root, images)
        paths = tuple(images / path.relative_to(competition.root) for path in competition.test_paths)
        changes["competition"] = replace(competition, root=images, test_paths=paths)
        Image.new("RGB", (48, 48)).save(paths[3])
        changes["cache"] = PixelCache(changes["competition"], tmp_path / "cache", 48.0)
    elif what == "rows":
        rows = ROWS[::-1]
    elif what == "view":
        views = [IDENTITY]
    elif what == "threads":
        changes["n_threads"] = 2
    else:
        changes["cache"] = PixelCache(competition, tmp_path / "cache", short_side=float(SIZE))
    model_calls.clear()
    create_predictor(**changes).predict_views(own, views, "test", rows)
    assert model_calls == [(1, N_IMAGES)]


def test_a_copy_of_the_weights_elsewhere_is_cached(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, model_calls: list[tuple[int, int]], tmp_path: Path
) -> None:
    create_predictor().predict_views(trained, [MIRROR], "test", ROWS)
    model_calls.clear()
    shutil.copy(trained.weights, tmp_path / "kit.safetensors")
    create_predictor().predict_views(TrainedFold(trained.config, tmp_path / "kit.safetensors"), [MIRROR], "test", ROWS)
    assert model_calls == []


def test_missing_and_damaged_weights_are_named_with_what_makes_them_again(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, tmp_path: Path
) -> None:
    gone = TrainedFold(trained.config, tmp_path / "fold3.safetensors")
    for cache_folder in (None, tmp_path / "predictions"):
        with pytest.raises(StorageError, match=r"fold3\.safetensors") as caught:
            create_predictor(cache_folder=cache_folder).predict_views(gone, [IDENTITY], "test", ROWS)
        assert "automl refit" in caught.value.hint
        gone.weights.write_bytes(trained.weights.read_bytes()[:-10])
        with pytest.raises(StorageError, match=r"fold3\.safetensors cannot be loaded"):
            create_predictor(cache_folder=cache_folder).predict_views(gone, [IDENTITY], "test", ROWS)
        gone.weights.unlink()


@pytest.mark.slow
def test_one_model_is_in_memory_at_a_time_and_images_are_resized_once_for_all(
    create_predictor: Callable[..., Predictor],
    competition: Competition,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: list[weakref.ref[nn.Module]] = []
    n_resized: list[int] = []

    def load(*given: Any, **named: Any) -> nn.Module:
        gc.collect()
        assert [one for one in alive if one() is not None] == []
        model = load_trained(*given, **named)
        alive.append(weakref.ref(model))
        return model

    resize_into = EvaluationPixels.resize_into
    monkeypatch.setattr(predictor_module, "load_trained", load)
    monkeypatch.setattr(
        EvaluationPixels,
        "resize_into",
        lambda own, target, images: (n_resized.append(len(images)), resize_into(own, target, images)),
    )
    predictor = create_predictor()
    for seed, backbone in enumerate(("test_byobnet", "test_efficientnet", "test_byobnet")):
        model = put_model(tmp_path / f"{seed}.safetensors", config_of(backbone), seed)
        predictor.predict_views(model, [IDENTITY, MIRROR], "test", ROWS)
    assert len(alive) == 3
    assert sum(n_resized) == N_IMAGES


def test_where_memory_runs_out_batches_are_halved_and_the_answer_is_the_same(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [IDENTITY, *TTA_GROUPS["crops"][1:3]]
    plenty = create_predictor(cache_folder=None).predict_views(trained, views, "test", ROWS)
    models: list[SmallMemoryNetwork] = []

    def load(*given: Any, **named: Any) -> SmallMemoryNetwork:
        models.append(SmallMemoryNetwork(load_trained(*given, **named), 20))
        return models[-1]

    monkeypatch.setattr(predictor_module, "load_trained", load)
    assert create_predictor(cache_folder=None).predict_views(trained, views, "test", ROWS) == pytest.approx(
        plenty, abs=1e-6
    )
    assert models[0].taken[:6] == [64, 32, 16, 16, 16, 16]
    monkeypatch.setattr(
        predictor_module, "load_trained", lambda *given, **named: SmallMemoryNetwork(load_trained(*given, **named), 0)
    )
    with pytest.raises(UnfitEnvironmentError, match="memory of cpu"):
        create_predictor(cache_folder=None).predict_views(trained, views, "test", ROWS)


def test_the_seconds_of_a_prediction_are_known_afterwards_and_measured_before(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, model_calls: list[tuple[int, int]], tmp_path: Path
) -> None:
    before = create_predictor()
    assert before.measure_seconds_per_image(trained) > 0
    assert len(model_calls) == 1
    assert before.measure_seconds_per_image(trained) == before.measure_seconds_per_image(trained)
    assert len(model_calls) == 1
    predictor = create_predictor()
    predictor.predict_views(trained, [MIRROR], "test", ROWS)
    measured = predictor.measure_seconds_per_image(trained)
    assert len(model_calls) == 2
    again = create_predictor()
    again.predict_views(trained, [MIRROR], "test", ROWS)
    assert again.measure_seconds_per_image(trained) == measured  # cached with the probabilities
    assert len(model_calls) == 2


def test_networks_of_one_kind_share_the_best_time_that_one_of_them_was_seen_to_take(
    create_predictor: Callable[..., Predictor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is timed while the machine is busy."""
    paces = iter((0.364, 0.017, 0.020, 0.5))
    monkeypatch.setattr(
        predictor_module,
        "predict_and_time",
        lambda *given, **named: (predict_and_time(*given, **named)[0], next(paces)),
    )
    plain = config_of()
    alike = replace(plain, model=replace(plain.model, backbone="test_byobnet.r160_in1k", dropout=0.3, drop_path=0.1))
    other = replace(plain, model=replace(plain.model, hidden=(8,)))
    models = [put_model(tmp_path / str(seed), own, seed) for seed, own in enumerate((plain, alike, plain, other))]
    predictor = create_predictor()
    for model in models:
        predictor.predict_views(model, [IDENTITY], "test", ROWS)
    assert [predictor.measure_seconds_per_image(model) for model in models] == [0.017, 0.017, 0.017, 0.5]


def test_a_pause_of_the_machine_does_not_make_it_slow(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six batches the first warms up, and one of the others had to wait."""
    began = 0.0
    ends = iter([0.0, *np.cumsum([9.0, 0.2, 0.2, 40.0, 0.2, 0.2])])
    monkeypatch.setattr(predictor_module.time, "perf_counter", lambda: next(ends, began))
    assert create_predictor().measure_seconds_per_image(trained) == pytest.approx(
        0.2 / predictor_module.TIMED_IMAGES["cpu"]
    )


def test_the_pace_is_that_of_the_middle_batch_once_the_device_is_warm() -> None:
    assert _compute_seconds_per_image(np.array([7.0]), 10, 64) == 0.7
    batches = np.array([9.0, 6.4, 3.2, 1.0])  # of 64, 64, 64 and 10 images
    assert _compute_seconds_per_image(batches, 202, 64) == pytest.approx(0.1)
    unknown_sizes = np.array([9.0, 2.0, 4.0, 3.0, 3.0])
    assert _compute_seconds_per_image(unknown_sizes, 100, 64) == pytest.approx(0.15)


def test_it_predicts_with_exactly_as_many_threads_as_it_was_given(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    predict_views = predictor_module.predict_views

    def counted(*given: Any, **named: Any) -> Any:
        seen.append(torch.get_num_threads())
        return predict_views(*given, **named)

    monkeypatch.setattr(predictor_module, "predict_views", counted)
    before = torch.get_num_threads()
    for n_threads in (1, 2):
        create_predictor(cache_folder=None, n_threads=n_threads).predict_views(trained, [IDENTITY], "test", ROWS)
    assert seen == [1, 2]
    assert torch.get_num_threads() == before


def test_no_rows_are_no_prediction(create_predictor: Callable[..., Predictor], trained: TrainedFold) -> None:
    assert create_predictor().predict_views(trained, [IDENTITY, MIRROR], "test", ROWS[:0]).shape == (2, 0, 2)


def test_blocks_are_whole_batches() -> None:
    assert BLOCK % predictor_module.BATCH_SIZE == 0


def test_a_long_prediction_notifies_of_its_progress(
    create_predictor: Callable[..., Predictor], trained: TrainedFold, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(predictor_module, "NOTIFY_EVERY_S", -1.0)
    monkeypatch.setattr(predictor_module, "BLOCK", 64)
    create_predictor(notify=lines.append).predict_views(trained, [IDENTITY], "test", ROWS)
    seen = [line for line in lines if "has seen" in line]
    assert seen == [f"test_byobnet at {SIZE} px has seen {n} of {N_IMAGES} test images" for n in (64, N_IMAGES)]


def test_wide_images_hold_at_least_the_pixels_that_the_cache_has() -> None:
    assert compute_wide_side(224, 264) == 264
    assert compute_wide_side(224, 224) == 258
