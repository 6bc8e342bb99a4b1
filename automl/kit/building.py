"""An ensemble as one folder that predicts without a network: weights, the recipe, this package, a script, a notebook.

The folder is filled under another name and takes its own one last, so that an interrupted kit is never mistaken for a
whole one, and the kit before it stays until then. Not responsible for: predicting (automl.kit.running), or training
the folds that are missing (automl.refitting).
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator, Mapping
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

from automl.artifacts import StudyFiles, digest_of, read_json, write_bytes, write_json
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition, save_competition
from automl.ensemble.apply import WeightsOf, blended_probs, require_networks, study_weights
from automl.ensemble.ensemble_recipe import Recipe, read_recipe
from automl.ensemble.predictor import Looker
from automl.errors import DataError, StorageError, UsageError
from automl.files.tables import counted
from automl.kit import kaggle_script
from automl.kit.card import card_of, notebook_of, readme_of, requirements_of
from automl.kit.find_data import INPUTS
from automl.kit.manifest import KitFiles, Manifest, is_kit
from automl.kit.requirements import CARRIED, download_wheels, needs, pack_package, versions
from automl.metrics.custom import is_own

# Running statistics of batch norm: there are few, small variances would vanish, and each is divided by.
KEPT = ("running_mean", "running_var", "num_batches_tracked")


def halved(weights: bytes, name: str) -> bytes:
    """The safetensors file with its floats as float16, but for batch norm's statistics and what float16 cannot hold.

    Args:
        name: of the file, for the error.

    Raises:
        StorageError: it is damaged.
    """
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise StorageError(
            f"the weights {name} cannot be read: {error}", hint="train them again: automl refit"
        ) from error
    return safetensors.torch.save({key: _halved(key, tensor) for key, tensor in tensors.items()})


def _halved(key: str, tensor: Tensor) -> Tensor:
    if key.rpartition(".")[2] in KEPT or not tensor.is_floating_point():
        return tensor
    half = tensor.to(torch.float16)
    # Beyond 65504 there is only infinity. What vanishes below 6e-8 is next to nothing in a sum of products.
    return half if bool(torch.isfinite(half).all()) else tensor


N_TRIED = 1000  # test images


def described_move(
    files: StudyFiles, competition: Competition, recipe: Recipe, *, before: WeightsOf, after: WeightsOf, device: str
) -> str:
    """The largest difference between what the two sets of weights say of some of the test images, in a line."""
    seen = np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)
    rows = seen[:: max(1, -(-len(seen) // N_TRIED))]
    if len(rows) == 0:
        return "float16: not tried out, as there are no test images here"
    cache = PixelCache(competition, files.cache, short_side=recipe.short_side)
    threads = recipe.n_threads
    whole = Looker(competition, cache, device=device, remembered=files.predictions, n_threads=threads)
    half = Looker(competition, cache, device=device, remembered=None, n_threads=threads)
    try:
        moved = np.abs(blended_probs(recipe, after, half, rows=rows) - blended_probs(recipe, before, whole, rows=rows))
    except DataError as error:
        return f"float16: not tried out: {error.problem}"
    what = f"the {'ranks' if recipe.by_rank else 'probabilities'} of {len(rows)} test images"
    return f"float16: moves {what} by {moved.max():.2g} at most, {moved.mean():.2g} in the mean"


Say = Callable[[str], None]
AGAIN = "train them again with automl refit, then automl ensemble, then automl kit"


@dataclass(frozen=True, slots=True, kw_only=True)
class KitRequest:
    """What `automl kit` was asked.

    Attributes:
        slug: the competition's name on Kaggle.
        half: whether weights become float16.
        wheels: whether the wheels of what Kaggle may have too old are fetched too.
    """

    slug: str
    out: Path
    half: bool = False
    wheels: bool = False


def build_kit(files: StudyFiles, request: KitRequest, *, device: str, say: Say) -> KitFiles:
    """Write the kit of the study's ensemble; a kit that is there is replaced, but for files that are not a kit's.

    Args:
        device: on which float16 weights are tried out.

    Raises:
        UsageError: there is no ensemble yet, or the folder is there and is no kit.
        StorageError: weights are missing or damaged, or the kit cannot be written.
        UnfitEnvironmentError: the wheels cannot be had.
    """
    recipe, figures = read_recipe(files.ensemble), read_json(files.ensemble)
    competition = load_competition(files.competition)
    require_networks(recipe, partial(study_weights, files), again=AGAIN)
    with _begun(request.out) as kit:
        _write_weights(kit, files, recipe, half=request.half)
        moved = _move(kit, files, recipe, competition, device) if request.half else None
        _write_competition(kit, files, competition, request.slug)
        wheel = pack_package(kit.wheels)
        names = download_wheels(CARRIED, kit.wheels) if request.wheels else ()
        with _understood(files.ensemble):
            manifest = _manifest(kit, request, recipe, competition, figures=figures, wheel=wheel.name)
            _write_papers(kit, manifest, files, competition, figures=figures, moved=moved)
        write_json(kit.manifest, manifest.to_json())
    n_networks = sum(len(member.folds) for member in recipe.members)
    made_of = f"{counted(n_networks, 'network')} of {counted(len(recipe.members), 'member')}"
    say(f"weights: {made_of}, {'float16' if request.half else 'float32'}")
    for line in ((moved,) if moved else ()) + tuple(f"wheel: {name}, from the package index" for name in names):
        say(line)
    return KitFiles(request.out)


@contextmanager
def _begun(out: Path) -> Iterator[KitFiles]:
    """A new folder beside `out` to be filled; it becomes `out` once it is whole.

    Raises:
        UsageError: what is at `out` is no kit.
        StorageError: the disk does not let it.
    """
    if out.exists() and not (is_kit(out) or _is_empty(out)):
        raise UsageError(f"{out} is there already, and is no kit", hint="name another folder with --out")
    begun, replaced = out.with_name(f".{out.name}.begun"), out.with_name(f".{out.name}.replaced")
    try:
        for leftover in (begun, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
        begun.mkdir(parents=True)
        yield KitFiles(begun)
        if out.exists():
            _carry_over(KitFiles(out), begun)
            out.rename(replaced)
        begun.rename(out)
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written: {error.strerror or error}",
            hint="free some space or mend the permissions, then run the same command again",
        ) from error
    finally:
        for leftover in (begun, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _carry_over(before: KitFiles, begun: Path) -> None:
    """Keep what somebody has put into the kit, such as the dataset-metadata.json of `kaggle datasets init`."""
    for path in before.root.iterdir():
        if not before.is_own(path):
            path.rename(begun / path.name)


def _write_weights(kit: KitFiles, files: StudyFiles, recipe: Recipe, *, half: bool) -> None:
    for member in recipe.members:
        for fold in member.folds:
            source = study_weights(files, member, fold)
            content = source.read_bytes()
            write_bytes(kit.weights(member, fold), halved(content, str(source)) if half else content)


def _move(kit: KitFiles, files: StudyFiles, recipe: Recipe, competition: Competition, device: str) -> str:
    before = partial(study_weights, files)
    return described_move(files, competition, recipe, before=before, after=kit.weights, device=device)


def _write_competition(kit: KitFiles, files: StudyFiles, competition: Competition, slug: str) -> None:
    """The competition without what its rules may forbid to pass on: which training image has which label.

    The labels without their images stay, in an order of their own, as frequencies follow from them.
    """
    root = INPUTS / slug
    metric = competition.metric
    if is_own(metric.name):
        place, _, function = metric.name.rpartition(":")
        write_bytes(kit.metric, Path(place).read_bytes())
        metric = replace(metric, name=f"{kit.metric.name}:{function}")
    tests = [path.relative_to(competition.root).as_posix() for path in competition.test_paths]
    stripped = replace(
        competition,
        root=root,
        image_ids=(),
        image_paths=(),
        targets=_reordered(competition),
        groups=None,
        test_paths=tuple(root / PurePosixPath(name) for name in tests),
        metric=metric,
        evidence=tuple(_without_places(line, competition, files) for line in competition.evidence),
    )
    save_competition(stripped, kit.competition)


def _without_places(text: str, competition: Competition, files: StudyFiles) -> str:
    """The text without the folders of this machine, which are nobody's business."""
    place = competition.metric.name.rpartition(":")[0]
    folders = (files.root, competition.root, *([Path(place).parent] if is_own(competition.metric.name) else []))
    for folder in sorted(map(str, folders), key=len, reverse=True):
        text = text.replace(f"{folder}/", "")
    return text


