"""Build a kit: an ensemble as one folder that predicts without a network, with weights, package, script and notebook.

The folder is filled under another name and takes its own one last, so that an interrupted kit is never mistaken for a
whole one, and the kit before it stays until then.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.artifacts import StudyFiles, compute_digest, read_json, write_bytes, write_json
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition, save_competition
from automl.ensemble.apply import (
    LocateWeights,
    locate_backbones,
    locate_fold_weights,
    predict_ensemble,
    require_weights,
)
from automl.ensemble.ensemble_recipe import Recipe, read_recipe
from automl.ensemble.predictor import Predictor
from automl.errors import DataError, Notify, StorageError, UsageError
from automl.files.tables import format_count
from automl.kit import kaggle_script
from automl.kit.card import render_card, render_notebook, render_readme, render_requirements
from automl.kit.find_data import INPUTS
from automl.kit.manifest import KitFiles, Manifest, is_kit
from automl.kit.requirements import CARRIED, collect_versions, download_wheels, list_requirements, pack_package
from automl.metrics.custom import is_user_metric
from automl.training.network.shared_backbone import BACKBONE_KEY, read_backbone_digest

# Running statistics of batch norm: there are few, small variances would vanish, and each is divided by.
KEPT = ("running_mean", "running_var", "num_batches_tracked")
N_TRIED = 1000  # test images
REFIT_AGAIN = "restore them, or train trials again with automl refit; then automl ensemble, then automl kit"


@dataclass(frozen=True, slots=True, kw_only=True)
class KitRequest:
    """The flags of `automl kit`.

    Attributes:
        slug: the competition's name on Kaggle.
        half: whether weights become float16.
        wheels: whether the wheels of what Kaggle may have too old are fetched too.
    """

    slug: str
    out: Path
    half: bool = False
    wheels: bool = False


def build_kit(files: StudyFiles, request: KitRequest, *, device: str, notify: Notify) -> KitFiles:
    """Write the kit of the study's ensemble; a kit that is there is replaced, but for files that are not a kit's.

    Args:
        device: on which float16 weights are tried.

    Raises:
        UsageError: there is no ensemble yet, or the folder is there and is no kit.
        StorageError: weights are missing or damaged, or the kit cannot be written.
        UnfitEnvironmentError: the wheels cannot be had.
    """
    recipe, document = read_recipe(files.ensemble), read_json(files.ensemble)
    competition = load_competition(files.competition)
    require_weights(recipe, partial(locate_fold_weights, files), hint=REFIT_AGAIN)
    with _stage_folder(request.out) as kit:
        _write_weights(kit, files, recipe, half=request.half)
        moved = _measure_float16_error(kit, files, recipe, competition, device) if request.half else None
        _write_competition(kit, files, competition, request.slug)
        wheel = pack_package(kit.wheels)
        names = download_wheels(CARRIED, kit.wheels) if request.wheels else ()
        with _convert_key_errors(files.ensemble):
            manifest = _build_manifest(kit, request, recipe, competition, document=document, wheel=wheel.name)
            _write_documents(kit, manifest, files, competition, document=document, moved=moved)
        write_json(kit.manifest, manifest.to_json())
    n_networks = sum(len(member.folds) for member in recipe.members)
    made_of = f"{format_count(n_networks, 'network')} of {format_count(len(recipe.members), 'member')}"
    notify(f"weights: {made_of}, {'float16' if request.half else 'float32'}")
    for line in ((moved,) if moved else ()) + tuple(f"wheel: {name}, from the package index" for name in names):
        notify(line)
    return KitFiles(request.out)


@contextmanager
def _stage_folder(out: Path) -> Iterator[KitFiles]:
    """Make a new folder beside `out` to be filled; it becomes `out` once it is whole.

    Raises:
        UsageError: what is at `out` is no kit.
        StorageError: the disk does not let it.
    """
    if out.exists() and not (is_kit(out) or _is_empty(out)):
        raise UsageError(f"{out} is there already, and is no kit", hint="name another folder with --out")
    staged, replaced = out.with_name(f".{out.name}.begun"), out.with_name(f".{out.name}.replaced")
    try:
        for leftover in (staged, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
        staged.mkdir(parents=True)
        yield KitFiles(staged)
        if out.exists():
            _carry_over(KitFiles(out), staged)
            out.rename(replaced)
        staged.rename(out)
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written: {error.strerror or error}",
            hint="free some space or fix the permissions, then run the same command again",
        ) from error
    finally:
        for leftover in (staged, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _carry_over(before: KitFiles, staged: Path) -> None:
    """Keep what users have put into the kit, such as the dataset-metadata.json of `kaggle datasets init`."""
    for path in before.root.iterdir():
        if not before.is_own(path):
            path.rename(staged / path.name)


def _write_weights(kit: KitFiles, files: StudyFiles, recipe: Recipe, *, half: bool) -> None:
    """Write each fold's network; of heads on a backbone that they share the heads, and the backbone once."""
    networks = [(member, fold) for member in recipe.members for fold in member.folds]
    sources = {kit.locate_weights(*network): locate_fold_weights(files, *network) for network in networks}
    backbones = locate_backbones(sources.values(), hint=REFIT_AGAIN)
    sources |= {kit.locate_backbone(digest): source for digest, source in backbones.items()}
    for place, source in sources.items():
        content = source.read_bytes()
        if half:
            content = convert_to_float16(content, str(source), backbone=read_backbone_digest(source))
        write_bytes(place, content)


