"""Predict images under TTA views, with an on-disk cache keyed by content; one model at a time is in memory.

An interrupted prediction goes on where it stopped. Of models that are heads on one unchanged backbone, the backbone
sees an image once under a view.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.artifacts import compute_digest
from automl.config import ModelConfig, TrialConfig
from automl.data.cache import AREA, PixelCache, Split
from automl.data.competition import Competition
from automl.data.resize import EvaluationPixels
from automl.ensemble.prediction_cache import CachedPrediction, PredictionCache
from automl.ensemble.resized_images import ResizedImageStore
from automl.ensemble.shared_features import FeatureModel, SharedFeatures, find_shared_backbone, predict_by_head
from automl.ensemble.tta import View, compute_wide_side
from automl.errors import Notify, UnfitEnvironmentError
from automl.training.feature_cache import SplitImages, find_stored_features
from automl.training.feature_cache import View as StoredView
from automl.training.feature_store import FeatureStore
from automl.training.inference import BATCH_SIZE, ImageViews, predict_views
from automl.training.network.create import build_missing_weights_error, load_head, load_trained
from automl.training.network.network import Network
from automl.training.seeding import on_threads, tune_allocator, use_deterministic_algorithms

Probs = NDArray[np.float32]
Rows = NDArray[np.int64]

CACHE_VERSION = "1"  # raise it when views or predicting change, so that nothing old is read from the cache
BLOCK = 16 * BATCH_SIZE  # images that are cached together: what an interruption costs at most
NOTIFY_EVERY_S = 20.0
TIMED_IMAGES = {"cuda": BATCH_SIZE, "cpu": 2}  # of a batch, where the time is not known from predictions
TIMED_BATCHES = 6  # the first warms the device up; of the others the median, as something else may run now and then


@dataclass(frozen=True, slots=True)
class TrainedFold:
    """One fold's network on the disk."""

    config: TrialConfig
    weights: Path

    @property
    def evaluation(self) -> EvaluationPixels:
        """The images that it predicts."""
        return EvaluationPixels.from_config(self.config)

    @property
    def image_size(self) -> int:
        """The one it was trained with last."""
        return self.evaluation.image_size


