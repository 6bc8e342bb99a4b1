"""What trained models say of images through views: looked at once, remembered by content, one model at a time.

An interrupted look goes on where it stopped. Not responsible for: which views there are (automl.ensemble.tta), what is
averaged (automl.ensemble.candidates) or resized pixels (automl.ensemble.resized_images).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.artifacts import digest_of
from automl.config import ModelConfig, TrialConfig
from automl.data.cache import PixelCache, Split
from automl.data.competition import Competition
from automl.ensemble.prediction_cache import Memory, Said
from automl.ensemble.resized_images import SquareStore
from automl.ensemble.tta import WIDTH, View
from automl.errors import UnfitEnvironmentError
from automl.training.inference import BATCH_SIZE, Sights, predict_views
from automl.training.network.create import load_trained, missing_weights
from automl.training.seeding import use_repeatable_arithmetic


def timed_probs(
    model: nn.Module,
    sights: Sequence[Sights],
    n_images: int,
    *,
    device: str,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[], None] = lambda: None,
) -> tuple[NDArray[np.float32], float]:
    """As `predict_views`, and the seconds per image and view that it took.

    Raises:
        UnfitEnvironmentError: not even one image fits into memory beside the model.
    """
    ends = [time.perf_counter()]

    def note_end() -> None:
        ends.append(time.perf_counter())
        on_batch()

    try:
        probs = predict_views(model, sights, n_images, device=device, batch_size=batch_size, on_batch=note_end)
    except torch.OutOfMemoryError as error:
        raise UnfitEnvironmentError(
            f"the memory of {device} does not hold a network and one image",
            hint="free the device's memory, or leave out that trial",
        ) from error
    return probs, _pace(np.diff(ends), n_images, batch_size) / len(probs)


@contextmanager
def on_threads(n_threads: int) -> Iterator[None]:
    """Torch shares its arithmetic among exactly that many, and afterwards among as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pace(seconds: NDArray[np.float64], n_images: int, batch_size: int) -> float:
    """Seconds per image: the median of the batches, the first of several not among them, as it warms the device up."""
    n_batches = len(seconds)
    sizes = np.full(n_batches, n_images / n_batches)  # where memory ran out
    if n_batches == -(-n_images // batch_size):
        sizes = np.minimum(batch_size, n_images - batch_size * np.arange(n_batches))
    return float(np.median((seconds / sizes)[1 if n_batches > 1 else 0 :]))


Probs = NDArray[np.float32]
Rows = NDArray[np.int64]

RULES = "1"  # raise it when views or predicting change, so that nothing old is remembered
BLOCK = 16 * BATCH_SIZE  # images that are remembered together: what an interruption costs at most
TOLD_EVERY_S = 20.0
TIMED_IMAGES = {"cuda": BATCH_SIZE, "cpu": 2}  # of a batch, where the time is not known from a look
TIMED_BATCHES = 6  # the first warms the device up; of the others the median, as something else may run now and then


@dataclass(frozen=True, slots=True)
class Trained:
    """One fold's network on the disk."""

    config: TrialConfig
    weights: Path

    @property
    def image_size(self) -> int:
        """The one it was trained with last."""
        return self.config.resize.image_sizes[-1]


class Looker:
    """Asks trained models about the images of a competition.

    What a model says of images through a view is the same to the last bit, whichever other views it is asked for and
    whatever was remembered, given the rows, the device and the number of threads.

    Args:
        remembered: folder of what models said before; None to remember nothing.
        n_threads: for the arithmetic, exactly; as many more read and resize images.
        tell: takes a line now and then where something takes long.
    """

    def __init__(
        self,
        competition: Competition,
        cache: PixelCache,
        *,
        device: str,
        remembered: Path | None,
        n_threads: int = 1,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.competition, self.cache = competition, cache
        self.device, self.n_threads = device, n_threads
        self.memory = Memory(remembered)
        self.store = SquareStore(cache.folder, batch_size=BATCH_SIZE, n_threads=n_threads)
        self._tell, self._told_s = tell, time.monotonic()
        self._fingerprints: dict[Split, str] = {}
        self._seconds: dict[tuple[ModelConfig, int], float] = {}
        use_repeatable_arithmetic()

    def look(self, trained: Trained, views: Sequence[View], split: Split, rows: Rows) -> Probs:
        """(n_views, n_rows, n_classes) probabilities of the training or test images in those rows.

        Raises:
            StorageError: the weights are missing or damaged, or nothing can be remembered.
            DataError: images are missing or cannot be read.
            UnfitEnvironmentError: the model does not fit into the device's memory.
        """
        glance = _Glance(self, trained, split, np.ascontiguousarray(rows, dtype=np.int64))
        looked = np.empty((len(views), len(rows), self.competition.n_classes), np.float32)
        with on_threads(self.n_threads):
            for start in range(0, len(rows), BLOCK):
                bounds = (start, min(start + BLOCK, len(rows)))
                said = glance.said(views, bounds)
                looked[:, slice(*bounds)] = [said[view.name].probs for view in views]
                pace = min(one.seconds for one in said.values())  # what else runs on the machine only slows it
                self._seconds[_kind(trained)] = min(pace, self._seconds.get(_kind(trained), pace))
        return looked

    def seconds_per_image(self, trained: Trained) -> float:
        """Of one view, the best that a model of that kind was seen to take; else measured now on a few blank images.

        Raises:
            StorageError, UnfitEnvironmentError: as `look`.
        """
        if _kind(trained) not in self._seconds:
            n_images = TIMED_IMAGES["cuda" if self.device.startswith("cuda") else "cpu"]
            blank = np.zeros((n_images, trained.image_size, trained.image_size, 3), np.uint8)
            sights, n_in_all = [Sights(lambda start, end: blank[: end - start], [_same])], TIMED_BATCHES * n_images
            with on_threads(self.n_threads):
                model = self.model(trained)
                _, seconds = timed_probs(model, sights, n_in_all, device=self.device, batch_size=n_images)
            self._seconds[_kind(trained)] = seconds
        return self._seconds[_kind(trained)]

    def fingerprint(self, split: Split) -> str:
        """Of the images; taken once.

        Raises:
            DataError: images are missing.
        """
        if split not in self._fingerprints:
            self._fingerprints[split] = self.cache.fingerprint(split)
        return self._fingerprints[split]

    def pixels(self, split: Split, image_size: int) -> NDArray[np.uint8]:
        """(n, C, C, 3) of the cache."""

        def report(done: int, total: int) -> None:
            self.tell(f"decoded {done} of {total} {split} images at {image_size} px")

        return self.cache.pixels(split, image_size, n_threads=self.n_threads, on_progress=report)

    def model(self, trained: Trained) -> nn.Module:
        """Loaded anew: nobody keeps one."""
        return load_trained(trained.config, trained.weights, competition=self.competition, device=self.device)

    def tell(self, line: str) -> None:
        """Pass a line on, if the last one is a while ago."""
        if self._tell is not None and time.monotonic() - self._told_s > TOLD_EVERY_S:
            self._told_s = time.monotonic()
            self._tell(line)


class _Glance:
    """One model before some images: loaded when something is not remembered, and only then."""

    def __init__(self, looker: Looker, trained: Trained, split: Split, rows: Rows) -> None:
        self._looker, self._trained, self._split, self._rows = looker, trained, split, rows
        self._key = _key(looker, trained, split) if looker.memory.folder is not None else ""

    def said(self, views: Sequence[View], bounds: tuple[int, int]) -> dict[str, Said]:
        """What the model says of the rows between these bounds, by the views' names."""
        memory, n_images = self._looker.memory, bounds[1] - bounds[0]
        rows = hashlib.sha256(self._rows[slice(*bounds)].tobytes()).hexdigest()
        keys = {view.name: digest_of([self._key, rows, view.name]) for view in views}
        shape = (n_images, self._looker.competition.n_classes)
        found = {name: said for name, key in keys.items() if (said := memory.recall(key, shape)) is not None}
        new = [view for view in views if view.name not in found]
        for name, said in self._predicted(new, bounds):
            memory.keep(keys[name], said)
            found[name] = said
        return found

    def _predicted(self, views: Sequence[View], bounds: tuple[int, int]) -> Iterator[tuple[str, Said]]:
        if not views:
            return
        groups = [(wide, group) for wide in (False, True) if (group := [view for view in views if view.wide == wide])]
        sights = [self._sights(group, bounds[0], wide=wide) for wide, group in groups]
        done = count(bounds[0] + BATCH_SIZE, BATCH_SIZE)
        probs, seconds = timed_probs(
            self._model,
            sights,
            bounds[1] - bounds[0],
            device=self._looker.device,
            on_batch=lambda: self._tell_of(min(next(done), bounds[1])),
        )
        names = [view.name for _, group in groups for view in group]
        yield from ((name, Said(said, seconds)) for name, said in zip(names, probs, strict=True))

    def _sights(self, views: Sequence[View], first: int, *, wide: bool) -> Sights:
        image_size, cached_side = self._trained.image_size, self._pixels.shape[1]
        side = wide_side(image_size, cached_side) if wide else image_size
        name = f"{self._split} {self._looker.fingerprint(self._split)} {cached_side}"
        squares = self._looker.store.squares(name, self._pixels, self._rows, side)
        return Sights(
            lambda start, end: squares.batch(first + start, first + end),
            [partial(_seen_through, view, side=image_size) for view in views],
        )

    def _tell_of(self, n_done: int) -> None:
        backbone, size = self._trained.config.model.backbone, self._trained.image_size
        self._looker.tell(f"{backbone} at {size} px has seen {n_done} of {len(self._rows)} {self._split} images")

    @cached_property
    def _model(self) -> nn.Module:
        return self._looker.model(self._trained)

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        return self._looker.pixels(self._split, self._trained.image_size)


def wide_side(image_size: int, cached_side: int) -> int:
    """The side W of the images that wide views take."""
    return max(cached_side, round(WIDTH * image_size))


def _seen_through(view: View, batch: Tensor, *, side: int) -> Tensor:
    return view.apply(batch, side)


def _same(batch: Tensor) -> Tensor:
    return batch


def _kind(trained: Trained) -> tuple[ModelConfig, int]:
    """What the time depends on: the network without what matters in training alone, and the image size."""
    model = trained.config.model
    architecture = model.backbone.partition(".")[0]  # without the tag of its pretraining
    return replace(model, backbone=architecture, pretrained=False, dropout=0.0, drop_path=0.0), trained.image_size


def _key(looker: Looker, trained: Trained, split: Split) -> str:
    """Of all that a model's word on those images depends on, but for the rows and the view."""
    try:
        weights = looker.memory.digest_of_file(trained.weights)
    except OSError as error:
        raise missing_weights([trained.weights]) from error
    competition, config, image_size = looker.competition, trained.config, trained.image_size
    cached_side = looker.cache.side(image_size)
    network = {"model": asdict(config.model), "loss": asdict(config.loss), "task": competition.task.value}
    sizes = [image_size, cached_side, wide_side(image_size, cached_side)]
    machine = [_device_name(looker.device), str(looker.n_threads), torch.__version__]
    return digest_of(
        [
            RULES,
            weights,
            json.dumps(network, sort_keys=True),
            *competition.classes,
            *map(str, sizes),
            looker.fingerprint(split),
            *machine,
        ]
    )


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