def _measure_float16_error(
    kit: KitFiles, files: StudyFiles, recipe: Recipe, competition: Competition, device: str
) -> str:
    before = partial(locate_fold_weights, files)
    return describe_float16_error(files, competition, recipe, before=before, after=kit.locate_weights, device=device)


def _write_competition(kit: KitFiles, files: StudyFiles, competition: Competition, slug: str) -> None:
    """Write the competition without what its rules may forbid to pass on: which training image has which label.

    The labels without their images stay, in an order of their own, as frequencies follow from them.
    """
    root = INPUTS / slug
    metric = competition.metric
    if is_user_metric(metric.name):
        place, _, function = metric.name.rpartition(":")
        write_bytes(kit.metric, Path(place).read_bytes())
        metric = replace(metric, name=f"{kit.metric.name}:{function}")
    tests = [path.relative_to(competition.root).as_posix() for path in competition.test_paths]
    stripped = replace(
        competition,
        root=root,
        image_ids=(),
        image_paths=(),
        targets=_sort_targets(competition),
        groups=None,
        test_paths=tuple(root / PurePosixPath(name) for name in tests),
        metric=metric,
        evidence=tuple(_strip_folders(line, competition, files) for line in competition.evidence),
    )
    save_competition(stripped, kit.competition)


def _strip_folders(text: str, competition: Competition, files: StudyFiles) -> str:
    """Return the text without the folders of this machine."""
    place = competition.metric.name.rpartition(":")[0]
    folders = (files.root, competition.root, *([Path(place).parent] if is_user_metric(competition.metric.name) else []))
    for folder in sorted(map(str, folders), key=len, reverse=True):
        text = text.replace(f"{folder}/", "")
    return text


def _sort_targets(competition: Competition) -> NDArray[Any]:
    """Return the targets in ascending order; as they are where their mean would come out in other bits."""
    targets = competition.targets
    order = np.argsort(targets) if targets.ndim == 1 else np.lexsort(targets.T)
    reordered = replace(competition, targets=targets[order])
    return reordered.targets if np.array_equal(reordered.prior, competition.prior) else targets