class Predictor:
    """Predicts the images of a competition by trained models.

    What a model predicts of images under a view is the same to the last bit, whichever other views are predicted and
    whatever was cached, given the rows, the device and the number of threads.

    Args:
        cache_folder: of earlier predictions; None to cache nothing.
        feature_store: of the study, whose features of training images are used where it has them; those of test images
            are computed, in batches that a kit repeats to the last bit.
        n_threads: for the arithmetic, exactly; as many more read and resize images.
        notify: takes a line now and then where something takes long.
    """

    def __init__(
        self,
        competition: Competition,
        cache: PixelCache,
        *,
        device: str,
        cache_folder: Path | None,
        feature_store: FeatureStore | None = None,
        n_threads: int = 1,
        notify: Notify = lambda line: None,
    ) -> None:
        self.competition, self.cache = competition, cache
        self.device, self.n_threads = device, n_threads
        self.prediction_cache = PredictionCache(cache_folder)
        self.image_store = ResizedImageStore(cache.folder, batch_size=BATCH_SIZE, n_threads=n_threads)
        self.feature_store, self.shared_features = feature_store, SharedFeatures(cache.folder)
        self._kept: tuple[Hashable, Network] | None = None
        self._notify, self._notified_s = notify, time.monotonic()
        self._fingerprints: dict[Split, str] = {}
        self._seconds: dict[tuple[ModelConfig, int], float] = {}
        use_deterministic_algorithms()
        if device == "cpu":
            tune_allocator()

    def predict_views(self, trained: TrainedFold, views: Sequence[View], split: Split, rows: Rows) -> Probs:
        """Predict (n_views, n_rows, n_classes) probabilities of the training or test images in those rows.

        Raises:
            StorageError: the weights are missing or damaged, or nothing can be cached.
            DataError: images are missing or cannot be read.
            UnfitEnvironmentError: the model does not fit into the device's memory.
        """
        fold_predictions = _FoldPredictions(self, trained, split, np.ascontiguousarray(rows, dtype=np.int64))
        probs = np.empty((len(views), len(rows), self.competition.n_classes), np.float32)
        with on_threads(self.n_threads):
            for start in range(0, len(rows), BLOCK):
                bounds = (start, min(start + BLOCK, len(rows)))
                found = fold_predictions.get_or_predict(views, bounds)
                probs[:, slice(*bounds)] = [found[view.name].probs for view in views]
                self._record_seconds(trained, [one.seconds for one in found.values()])
        return probs

    def _record_seconds(self, trained: TrainedFold, seconds: Sequence[float]) -> None:
        """Keep the least, as what else runs on the machine only slows it; nan is not known."""
        key = _build_timing_key(trained)
        known = [own for own in (*seconds, self._seconds.get(key, math.nan)) if not math.isnan(own)]
        if known:
            self._seconds[key] = min(known)

    def measure_seconds_per_image(self, trained: TrainedFold) -> float:
        """Return the seconds of one view, the best of that architecture so far; else measured now on blank images.

        Those of the whole network, also where other heads share what its backbone has seen.

        Raises:
            StorageError, UnfitEnvironmentError: as `predict_views`.
        """
        if _build_timing_key(trained) not in self._seconds:
            n_images = TIMED_IMAGES["cuda" if self.device.startswith("cuda") else "cpu"]
            blank = np.zeros((n_images, trained.image_size, trained.image_size, 3), np.uint8)
            image_views = [ImageViews(lambda start, end: blank[: end - start], [_leave_unchanged])]
            with on_threads(self.n_threads):
                model, n_in_all = self.load_model(trained), TIMED_BATCHES * n_images
                _, seconds = predict_and_time(model, image_views, n_in_all, device=self.device, batch_size=n_images)
            self._seconds[_build_timing_key(trained)] = seconds
        return self._seconds[_build_timing_key(trained)]

    def compute_fingerprint(self, split: Split) -> str:
        """Return the fingerprint of the images; computed once.

        Raises:
            DataError: images are missing.
        """
        if split not in self._fingerprints:
            self._fingerprints[split] = self.cache.compute_fingerprint(split)
        return self._fingerprints[split]

    def load_pixels(self, split: Split, evaluation: EvaluationPixels) -> NDArray[np.uint8]:
        """Return (n, C, C, 3) of the pixel cache."""

        def report(done: int, total: int) -> None:
            self.report_progress(f"decoded {done} of {total} {split} images at {evaluation.image_size} px")

        return self.cache.load_pixels(
            split,
            evaluation.image_size,
            interpolation=evaluation.interpolation,
            crop_pct=evaluation.crop_pct,
            n_threads=self.n_threads,
            on_progress=report,
        )

    def load_model(self, trained: TrainedFold) -> nn.Module:
        """Load a fold's network; it is kept until the next one alone, for the next head on its backbone."""
        backbone = find_shared_backbone(trained.weights, trained.config.model)
        key = (backbone, trained.config.model, trained.config.loss)
        if backbone is not None and self._kept is not None and self._kept[0] == key:
            load_head(self._kept[1], trained.weights, competition=self.competition)
            return self._kept[1]
        self._kept = None
        model = load_trained(trained.config, trained.weights, competition=self.competition, device=self.device)
        self._kept = None if backbone is None else (key, model)
        return model

    def report_progress(self, line: str) -> None:
        """Pass a line on, if the last one is a while ago."""
        if time.monotonic() - self._notified_s > NOTIFY_EVERY_S:
            self._notified_s = time.monotonic()
            self._notify(line)


