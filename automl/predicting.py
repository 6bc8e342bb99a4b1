"""The ensemble of a study, or of a kit, on images that its competition never had: from a folder to a table.

The competition's own folder is not needed. Not responsible for: how an ensemble predicts (automl.ensemble.apply), what
the table looks like (automl.ensemble.predictions), flags and printing (automl.commands.predict).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.decisions import Rule, rule_from_json
from automl.ensemble.apply import WeightsOf, blended_in_time, blended_probs
from automl.ensemble.deciding import deciding_metric
from automl.ensemble.looking import Looker
from automl.ensemble.member_weights import require_networks, study_weights
from automl.ensemble.predictions import header_of, prediction_table, require_replaceable, write_predictions
from automl.ensemble.recipe import Recipe, read_recipe
from automl.errors import DataError, StorageError, UsageError, listed
from automl.kit.manifest import KitFiles, is_kit, read_manifest
from automl.kit.running import load_kit_competition
from automl.reading.hidden import broken_test_images, image_folder

Note = Callable[[str], None]
N_NAMED = 10  # broken images in lines of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEnsemble:
    """An ensemble that can predict.

    Attributes:
        competition: that it was trained for; its images need not be there any more.
        scratch: the folder in which pixels are kept while it predicts; None for the system's own.
        again: what makes missing weights again, in the imperative.
    """

    recipe: Recipe
    competition: Competition
    weights_of: WeightsOf
    scratch: Path | None
    again: str

    @property
    def rule(self) -> Rule:
        """What decides."""
        competition = self.competition
        return rule_from_json(self.recipe.rule, deciding_metric(competition), competition.scorer.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """What `automl predict` was asked.

    Attributes:
        images: a folder, or a single image.
        views: whether the images are also seen through the ensemble's views, not only as they are.
        max_minutes: from `started` on, by time.monotonic.
        overwrite: whether `out` may be any file.
    """

    images: Path
    out: Path
    device: str
    views: bool = True
    max_minutes: float | None = None
    overwrite: bool = False
    started: float = 0.0


def ensemble_of_study(files: StudyFiles) -> TrainedEnsemble:
    """The ensemble that `automl ensemble` left in the study.

    Raises:
        UsageError: there is none.
        StorageError: its files are damaged or of another version.
    """
    recipe = read_recipe(files.ensemble)
    competition = load_competition(files.competition)
    return TrainedEnsemble(
        recipe=recipe,
        competition=competition,
        weights_of=partial(study_weights, files),
        scratch=files.cache,
        again="train them again with automl refit, then run automl ensemble",
    )


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


def predict_images(ensemble: TrainedEnsemble, request: PredictRequest, *, note: Note) -> int:
    """Write the table of predictions for all images that can be decoded; how many these are.

    Probabilities are averaged also where a submission averages ranks, as the rank of an image depends on the others.

    Raises:
        DataError: there is no image, or none that can be decoded.
        UsageError: what is at request.out is no table of predictions.
        StorageError: weights are missing or damaged, or the disk is full.
    """
    if not request.overwrite:
        require_replaceable(request.out, header_of(ensemble.competition))
    require_networks(ensemble.recipe, ensemble.weights_of, again=ensemble.again)
    competition = image_folder(request.images, ensemble.competition)
    for line in competition.evidence:
        note(line)
    with _scratch(ensemble.scratch) as scratch:
        competition = _without_broken(competition, scratch, note)
        probs = _predicted(ensemble, competition, request, scratch, note)
    rows = _readable(competition)
    table = prediction_table(competition, [competition.test_ids[row] for row in rows], probs[rows], ensemble.rule)
    write_predictions(request.out, table)
    return len(rows)


@contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    """A new folder that is gone afterwards."""
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="predict-", dir=parent))
    except OSError as error:
        raise StorageError(
            f"{parent or tempfile.gettempdir()} cannot be written: {error.strerror or error}",
            hint="free some space or mend the permissions, then run the same command again",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_broken(competition: Competition, scratch: Path, note: Note) -> Competition:
    problems = broken_test_images(competition, scratch, n_threads=os.cpu_count() or 1)
    reasons = list(problems.values())
    for reason in reasons[:N_NAMED]:
        note(f"left out: {reason}")
    if len(reasons) > N_NAMED:
        note(f"left out: {len(reasons) - N_NAMED} more images that cannot be decoded")
    if len(problems) == len(competition.test_ids):
        raise DataError(
            f"none of {len(problems)} images can be decoded: {listed(reasons, at_most=1)}",
            hint="replace them by whole ones",
        )
    return replace(competition, unreadable_test=tuple(sorted(problems)))


def _predicted(
    ensemble: TrainedEnsemble, competition: Competition, request: PredictRequest, scratch: Path, note: Note
) -> NDArray[np.float64]:
    """(n_images, n_classes); zeros where an image cannot be decoded."""
    recipe = ensemble.recipe if request.views else _without_views(ensemble.recipe)
    if recipe.by_rank:
        note("probabilities are averaged here, where the submission averages ranks")
        recipe = replace(recipe, by_rank=False)
    cache = PixelCache(competition, scratch, short_side=recipe.short_side)
    looker = Looker(competition, cache, device=request.device, remembered=None, n_threads=recipe.n_threads, tell=note)
    if request.max_minutes is None:
        return blended_probs(recipe, ensemble.weights_of, looker)
    budget_s = 60.0 * request.max_minutes - (time.monotonic() - request.started)
    return blended_in_time(recipe, ensemble.weights_of, looker, budget_s=max(0.0, budget_s), tell=note)


def _without_views(recipe: Recipe) -> Recipe:
    return replace(recipe, members=tuple(replace(member, views=member.views[:1]) for member in recipe.members))


def _readable(competition: Competition) -> Sequence[int]:
    unreadable = set(competition.unreadable_test)
    return [row for row in range(len(competition.test_ids)) if row not in unreadable]