def _reordered(competition: Competition) -> NDArray[Any]:
    """The targets in ascending order; as they are where their mean would come out in other bits."""
    targets = competition.targets
    order = np.argsort(targets) if targets.ndim == 1 else np.lexsort(targets.T)
    reordered = replace(competition, targets=targets[order])
    return reordered.targets if np.array_equal(reordered.prior, competition.prior) else targets


def _manifest(
    kit: KitFiles,
    request: KitRequest,
    recipe: Recipe,
    competition: Competition,
    *,
    figures: Mapping[str, Any],
    wheel: str,
) -> Manifest:
    package = Path(kaggle_script.__file__).parent.parent
    held = sorted(path for path in kit.root.rglob("*") if path.is_file())
    needed = tuple({"module": need.module, "package": need.package, "least": need.least} for need in needs())
    return Manifest(
        slug=request.slug,
        made=datetime.datetime.now().astimezone().date().isoformat(),
        half=request.half,
        files={path.relative_to(kit.root).as_posix(): kaggle_script.file_digest(path) for path in held},
        code=kaggle_script.code_digest(package),
        wheel=f"{kit.wheels.name}/{wheel}",
        needs=needed,
        versions=versions(),
        submission=str(figures["submission_digest"]),
        test_digest=digest_of(competition.test_ids),
        device=figures.get("device"),
        recipe=recipe,
    )


@contextmanager
def _understood(ensemble: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{ensemble} cannot be understood: {error!r}", hint="make it again: automl ensemble"
        ) from error


def _write_papers(
    kit: KitFiles,
    manifest: Manifest,
    files: StudyFiles,
    competition: Competition,
    *,
    figures: Mapping[str, Any],
    moved: str | None,
) -> None:
    """What people read, and what they run."""
    write_bytes(kit.requirements, requirements_of(manifest, needs()).encode())
    write_bytes(kit.script, Path(kaggle_script.__file__).read_bytes())
    write_bytes(kit.notebook, notebook_of(manifest.slug).encode())
    write_bytes(kit.readme, readme_of(manifest).encode())
    card = card_of(manifest, competition, figures, moved=moved)
    write_bytes(kit.card, _without_places(card, competition, files).encode())