class _FoldPredictions:
    """The predictions of one fold's model, which is loaded when something is not cached, and only then."""

    def __init__(self, predictor: Predictor, trained: TrainedFold, split: Split, rows: Rows) -> None:
        self._predictor, self._trained, self._split, self._rows = predictor, trained, split, rows
        self._key = _build_cache_key(predictor, trained, split) if predictor.prediction_cache.folder is not None else ""

    def get_or_predict(self, views: Sequence[View], bounds: tuple[int, int]) -> dict[str, CachedPrediction]:
        """Return the predictions of the rows between these bounds, by the views' names."""
        cache, n_images = self._predictor.prediction_cache, bounds[1] - bounds[0]
        rows = hashlib.sha256(self._rows[slice(*bounds)].tobytes()).hexdigest()
        keys = {view.name: compute_digest([self._key, rows, view.name]) for view in views}
        shape = (n_images, self._predictor.competition.n_classes)
        found = {name: own for name, key in keys.items() if (own := cache.get(key, shape)) is not None}
        new = [view for view in views if view.name not in found]
        for name, prediction in self._predict(new, bounds):
            cache.put(keys[name], prediction)
            found[name] = prediction
        return found

    def _predict(self, views: Sequence[View], bounds: tuple[int, int]) -> Iterator[tuple[str, CachedPrediction]]:
        if not views:
            return
        if self._backbone is not None:
            yield from self._predict_by_head(views, bounds)
            return
        predicted, seconds = self._run(self._model, views, bounds)
        yield from ((name, CachedPrediction(probs, seconds)) for name, probs in predicted.items())

    def _predict_by_head(
        self, views: Sequence[View], bounds: tuple[int, int]
    ) -> Iterator[tuple[str, CachedPrediction]]:
        """Predict from the features that the backbone has given another head, or gives now."""
        shared, found = self._predictor.shared_features, {}
        for view in views:
            own = shared.get(self._build_features_key(view), bounds) or self._find_stored(view, bounds)
            if own is not None:
                found[view.name] = own
        if new := [view for view in views if view.name not in found]:
            computed, seconds = self._run(FeatureModel(self._model), new, bounds)
            for view in new:
                features = computed[view.name]
                shared.put(self._build_features_key(view), bounds, len(self._rows), features, seconds)
                found[view.name] = (features, seconds)
        for view in views:
            features, seconds = found[view.name]
            probs, head_seconds = predict_by_head(self._model, features, self._predictor.device)
            yield view.name, CachedPrediction(probs, seconds + head_seconds)

    def _run(
        self, model: nn.Module, views: Sequence[View], bounds: tuple[int, int]
    ) -> tuple[dict[str, NDArray[np.float32]], float]:
        """What a model gives for each view, by the views' names, and the seconds per image and view."""
        groups = [(wide, group) for wide in (False, True) if (group := [view for view in views if view.wide == wide])]
        image_views = [self._prepare_views(group, bounds[0], wide=wide) for wide, group in groups]
        done = count(bounds[0] + BATCH_SIZE, BATCH_SIZE)
        given, seconds = predict_and_time(
            model,
            image_views,
            bounds[1] - bounds[0],
            device=self._predictor.device,
            on_batch=lambda: self._report(min(next(done), bounds[1])),
        )
        names = [view.name for _, group in groups for view in group]
        return dict(zip(names, given, strict=True)), seconds

    def _find_stored(self, view: View, bounds: tuple[int, int]) -> tuple[NDArray[np.float32], float] | None:
        """The features of training images in the study's store, which do not tell how long they took."""
        predictor, trained = self._predictor, self._trained
        if predictor.feature_store is None or self._split != "train" or view.name not in get_args(StoredView):
            return None
        stored = find_stored_features(
            self._model,
            trained.config,
            self._stored_images,
            image_size=trained.image_size,
            device=predictor.device,
            store=predictor.feature_store,
            view=cast(StoredView, view.name),
            backbone_digest=self._backbone or "",
        )
        return None if stored is None else (stored[self._rows[slice(*bounds)]].astype(np.float32), math.nan)

    def _build_features_key(self, view: View) -> Hashable:
        """What the features of the rows depend on under a view."""
        network = replace(self._trained.config.model, hidden=(), dropout=0.0, drop_path=0.0, pretrained=False)
        return self._backbone, network, self._trained.evaluation, self._split, self._rows.tobytes(), view.name

    def _prepare_views(self, views: Sequence[View], first: int, *, wide: bool) -> ImageViews:
        evaluation, cached_side = self._trained.evaluation, self._pixels.shape[1]
        image_size = evaluation.image_size
        shown = image_size / evaluation.compute_whole_side(cached_side)
        if wide:
            evaluation = evaluation.get_whole(compute_wide_side(image_size, cached_side))
        name = f"{self._split} {self._predictor.compute_fingerprint(self._split)} {cached_side}"
        resized = self._predictor.image_store.get(name, self._pixels, self._rows, evaluation)
        return ImageViews(
            lambda start, end: resized.get_batch(first + start, first + end),
            [partial(view.apply_to_shown, side=image_size, shown=shown) for view in views],
        )

    def _report(self, n_done: int) -> None:
        backbone, size = self._trained.config.model.backbone, self._trained.image_size
        self._predictor.report_progress(
            f"{backbone} at {size} px has seen {n_done} of {len(self._rows)} {self._split} images"
        )

    @cached_property
    def _backbone(self) -> str | None:
        return find_shared_backbone(self._trained.weights, self._trained.config.model)

    @cached_property
    def _stored_images(self) -> SplitImages:
        """Made once: its fingerprint looks at every image's file."""
        return SplitImages.from_cache(self._predictor.cache, self._split, self._trained.evaluation)

    @cached_property
    def _model(self) -> nn.Module:
        return self._predictor.load_model(self._trained)

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        return self._predictor.load_pixels(self._split, self._trained.evaluation)