def _build_manifest(
    kit: KitFiles,
    request: KitRequest,
    recipe: Recipe,
    competition: Competition,
    *,
    document: Mapping[str, Any],
    wheel: str,
) -> Manifest:
    package = Path(kaggle_script.__file__).parent.parent
    held = sorted(path for path in kit.root.rglob("*") if path.is_file())
    needed = tuple(
        {"module": need.module, "package": need.package, "least": need.least} for need in list_requirements()
    )
    return Manifest(
        slug=request.slug,
        made=datetime.datetime.now().astimezone().date().isoformat(),
        half=request.half,
        files={path.relative_to(kit.root).as_posix(): kaggle_script.compute_file_digest(path) for path in held},
        code=kaggle_script.compute_code_digest(package),
        wheel=f"{kit.wheels.name}/{wheel}",
        needs=needed,
        versions=collect_versions(),
        submission=str(document["submission_digest"]),
        test_digest=compute_digest(competition.test_ids),
        device=document.get("device"),
        recipe=recipe,
    )


@contextmanager
def _convert_key_errors(ensemble: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{ensemble} cannot be understood: {error!r}", hint="make it again: automl ensemble"
        ) from error


def _write_documents(
    kit: KitFiles,
    manifest: Manifest,
    files: StudyFiles,
    competition: Competition,
    *,
    document: Mapping[str, Any],
    moved: str | None,
) -> None:
    """Write what people read, and what they run."""
    write_bytes(kit.requirements, render_requirements(manifest, list_requirements()).encode())
    write_bytes(kit.script, Path(kaggle_script.__file__).read_bytes())
    write_bytes(kit.notebook, render_notebook(manifest.slug).encode())
    write_bytes(kit.readme, render_readme(manifest).encode())
    card = render_card(manifest, competition, document, moved=moved)
    write_bytes(kit.card, _strip_folders(card, competition, files).encode())


def convert_to_float16(weights: bytes, name: str, *, backbone: str | None = None) -> bytes:
    """Convert a safetensors file to float16, but for batch norm's statistics and what float16 cannot hold.

    Args:
        name: of the file, for the error.
        backbone: the digest of the backbone that the file names.

    Raises:
        StorageError: it is damaged.
    """
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise StorageError(
            f"the weights {name} cannot be read: {error}", hint="train them again: automl refit"
        ) from error
    converted = {key: _convert_tensor(key, tensor) for key, tensor in tensors.items()}
    return safetensors.torch.save(converted, None if backbone is None else {BACKBONE_KEY: backbone})


def _convert_tensor(key: str, tensor: Tensor) -> Tensor:
    if key.rpartition(".")[2] in KEPT or not tensor.is_floating_point():
        return tensor
    half = tensor.to(torch.float16)
    # Beyond 65504 there is only infinity. What vanishes below 6e-8 is next to nothing in a sum of products.
    return half if bool(torch.isfinite(half).all()) else tensor


def describe_float16_error(
    files: StudyFiles,
    competition: Competition,
    recipe: Recipe,
    *,
    before: LocateWeights,
    after: LocateWeights,
    device: str,
) -> str:
    """Return how much the probabilities of two sets of weights differ for some test images, in a line."""
    seen = np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)
    rows = seen[:: max(1, -(-len(seen) // N_TRIED))]
    if len(rows) == 0:
        return "float16: not tried, as there are no test images here"
    cache = PixelCache(competition, files.cache, short_side=recipe.short_side)
    threads = recipe.n_threads
    whole = Predictor(competition, cache, device=device, cache_folder=files.predictions, n_threads=threads)
    half = Predictor(competition, cache, device=device, cache_folder=None, n_threads=threads)
    try:
        moved = np.abs(
            predict_ensemble(recipe, after, half, rows=rows) - predict_ensemble(recipe, before, whole, rows=rows)
        )
    except DataError as error:
        return f"float16: not tried: {error.problem}"
    what = f"the {'ranks' if recipe.by_rank else 'probabilities'} of {len(rows)} test images"
    return f"float16: moves {what} by {moved.max():.2g} at most, {moved.mean():.2g} in the mean"
