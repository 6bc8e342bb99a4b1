"""What test-time augmentation costs: python -m tests.benchmarks.tta [folder of images]

Three sides predict the same images with the same members, in turn, several times; medians are printed, and their
ratios. All begin with files that nobody has decoded, and read ahead with one thread.

    automl      decodes and resizes once per image size, for all members, and normalises once per member for all views
    per member  what ttach's wrapper does in a loop over members: each reads, resizes and normalises the images itself
    per view    a loop over members and views, each of which reads, resizes and normalises the images itself
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition
from automl.data.resize import EvaluationPixels
from automl.ensemble.predictor import Predictor, TrainedFold
from automl.ensemble.tta import TTA_GROUPS, View
from automl.files.decoding import decode_image
from automl.training.checkpoints import serialize_model
from automl.training.inference import BATCH_SIZE
from automl.training.network.create import Normalisation, build_model, load_trained
from automl.training.optim.amp import autocast
from tests.automl_tests.small_competitions import competition_of

N_IMAGES, REPEATS = 128, 3
SIZES = (128, 160)
NETWORKS = {
    "tiny networks": ("test_byobnet", "test_efficientnet", "test_resnet"),
    "real networks": ("resnet18", "mobilenetv3_large_100"),
}
GROUPS_USED = ("flips", "dihedral")
DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
Probs = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Images that are to be predicted, and who predicts them."""

    competition: Competition
    members: list[TrainedFold]
    short_side: float

    def cache(self, folder: Path) -> PixelCache:
        """One that knows how large the images are, as in a kit."""
        return PixelCache(self.competition, folder, self.short_side)


def world_of(
    folder: Path,
    backbones: Sequence[str],
    *,
    images: Sequence[Path] = (),
    n_images: int = N_IMAGES,
    sizes: Sequence[int] = SIZES,
) -> World:
    """A member of each backbone at each size, untrained; photos of the images, or made ones."""
    root = images[0].parent if images else folder
    names = [path.name for path in images] or put_photos(folder, n_images)
    members = []
    for number, backbone in enumerate(backbones):
        for size in sizes:
            torch.manual_seed(number)
            model = ModelConfig(backbone=backbone, pretrained=False)
            weights = folder / f"{backbone}-{size}.safetensors"
            weights.write_bytes(serialize_model(build_model(model, n_classes=2, weights_dir=None)))
            members.append(TrainedFold(TrialConfig(model=model, resize=ResizeConfig(image_sizes=(size,))), weights))
    competition = competition_of(root, names, names)
    return World(competition, members, PixelCache(competition, folder).short_side)


def put_photos(folder: Path, n_images: int) -> list[str]:
    """JPEG files of 800 x 600 pixels that are neither flat nor noise."""
    rng = np.random.default_rng(0)
    for number in range(n_images):
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        content = io.BytesIO()
        coarse.resize((800, 600), Image.Resampling.BICUBIC).save(content, format="JPEG", quality=90)
        (folder / f"{number}.jpg").write_bytes(content.getvalue())
    return [f"{number}.jpg" for number in range(n_images)]


def automl(world: World, views: Sequence[View], folder: Path) -> Probs:
    """(n, n_classes), the mean over members and views."""
    cache = world.cache(folder / "cache")
    predictor = Predictor(world.competition, cache, device=DEVICE, cache_folder=folder / "remembered")
    rows = np.arange(len(world.competition.test_paths))
    looks = [
        predictor.predict_views(member, views, "test", rows).mean(axis=0, dtype=np.float64) for member in world.members
    ]
    return np.asarray(np.mean(looks, axis=0))


def per_member(world: World, views: Sequence[View], folder: Path) -> Probs:
    """(n, n_classes), the mean over members and views."""
    return np.asarray(np.mean([_asked(world, member, views) for member in world.members], axis=0))