def predict_and_time(
    model: nn.Module,
    image_views: Sequence[ImageViews],
    n_images: int,
    *,
    device: str,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[], None] = lambda: None,
) -> tuple[NDArray[np.float32], float]:
    """Predict as `predict_views`, and return the seconds per image and view that it took.

    Raises:
        UnfitEnvironmentError: not even one image fits into memory beside the model.
    """
    ends = [time.perf_counter()]

    def record_end() -> None:
        ends.append(time.perf_counter())
        on_batch()

    try:
        probs = predict_views(model, image_views, n_images, device=device, batch_size=batch_size, on_batch=record_end)
    except torch.OutOfMemoryError as error:
        raise UnfitEnvironmentError(
            f"the memory of {device} does not hold a network and one image",
            hint="free the device's memory, or leave out that trial",
        ) from error
    return probs, _compute_seconds_per_image(np.diff(ends), n_images, batch_size) / len(probs)


def _compute_seconds_per_image(seconds: NDArray[np.float64], n_images: int, batch_size: int) -> float:
    """Seconds per image: the median of the batches, the first of several not among them, as it warms the device up."""
    n_batches = len(seconds)
    sizes = np.full(n_batches, n_images / n_batches)  # where memory ran out
    if n_batches == -(-n_images // batch_size):
        sizes = np.minimum(batch_size, n_images - batch_size * np.arange(n_batches))
    return float(np.median((seconds / sizes)[1 if n_batches > 1 else 0 :]))


def _leave_unchanged(batch: Tensor) -> Tensor:
    return batch


def _build_timing_key(trained: TrainedFold) -> tuple[ModelConfig, int]:
    """What the time depends on: the network without what matters in training alone, and the image size."""
    model = trained.config.model
    architecture = model.backbone.partition(".")[0]  # without the tag of its pretraining
    return replace(model, backbone=architecture, pretrained=False, dropout=0.0, drop_path=0.0), trained.image_size


def _build_cache_key(predictor: Predictor, trained: TrainedFold, split: Split) -> str:
    """Of all that a model's predictions of those images depend on, but for the rows and the view."""
    try:
        weights = predictor.prediction_cache.compute_file_digest(trained.weights)
    except OSError as error:
        raise build_missing_weights_error([trained.weights]) from error
    competition, config, image_size = predictor.competition, trained.config, trained.image_size
    evaluation = trained.evaluation
    interpolation, crop_pct = evaluation.interpolation, evaluation.crop_pct
    cached_side = predictor.cache.get_cached_side(image_size, interpolation=interpolation, crop_pct=crop_pct)
    whole_side = evaluation.compute_whole_side(cached_side)
    network = {"model": asdict(config.model), "loss": asdict(config.loss), "task": competition.task.value}
    sizes = [image_size, cached_side, compute_wide_side(image_size, cached_side)]
    device = predictor.device
    device_name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return compute_digest(
        [
            CACHE_VERSION,
            weights,
            json.dumps(network, sort_keys=True),
            *competition.classes,
            *map(str, sizes),
            *([] if interpolation == AREA and whole_side == image_size else [interpolation, str(whole_side)]),
            predictor.compute_fingerprint(split),
            *(device_name, str(predictor.n_threads), torch.__version__),
        ]
    )
