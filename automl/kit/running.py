"""A kit at work: the competition's test images found, predicted by the ensemble, and the submission written.

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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from automl.artifacts import digest_of
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.deadline import duration
from automl.decisions.rules import rule_from_json
from automl.ensemble.apply import blended_in_time, blended_probs
from automl.ensemble.ensemble_recipe import Recipe
from automl.ensemble.predict_images import TrainedEnsemble
from automl.ensemble.predictor import Looker
from automl.errors import AutomlError, UnfitEnvironmentError, UsageError, listed, printable
from automl.files.tables import counted
from automl.kit.find_data import find_competition
from automl.kit.manifest import KitFiles, Manifest, is_kit, read_manifest
from automl.kit.requirements import versions
from automl.readers.new_images import broken_test_images, read_test_images
from automl.submission.decide import deciding_metric
from automl.submission.write import write_submission

N_NAMED = 5
DECIDING = ("torch", "timm", "pillow", "opencv-python-headless")  # the packages that pixels and probabilities pass

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KitRun:
    """What submit.py was asked.

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


def run_kit(kit: Path, asked: KitRun, *, say: Say | None = None) -> int:
    """Write the submission; 0, or the exit code of an error, which is said in a line with a hint."""
    try:
        submit(KitFiles(kit), asked, say=say or _say)
    except AutomlError as error:
        print(printable(f"Error: {error.problem}\n  hint: {error.hint}"), file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def submit(files: KitFiles, asked: KitRun, *, say: Say) -> None:
    """Write the submission that the kit's ensemble makes of the competition's test images, of whatever number.

    Images that are missing or broken get the prior, and are said.

    Raises:
        AutomlError: there is no such data, or the competition would refuse the submission.
    """
    manifest = read_manifest(files)
    _compare_versions(manifest, say)
    device = _device(asked.device)
    competition = _test_images(files, manifest, asked, say)
    probs = _predicted(files, manifest.recipe, competition, asked, device=device, say=say)
    rule = rule_from_json(manifest.recipe.rule, deciding_metric(competition), competition.scorer.facts)
    write_submission(competition, probs, asked.out, rule, by_rank=manifest.recipe.by_rank)
    spent = duration(time.monotonic() - asked.started)
    say(f"wrote {asked.out}: {len(competition.submission.ids)} rows, {spent} after the start")
    _compare_submissions(manifest, competition, asked, device=device, say=say)


def ensemble_of_kit(folder: Path) -> TrainedEnsemble:
    """The ensemble in a kit.

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
        weights_of=files.weights,
        scratch=None,
        again="make the kit again: automl kit",
    )


def load_kit_competition(files: KitFiles) -> Competition:
    """The competition as the kit has it.

    Raises:
        StorageError: its file is missing or damaged.
        UsageError: the user's own metric cannot be loaded here.
    """
    with contextlib.chdir(files.root):  # a metric of the user's own is named relative to the kit
        return load_competition(files.competition.resolve())


def _compare_versions(manifest: Manifest, say: Say) -> None:
    here, made = versions(), manifest.versions
    others = [f"{name} {here[name]} instead of {made[name]}" for name in DECIDING if here[name] != made[name]]
    if others:
        say(f"versions: {', '.join(others)}; probabilities may differ in their last digits")


def _test_images(files: KitFiles, manifest: Manifest, asked: KitRun, say: Say) -> Competition:
    """The competition with the test images of the folder, those that cannot be decoded as unreadable ones."""
    own = load_kit_competition(files)
    root = asked.folder or find_competition(manifest.slug, own.submission.header)
    competition = read_test_images(root, own)
    say(f"data: {root}")
    for line in competition.evidence:
        say(line)
    broken = broken_test_images(competition, asked.scratch, n_threads=os.cpu_count() or 1)
    if broken:
        reasons = listed(list(broken.values()), at_most=N_NAMED)
        say(f"broken: the prior for {counted(len(broken), 'test image')}: {reasons}")
    return replace(competition, unreadable_test=tuple(sorted({*competition.unreadable_test, *broken})))


def _predicted(
    files: KitFiles, recipe: Recipe, competition: Competition, asked: KitRun, *, device: str, say: Say
) -> NDArray[np.float64]:
    """(n_test, n_classes) in the time that is left."""
    cache = PixelCache(competition, asked.scratch / "pixels", short_side=recipe.short_side)
    looker = Looker(competition, cache, device=device, remembered=None, n_threads=recipe.n_threads, tell=say)
    if asked.max_minutes is None:
        return blended_probs(recipe, files.weights, looker)
    spent_s = time.monotonic() - asked.started
    budget_s = max(0.0, asked.max_minutes * 60.0 - spent_s)
    return blended_in_time(recipe, files.weights, looker, budget_s=budget_s, tell=say)


def _compare_submissions(manifest: Manifest, competition: Competition, asked: KitRun, *, device: str, say: Say) -> None:
    """Say whether the very file came out that the ensemble wrote, where the test images have the same ids."""
    if digest_of(competition.test_ids) != manifest.test_digest:
        return
    if hashlib.sha256(asked.out.read_bytes()).hexdigest() == manifest.submission:
        say("it is byte for byte the submission that the ensemble wrote")
        return
    reasons = {
        "weights are float16 here": manifest.half,
        "--max-minutes may leave parts out": asked.max_minutes is not None,
        f"that was on {manifest.device}, this on {device}": manifest.device not in (None, device),
    }
    known = [reason for reason, holds in reasons.items() if holds]
    say(f"it is not byte for byte the submission that the ensemble wrote{': ' * bool(known)}{', '.join(known)}")


def _device(asked: str | None) -> str:
    """That asked for, else the first GPU, else the CPU.

    Raises:
        UnfitEnvironmentError: it is not there.
    """
    known = [*(f"cuda:{number}" for number in range(torch.cuda.device_count())), "cpu"]
    if asked is not None and asked not in known:
        raise UnfitEnvironmentError(f"there is no device '{asked}' to be used", hint=f"use one of {', '.join(known)}")
    return asked or known[0]


def _say(line: str) -> None:
    print(printable(line), flush=True)  # at once, as a notebook shows a pipe's content