def per_view(world: World, views: Sequence[View], folder: Path) -> Probs:
    """(n, n_classes), the mean over members and views."""
    return np.asarray(np.mean([_asked(world, member, [view]) for member in world.members for view in views], axis=0))


SIDES: dict[str, Callable[[World, Sequence[View], Path], Probs]] = {
    "automl": automl,
    "per member": per_member,
    "per view": per_view,
}


@torch.no_grad()
def _asked(world: World, member: TrainedFold, views: Sequence[View]) -> Probs:
    model = load_trained(member.config, member.weights, competition=world.competition, device=DEVICE)
    normalise, done = Normalisation.from_model(model), []
    for images in _read_ahead(world, member.image_size):
        normalised = normalise(images, DEVICE)
        said = []
        for view in views:
            with autocast(DEVICE):
                logits = model(view.apply(normalised, member.image_size))
            said.append(model.output_layer.to_probs(logits.float()))
        done.append(torch.stack(said).double().mean(dim=0).cpu().numpy())
    return np.concatenate(done)


def _read_ahead(world: World, image_size: int) -> Iterator[NDArray[np.uint8]]:
    """Batches at the model's size; the next one is read while one is predicted."""
    paths, side = world.competition.test_paths, world.cache(Path("/nowhere")).get_cached_side(image_size)

    def read(start: int) -> NDArray[np.uint8]:
        squares = np.stack([_square(path, side) for path in paths[start : start + BATCH_SIZE]])
        return EvaluationPixels(image_size).resize_batch(squares)

    with ThreadPoolExecutor(1) as pool:
        starts = range(0, len(paths), BATCH_SIZE)
        ahead = pool.submit(read, 0)
        for start in starts:
            images = ahead.result()
            if start != starts[-1]:
                ahead = pool.submit(read, start + BATCH_SIZE)
            yield images


def _square(path: Path, side: int) -> NDArray[np.uint8]:
    """As automl.data.cache keeps it: the same pixels on all sides, for the same probabilities."""
    return np.asarray(
        decode_image(path, min_side=side).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    )


def seconds_of(
    side: Callable[[World, Sequence[View], Path], Probs], world: World, views: Sequence[View]
) -> tuple[float, float]:
    """By the clock, and of processor time, which a busy machine does not stretch."""
    with tempfile.TemporaryDirectory() as fresh:
        began, began_cpu = time.perf_counter(), time.process_time()
        side(world, views, Path(fresh))
        return time.perf_counter() - began, time.process_time() - began_cpu


def main(images: Sequence[Path]) -> None:
    torch.set_num_threads(1)
    for name, backbones in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            world = world_of(Path(folder), backbones, images=images)
            n_images = len(world.competition.test_paths)
            print(f"{name}: {len(world.members)} members at {SIZES[0]} and {SIZES[1]} px, {n_images} images, {DEVICE}")
            for group in GROUPS_USED:
                print_compared(world, group)


def print_compared(world: World, group: str) -> None:
    """The medians of all sides, run in turn."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in SIDES}
    views = TTA_GROUPS[group]
    for _ in range(REPEATS):
        for name, side in SIDES.items():
            measured[name].append(seconds_of(side, world, views))
    medians = {name: [statistics.median(kind) for kind in zip(*own, strict=True)] for name, own in measured.items()}
    n_looks = len(world.competition.test_paths) * len(world.members) * len(views)
    ours_s, ours_cpu_s = medians["automl"]
    print(f"  {group}, {len(views)} views, medians of {REPEATS}:")
    for name, (clock_s, cpu_s) in medians.items():
        pace = f"{clock_s:8.2f} s {n_looks / clock_s:7.0f} looks per second"
        print(
            f"    {name:12}{pace} {clock_s / ours_s:6.2f} x {cpu_s / ours_cpu_s:8.2f} x in processor time", flush=True
        )


if __name__ == "__main__":
    main(sorted(Path(sys.argv[1]).glob("*.jpg"))[:N_IMAGES] if len(sys.argv) > 1 else [])
