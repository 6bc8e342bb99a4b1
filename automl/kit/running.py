"""Run a kit: find the competition's test images, predict them with the ensemble, and write the submission.

What submit.py calls once this package can be imported. Nothing is downloaded: networks are built from their
configuration and filled from the kit. Not responsible for: whether the kit is whole (automl.kit.kaggle_script), or how
an ensemble predicts (automl.ensemble.apply).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from automl.artifacts import compute_digest
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.decisions.rules import parse_rule
from automl.ensemble.apply import predict_ensemble, predict_ensemble_within
from automl.ensemble.ensemble_recipe import Recipe
from automl.ensemble.predict_images import TrainedEnsemble
from automl.ensemble.predictor import Predictor
from automl.errors import AutomlError, Notify, UnfitEnvironmentError, UsageError, escape_control_characters, join_names
from automl.files.tables import format_count
from automl.kit.find_data import find_competition
from automl.kit.manifest import KitFiles, Manifest, is_kit, read_manifest
from automl.kit.requirements import collect_versions
from automl.readers.new_images import find_broken_test_images, read_test_images
from automl.study.deadline import format_duration
from automl.submission.decide import get_deciding_metric
from automl.submission.write import write_submission

N_NAMED = 5
DECISIVE_PACKAGES = (
    "torch",
    "timm",
    "pillow",
    "opencv-python-headless",
)  # the packages that pixels and probabilities pass


@dataclass(frozen=True, slots=True, kw_only=True)
class KitRun:
    """The flags of submit.py.

    Attributes:
        folder: the competition's data; looked for where None.
        scratch: a folder for pixels, of which nothing stays.
        started: when, by time.monotonic.
    """

    folder: Path | None
    out: Path
    max_minutes: float | None
    device: str | None
    scratch: Path
    started: float


def run_kit(kit: Path, run: KitRun, *, notify: Notify | None = None) -> int:
    """Write the submission; return 0, or the exit code of an error, which is printed with a hint."""
    try:
        submit(KitFiles(kit), run, notify=notify or _print_line)
    except AutomlError as error:
        print(escape_control_characters(f"Error: {error.problem}\n  hint: {error.hint}"), file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def submit(files: KitFiles, run: KitRun, *, notify: Notify) -> None:
    """Write the submission of the kit's ensemble for the competition's test images, of whatever number.

    Images that are missing or broken get the prior, and are named.

    Raises:
        AutomlError: there is no such data, or the competition would refuse the submission.
    """
    manifest = read_manifest(files)
    _compare_versions(manifest, notify)
    device = _choose_device(run.device)
    competition = _read_test_images(files, manifest, run, notify)
    probs = _predict(files, manifest.recipe, competition, run, device=device, notify=notify)
    rule = parse_rule(manifest.recipe.rule, get_deciding_metric(competition), competition.scorer.context)
    write_submission(competition, probs, run.out, rule, by_rank=manifest.recipe.by_rank)
    spent = format_duration(time.monotonic() - run.started)
    notify(f"wrote {run.out}: {len(competition.submission.ids)} rows, {spent} after the start")
    _compare_submissions(manifest, competition, run, device=device, notify=notify)


def load_kit_ensemble(folder: Path) -> TrainedEnsemble:
    """Load the ensemble in a kit.

    Raises:
        UsageError: the folder is no kit.
        StorageError: its files are damaged or of another version.
    """
    if not is_kit(folder):
        raise UsageError(f"--kit {folder} is no kit", hint="name the folder that automl kit has written")
    files = KitFiles(folder)
    return TrainedEnsemble(
        recipe=read_manifest(files).recipe,
        competition=load_kit_competition(files),
        locate_weights=files.locate_weights,
        scratch=None,
        retrain_hint="make the kit again: automl kit",
    )


def load_kit_competition(files: KitFiles) -> Competition:
    """Load the competition as the kit has it.

    Raises:
        StorageError: its file is missing or damaged.
        UsageError: the user's own metric cannot be loaded here.
    """
    with contextlib.chdir(files.root):  # a metric of the user's own is named relative to the kit
        return load_competition(files.competition.resolve())


def _compare_versions(manifest: Manifest, notify: Notify) -> None:
    here, made = collect_versions(), manifest.versions
    others = [f"{name} {here[name]} instead of {made[name]}" for name in DECISIVE_PACKAGES if here[name] != made[name]]
    if others:
        notify(f"versions: {', '.join(others)}; probabilities may differ in their last digits")


def _read_test_images(files: KitFiles, manifest: Manifest, run: KitRun, notify: Notify) -> Competition:
    """Read the competition with the test images of the folder, those that cannot be decoded as unreadable ones."""
    own = load_kit_competition(files)
    root = run.folder or find_competition(manifest.slug, own.submission.header)
    competition = read_test_images(root, own)
    notify(f"data: {root}")
    for line in competition.evidence:
        notify(line)
    broken = find_broken_test_images(competition, run.scratch, n_threads=os.cpu_count() or 1)
    if broken:
        reasons = join_names(list(broken.values()), at_most=N_NAMED)
        notify(f"broken: the prior for {format_count(len(broken), 'test image')}: {reasons}")
    return replace(competition, unreadable_test=tuple(sorted({*competition.unreadable_test, *broken})))


def _predict(
    files: KitFiles, recipe: Recipe, competition: Competition, run: KitRun, *, device: str, notify: Notify
) -> NDArray[np.float64]:
    """Predict (n_test, n_classes) in the time that is left."""
    cache = PixelCache(competition, run.scratch / "pixels", short_side=recipe.short_side)
    predictor = Predictor(
        competition, cache, device=device, cache_folder=None, n_threads=recipe.n_threads, notify=notify
    )
    if run.max_minutes is None:
        return predict_ensemble(recipe, files.locate_weights, predictor)
    spent_s = time.monotonic() - run.started
    budget_s = max(0.0, run.max_minutes * 60.0 - spent_s)
    return predict_ensemble_within(recipe, files.locate_weights, predictor, budget_s=budget_s, notify=notify)


def _compare_submissions(
    manifest: Manifest, competition: Competition, run: KitRun, *, device: str, notify: Notify
) -> None:
    """Notify whether the very file came out that the ensemble wrote, where the test images have the same ids."""
    if compute_digest(competition.test_ids) != manifest.test_digest:
        return
    if hashlib.sha256(run.out.read_bytes()).hexdigest() == manifest.submission:
        notify("it is byte for byte the submission that the ensemble wrote")
        return
    reasons = {
        "weights are float16 here": manifest.half,
        "--max-minutes may leave parts out": run.max_minutes is not None,
        f"that was on {manifest.device}, this on {device}": manifest.device not in (None, device),
    }
    known = [reason for reason, holds in reasons.items() if holds]
    notify(f"it is not byte for byte the submission that the ensemble wrote{': ' * bool(known)}{', '.join(known)}")


def _choose_device(name: str | None) -> str:
    """Return the named device, else the first GPU, else the CPU.

    Raises:
        UnfitEnvironmentError: it is not there.
    """
    known = [*(f"cuda:{number}" for number in range(torch.cuda.device_count())), "cpu"]
    if name is not None and name not in known:
        raise UnfitEnvironmentError(f"there is no device '{name}' to be used", hint=f"use one of {', '.join(known)}")
    return name or known[0]


def _print_line(line: str) -> None:
    print(escape_control_characters(line), flush=True)  # at once, as a notebook shows a pipe's content
